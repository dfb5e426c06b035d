"""A result store in MariaDB, PostgreSQL or SQLite, when something is wrong with it or much is asked of it."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest
import sqlalchemy

from celeriac import Celeriac, results
from celeriac.app.doctor import worst
from celeriac.brokers.deadline import Until
from celeriac.cli.main import main
from celeriac.core.message import StoredResult
from celeriac.errors import BrokerError, ImproperlyConfigured, OperationalError, SchemaError
from celeriac.results import StoreOptions, SyncResults
from tests.support.mariadb import MariadbServer
from tests.support.waiting import wait_for

SECRET: Final = "s3cret-w0rd"


@pytest.fixture(scope="module")
def server() -> Iterator[MariadbServer]:
    with MariadbServer(password=SECRET, settings={"max-allowed-packet": "4M"}) as server:
        yield server


@pytest.fixture
def url(server: MariadbServer) -> str:
    return f"{server.url(timeout=4)}&table=t{os.urandom(5).hex()}"


@pytest.fixture
def store(url: str) -> Iterator[SyncResults]:
    with results.open_results(url) as store:
        yield store


def done(id: str, body: bytes = b"1", **fields: Any) -> StoredResult:
    return StoredResult(id=id, state="SUCCESS", body=body, **fields)


# The server goes, and comes back.


def test_a_server_that_restarts_is_waited_for(server: MariadbServer, store: SyncResults) -> None:
    store.store([done("a")])
    server.kill()
    back = threading.Timer(0.5, server.start)
    back.start()
    store.store([done("b")])
    assert {one.id for one in store.fetch(["a", "b"])} == {"a", "b"}
    back.join()


def test_a_server_that_is_gone_is_an_error_in_time(server: MariadbServer, url: str, store: SyncResults) -> None:
    store.store([done("a")])
    server.kill()
    try:
        with Until(time.monotonic() + 1.0), pytest.raises(OperationalError, match="cannot be reached"):
            store.fetch(["a"])
        began = time.monotonic()
        other = results.open_results(url.replace("timeout=4", "timeout=1"))
        with other, pytest.raises(OperationalError, match="cannot be reached") as caught:
            other.store([done("b")])
        assert time.monotonic() - began < 10
        assert SECRET not in str(caught.value)
    finally:
        server.start()
    assert [one.id for one in store.fetch(["a"])] == ["a"]


async def test_a_server_that_stands_still_is_an_error_in_time_and_holds_up_nobody(
    server: MariadbServer, url: str
) -> None:
    async with results.open_async_results(url.replace("timeout=4", "timeout=1")) as store:
        await store.store([done("a")])
        server.pause()
        try:
            beats = 0

            async def beat() -> None:
                nonlocal beats
                while True:
                    await asyncio.sleep(0.02)
                    beats += 1

            beating = asyncio.create_task(beat())
            with pytest.raises(OperationalError, match=r"did not answer|cannot be reached"):
                await store.fetch(["a"])
            beating.cancel()
            assert beats > 5, "the event loop stood still as well"
        finally:
            server.resume()
        for _ in range(10):
            try:
                assert [one.id for one in await store.fetch(["a"])] == ["a"]
                break
            except OperationalError:
                continue
        else:
            raise AssertionError("it did not come back")


def test_connections_that_the_server_closed_are_opened_again(server: MariadbServer, store: SyncResults) -> None:
    store.store([done("a")])
    mine = server.run("SELECT id FROM information_schema.processlist WHERE user = 'tester'")
    assert mine
    for (connection,) in mine:
        server.run(f"KILL {connection}")
    assert [one.id for one in store.fetch(["a"])] == ["a"]


def test_someone_who_waits_for_a_result_waits_through_a_restart(server: MariadbServer, url: str) -> None:
    with Celeriac("a", broker="memory://restart", backend=url) as app, ThreadPoolExecutor(1) as pool:
        app.backend.store([done("before", b"1")])
        assert app.AsyncResult("before").get(timeout=10) == 1
        waiting = pool.submit(app.AsyncResult("after").get, timeout=40)
        wait_for(lambda: server.run("SELECT 1 FROM information_schema.processlist WHERE user = 'tester'"), 10, "it")
        server.kill()
        server.start()
        app.backend.store([done("after", b"2")])
        assert waiting.result(40) == 2


# What a person got wrong.


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ((SECRET, "wrong"), "refused the user or the password"),
        (("/test?", "/nosuch?"), "has no such database|does not let this user"),
    ],
)
def test_a_wrong_url_is_said_at_once_and_without_the_password(url: str, change: tuple[str, str], says: str) -> None:
    with results.open_results(url.replace(*change)) as store, pytest.raises(BrokerError, match=says) as caught:
        store.fetch(["a"])
    assert SECRET not in str(caught.value)


def test_a_table_of_celery_s_is_left_alone(server: MariadbServer, url: str) -> None:
    server.run("CREATE TABLE IF NOT EXISTS test.celery_taskmeta (id INT PRIMARY KEY, task_id VARCHAR(155))")
    options = StoreOptions(tables={"task": "celery_taskmeta"})
    with results.open_results(url.partition("&table")[0], options=options) as store:
        for call in (store.install, store.verify, lambda: store.fetch(["a"])):
            with pytest.raises(SchemaError, match="is not one that Celeriac made"):
                call()
    assert server.run("SHOW TABLES FROM test LIKE 'celery%'") == [("celery_taskmeta",)]


def test_tables_are_not_created_where_they_are_not_to_be(url: str) -> None:
    with results.open_results(url, options=StoreOptions(creates_tables=False)) as store:
        with pytest.raises(SchemaError, match="celeriac db upgrade"):
            store.fetch(["a"])
        with pytest.raises(SchemaError, match="celeriac db upgrade"):
            store.verify()
        assert store.install() == store.verify()
        assert store.fetch(["a"]) == []


def test_a_newer_schema_is_refused(server: MariadbServer, url: str, store: SyncResults) -> None:
    store.install()
    table = url.rpartition("=")[2]
    server.run(f"UPDATE test.{table}_version SET version = 99")
    with pytest.raises(SchemaError, match="have version 99"):
        store.verify()


def test_engine_options_that_sqlalchemy_does_not_take_are_said(url: str) -> None:
    store = results.open_results(url, options=StoreOptions(engine={"pol_size": 1}))
    with store, pytest.raises(ImproperlyConfigured, match=r"setting database_engine_options: .*pol_size"):
        store.fetch(["a"])


# Large and many.


def test_a_result_that_the_server_does_not_take_is_refused_for_good(store: SyncResults) -> None:
    with pytest.raises(BrokerError, match="max_allowed_packet") as caught:
        store.store([done("big", bytes(range(256)) * 40_000)])
    assert not isinstance(caught.value, OperationalError)
    store.store([done("small")])
    assert [one.id for one in store.fetch(["big", "small"])] == ["small"]


def test_many_large_results_go_in_one_batch(store: SyncResults) -> None:
    batch = [done(f"r{n}", os.urandom(100_000)) for n in range(100)]
    store.store(batch)
    assert {one.id: one.body for one in store.fetch([one.id for one in batch])} == {one.id: one.body for one in batch}


def test_threads_share_few_connections(server: MariadbServer, url: str) -> None:
    with results.open_results(f"{url}&pool_size=2") as store, ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: store.store([done(f"r{n}")]), range(200)))
        assert len(store.fetch([f"r{n}" for n in range(200)])) == 200
        mine = server.run("SELECT id FROM information_schema.processlist WHERE user = 'tester'")
        assert len(mine) <= 2


def test_short_lived_sessions_leave_no_connection(server: MariadbServer, url: str) -> None:
    def mine() -> list[Any]:
        return server.run("SELECT id FROM information_schema.processlist WHERE user = 'tester'")

    wait_for(lambda: not mine(), 10, "the end of others' connections")
    with results.open_results(url, options=StoreOptions(short_lived=True)) as store:
        store.store([done("a")])
        wait_for(lambda: not mine(), 10, "no connection left")
        assert [one.id for one in store.fetch(["a"])] == ["a"]


def test_a_forked_child_has_connections_of_its_own(store: SyncResults) -> None:
    store.store([done("a")])
    child = os.fork()
    if child == 0:
        try:
            store.store([done("child")])
            os._exit(0 if len(store.fetch(["a", "child"])) == 2 else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(store.fetch(["a", "child"])) == 2


def test_someone_who_waits_long_asks_seldom(server: MariadbServer, url: str) -> None:
    def asked() -> int:
        return int(server.run("SHOW GLOBAL STATUS LIKE 'Com_select'")[0][1])

    with results.open_results(url) as store:
        store.store([done("a")])
        waiter = store.waiter(["nobody"])
        before = asked()
        assert waiter.wait(3.0) is False
        assert asked() - before < 60
        waiter.close()


# The other ways in.


def test_the_commands_look_after_the_result_store(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("CELERIAC_BROKER_URL", "CELERIAC_RESULT_BACKEND"):
        monkeypatch.setenv(name, "")
    arguments = ["-b", f"sqlite:///{tmp_path}/x.db", "--result-backend", url]
    assert main([*arguments, "db", "upgrade"]) == 0
    assert main([*arguments, "db", "verify"]) == 0
    assert "mysql+pymysql" in capsys.readouterr().out
    assert main(["doctor", url]) in (0, 1)
    told = capsys.readouterr().out
    assert "tables" in told
    assert "MariaDB" in told
    assert SECRET not in told


def test_sqlite_in_memory_serves_one_process() -> None:
    with results.open_results("db+sqlite://") as store:
        assert store.capabilities.shared is False
        store.store([done("a")])
        assert [one.id for one in store.fetch(["a"])] == ["a"]
        assert worst(store.examine()) in ("ok", "advice")


def test_writers_of_one_sqlite_file_wait_for_each_other(tmp_path: Path) -> None:
    url = f"db+sqlite:///{tmp_path}/r.db?timeout=20"
    with ThreadPoolExecutor(4) as pool:

        def write(writer: int) -> None:
            with results.open_results(url) as store:
                for n in range(25):
                    store.store([done(f"{writer}-{n}")])

        list(pool.map(write, range(4)))
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/r.db")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM celeriac_result").scalar_one() == 100
    engine.dispose()
