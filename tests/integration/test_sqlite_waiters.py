"""The waiters of the SQLite broker: with a watch on the file and without, idle, busy, deaf, forked."""

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from celeriac.brokers import open_broker
from celeriac.brokers.sqlite.url import Location
from celeriac.brokers.sqlite.waiters import AsyncSqliteWaiter, Looker, SqliteWaiter
from celeriac.brokers.sqlite.watch import watch
from celeriac.core.clock import SYSTEM
from celeriac.core.message import Message, Settlement

WAYS = [pytest.param(True, id="watching"), pytest.param(False, id="looking")]


@pytest.fixture
def location(tmp_path: Path) -> Location:
    return Location(path=str(tmp_path / "tasks.db"))


def quiet(waiter: SqliteWaiter) -> SqliteWaiter:
    """Let the waiter see what was before, and rest as long as it does while nothing happens."""
    while waiter.wait(0.25):
        pass
    return waiter


PRODUCE = """
import sys, time
from celeriac.brokers import open_broker
from celeriac.core.message import Message
broker = open_broker(sys.argv[1])
broker.stats()
print("ready", flush=True)
for number, _ in enumerate(sys.stdin):
    broker.enqueue([Message(id=f"task-{number}", task="proj.add", sent_at=time.time())])
"""


@contextlib.contextmanager
def producer(location: Location) -> Iterator[subprocess.Popen[str]]:
    """Let another process enqueue one task for every line it is sent."""
    command = [sys.executable, "-c", PRODUCE, f"sqlite:///{location.path}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.stdin.close()


@pytest.mark.parametrize("watches", WAYS)
@pytest.mark.serial
def test_an_idle_waiter_hears_of_another_process_s_task_soon(location: Location, watches: bool) -> None:
    delays = []
    with open_broker(f"sqlite:///{location.path}") as broker, producer(location) as process:
        waiter = SqliteWaiter(location, SYSTEM, watches=watches)
        for _ in range(9):
            quiet(waiter)
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
            while not (deliveries := broker.claim(["celery"], 1, "w", 30.0)):
                assert waiter.wait(20) is True
            (delivery,) = deliveries
            assert delivery.message is not None
            assert delivery.message.sent_at is not None
            delays.append(time.time() - delivery.message.sent_at)
            broker.settle([Settlement(lease=delivery.lease, action="done")])
        waiter.close()
    median = sorted(delays)[len(delays) // 2]
    assert median < 0.03, f"half of the tasks took over {median * 1000:.1f} ms from enqueue to claim"


@pytest.mark.parametrize("watches", WAYS)
@pytest.mark.serial
def test_an_idle_waiter_costs_next_to_nothing(location: Location, watches: bool) -> None:
    waiter = quiet(SqliteWaiter(location, SYSTEM, watches=watches))
    before = time.process_time()
    assert waiter.wait(2.0) is False
    share = (time.process_time() - before) / 2.0
    # Without a watch a hundred wake-ups a second are most of the cost, and a loaded machine makes each dearer.
    assert share < (0.005 if watches else 0.03), f"an idle waiter took {share:.2%} of a core"
    waiter.close()


@pytest.mark.parametrize("watches", WAYS)
async def test_nothing_is_missed_between_two_waits(location: Location, watches: bool) -> None:
    with open_broker(f"sqlite:///{location.path}") as broker:
        waiter = AsyncSqliteWaiter(location, SYSTEM, watches=watches)
        while await waiter.wait(0):
            pass
        seen = 0
        sending = asyncio.create_task(
            asyncio.to_thread(lambda: [broker.enqueue([Message(id=f"task-{n}", task="proj.add")]) for n in range(300)])
        )
        # What the waiter is for: look, and if there is nothing, wait. It may never sleep on what is there.
        while seen < 300:
            deliveries = broker.claim(["celery"], 500, "w", 30.0)
            seen += len(deliveries)
            if not deliveries:
                assert await waiter.wait(20) is True
        await sending
        await waiter.close()


@pytest.mark.parametrize("watches", WAYS)
async def test_a_cancelled_wait_leaves_the_waiter_usable(location: Location, watches: bool) -> None:
    with open_broker(f"sqlite:///{location.path}") as broker:
        waiter = AsyncSqliteWaiter(location, SYSTEM, watches=watches)
        while await waiter.wait(0):
            pass
        for number in range(5):
            waiting = asyncio.create_task(waiter.wait(30))
            for _ in range(3):
                await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            broker.enqueue([Message(id=f"task-{number}", task="proj.add")])
            assert await waiter.wait(20) is True
        await waiter.close()
        await waiter.close()


def test_a_deaf_watch_is_given_up(location: Location, tmp_path: Path) -> None:
    (tmp_path / "silence").touch()
    with open_broker(f"sqlite:///{location.path}") as broker:
        broker.install()
        looker = Looker(location, SYSTEM)
        looker._drop_watch()
        looker._watch = watch(str(tmp_path / "silence"))
        for number in range(3):
            broker.enqueue([Message(id=f"task-{number}", task="proj.add")])
            assert looker.look() is True
        assert looker.rest(time.monotonic() + 10)[1] is None
        looker.close()


def test_a_watch_that_hears_is_kept(location: Location) -> None:
    with open_broker(f"sqlite:///{location.path}") as broker:
        broker.install()
        looker = Looker(location, SYSTEM)
        for number in range(20):
            broker.enqueue([Message(id=f"task-{number}", task="proj.add")])
            assert looker.look() is True
        assert looker.rest(time.monotonic() + 10)[1] is not None
        looker.close()


def test_there_is_no_watch_on_what_is_not_there(tmp_path: Path) -> None:
    assert watch(str(tmp_path / "nothing")) is None
