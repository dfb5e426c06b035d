"""SIGKILL of children and of whole workers, counted: nothing lost, nothing doubled but what ran, back in time."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable

import psutil
import pytest

from celeriac.core import state
from tests.support.fleet import Project, is_alive
from tests.support.scenarios import on, whole
from tests.support.tally import CHILD_PROMISE, HOST_PROMISE, Incident, conclude, count, sized, strike
from tests.support.waiting import wait_for

TASKS = sized(4_000, 12_000)
CHILD_KILLS = sized(8, 24)
WORKER_KILLS = sized(3, 8)


@pytest.fixture
def project(make_project: Callable[..., Project]) -> Project:
    """A project in which a task that meets three of the kills is not taken for the one who kills."""
    return make_project(task_delivery_limit=100)


def kill_children(project: Project, rng: random.Random, ids: list[str], kills: int) -> list[Incident]:
    """Kill children of one worker at random moments while these tasks run."""
    worker = project.start_worker("-c", "2")
    killed: list[Incident] = []
    for number in range(kills):
        goal = (number + 1) * len(ids) // (kills + 4)
        wait_for(lambda: project.ended() >= goal, 60, f"{goal} tasks done")  # noqa: B023
        wait_for(lambda: len(worker.children()) == 2, 20, "two children")
        pid = rng.choice(sorted(worker.children()))
        killed.append(strike(project, {pid: worker.children()[pid]}))
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not is_alive(pid), 5, "its end")  # noqa: B023
    project.wait_empty(120)
    worker.stop()
    return killed


@pytest.mark.serial
@on()
def test_killed_children_lose_nothing(project: Project, rng: random.Random) -> None:
    ids = project.send_each("note", [0.002 * rng.random() for _ in range(TASKS)])
    figures = count(project, ids, kill_children(project, rng, ids, CHILD_KILLS))
    conclude(project, "processes", "SIGKILL of a child, plain functions", figures, promise=CHILD_PROMISE)
    assert figures.recovery, "no kill hit a running task: the test has shown nothing"


@pytest.mark.serial
@on()
def test_killed_children_lose_no_coroutine(project: Project, rng: random.Random) -> None:
    """At each kill a hundred coroutines may be on their way, beside plain functions."""
    times = [0.05 * rng.random() for _ in range(TASKS // 4)]
    ids = [*project.send_each("anote", times), *project.send_each("note", times[::10])]
    figures = count(project, ids, kill_children(project, rng, ids, max(5, CHILD_KILLS // 3)))
    conclude(project, "processes", "SIGKILL of a child, coroutines", figures, promise=CHILD_PROMISE)
    assert figures.recovery, "no kill hit a running task: the test has shown nothing"


@pytest.mark.serial
@on(whole)
def test_killed_children_lose_nothing_with_results_in_another_store(
    make_project: Callable[..., Project], rng: random.Random
) -> None:
    """Storing a result and settling are two steps; a kill between them repeats the first."""
    project = make_project(separate_results=True, task_delivery_limit=100)
    ids = project.send_each("note", [0.002 * rng.random() for _ in range(TASKS // 4)])
    figures = count(project, ids, kill_children(project, rng, ids, max(5, CHILD_KILLS // 3)))
    conclude(project, "processes", "SIGKILL of a child, results elsewhere", figures, promise=CHILD_PROMISE)
    assert figures.recovery, "no kill hit a running task: the test has shown nothing"


@pytest.mark.serial
@on()
def test_killed_workers_lose_nothing(project: Project, rng: random.Random) -> None:
    """Whole workers are killed, supervisor and all, while another goes on; each is replaced."""
    ids = project.send_each("note", [0.02 * rng.random() for _ in range(TASKS // 2)])
    workers = [project.start_worker("-c", "1") for _ in range(2)]
    kills: list[Incident] = []
    for number in range(WORKER_KILLS):
        goal = (number + 1) * len(ids) // (WORKER_KILLS + 3)
        wait_for(lambda: project.ended() >= goal, 90, f"{goal} tasks done")  # noqa: B023
        index = rng.randrange(2)
        victim = workers[index]
        kills.append(strike(project, victim.children()))
        victim.kill_all()
        workers[index] = project.start_worker("-c", "1")
    project.wait_empty(120)
    figures = count(project, ids, kills)
    conclude(project, "processes", "SIGKILL of a whole worker", figures, promise=HOST_PROMISE)
    assert figures.recovery, "no kill hit a running task: the test has shown nothing"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("options", [("-c", "1"), ("-P", "solo")])
def test_worker_that_starts_again_under_its_name_leaves_nothing_to_its_former_self(
    make_project: Callable[..., Project], options: tuple[str, ...]
) -> None:
    """In a container the new one has even the old one's process id. It must not renew the leases of the dead."""
    project = make_project(worker_lease=2)
    (task,) = project.send_each("note", [30.0])
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
    running = project.send_each("note", [1.0, 1.0])
    for one in running:
        project.wait_started(one)
    (server,) = {psutil.Process(pid).ppid() for pid in before}
    assert server != worker.pid
    os.kill(server, signal.SIGKILL)
    more = project.send_each("note", [0.01] * 20)
    assert set(project.wait_states([*running, *more]).values()) == {state.SUCCESS}
    wait_for(lambda: not any(is_alive(pid) for pid in before), 10, "the end of the children that nobody watches")
    assert not before & set(worker.children())
    worker.stop()
