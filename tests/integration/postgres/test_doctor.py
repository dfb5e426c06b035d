"""The doctor on real PostgreSQL servers, each in the state that it is to find."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from celeriac.app.doctor import examine_broker, try_out
from celeriac.brokers import open_broker
from celeriac.brokers.port import Finding
from celeriac.brokers.postgres.operations import examine
from celeriac.core.clock import SYSTEM
from celeriac.core.message import Message
from celeriac.errors import CeleriacError
from tests.support.pgbouncer import PgBouncer
from tests.support.postgres import PostgresServer
from tests.support.waiting import wait_for


@pytest.fixture(scope="module")
def own() -> Iterator[PostgresServer]:
    """A server that a test may put into a bad state, if it puts it right again."""
    with PostgresServer(durable=True, settings={"max_prepared_transactions": "2"}) as found:
        yield found


@pytest.fixture
def place(own: PostgresServer) -> Iterator[str]:
    """A schema on it, installed."""
    with own.schema() as name:
        with open_broker(own.url(schema=name)) as broker:
            broker.install()
        yield name


@pytest.fixture
def weak(own: PostgresServer) -> Iterator[str]:
    """A user who may nothing but log in."""
    own.ask("CREATE ROLE weak LOGIN")
    yield "weak"
    own.ask("DROP OWNED BY weak; DROP ROLE weak")


def examined(url: str) -> dict[str, Finding]:
    with open_broker(url) as broker:
        return {one.subject: one for one in examine_broker(broker, SYSTEM)}


def bad(url: str) -> dict[str, str]:
    return {subject: one.level for subject, one in examined(url).items() if one.level in ("warning", "error")}


def as_weak(url: str) -> str:
    return url.replace("tester@", "weak@")


def test_a_server_in_order_has_no_warning_and_passes_the_trial(own: PostgresServer, place: str) -> None:
    assert bad(own.url(schema=place)) == {}
    with open_broker(own.url(schema=place)) as broker:
        assert [one.level for one in try_out(broker)] == ["ok"]


def test_a_schema_may_have_capital_letters(own: PostgresServer) -> None:
    url = own.url(schema="MySchema")
    with open_broker(url) as broker:
        assert broker.install() == broker.verify()
    assert bad(url) == {}
    own.ask('SET client_min_messages = error; DROP SCHEMA "MySchema" CASCADE')


# Rights.

ALL = ("USAGE ON SCHEMA {0}", "ALL ON ALL TABLES IN SCHEMA {0}", "ALL ON ALL SEQUENCES IN SCHEMA {0}")


@pytest.mark.parametrize(
    ("granted", "revoked", "lacks"),
    [
        ((), (), "USAGE on schema"),
        (ALL[:1], (), "SELECT on table"),
        (ALL[:2], (), "SELECT on sequence"),
        (ALL, ("UPDATE ON {0}.message",), "UPDATE on table message"),
        (ALL, ("UPDATE ON {0}.wake_work",), "UPDATE on sequence wake_work"),
        (ALL, ("EXECUTE ON FUNCTION {0}.enqueue",), "EXECUTE on function enqueue"),
    ],
)
def test_what_a_user_lacks_is_named_and_what_is_said_to_help_helps(
    own: PostgresServer, place: str, weak: str, granted: tuple[str, ...], revoked: tuple[str, ...], lacks: str
) -> None:
    for one in granted:
        own.ask(f"GRANT {one.format(place)} TO {weak}")
    for one in revoked:
        own.ask(f"REVOKE {one.format(place)} FROM {weak}, PUBLIC")
    url = as_weak(own.url(schema=place))
    found = examined(url)["permissions"]
    assert found.level == "error"
    assert lacks in found.text
    for line in found.remedy.removeprefix("let the owner run: ").split("; "):
        own.ask(line)
    assert bad(url) == {}
    with open_broker(url) as broker:
        assert [one.level for one in try_out(broker)] == ["ok"]


def test_one_who_may_not_make_the_schema_is_told(own: PostgresServer, weak: str) -> None:
    url = as_weak(own.url(schema="not_there"))
    found = examined(url)
    assert found["permissions"].level == "error"
    assert 'GRANT CREATE ON DATABASE "test" TO "weak"' in found["permissions"].remedy
    with open_broker(url) as broker, pytest.raises(CeleriacError):
        broker.enqueue([Message(id="a", task="any")])


# Settings.


@pytest.mark.parametrize(
    ("setting", "subject", "level"),
    [
        ("synchronous_commit=off", "durability", "warning"),
        ("synchronous_commit=local", "durability", "ok"),
        ("default_transaction_read_only=on", "role", "error"),
        ("default_transaction_isolation=serializable", "isolation", "warning"),
        ("statement_timeout=900", "timeouts", "warning"),
        ("lock_timeout=900", "timeouts", "warning"),
        ("statement_timeout=60000", "timeouts", "ok"),
        ("idle_in_transaction_session_timeout=60000", "timeouts", "ok"),
    ],
)
def test_a_setting_of_the_session_is_judged(
    own: PostgresServer, place: str, setting: str, subject: str, level: str
) -> None:
    found = examined(own.url(schema=place, options=quote(f"-c {setting}")))
    assert found[subject].level == level
    assert {name for name, one in found.items() if one.level in ("warning", "error")} <= {subject}


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "autovacuum"])
def test_a_setting_of_the_server_is_judged(own: PostgresServer, place: str, setting: str) -> None:
    url = own.url(schema=place)
    own.ask(f"ALTER SYSTEM SET {setting} = off")
    try:
        own.ask("SELECT pg_reload_conf()")
        subject = "vacuum" if setting == "autovacuum" else "durability"
        wait_for(lambda: bad(url) == {subject: "warning"}, 10, f"a finding about {setting}")
        assert f"{setting} = on" in examined(url)[subject].remedy
    finally:
        own.ask(f"ALTER SYSTEM RESET {setting}")
        own.ask("SELECT pg_reload_conf()")
    wait_for(lambda: bad(url) == {}, 10, "a server in order")


def test_a_table_that_autovacuum_leaves_out_is_named(own: PostgresServer, place: str) -> None:
    own.ask(f"ALTER TABLE {place}.message SET (autovacuum_enabled = off)")
    found = examined(own.url(schema=place))["vacuum"]
    assert found.level == "warning"
    assert "off for message" in found.text


def test_a_standby_is_no_broker(own: PostgresServer, place: str) -> None:
    with PostgresServer(copy_of=own) as standby:
        found = examined(standby.url(schema=place))
    assert found["role"].level == "error"
    assert "standby" in found["role"].text
    assert "target_session_attrs" in found["role"].remedy


# What keeps deleted rows.


@contextlib.contextmanager
def open_for_long(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Open a transaction that counts as long."""
    monkeypatch.setattr(examine, "LONG_TRANSACTION", 0.001)
    with contextlib.closing(server.connect()) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT txid_current()")
        yield connection


def test_a_transaction_that_stays_open_is_told(
    own: PostgresServer, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_for_long(own, monkeypatch):
        assert bad(own.url(schema=place)) == {"transactions": "warning"}


def test_a_prepared_transaction_that_stays_open_is_told(
    own: PostgresServer, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_for_long(own, monkeypatch) as connection:
        connection.execute("PREPARE TRANSACTION 'forgotten'")
    try:
        found = examined(own.url(schema=place))["transactions"]
        assert found.level == "warning"
        assert "ROLLBACK PREPARED" in found.remedy
    finally:
        own.ask("ROLLBACK PREPARED 'forgotten'")


def test_a_slot_that_nobody_reads_is_named(own: PostgresServer, place: str) -> None:
    own.ask("SELECT pg_create_physical_replication_slot('forgotten', true)")
    try:
        found = examined(own.url(schema=place))["replication"]
        assert found.level == "warning"
        assert "forgotten" in found.text
    finally:
        own.ask("SELECT pg_drop_replication_slot('forgotten')")


def test_deleted_rows_that_nobody_sweeps_are_counted(
    own: PostgresServer, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examine, "SMALL", 50)
    own.ask(f"ALTER TABLE {place}.role SET (autovacuum_vacuum_threshold = 1000000)")
    own.ask(f"INSERT INTO {place}.role SELECT n::text, '', 0 FROM generate_series(1, 100) AS n")
    own.ask(f"DELETE FROM {place}.role")

    def told() -> bool:
        return examined(own.url(schema=place))["vacuum"].level == "warning"

    wait_for(told, 20, "a finding about deleted rows")


# Connections.


def test_a_user_with_few_connections_is_told(own: PostgresServer, place: str, weak: str) -> None:
    for one in ALL:
        own.ask(f"GRANT {one.format(place)} TO {weak}")
    own.ask(f"ALTER ROLE {weak} CONNECTION LIMIT 1")
    found = examined(as_weak(own.url(schema=place)))["connections"]
    assert found.level == "warning"
    assert "1 of 1 connections of user 'weak'" in found.text
    own.ask(f"ALTER ROLE {weak} CONNECTION LIMIT 10")
    assert examined(as_weak(own.url(schema=place)))["connections"].level == "ok"


def test_a_pooler_in_between_is_found(own: PostgresServer, place: str) -> None:
    with PgBouncer(own) as pooler:
        found = examined(pooler.url(place))["notifications"]
    assert found.level == "advice"
    assert "PgBouncer" in found.text
    silent = examined(own.url(schema=place, listen="false"))["notifications"]
    assert silent.level == "advice"
    assert "listen=false" in silent.text
    assert examined(own.url(schema=place))["notifications"].level == "ok"
