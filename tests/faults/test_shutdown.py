"""Signals to a worker with tasks in flight: what has not started is given back, what runs may end, nothing is left."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable

import pytest

from celeriac.core import state
from tests.support.fleet import Project, Worker
from tests.support.scenarios import on
from tests.support.tally import Incident, conclude, count, sized
from tests.support.waiting import wait_for


def times_run(project: Project, ids: list[str]) -> Counter[int]:
    """Return how many of these tasks ran how often."""
    starts = project.starts()
    return Counter(len(starts.get(one, [])) for one in ids)


@on()
def test_terminated_under_load_loses_and_doubles_nothing(project: Project, rng: random.Random) -> None:
    """Worker after worker is told to end in the middle of its work; the last does the rest."""
    ids = [one for _ in range(sized(10, 100)) for one in _mixture(project, rng)]
    faults: list[Incident] = []
    for goal in (len(ids) // 4, len(ids) // 2, 3 * len(ids) // 4):
        worker = project.start_worker("-c", "2")
        wait_for(lambda: project.ended() >= goal, 60, f"{goal} tasks done")  # noqa: B023
        faults.append(Incident(time.monotonic()))
        worker.stop()
    last = project.start_worker("-c", "2")
    project.wait_empty(60)
    last.stop()
    conclude(project, "shutdown", "SIGTERM", count(project, ids, faults, recovery=()))


@on()
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT], ids=["TERM twice", "QUIT"])
def test_hurried_under_load_doubles_only_what_ran(
    make_project: Callable[..., Project], rng: random.Random, number: signal.Signals
) -> None:
    """Nobody waits for what runs: it is given back, and runs again elsewhere."""
    project = make_project(task_delivery_limit=100)
    ids = [one for _ in range(sized(10, 40)) for one in _mixture(project, rng)]
    faults: list[Incident] = []
    hurried = 0
    for share in range(1, 1 + sized(2, 3)):
        worker = project.start_worker("-c", "2")
        goal = share * len(ids) // 5
        wait_for(lambda: project.ended() >= goal, 60, f"{goal} tasks done")  # noqa: B023
        longer = project.send("anote", 5, 2.0)  # Without these, a worker may have ended before the second signal.
        ids += longer
        project.wait_started(longer[-1])
        own, at = set(worker.children()), time.monotonic()
        if number == signal.SIGQUIT:
            worker.signal(number)
        else:
            twice(worker, number)
        assert worker.wait(10) == 0
        worker.wait_gone()
        ended = {entry.id for entry in project.diary() if entry.word == "end"}
        begun = {entry.id for entry in project.diary() if entry.word == "start" and entry.pid in own}
        running = begun - ended
        faults.append(Incident(at, frozenset(running | project.held(begun)), frozenset(running)))
        hurried += len(running)
    last = project.start_worker("-c", "2")
    project.wait_empty(60)
    last.stop()
    fault = "SIGQUIT" if number == signal.SIGQUIT else "SIGTERM twice"
    # What was given back runs again with the next worker, which starts when this test says so: no time is measured.
    conclude(project, "shutdown", fault, count(project, ids, faults, recovery=()))
    assert hurried, "nothing ran at the signals: the test has shown nothing"


def _mixture(project: Project, rng: random.Random) -> list[str]:
    return project.send("note", 75, 0.003 * rng.random()) + project.send("anote", 25, 0.02 * rng.random())


@pytest.mark.timeout(60)
@pytest.mark.parametrize("options", [("-c", "1"), ("-c", "1", "--threads", "2"), ("-P", "solo")])
def test_what_has_not_started_is_given_back_at_once(project: Project, options: tuple[str, ...]) -> None:
    slots = 2 if "--threads" in options else 1
    # Until it knows better, a new worker expects short tasks and claims more than it can run at once.
    ids = project.send("note", 4, 2.0)
    worker = project.start_worker(*options)
    wait_for(lambda: len(project.starts()) == slots, 10, "every slot busy")
    worker.signal(signal.SIGTERM)
    started = set(project.starts())
    waiting = [one for one in ids if one not in started]
    wait_for(lambda: all(owner_of(project, one) is None for one in waiting), 0.7, "the others given back")
    assert worker.process.poll() is None, "what ran was not waited for"
    other = project.start_worker("-c", "1", "--threads", "4")
    assert worker.wait(10) == 0
    assert set(project.wait_states(ids).values()) == {state.SUCCESS}
    assert times_run(project, ids) == {1: len(ids)}
    elsewhere = {one for one, runs in project.starts().items() if runs[0].pid in other.children()}
    assert elsewhere == set(waiting)
    worker.wait_gone()


def owner_of(project: Project, task_id: str) -> str | None:
    """Return who owns a task at the broker."""
    record = project.record(task_id)
    return None if record is None else record.owner


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "hurry",
    [
        pytest.param(lambda worker: twice(worker, signal.SIGTERM), id="TERM twice"),
        pytest.param(lambda worker: twice(worker, signal.SIGINT), id="INT twice"),
        pytest.param(lambda worker: worker.signal(signal.SIGQUIT), id="QUIT"),
    ],
)
def test_hurried_worker_gives_back_what_runs(project: Project, hurry: Callable[[Worker], None]) -> None:
    plain, coroutine, once = (project.send(name, 1, 30.0)[0] for name in ("note", "anote", "once"))
    worker = project.start_worker("-c", "2")
    for one in (plain, coroutine, once):
        project.wait_started(one)
    hurry(worker)
    assert worker.wait(5) == 0
    worker.wait_gone()
    for one in (plain, coroutine):
        record = project.record(one)
        assert record is not None
        assert (record.state, record.crashes, record.owner) == (state.PENDING, 0, None)
        assert record.reason is not None
        assert "shut down" in record.reason
    # An at-most-once task has had its only run.
    assert project.wait_state(once) == state.FAILURE
    assert project.error(once).startswith("WorkerLostError")
    other = project.start_worker("-c", "1")
    for one in (plain, coroutine):
        assert project.wait_started(one, 2).pid in other.children()
    assert len(project.runs(once)) == 1


@pytest.mark.timeout(60)
@pytest.mark.parametrize("times", [1, 2])
def test_hurried_solo_worker_gives_back_what_runs(project: Project, times: int) -> None:
    plain, coroutine = project.send("note", 1, 30.0) + project.send("anote", 1, 30.0)
    worker = project.start_worker("-P", "solo")
    for one in (plain, coroutine):
        project.wait_started(one)
    if times == 1:
        worker.signal(signal.SIGQUIT)
    else:
        # CPython may not see the second of two signals in one instant before a blocking call ends, or a third comes.
        worker.signal(signal.SIGTERM)

        def hurried() -> bool:
            if worker.process.poll() is None:
                worker.signal(signal.SIGINT)
            return worker.process.poll() is not None

        wait_for(hurried, 5, "the end of the worker", every=0.2)
    assert worker.wait(5) == 0
    worker.wait_gone()
    for one in (plain, coroutine):
        record = project.record(one)
        assert record is not None
        assert (record.state, record.crashes, record.owner) == (state.PENDING, 0, None)


def twice(worker: Worker, number: int) -> None:
    """Send a signal, and again when the first has been heard."""
    worker.signal(number)
    worker.wait_log("claiming has stopped")
    worker.signal(number)


@pytest.mark.timeout(60)
def test_end_of_the_grace_period_gives_back_what_runs(project: Project) -> None:
    (task,) = project.send("note", 1, 30.0)
    worker = project.start_worker("-c", "1", "--grace", "0.5")
    project.wait_started(task)
    worker.stop(5)
    record = project.record(task)
    assert record is not None
    assert (record.state, record.crashes) == (state.PENDING, 0)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("number", "method"),
    [
        (signal.SIGINT, "forkserver"),
        (signal.SIGTERM, "forkserver"),
        (signal.SIGHUP, "forkserver"),
        (signal.SIGINT, "spawn"),
        (signal.SIGINT, "fork"),
    ],
)
def test_signal_to_the_whole_group_ends_it_in_order(project: Project, number: int, method: str) -> None:
    """Ctrl-C, and the stop of a service manager, reach every process of the worker."""
    plain, coroutine = project.send("note", 1, 0.7) + project.send("anote", 1, 0.7)
    worker = project.start_worker("-c", "2", "--pool-start-method", method)
    project.wait_started(plain)
    project.wait_started(coroutine)
    worker.signal_all(number)
    assert worker.wait(10) == 0, worker.log()
    worker.wait_gone()
    assert set(project.wait_states([plain, coroutine], 1).values()) == {state.SUCCESS}
    assert times_run(project, [plain, coroutine]) == {1: 2}
    assert "crashed" not in worker.log()
    assert "ERROR" not in worker.log()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("method", ["forkserver", "spawn", "fork"])
def test_children_end_with_their_supervisor(make_project: Callable[..., Project], method: str) -> None:
    """Nobody renews the leases of children without a supervisor, so they must not go on."""
    project = make_project(worker_lease=2)
    tasks = [*project.send("note", 1, 30.0), *project.send("anote", 1, 30.0)]
    worker = project.start_worker("-c", "2", "--pool-start-method", method)
    for one in tasks:
        project.wait_started(one)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait(5)
    wait_for(worker.group_is_empty, 2, "no process left")
    project.start_worker("-c", "2")
    for one in tasks:
        project.wait_started(one, 2)
