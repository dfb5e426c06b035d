"""The connection on which a process hears of news survives whatever ails the server."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from celeriac.brokers import open_broker
from celeriac.core.message import Message
from celeriac.errors import BrokerError, OperationalError
from tests.support.servers import RedisServer
from tests.support.waiting import wait_for


@contextlib.contextmanager
def web_server() -> Iterator[tuple[int, list[float]]]:
    """A port that speaks another protocol; the list grows by the time of each connection."""
    seen: list[float] = []
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    seen.append(time.monotonic())
                    with client, contextlib.suppress(OSError):
                        client.recv(4096)
                        client.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1], seen
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_another_protocol_is_told_and_does_not_end_the_listening() -> None:
    with web_server() as (port, seen), open_broker(f"redis://127.0.0.1:{port}/0?timeout=5.0") as broker:
        with pytest.raises(OperationalError, match=r"not the protocol of Redis .*check the port"):
            broker.now()
        seen.clear()
        waiter = broker.waiter()
        wait_for(lambda: len(seen) >= 3, 10, "three attempts to listen")
        waiter.close()


@pytest.mark.timeout(30)
def test_a_server_that_refuses_to_let_us_listen_is_asked_ever_more_seldom(server: RedisServer) -> None:
    server.ask("ACL", "SETUSER", "deaf", "on", ">p", "~*", "&*", "+@all", "-subscribe")
    with open_broker(f"redis://deaf:p@127.0.0.1:{server.port}/0?timeout=5.0") as broker:
        waiter = broker.waiter()
        began, refused = time.monotonic(), 0
        before = server.ask("INFO", "stats")["total_connections_received"]
        while time.monotonic() < began + 2:
            try:
                waiter.wait(0.1)
            except BrokerError:
                refused += 1
        made = server.ask("INFO", "stats")["total_connections_received"] - before
        assert 1 <= refused <= made <= 9, "the pauses double, so there is room for seven"
        server.ask("ACL", "SETUSER", "deaf", "+subscribe")
        heard = False
        while not heard:  # It may still tell of the last refusal.
            with contextlib.suppress(BrokerError):
                heard = waiter.wait(1)
        broker.enqueue([Message(id="a", task="t")])
        assert waiter.wait(5)
        waiter.close()
    server.ask("ACL", "DELUSER", "deaf")
