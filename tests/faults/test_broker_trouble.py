"""The broker's file is locked, gone or damaged for a while: workers wait, say so, and go on."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from celeriac.core import state
from tests.support.fleet import Project, tell
from tests.support.waiting import wait_for

LOCKER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
"""


@contextmanager
def locked(project: Project) -> Iterator[None]:
    """Have another process hold the write lock of the broker's file."""
    path = str(project.folder / "q.db")
    process = subprocess.Popen([sys.executable, "-c", LOCKER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"locked\n"
        yield
        process.communicate(b"\n", timeout=10)
    finally:
        process.kill()
        process.wait(10)
        process.stdin.close()
        process.stdout.close()


def for_seconds(seconds: float) -> None:
    """Let a time pass that is itself what is tested."""
    until = time.monotonic() + seconds
    wait_for(lambda: time.monotonic() >= until, seconds + 5, f"{seconds} s")


@pytest.mark.timeout(60)
def test_file_locked_for_three_seconds(project: Project, rng: random.Random) -> None:
    """Nothing is lost, and nothing runs twice: what ended while the file was locked is settled afterwards."""
    worker = project.start_worker("-c", "2")
    ids = [one for _ in range(4) for one in project.send("note", 75, 0.004) + project.send("anote", 25, 0.02)]
    goal = rng.randrange(50, 200)
    wait_for(lambda: len(project.starts()) >= goal, 20, "work under way")
    with locked(project):
        for_seconds(3.0)
    assert set(project.wait_states(ids).values()) == {state.SUCCESS}
    starts = project.starts()
    assert Counter(len(starts[one]) for one in ids) == {1: len(ids)}
    tell(f"tasks {len(ids)}, locked for 3 s after {goal}, lost 0, doubled 0")
    worker.stop()


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_file_locked_for_longer_than_leases_last(make_project: Callable[..., Project]) -> None:
    """Two workers; neither can renew. Whoever comes first afterwards may not take what the other still runs."""
    project = make_project(worker_lease=2)
    workers = [project.start_worker("-c", "1"), project.start_worker("-c", "1")]
    ids = project.send("note", 2, 6.0)
    for one in ids:
        project.wait_started(one)
    with locked(project):
        for_seconds(3.5)
    assert set(project.wait_states(ids).values()) == {state.SUCCESS}
    more = project.send("note", 20)
    assert set(project.wait_states(more).values()) == {state.SUCCESS}
    starts = project.starts()
    assert Counter(len(starts[one]) for one in [*ids, *more]) == {1: 22}
    for worker in workers:
        worker.stop()


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_worker_can_be_stopped_while_the_file_is_locked(make_project: Callable[..., Project]) -> None:
    project = make_project(worker_shutdown_grace=1)
    worker = project.start_worker("-c", "1")
    (task,) = project.send("note", 1)
    assert project.wait_state(task) == state.SUCCESS
    with locked(project):
        worker.stop(12)


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_watchdog_replaces_children_and_gives_up_in_the_end(make_project: Callable[..., Project]) -> None:
    """A worker that cannot reach its broker for good must not look alive for ever."""
    project = make_project(worker_watchdog_timeout=1)
    worker = project.start_worker("-c", "1")
    (task,) = project.send("note", 1, countdown=0.5)  # Something to claim: an idle look needs no lock.
    with locked(project):
        assert worker.wait(30) == 1, worker.log()
    worker.wait_gone()
    assert worker.log().count("worker_watchdog_timeout") >= 3
    assert "locked" in worker.log()
    project.start_worker("-c", "1")
    assert project.wait_state(task) == state.SUCCESS


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_health_tells_of_a_locked_file(make_project: Callable[..., Project]) -> None:
    project = make_project(worker_watchdog_timeout=2)
    health = project.folder / "health"
    worker = project.start_worker("-c", "1", "--health-file", str(health))
    wait_for(health.exists, 5, "the health file")
    with locked(project):
        wait_for(lambda: time.time() - health.stat().st_mtime > 2.5, 10, "the health file to grow old")
    wait_for(lambda: time.time() - health.stat().st_mtime < 1.5, 20, "the health file to be touched again")
    worker.stop()
    assert not health.exists()
