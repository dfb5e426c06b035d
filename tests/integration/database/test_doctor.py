"""The doctor on real databases for results, each in the state that it is to find."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import sqlalchemy

from celeriac import results
from celeriac.app.doctor import examine_store
from celeriac.brokers.port import Finding
from celeriac.core.clock import SYSTEM
from celeriac.errors import SchemaError
from celeriac.results.database.examine import told
from tests.support.mariadb import MariadbServer
from tests.support.postgres_time import server as postgres_server
from tests.support.waiting import wait_for


@pytest.fixture(scope="module")
def server() -> Iterator[MariadbServer]:
    good = {"innodb-flush-log-at-trx-commit": "1", "max-allowed-packet": "64M"}
    with MariadbServer(settings=good) as found, results.open_results(found.url()) as store:
        store.install()
        yield found


def examined(url: str) -> dict[str, Finding]:
    with results.open_results(url) as store:
        return {one.subject: one for one in examine_store(store, SYSTEM)}


def bad(url: str) -> dict[str, str]:
    return {subject: one.level for subject, one in examined(url).items() if one.level != "ok"}


def test_a_database_in_order_has_nothing_to_change(server: MariadbServer) -> None:
    assert bad(server.url()) == {}


@pytest.mark.parametrize(
    ("variable", "value", "subject", "level"),
    [
        ("innodb_flush_log_at_trx_commit", "2", "durability", "advice"),
        ("max_allowed_packet", "16777216", "size of results", "advice"),
        ("wait_timeout", "10", "wait_timeout", "advice"),
        ("read_only", "1", "role", "error"),
        ("max_connections", "10", "connections", "warning"),
    ],
)
def test_a_setting_that_is_not_right_is_told(
    server: MariadbServer, variable: str, value: str, subject: str, level: str
) -> None:
    ((before,),) = server.run(f"SELECT @@GLOBAL.{variable}")
    taken = [server.connect() for _ in range(8)] if variable == "max_connections" else []
    server.run(f"SET GLOBAL {variable} = {value}")
    try:
        found = examined(server.url())
    finally:
        for one in taken:
            one.close()
        server.run(f"SET GLOBAL {variable} = {before}")
    assert {name: one.level for name, one in found.items() if one.level != "ok"} == {subject: level}
    assert found[subject].remedy
    # A connection that was closed counts until the server has noticed.
    wait_for(lambda: bad(server.url()) == {}, 10, "a server in order")


def test_what_is_missing_is_told_with_the_rest_and_not_made(server: MariadbServer, tmp_path: Path) -> None:
    server.run("CREATE DATABASE empty")
    found = examined(server.url("empty"))
    assert found["tables"].level == "error"
    assert "celeriac db upgrade" in found["tables"].remedy
    assert found["server"].level == found["clock"].level == "ok"
    assert server.run("SHOW TABLES FROM empty") == []
    file = tmp_path / "r.db"
    assert examined(f"db+sqlite:///{file}")["tables"].level == "error"
    engine = sqlalchemy.create_engine(f"sqlite:///{file}")
    assert sqlalchemy.inspect(engine).get_table_names() == []
    engine.dispose()


def test_postgresql_is_judged_too() -> None:
    server = postgres_server()
    server.ask("CREATE DATABASE judged", database="postgres")
    url = f"db+postgresql+psycopg://tester@127.0.0.1:{server.port}/judged"
    with results.open_results(url) as store:
        store.install()
    # The server of the tests has fsync off.
    assert bad(url) == {"durability": "warning"}
    lazy = quote("-c default_transaction_read_only=on")
    assert bad(f"{url}?options={lazy}") == {"durability": "warning", "role": "error"}
    server.ask("DROP DATABASE judged", database="postgres")


@pytest.mark.parametrize(
    ("facts", "level"),
    [
        ({"log_bin": "ON", "sync_binlog": "0"}, "advice"),
        ({"log_bin": "ON", "sync_binlog": "1"}, "ok"),
        ({"log_bin": "OFF", "sync_binlog": "0"}, "ok"),
        ({"innodb_doublewrite": "OFF"}, "warning"),
    ],
)
def test_the_binary_log_counts_for_durability(facts: dict[str, str], level: str) -> None:
    found = {one.subject: one.level for one in told("mysql", 1, {"version": "8.4.0", **facts})}
    assert found["durability"] == level


def test_a_database_that_is_not_known_is_said_to_be_so() -> None:
    found = told("oracle", SchemaError("it lacks a table: make it"), {})
    assert [(one.level, one.subject) for one in found] == [("error", "tables"), ("advice", "server")]
    assert found[0].remedy == "make it"
