"""What the driver asks of a server: few connections, few statements when idle, few wake-ups in a storm."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from celeriac import Celeriac
from celeriac.brokers import open_async_broker, open_broker
from celeriac.core.message import Message
from tests.support.pgbouncer import PgBouncer
from tests.support.postgres import PostgresServer

PROJECT = """
import os
from celeriac import Celeriac

app = Celeriac("counted", broker=os.environ["URL"], backend=os.environ["URL"])


@app.task
def double(n):
    return 2 * n
"""


@contextlib.contextmanager
def worker(url: str, children: int, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker; it must end well."""
    (folder / "counted.py").write_text(PROJECT)
    environment = {**os.environ, "URL": url, "PYTHONPATH": str(folder)}
    command = (sys.executable, "-m", "celeriac", "-A", "counted", "worker", "-c", str(children))
    process = subprocess.Popen(command, env=environment, cwd=folder, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        assert process.wait(30) == 0


def connections(pid: int, port: int) -> int:
    """Return how many connections a process and its descendants have to a port."""
    parent = psutil.Process(pid)
    found = 0
    for process in [parent, *parent.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            lines = process.net_connections("tcp")
            # A line that has no other end has no port there.
            found += [getattr(one.raddr, "port", 0) for one in lines if one.status == "ESTABLISHED"].count(port)
    return found


@pytest.mark.parametrize("pooled", [False, True], ids=["direct", "pgbouncer"])
def test_a_worker_of_n_children_has_at_most_n_and_two_connections(
    server: PostgresServer, schema: str, tmp_path: Path, pooled: bool
) -> None:
    children = 3
    most = 0
    direct = server.url(schema=schema)
    with contextlib.ExitStack() as stack:
        pooler = stack.enter_context(PgBouncer(server, size=2)) if pooled else None
        port, url = (server.port, direct) if pooler is None else (pooler.port, pooler.url(schema))
        app = stack.enter_context(Celeriac(broker=direct, backend=direct, set_as_current=False))
        process = stack.enter_context(worker(url, children, tmp_path))
        receipts = app.send_tasks([app.signature("counted.double", (n,)) for n in range(300)])
        for n, receipt in enumerate(receipts):
            assert receipt.get(timeout=40) == 2 * n
            if n % 20 == 0:
                most = max(most, connections(process.pid, port))
    assert children <= most <= children + 2


@pytest.mark.slow
def test_an_idle_worker_asks_little(tmp_path: Path) -> None:
    seconds = 5.0
    with PostgresServer() as own:

        def commits() -> int:
            return int(own.ask("SELECT xact_commit FROM pg_stat_database WHERE datname = 'test'")[0][0])

        url = own.url(schema="celeriac")
        with Celeriac(broker=url, backend=url, set_as_current=False) as app, worker(url, 2, tmp_path):
            assert app.signature("counted.double", (1,)).apply_async().get(timeout=40) == 2
            time.sleep(1.0)  # What the task has left to do is done, and counted.
            before, began = commits(), time.monotonic()
            time.sleep(seconds)
            rate = (commits() - before) / (time.monotonic() - began)
    # About six: due times, leases and records by the supervisor, a look every 2.5 seconds by each child.
    assert rate < 14


async def test_a_storm_of_sends_wakes_listeners_a_bounded_number_of_times(server: PostgresServer, schema: str) -> None:
    url = server.url(schema=schema)
    listeners = [open_async_broker(url) for _ in range(4)]
    await listeners[0].install()
    woken = [0] * len(listeners)
    over = threading.Event()
    sent = [0] * 3

    async def listen(place: int) -> None:
        waiter = listeners[place].waiter()
        while not over.is_set():
            woken[place] += await waiter.wait(0.2)
        await waiter.close()

    def storm(place: int) -> None:
        with open_broker(url) as broker:
            while not over.is_set():
                broker.enqueue([Message(id=f"{place}-{sent[place]}", task="any")])
                sent[place] += 1

    began = time.monotonic()
    storming = [asyncio.to_thread(storm, place) for place in range(len(sent))]
    asyncio.get_running_loop().call_later(2.0, over.set)
    await asyncio.gather(*(listen(place) for place in range(len(listeners))), *storming)
    took = time.monotonic() - began
    for listener in listeners:
        await listener.close()
    # One notification in five milliseconds, a second look after each, and one for the start.
    print(f"{sum(sent)} sent in {took:.1f} s, woken {woken}")  # noqa: T201
    assert max(woken) <= 2 * (took / 0.005 + 2)
    assert min(woken) >= 2


async def test_a_listener_whose_backend_is_terminated_hears_again(server: PostgresServer, schema: str) -> None:
    url = server.url(schema=schema, application_name=schema)
    async with open_async_broker(url) as broker:
        with open_broker(url) as blocking:
            waiter, thread = broker.waiter(), blocking.waiter()
            while await waiter.wait(0.1):
                pass
            while await asyncio.to_thread(thread.wait, 0.1):
                pass
            server.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", schema)
            assert await waiter.wait(20), "who listens is told that something may have been missed"
            assert await asyncio.to_thread(thread.wait, 20)
            while await waiter.wait(0.1):
                pass
            while await asyncio.to_thread(thread.wait, 0.1):
                pass
            with open_broker(server.url(schema=schema)) as other:
                other.enqueue([Message(id="a", task="any")])
            assert await waiter.wait(20)
            assert await asyncio.to_thread(thread.wait, 20)
            await waiter.close()
            thread.close()
