"""Connections: what breaks them, how soon that is said, how many there are, and that nobody shares one by mistake."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from celeriac import Celeriac
from celeriac.brokers import open_async_broker, open_broker
from celeriac.core.message import Message
from celeriac.errors import BrokerError, CeleriacError, OperationalError, SchemaError
from tests.support.postgres import PostgresServer
from tests.support.servers import free_port
from tests.support.waiting import wait_for

MARGIN = 1.0
"""Seconds that a loaded machine may take on top of a timeout."""


def message(id: str) -> Message:
    return Message(id=id, task="any")


@pytest.fixture(scope="module")
def own() -> Iterator[PostgresServer]:
    """A server that may be stopped and restarted."""
    with PostgresServer() as found:
        yield found


# What cannot be reached.


def complaint(url: str, within: float) -> CeleriacError:
    """Return the one error of a send, which must come within these seconds, and hold no password."""
    began = time.monotonic()
    with Celeriac(broker=url, set_as_current=False) as app, pytest.raises(CeleriacError) as caught:
        app.send_task("any")
    assert time.monotonic() - began < within + MARGIN
    assert "hunter2" not in str(caught.value)
    return caught.value


def test_a_dead_port_is_told_within_the_timeout() -> None:
    error = complaint(f"postgresql://u:hunter2@127.0.0.1:{free_port()}/db?timeout=1", 5)
    assert isinstance(error, OperationalError)
    assert "is not there: check that it runs" in str(error)


def test_a_server_that_accepts_and_says_nothing_is_told_within_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = complaint(f"postgresql://u:hunter2@127.0.0.1:{silent.getsockname()[1]}/db?timeout=1", 5)
    assert isinstance(error, OperationalError)
    assert "did not answer for 1 seconds" in str(error)


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_server_that_stops_in_the_middle_is_told_within_the_timeout(mode: str, own: PostgresServer) -> None:
    url = own.url(schema="paused", timeout="1")

    def blocking() -> None:
        with open_broker(url) as broker:
            broker.enqueue([message("a")])
            with paused(own), pytest.raises(OperationalError, match="did not answer for 1 seconds"):
                broker.enqueue([message("b")])
            broker.enqueue([message("c")])

    async def awaiting() -> None:
        async with open_async_broker(url) as broker:
            await broker.enqueue([message("d")])
            with paused(own), pytest.raises(OperationalError, match="did not answer for 1 seconds"):
                await broker.enqueue([message("e")])
            await broker.enqueue([message("f")])

    began = time.monotonic()
    blocking() if mode == "sync" else asyncio.run(awaiting())
    assert time.monotonic() - began < 1 + MARGIN


@contextlib.contextmanager
def paused(server: PostgresServer) -> Iterator[None]:
    """Stop the server's processes in their tracks."""
    pids = [server.pid, *[pid for pid, _ in server.backends()]]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_a_wrong_password_and_a_missing_database_are_told_at_once() -> None:
    with PostgresServer(password="hunter2") as server:
        url = server.url(schema="any", timeout="30")
        assert open_broker(url).install() >= 1
        wrong = complaint(url.replace("hunter2", "hunter3"), 0)
        assert isinstance(wrong, BrokerError)
        assert "refused the user or the password" in str(wrong)
        assert "hunter3" not in str(wrong)
        missing = complaint(url.replace("/test?", "/nowhere?"), 0)
        assert isinstance(missing, BrokerError)
        assert "has no such database" in str(missing)


def test_a_user_without_rights_is_told_what_is_missing(server: PostgresServer, app: Celeriac, schema: str) -> None:
    server.ask("DROP ROLE IF EXISTS nobody_special")
    server.ask("CREATE ROLE nobody_special LOGIN")
    url = server.url(schema=schema).replace("tester@", "nobody_special@")
    assert "grant this user USAGE" in str(complaint(url, 0))


# What breaks.


async def heard(waiter: object, attempts: int = 100) -> None:
    """Wait until a waiter sleeps again."""
    for _ in range(attempts):
        if not await waiter.wait(0.1):  # type: ignore[attr-defined]
            return
    raise AssertionError("it wakes again and again")


def terminate(server: PostgresServer) -> None:
    """End all connections of others."""
    server.ask(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = 'test' AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    wait_for(lambda: not server.backends(), 10, "the end of all connections")


def test_a_terminated_backend_is_not_noticed_by_who_sends(own: PostgresServer) -> None:
    with open_broker(own.url(schema="terminated")) as broker:
        broker.enqueue([message("a")])
        terminate(own)
        assert broker.enqueue([message("b")]) == ()
        assert broker.stats()[0].ready == 2


async def test_one_who_waits_hears_again_after_a_restart(own: PostgresServer) -> None:
    url = own.url(schema="restarted")
    async with open_async_broker(url) as broker:
        waiter = broker.waiter()
        await broker.enqueue([message("a")])
        await heard(waiter)
        await asyncio.to_thread(own.restart)
        assert await waiter.wait(20), "a reconnection must wake who may have missed something"
        await heard(waiter)
        await asyncio.to_thread(send, url, "b")
        assert await waiter.wait(20)
        await waiter.close()


def test_a_thread_that_waits_hears_again_after_a_restart(own: PostgresServer) -> None:
    url = own.url(schema="restarted_thread")
    with open_broker(url) as broker:
        waiter = broker.waiter()
        broker.enqueue([message("a")])
        while waiter.wait(0.1):
            pass
        own.restart()
        assert waiter.wait(20)
        while waiter.wait(0.1):
            pass
        send(url, "b")
        assert waiter.wait(20)
        waiter.close()


def send(url: str, id: str) -> None:
    with open_broker(url) as broker:
        broker.enqueue([message(id)])


def test_sending_outlasts_a_restart(own: PostgresServer) -> None:
    with open_broker(own.url(schema="outlasts", timeout="20")) as broker:
        broker.enqueue([message("a")])
        own.stop()
        starting = threading.Timer(0.5, own.start)
        starting.start()
        assert broker.enqueue([message("b")]) == ()
        starting.join()
        assert broker.stats()[0].ready == 2


@pytest.mark.slow
def test_a_failover_is_followed_to_the_new_primary() -> None:
    with PostgresServer() as first, PostgresServer(copy_of=first) as second:
        schema = "celeriac"
        both = f"postgresql://tester@127.0.0.1:{first.port},127.0.0.1:{second.port}/test?timeout=20"
        with open_broker(both) as broker:
            broker.enqueue([message("a")])
            with open_broker(second.url(schema=schema, timeout="1")) as standby:
                wait_for(lambda: second.ask("SELECT to_regclass('celeriac.message')")[0][0], 10, "replication")
                with pytest.raises(OperationalError, match="standby"):
                    standby.enqueue([message("no")])
            wait_for(lambda: second.ask("SELECT count(*) FROM celeriac.message")[0][0] == 1, 10, "replication")
            first.stop("immediate")
            second.promote()
            broker.enqueue([message("b")])
            assert [record.id for record in broker.get(["a", "b"])] == ["a", "b"]


# Whose they are.


def test_a_forked_child_uses_a_connection_of_its_own(server: PostgresServer, schema: str) -> None:
    with open_broker(server.url(schema=schema)) as broker:
        waiter = broker.waiter()
        broker.enqueue([message("a")])
        waiter.wait(1)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                broker.enqueue([message("b")])
                waiter.wait(1)
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        assert status == 0
        broker.enqueue([message("c")])
        while waiter.wait(0.1):
            pass
        send(server.url(schema=schema), "d")
        assert waiter.wait(10)
        waiter.close()
        assert broker.stats()[0].ready == 4


def test_two_event_loops_have_a_connection_each(server: PostgresServer, schema: str) -> None:
    broker = open_async_broker(server.url(schema=schema))

    async def use(id: str) -> None:
        await broker.enqueue([message(id)])
        await broker.close()

    asyncio.run(use("a"))
    asyncio.run(use("b"))
    with open_broker(server.url(schema=schema)) as other:
        assert other.stats()[0].ready == 2


async def test_a_cancelled_call_leaves_the_connection_whole(server: PostgresServer, schema: str) -> None:
    async with open_async_broker(server.url(schema=schema)) as broker:
        await broker.install()
        for n in range(20):
            call = asyncio.create_task(broker.enqueue([message(f"t{n}")]))
            await asyncio.sleep(0.0005 * (n % 5))
            call.cancel()
            await asyncio.wait([call])
        await broker.enqueue([message("last")])
        before = server.backends()
        assert await broker.claim(["celery"], 100, "w", 10.0)
        assert server.backends() == before


async def test_requests_and_notifications_share_one_connection(server: PostgresServer, schema: str) -> None:
    # An application name of its own tells these connections from those of other tests.
    async with open_async_broker(server.url(schema=schema, application_name=schema)) as broker:
        waiter, results = broker.waiter(), broker.waiter(["a"])
        await asyncio.gather(heard(waiter), heard(results), broker.enqueue([message("a")]))
        assert [name for _, name in server.backends()].count(schema) == 1
        await waiter.close()
        await results.close()
    wait_for(lambda: schema not in [name for _, name in server.backends()], 10, "the end of the connection")


async def test_one_who_waits_for_long_does_nothing_meanwhile(
    server: PostgresServer, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An idle worker must not wake ten times a second to see that its connection still stands."""
    loop = asyncio.get_running_loop()
    async with open_async_broker(server.url(schema=schema)) as broker:
        waiter = broker.waiter()
        await heard(waiter)
        while await waiter.wait(0.5):  # Whatever the opening of the connection has brought.
            continue
        timers: list[float] = []
        call_at = loop.call_at

        def counted(when: float, *rest: Any, **named: Any) -> asyncio.TimerHandle:
            timers.append(when)
            return call_at(when, *rest, **named)

        monkeypatch.setattr(loop, "call_at", counted)
        assert not await waiter.wait(1.0)
        assert len(timers) == 1, "that of the wait itself"
        await waiter.close()


# The schema.


def test_two_apps_in_one_database_do_not_meet(server: PostgresServer, schema: str) -> None:
    with (
        server.schema() as another,
        open_broker(server.url(schema=schema)) as one,
        open_broker(server.url(schema=another)) as two,
    ):
        one.enqueue([message("a")])
        assert two.claim(["celery"], 10, "w", 10.0) == []
        two.enqueue([message("a")])
        assert one.stats()[0].ready == two.stats()[0].ready == 1


def test_a_schema_that_must_not_be_made_is_asked_for(server: PostgresServer, schema: str) -> None:
    with open_broker(server.url(schema=schema, install="false")) as broker:
        with pytest.raises(SchemaError, match="celeriac db upgrade"):
            broker.enqueue([message("a")])
        assert server.ask("SELECT to_regnamespace(%s) IS NULL", schema) == [(True,)]
        open_broker(server.url(schema=schema)).install()
        assert broker.enqueue([message("a")]) == ()


def test_a_schema_of_a_newer_version_is_left_alone(server: PostgresServer, schema: str) -> None:
    open_broker(server.url(schema=schema)).install()
    server.ask(f"UPDATE {schema}.schema_version SET version = 1000")
    with (
        open_broker(server.url(schema=schema)) as broker,
        pytest.raises(SchemaError, match="upgrade Celeriac here too"),
    ):
        broker.enqueue([message("a")])


def test_what_is_missing_of_a_schema_is_named(server: PostgresServer, schema: str) -> None:
    with open_broker(server.url(schema=schema)) as broker:
        broker.install()
        server.ask(f"DROP INDEX {schema}.message_held")
        with pytest.raises(SchemaError, match="lacks index message_held"):
            broker.verify()
        assert "error" in {finding.level for finding in broker.examine() if finding.subject == "schema"}
