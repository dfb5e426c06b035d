"""SIGKILL of children and of whole workers, counted: nothing lost, nothing doubled but what ran, back in time.

What may run twice is read, not estimated: before each kill the victim is stopped, so that the diary (what it has
started) and the store (what it still owns) can be compared at the very moment of its death.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable
from typing import NamedTuple

import psutil
import pytest

from celeriac.core import state
from tests.support.fleet import Project, Worker, freeze, is_alive, tell
from tests.support.waiting import wait_for

TASKS = 12_000
CHILD_KILLS = 24
WORKER_KILLS = 8
CHILD_P99 = 1.0
WORKER_MOST = 10.0


class Kill(NamedTuple):
    """One kill: when, which tasks the victim had started and not settled, and which of these had not ended either."""

    at: float
    unsettled: frozenset[str]
    running: frozenset[str]


@pytest.fixture
def project(make_project: Callable[..., Project]) -> Project:
    """A project in which a task that meets three of the kills is not taken for the one who kills."""
    return make_project(task_delivery_limit=100)


def owned_by(project: Project, owners: set[str]) -> set[str]:
    """Return the ids that these owners hold, read past Celeriac from the file."""
    with sqlite3.connect(f"file:{project.folder / 'q.db'}?mode=ro", uri=True, timeout=10) as connection:
        rows = connection.execute("SELECT id, owner FROM message WHERE owner IS NOT NULL").fetchall()
    connection.close()
    return {task_id for task_id, owner in rows if owner in owners}


def kill(project: Project, worker: Worker, pids: dict[int, str], *, whole: bool) -> Kill:
    """Stop the victims, note what they had started and not settled, and SIGKILL them."""
    freeze(pids)
    diary = [entry for entry in project.diary() if entry.pid in pids]
    started = {entry.id for entry in diary if entry.word == "start"}
    unsettled = frozenset(started & owned_by(project, set(pids.values())))
    ended = {(entry.id, entry.token) for entry in diary if entry.word == "end"}
    running = {entry.id for entry in diary if (entry.id, entry.token) not in ended}
    at = time.monotonic()
    if whole:
        worker.kill_all()
    else:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
    return Kill(at, unsettled, unsettled & running)


def finished(project: Project) -> int:
    """Return how many tasks have a result, read from the file."""
    with sqlite3.connect(f"file:{project.results_path}?mode=ro", uri=True, timeout=10) as connection:
        (count,) = connection.execute("SELECT count(*) FROM result").fetchone()
    connection.close()
    return int(count)


def check(project: Project, ids: list[str], kills: list[Kill], most: float) -> list[float]:
    """Check what the run promises; return the seconds from each kill until its tasks ran again."""
    results = {
        result.id: result
        for start in range(0, len(ids), 500)
        for result in project.app.backend.fetch(ids[start : start + 500])
    }
    lost = [one for one in ids if one not in results or results[one].state != state.SUCCESS]
    assert lost == []
    starts = project.starts()
    allowed: dict[str, int] = {}
    for one in kills:
        for task_id in one.unsettled:
            allowed[task_id] = allowed.get(task_id, 0) + 1
    doubled = {task_id: len(runs) - 1 for task_id, runs in starts.items() if len(runs) > 1}
    assert {task_id: count for task_id, count in doubled.items() if count > allowed.get(task_id, 0)} == {}
    # The settled attempt is the newest one: no superseded attempt has settled.
    stale = [one for one in ids if int(results[one].body) != max(run.token for run in starts[one])]
    assert stale == []
    recovery = sorted(
        min(run.at for run in starts[task_id] if run.at > one.at) - one.at for one in kills for task_id in one.unsettled
    )
    ran = sum(len(one.running) for one in kills)
    p50, p99 = quantile(recovery, 0.5), quantile(recovery, 0.99)
    tell(
        f"tasks {len(ids)}, kills {len(kills)}, lost 0, doubled {sum(doubled.values())} (at the kills {ran} ran and"
        f" {len(recovery) - ran} had ended and were not settled yet), run again after p50 {p50:.3f} s, p99 {p99:.3f} s"
    )
    assert p99 < most
    return recovery


def quantile(values: list[float], q: float) -> float:
    """Return a quantile of sorted values; 0.0 of none."""
    return values[min(len(values) - 1, int(q * len(values)))] if values else 0.0


@pytest.mark.serial
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_killed_children_lose_nothing(project: Project, rng: random.Random) -> None:
    """24 children of a worker are killed at random moments while 12,000 tasks run."""
    kill_children(project, rng, send(project, "note", [0.002 * rng.random() for _ in range(TASKS)]), CHILD_KILLS)


@pytest.mark.serial
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_killed_children_lose_no_coroutine(project: Project, rng: random.Random) -> None:
    """At each kill a hundred coroutines may be on their way, beside plain functions."""
    seconds = [0.05 * rng.random() for _ in range(TASKS // 4)]
    ids = [*send(project, "anote", seconds), *send(project, "note", seconds[::10])]
    kill_children(project, rng, ids, CHILD_KILLS // 3)


@pytest.mark.serial
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_killed_children_lose_nothing_with_results_in_another_store(
    make_project: Callable[..., Project], rng: random.Random
) -> None:
    """Storing a result and settling are two steps; a kill between them repeats the first."""
    project = make_project(separate_results=True, task_delivery_limit=100)
    seconds = [0.002 * rng.random() for _ in range(TASKS // 4)]
    kill_children(project, rng, send(project, "note", seconds), CHILD_KILLS // 3)


def send(project: Project, name: str, seconds: list[float]) -> list[str]:
    """Send calls of a task that take so long; return their ids."""
    return [result.id for result in project.app.tasks[name].apply_many([(one,) for one in seconds])]


def kill_children(project: Project, rng: random.Random, ids: list[str], kills: int) -> None:
    """Kill children of one worker at random moments while these tasks run."""
    worker = project.start_worker("-c", "2")
    killed: list[Kill] = []
    for number in range(kills):
        goal = (number + 1) * len(ids) // (kills + 4)
        wait_for(lambda: finished(project) >= goal, 60, f"{goal} tasks done")  # noqa: B023
        wait_for(lambda: len(worker.children()) == 2, 20, "two children")
        pid = rng.choice(sorted(worker.children()))
        killed.append(kill(project, worker, {pid: worker.children()[pid]}, whole=False))
    wait_for(lambda: finished(project) >= len(ids), 90, "all tasks done")
    wait_for(lambda: project.app.broker.stats() == [], 10, "all tasks settled")
    recovery = check(project, ids, killed, CHILD_P99)
    assert recovery, "no kill hit a running task: the test has shown nothing"
    worker.stop()


@pytest.mark.serial
@pytest.mark.slow
@pytest.mark.timeout(280)
def test_killed_workers_lose_nothing(project: Project, rng: random.Random) -> None:
    """8 whole workers are killed, supervisor and all, while another goes on; each is replaced."""
    ids = send(project, "note", [0.02 * rng.random() for _ in range(TASKS // 2)])
    workers = [project.start_worker("-c", "1") for _ in range(2)]
    kills: list[Kill] = []
    for number in range(WORKER_KILLS):
        goal = (number + 1) * len(ids) // (WORKER_KILLS + 3)
        wait_for(lambda: finished(project) >= goal, 90, f"{goal} tasks done")  # noqa: B023
        index = rng.randrange(2)
        victim = workers[index]
        kills.append(kill(project, victim, victim.children(), whole=True))
        workers[index] = project.start_worker("-c", "1")
    wait_for(lambda: finished(project) >= len(ids), 120, "all tasks done")
    wait_for(lambda: project.app.broker.stats() == [], 15, "all tasks settled")
    recovery = check(project, ids, kills, WORKER_MOST)
    assert recovery, "no kill hit a running task: the test has shown nothing"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("options", [("-c", "1"), ("-P", "solo")])
def test_worker_that_starts_again_under_its_name_leaves_nothing_to_its_former_self(
    make_project: Callable[..., Project], options: tuple[str, ...]
) -> None:
    """In a container the new one has even the old one's process id. It must not renew the leases of the dead."""
    project = make_project(worker_lease=2)
    (task,) = send(project, "note", [30.0])
    first = project.start_worker(*options, node="same@test")
    project.wait_started(task)
    first.kill_all()
    second = project.start_worker(*options, node="same@test")
    assert project.wait_started(task, 2, timeout=6).pid != project.runs(task)[0].pid
    second.kill_all()


@pytest.mark.timeout(60)
def test_killed_fork_server_costs_its_children_and_nothing_else(project: Project) -> None:
    """Without it nobody knows how its children fare. They end, others take their place, and the worker works on."""
    worker = project.start_worker("-c", "2")
    before = set(worker.children())
    running = send(project, "note", [1.0, 1.0])
    for one in running:
        project.wait_started(one)
    (server,) = {psutil.Process(pid).ppid() for pid in before}
    assert server != worker.pid
    os.kill(server, signal.SIGKILL)
    more = send(project, "note", [0.01] * 20)
    assert set(project.wait_states([*running, *more]).values()) == {state.SUCCESS}
    assert not before & set(worker.children())
    assert not any(is_alive(pid) for pid in before)
    worker.stop()
