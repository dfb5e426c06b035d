"""Every way to a Redis server leads there, and what stands in the way is said once, in time, without the password."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from celeriac import Celeriac
from celeriac.brokers import connect, open_async_broker, open_broker
from celeriac.brokers.redis import performers
from celeriac.brokers.redis.requests import Commands
from celeriac.core.message import Message, Settlement, StoredResult
from celeriac.errors import BrokerError, CeleriacError, OperationalError, StoreFull
from tests.support.servers import Certificates, RedisServer, free_port
from tests.support.waiting import wait_for

DEADLINE = 1.0
SLACK = 1.5
"""Seconds that a loaded machine may add."""


def message(id: str = "a") -> Message:
    return Message(id=id, task="t")


def sent_and_claimed(url: str) -> None:
    with open_broker(url) as broker:
        assert broker.enqueue([message()]) == ()
        assert [one.lease.id for one in broker.claim(["celery"], 10, "w", 5.0)] == ["a"]


async def asent_and_claimed(url: str) -> None:
    async with open_async_broker(url) as broker:
        assert await broker.enqueue([message()]) == ()
        assert [one.lease.id for one in await broker.claim(["celery"], 10, "w", 5.0)] == ["a"]


def both_ways(url: str, server: RedisServer) -> None:
    sent_and_claimed(url)
    server.ask("FLUSHALL")
    asyncio.run(asent_and_claimed(url))


def complaint(url: str, kind: type[CeleriacError] = OperationalError) -> str:
    """Return what is said, the same blocking and awaiting."""
    with open_broker(url) as broker, pytest.raises(kind) as caught:
        broker.enqueue([message()])
    assert type(caught.value) is kind

    async def again() -> None:
        async with open_async_broker(url) as broker:
            with pytest.raises(kind) as other:
                await broker.enqueue([message()])
            assert type(other.value) is kind
            assert "s3cret" not in str(other.value)

    asyncio.run(again())
    assert "s3cret" not in str(caught.value)
    return str(caught.value)


def in_time(call: Callable[[], object]) -> None:
    began = time.monotonic()
    call()
    took = time.monotonic() - began
    assert took < 2 * (DEADLINE + SLACK), f"two calls of {DEADLINE} s took {took:.1f} s"


# Ways


def test_a_plain_url_and_a_database(server: RedisServer) -> None:
    both_ways(server.url, server)
    both_ways(f"valkey://127.0.0.1:{server.port}/3", server)
    assert server.ask("DBSIZE") == 0


def test_a_socket_in_the_file_system_with_a_password() -> None:
    with RedisServer(unix=True, password="s3cret @:/?#%") as server:
        both_ways(server.url, server)
        server.ask("FLUSHALL")
        both_ways(server.url.replace("redis+socket://", "unix://"), server)


def test_tls_with_a_private_authority_and_a_password(certificates: Certificates) -> None:
    with RedisServer(tls=certificates, password="s3cret") as server:
        both_ways(server.url, server)
        bare = f"rediss://:s3cret@127.0.0.1:{server.port}/0"
        assert "ssl_ca_certs" in complaint(f"{bare}?timeout={DEADLINE}")
        server.ask("FLUSHALL")
        both_ways(f"{bare}?ssl_cert_reqs=CERT_NONE", server)
        assert "rediss://" in complaint(f"redis://:s3cret@127.0.0.1:{server.port}/0?timeout={DEADLINE}")


def test_tls_with_a_certificate_of_ours(certificates: Certificates) -> None:
    with RedisServer(tls=certificates, client_certificates=True) as server:
        both_ways(server.url, server)
        complaint(f"rediss://127.0.0.1:{server.port}/0?ssl_ca_certs={certificates.authority}&timeout={DEADLINE}")


def test_a_certificate_for_another_host_is_refused_unless_asked_not_to_look(tmp_path: Path) -> None:
    with RedisServer(tls=Certificates(tmp_path, "elsewhere.example")) as server:
        assert "host name" in complaint(f"{server.url}&timeout={DEADLINE}")
        both_ways(f"{server.url}&ssl_check_hostname=false", server)


def test_an_acl_user(server: RedisServer) -> None:
    rights = ["+@read", "+@write", "+@scripting", "+@pubsub", "+@connection", "+time", "+info"]
    server.ask("ACL", "SETUSER", "app", "on", ">s3cret", "~{celeriac*", "&{celeriac*", *rights)
    url = f"redis://app:s3cret@127.0.0.1:{server.port}/0"
    both_ways(url, server)
    with open_broker(url) as broker:
        waiter = broker.waiter()
        while waiter.wait(0.1):
            pass
        broker.enqueue([message("b")])
        assert waiter.wait(5)
        waiter.close()
        assert broker.examine()
    assert "ACL" in complaint(f"{url}?prefix=other", BrokerError)
    server.ask("ACL", "SETUSER", "app", "resetchannels")
    with open_broker(url) as broker, pytest.raises(BrokerError, match="ACL"):
        waiter = broker.waiter()
        while not waiter.wait(0.5):
            pass
    server.ask("ACL", "DELUSER", "app")


@pytest.mark.parametrize("right", ["-publish", "resetchannels", "-set", "-time"])
def test_a_worker_without_a_right_does_not_begin(server: RedisServer, right: str) -> None:
    """It could claim, and then not settle."""
    server.ask("ACL", "SETUSER", "short", "on", ">s3cret", "~*", "&*", "+@all", right)
    with open_broker(f"redis://short:s3cret@127.0.0.1:{server.port}/0") as broker:
        with pytest.raises(BrokerError, match=r"its ACL needs .*\+@pubsub"):
            broker.install()
        assert server.ask("EXISTS", "{celeriac}:v") == 0
    server.ask("ACL", "DELUSER", "short")


def test_a_worker_that_loses_the_right_to_publish_still_settles_whole(server: RedisServer) -> None:
    server.ask("ACL", "SETUSER", "mute", "on", ">s3cret", "~*", "&*", "+@all", "-publish")
    with open_broker(f"redis://mute:s3cret@127.0.0.1:{server.port}/0") as broker:
        assert broker.enqueue([message("a"), message("b")]) == ()
        first, second = broker.claim(["celery"], 10, "w", 5.0)
        done = Settlement(lease=first.lease, action="done", result=StoredResult(id="a", state="SUCCESS"))
        assert broker.settle([done, Settlement(lease=second.lease, action="release")]) == ()
        assert [one.id for one in broker.get(["a", "b"])] == ["b"]
        assert [one.id for one in broker.fetch(["a", "b"])] == ["a"]
    server.ask("ACL", "DELUSER", "mute")


# Obstacles


@pytest.mark.parametrize("login", ["", ":wrong-s3cret@", "nobody:s3cret@"])
def test_a_wrong_password(login: str) -> None:
    with RedisServer(password="right") as server:
        text = complaint(f"redis://{login}127.0.0.1:{server.port}/0", BrokerError)
        assert f"redis://127.0.0.1:{server.port}/0" in text
        assert "password" in text


def test_a_password_where_there_is_none(server: RedisServer) -> None:
    assert "no password" in complaint(f"redis://:s3cret@127.0.0.1:{server.port}/0", BrokerError)


def test_a_dead_port() -> None:
    url = f"redis://:s3cret@127.0.0.1:{free_port()}/0?timeout={DEADLINE}"
    in_time(lambda: complaint(url))
    assert "cannot be reached" in complaint(url)


def test_a_server_that_accepts_and_never_answers(own_server: RedisServer) -> None:
    url = f"{own_server.url}?timeout={DEADLINE}"
    with open_broker(url) as broker:
        broker.enqueue([message()])
        own_server.pause()
        began = time.monotonic()
        with pytest.raises(OperationalError, match="did not answer within 1 seconds"):
            broker.enqueue([message("b")])
        assert time.monotonic() - began < DEADLINE + SLACK
        in_time(lambda: complaint(url))
        own_server.resume()
        broker.enqueue([message("b")])


@contextlib.contextmanager
def black_hole() -> Iterator[int]:
    """A port whose queue of connections is full: what knocks is not answered, as behind a firewall that drops."""
    with socket.socket() as listener, contextlib.ExitStack() as knocking:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            one = knocking.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def test_a_black_hole() -> None:
    with black_hole() as port:
        in_time(lambda: complaint(f"redis://:s3cret@127.0.0.1:{port}/0?timeout={DEADLINE}"))


@contextlib.contextmanager
def dripping() -> Iterator[int]:
    """A server that says its answer a byte at a time, and never the end of it."""
    ended = threading.Event()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    threading.Thread(target=slowly, args=(client,), daemon=True).start()

        def slowly(client: socket.socket) -> None:
            with client, contextlib.suppress(OSError):
                client.recv(4096)
                client.sendall(b"+OK\r\n")  # To the password.
                client.recv(4096)
                while not ended.wait(0.2):
                    client.sendall(b"+")

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)


def test_an_answer_that_drips() -> None:
    with dripping() as port:
        in_time(lambda: complaint(f"redis://:s3cret@127.0.0.1:{port}/0?timeout={DEADLINE}"))


def test_a_server_that_comes_back_in_time_is_waited_for(own_server: RedisServer) -> None:
    own_server.kill()
    back = threading.Timer(0.5, own_server.start)
    back.start()
    sent_and_claimed(own_server.url)
    back.join()


def test_sending_a_task_fails_by_its_own_deadline(own_server: RedisServer) -> None:
    app = Celeriac("deadline", broker=own_server.url)
    app.conf.publish_timeout = DEADLINE
    own_server.pause()
    began = time.monotonic()
    with pytest.raises(OperationalError, match=rf"could not be sent to the broker .*{own_server.port}"):
        app.send_task("t")
    assert time.monotonic() - began < DEADLINE + SLACK
    own_server.resume()
    app.close()


def test_a_full_server_refuses_whole_batches() -> None:
    with RedisServer(maxmemory="2500kb") as server, open_broker(server.url) as broker:
        kept = 0
        with pytest.raises(StoreFull, match="maxmemory"):
            for batch in range(1000):
                broker.enqueue([Message(id=f"{batch}-{n}", task="t", body=b"x" * 1000) for n in range(50)])
                kept += 50
        assert sum(one.ready for one in broker.stats()) == kept > 0


# Lives


def test_scripts_that_are_forgotten_are_loaded_again(server: RedisServer) -> None:
    with open_broker(server.url) as broker:
        for n in range(5):
            broker.enqueue([message(f"a{n}")])
            server.ask("SCRIPT", "FLUSH")
        assert len(broker.claim(["celery"], 10, "w", 5.0)) == 5


@pytest.mark.parametrize("data", [True, False])
def test_a_restart_between_two_calls_is_not_noticed(own_server: RedisServer, data: bool) -> None:
    async def main() -> None:
        with open_broker(own_server.url) as broker:
            async with open_async_broker(own_server.url) as other:
                broker.enqueue([message("a")])
                await other.enqueue([message("b")])
                await asyncio.to_thread(own_server.restart, data=data)
                broker.enqueue([message("c")])
                await other.enqueue([message("d")])
                found = await other.claim(["celery"], 10, "w", 5.0)
                assert [one.lease.id for one in found] == ([*"abcd"] if data else [*"cd"])

    asyncio.run(main())


def test_two_event_loops_one_after_the_other_and_at_once(server: RedisServer) -> None:
    performer = connect(server.url).async_performer()

    async def ask() -> None:
        for _ in range(50):
            assert await performer.perform(Commands([["PING"]])) == [b"PONG"]
        await performer.close()

    asyncio.run(ask())
    asyncio.run(ask())
    with ThreadPoolExecutor() as threads:
        for done in [threads.submit(asyncio.run, ask()) for _ in range(4)]:
            done.result()


def test_connections_of_one_loop_are_bounded(server: RedisServer) -> None:
    async def main() -> None:
        async with open_async_broker(f"{server.url}?max_connections=3&client_name=bounded") as broker:
            await asyncio.gather(*(broker.enqueue([message(str(n))]) for n in range(100)))
            with server.client() as client:
                ours = [one for one in client.client_list() if one["name"] == "bounded"]
            assert 1 <= len(ours) <= 3

    asyncio.run(main())


def test_a_cancelled_call_spoils_no_other(server: RedisServer) -> None:
    async def main() -> None:
        async with open_async_broker(f"{server.url}?max_connections=1") as broker:
            for n in range(50):
                call = asyncio.create_task(broker.enqueue([message(f"x{n}")]))
                await asyncio.sleep(0)
                call.cancel()
                await asyncio.wait([call])
                assert await broker.now() > 0
                assert await broker.enqueue([message(f"y{n}")]) == ()

    asyncio.run(main())


def test_threads_share_a_broker(server: RedisServer) -> None:
    with open_broker(server.url) as broker:
        threads = [
            threading.Thread(target=lambda k=k: [broker.enqueue([message(f"{k}-{n}")]) for n in range(50)])
            for k in range(8)
        ]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert broker.stats()[0].ready == 400


def test_connections_of_a_busy_moment_are_closed_again(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A web server's threads that once sent all at the same time must not hold a connection each for ever."""

    def ours() -> int:
        with server.client() as client:
            return sum(one["name"] == "spare" for one in client.client_list())

    with open_broker(f"{server.url}?client_name=spare") as broker:
        server.pause()
        threads = [threading.Thread(target=broker.now) for _ in range(20)]
        for one in threads:
            one.start()
        server.resume()
        for one in threads:
            one.join()
        broker.now()
        assert ours() > 1
        monkeypatch.setattr(performers, "SPARE_FOR", 0.0)
        broker.now()
        broker.now()
        wait_for(lambda: ours() <= 1, 5, "the others to be closed")


def test_a_forked_child_speaks_on_connections_of_its_own(server: RedisServer) -> None:
    with open_broker(server.url) as broker:
        broker.enqueue([message("before")])
        waiter = broker.waiter()
        while waiter.wait(0.1):
            pass
        child = os.fork()
        if child == 0:
            code = 1
            try:
                for n in range(50):
                    broker.enqueue([message(f"child{n}")])
                while waiter.wait(0.2):
                    pass
                broker.claim(["celery"], 500, "child", 5.0)
                broker.enqueue([message("last")])
                code = 0 if waiter.wait(5) else 2
            finally:
                os._exit(code)
        for n in range(50):
            broker.enqueue([message(f"parent{n}")])
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert waiter.wait(5)
        known = {"before", "last", *(f"{who}{n}" for who in ("child", "parent") for n in range(50))}
        assert {one.id for one in broker.get(sorted(known))} == known
        waiter.close()
