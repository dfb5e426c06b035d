"""Many processes and threads on one SQLite file: locks, forks, interrupted calls, killed processes."""

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from celeriac.brokers import open_async_broker, open_broker
from celeriac.brokers.facade import SyncBroker
from celeriac.brokers.sqlite.schema import VERSION
from celeriac.core.message import Message, Settlement
from celeriac.errors import OperationalError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tasks.db"


def messages(prefix: str, count: int) -> list[Message]:
    return [Message(id=f"{prefix}-{number}", task="proj.add") for number in range(count)]


@contextlib.contextmanager
def locked(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Let another process hold the write lock until its input is closed."""
    code = (
        "import sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "connection.execute('BEGIN IMMEDIATE')\n"
        "print('locked', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_lock_that_is_held_too_long_is_an_error_that_names_the_file(path: Path) -> None:
    with open_broker(f"sqlite:///{path}?busy_timeout=0.2") as broker:
        broker.install()
        with locked(path):
            started = time.monotonic()
            with pytest.raises(
                OperationalError, match=r"locked by another process for more than 0.2 seconds"
            ) as caught:
                broker.enqueue(messages("a", 2))
            assert 0.2 <= time.monotonic() - started < 5
            assert str(path) in str(caught.value)
            assert broker.stats() == []  # Who only looks is not kept out.
        assert broker.enqueue(messages("a", 2)) == ()


def test_a_lock_that_is_let_go_in_time_is_no_error(path: Path) -> None:
    with open_broker(f"sqlite:///{path}?busy_timeout=30") as broker:
        broker.install()
        with locked(path) as process:
            asking = threading.Thread(target=broker.enqueue, args=(messages("a", 2),))
            asking.start()
            assert process.stdin is not None
            process.stdin.close()
            asking.join(30)
        assert broker.stats()[0].ready == 2


def test_a_locked_new_file_is_waited_for_too(path: Path) -> None:
    path.touch()
    broker = open_broker(f"sqlite:///{path}?busy_timeout=0.2")
    with broker, locked(path), pytest.raises(OperationalError, match="locked by another process"):
        broker.enqueue(messages("a", 1))


INSTALL = """
import sys
from celeriac.brokers import open_broker
from celeriac.core.message import Message
sys.stdin.readline()
with open_broker(sys.argv[1]) as broker:
    broker.enqueue([Message(id=sys.argv[2], task="proj.add")])
    print(broker.verify())
"""


def test_processes_that_start_at_once_agree_on_one_schema(path: Path) -> None:
    children = [
        subprocess.Popen(
            [sys.executable, "-c", INSTALL, f"sqlite:///{path}", f"task-{number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(6)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    assert [child.communicate(timeout=60) for child in children] == [(f"{VERSION}\n", "")] * 6
    with open_broker(f"sqlite:///{path}") as broker:
        assert broker.stats()[0].ready == 6


def test_a_fork_while_another_thread_works_leaves_both_sides_working(path: Path) -> None:
    url = f"sqlite:///{path}"
    broker = open_broker(url)
    waiter = broker.waiter()
    stop = threading.Event()
    sent = 0

    def work() -> None:
        nonlocal sent
        while not stop.is_set():
            broker.enqueue(messages(f"parent-{sent}", 3))
            sent += 1

    worker = threading.Thread(target=work)
    worker.start()
    children = []
    try:
        for child in range(8):
            pid = os.fork()
            if pid == 0:
                _in_child(broker, child)
            children.append(pid)
            broker.enqueue(messages(f"between-{child}", 3))
    finally:
        stop.set()
        worker.join(30)
    for pid in children:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert waiter.wait(5) is True
    assert broker.stats()[0].ready == 3 * sent + 3 * 8 + 10 * 8
    waiter.close()
    broker.close()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def _in_child(broker: SyncBroker[Any, Any], child: int) -> None:
    """Use the parent's broker, and leave without the parent's clean-up."""
    code = 1
    try:
        waiter = broker.waiter()
        for number in range(10):
            broker.enqueue(messages(f"child-{child}-{number}", 1))
        assert waiter.wait(10)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


async def test_a_fork_leaves_an_awaiting_broker_working(path: Path) -> None:
    async with open_async_broker(f"sqlite:///{path}") as broker:
        waiter = broker.waiter()
        await broker.enqueue(messages("before", 2))
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                # A loop of its own: the parent's is not the child's.
                with open_broker(f"sqlite:///{path}") as blocking:
                    blocking.enqueue(messages("child", 2))
                code = 0
            finally:
                os._exit(code)
        _, status = await asyncio.to_thread(os.waitpid, pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert await waiter.wait(10) is True
        await broker.enqueue(messages("after", 2))
        assert (await broker.stats())[0].ready == 6
        await waiter.close()


async def test_a_cancelled_call_is_carried_out_and_disturbs_no_other(path: Path) -> None:
    async with open_async_broker(f"sqlite:///{path}") as broker:
        await broker.install()
        calls = [asyncio.create_task(broker.enqueue(messages(f"task-{number}", 50))) for number in range(40)]
        await asyncio.sleep(0)
        for call in calls[::2]:
            call.cancel()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert [isinstance(answer, asyncio.CancelledError) for answer in answers] == [True, False] * 20
        assert all(answer == () for answer in answers[1::2])
        found = {record.id for record in await broker.page(["PENDING"], None, 0, 5000)}
        for number in range(40):
            here = sum(f"task-{number}-{place}" in found for place in range(50))
            assert here in (0, 50), "a batch is enqueued entirely or not at all"
            assert here == 50 or number % 2 == 0, "what was not cancelled is there"


def test_a_broker_is_used_by_several_event_loops_and_after_closing(path: Path) -> None:
    broker = open_async_broker(f"sqlite:///{path}")
    for number in range(3):
        asyncio.run(broker.enqueue(messages(f"loop-{number}", 2)))
    asyncio.run(broker.close())
    assert asyncio.run(broker.stats())[0].ready == 6
    asyncio.run(broker.close())
    assert not [thread for thread in threading.enumerate() if thread.name == "celeriac-sqlite"]


INTERRUPTED = """
import signal, sqlite3, sys
from celeriac.brokers import open_broker
from celeriac.core.message import Message

class Interrupted(Exception):
    pass

def interrupt(number, frame):
    raise Interrupted

path = sys.argv[1]
signal.signal(signal.SIGALRM, interrupt)
broker = open_broker(f"sqlite:///{path}")
broker.install()
other = sqlite3.connect(path, isolation_level=None, timeout=0)
hits = 0
for number in range(400):
    batch = [Message(id=f"task-{number}-{place}", task="proj.add") for place in range(20)]
    try:
        # The alarm goes off at any moment from before the call to after it.
        signal.setitimer(signal.ITIMER_REAL, 0.00002 + number % 80 * 0.00001)
        try:
            broker.enqueue(batch)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except Interrupted:
        hits += 1
    other.execute("BEGIN IMMEDIATE")  # It would be refused if the broker still had a transaction open.
    (here,) = other.execute("SELECT count(*) FROM message WHERE id LIKE ?", (f"task-{number}-%",)).fetchone()
    other.execute("ROLLBACK")
    assert here in (0, 20), here
print(hits)
"""


def test_an_exception_from_a_signal_in_the_middle_of_a_call_leaves_no_transaction_open(path: Path) -> None:
    # In a process of its own: the alarm is pytest's too, and a measurement of coverage does not bear interruptions.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    command = [sys.executable, "-c", INTERRUPTED, str(path)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=50, check=False)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) > 20


PRODUCE = """
import sys
from celeriac.brokers import open_broker
from celeriac.core.message import Message
broker = open_broker(sys.argv[1])
number = 0
while True:
    broker.enqueue([Message(id=f"{sys.argv[2]}-{number}-{place}", task="proj.add") for place in range(40)])
    print(number, flush=True)
    number += 1
"""


def test_a_killed_producer_leaves_whole_batches_and_everything_it_was_told_is_there(path: Path) -> None:
    with open_broker(f"sqlite:///{path}") as broker:
        broker.install()
        for kill in range(5):
            with subprocess.Popen(
                [sys.executable, "-c", PRODUCE, f"sqlite:///{path}", f"run-{kill}"], stdout=subprocess.PIPE, text=True
            ) as process:
                assert process.stdout is not None
                told = [process.stdout.readline() for _ in range(20)]
                process.kill()
                told += process.stdout.readlines()
            accepted = sum(line.endswith("\n") for line in told)
            found = [record.id for record in broker.page(["PENDING"], None, 0, 100_000)]
            mine = [id for id in found if id.startswith(f"run-{kill}-")]
            assert len(mine) % 40 == 0
            assert accepted <= len(mine) // 40 <= accepted + 1


CONSUME = """
import sys
from celeriac.brokers import open_broker
from celeriac.core.message import Settlement
broker = open_broker(sys.argv[1])
while deliveries := broker.claim(["celery"], 7, sys.argv[2], 30.0):
    assert broker.settle([Settlement(lease=one.lease, action="done") for one in deliveries]) == ()
    print(*(one.lease.id for one in deliveries), flush=True)
"""


def test_processes_share_the_work_and_each_task_is_done_once(path: Path) -> None:
    with open_broker(f"sqlite:///{path}") as broker:
        broker.enqueue(sent := messages("task", 3000))
        children = [
            subprocess.Popen(
                [sys.executable, "-c", CONSUME, f"sqlite:///{path}", f"w{number}"], stdout=subprocess.PIPE, text=True
            )
            for number in range(3)
        ]
        done = [id for child in children for id in child.communicate(timeout=60)[0].split()]
        assert [child.returncode for child in children] == [0, 0, 0]
        assert sorted(done) == sorted(message.id for message in sent)
        assert broker.stats() == []
        assert broker.tallies() == {("proj.add", "SUCCESS"): 3000}
        assert broker.settle([]) == ()


def test_threads_share_one_connection(path: Path) -> None:
    with open_broker(f"sqlite:///{path}") as broker:
        failures: list[BaseException] = []

        def work(name: str) -> None:
            try:
                for number in range(50):
                    broker.enqueue(messages(f"{name}-{number}", 4))
                    deliveries = broker.claim(["celery"], 4, name, 30.0)
                    assert broker.settle([Settlement(lease=one.lease, action="done") for one in deliveries]) == ()
            except BaseException as exc:
                failures.append(exc)

        threads = [threading.Thread(target=work, args=(f"w{number}",)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert failures == []
        left = sum(one.ready for one in broker.stats())
        assert broker.tallies().get(("proj.add", "SUCCESS"), 0) + left == 6 * 50 * 4
