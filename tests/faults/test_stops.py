"""Workers that stand still: stopped for longer than their lease and continued, or with the GIL held by a task."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from celeriac.core import state
from tests.support.fleet import Project, freeze, tell
from tests.support.waiting import wait_for

LEASE = 2.0


@pytest.mark.slow
@pytest.mark.serial
@pytest.mark.timeout(90)
@pytest.mark.parametrize("options", [("-c", "2"), ("-c", "1", "--threads", "3")], ids=["processes", "threads"])
def test_worker_stopped_past_its_lease_and_continued(
    make_project: Callable[..., Project], options: tuple[str, ...]
) -> None:
    """Its tasks run elsewhere; when it is back it settles nothing of theirs, starts nothing it held, and works on."""
    project = make_project(worker_lease=LEASE, worker_claim_ahead=0.2)
    ids = [one for _ in range(6) for one in [*project.send("note", 100, 0.01), *project.send("anote", 20, 0.05)]]
    stopped = project.start_worker(*options)
    wait_for(lambda: len(project.starts()) > 100, 20, "work under way")
    own = set(stopped.children())
    freeze([stopped.pid, *own])
    at = time.monotonic()
    diary = project.diary()
    begun = {entry.id for entry in diary if entry.word == "start"}
    running = begun - {entry.id for entry in diary if entry.word == "end"}
    owned = {one.id for one in project.app.broker.get(ids) if one.owner is not None}
    other = project.start_worker("-c", "2")
    wait_for(lambda: len(project.results(ids)) == len(ids), 40, "everything done by the other")
    elsewhere = {one: runs[-1] for one, runs in project.starts().items() if runs[-1].pid not in own}
    lag = max(run.at - at for one, run in elsewhere.items() if one in owned)

    stopped.signal_all(signal.SIGCONT)
    wait_for(lambda: not left_running(project, running), 10, "what it ran has ended there, too")
    more = project.send("note", 200, 0.002)
    other.stop()
    assert set(project.wait_states(more).values()) == {state.SUCCESS}, "it does not work any more"
    assert {run.pid for one in more for run in project.runs(one)} & set(stopped.children())

    starts = project.starts()
    doubled = {one for one in ids if len(starts[one]) > 1}
    # What had ended before the stop and was not settled yet runs again, as after a kill; what had not begun does not.
    assert doubled <= begun & owned
    results = project.results(ids)
    assert [one for one in ids if results[one].state != state.SUCCESS] == []
    assert [one for one in ids if int(results[one].body) != max(run.token for run in starts[one])] == []
    assert running, "nothing ran at the stop: the test has shown nothing"
    assert owned - begun, "nothing was merely claimed at the stop: the test has shown nothing"
    tell(
        f"tasks {len(ids)}, stopped with {len(running)} running and {len(owned - begun)} claimed, lost 0,"
        f" doubled {len(doubled)}, all running elsewhere within {lag:.1f} s"
    )
    stopped.stop()


def left_running(project: Project, ids: set[str]) -> set[str]:
    """Return those of the tasks that have a start without an end."""
    diary = project.diary()
    ended = {(entry.id, entry.token) for entry in diary if entry.word == "end"}
    return {entry.id for entry in diary if entry.id in ids and (entry.id, entry.token) not in ended}


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_task_that_holds_the_gil_keeps_its_lease(make_project: Callable[..., Project]) -> None:
    """The engine of its process stands still for three leases; the supervisor renews it all the same."""
    project = make_project(worker_lease=LEASE)
    worker = project.start_worker("-c", "1")
    (held,) = project.send("hold", 1, 3 * LEASE)
    project.wait_started(held)
    behind = project.send("note", 5)
    other = project.start_worker("-c", "1")
    assert project.wait_state(held) == state.SUCCESS
    assert set(project.wait_states(behind).values()) == {state.SUCCESS}
    assert {one: len(runs) for one, runs in project.starts().items()} == dict.fromkeys([held, *behind], 1)
    for one in (worker, other):
        assert "lease" not in one.log()
        one.stop()


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_child_stopped_alone_keeps_what_it_runs(make_project: Callable[..., Project]) -> None:
    """Its supervisor renews its lease: nobody else may run its task."""
    project = make_project(worker_lease=LEASE)
    worker = project.start_worker("-c", "1")
    (task,) = project.send("note", 1, 0.5)
    pid = project.wait_started(task).pid
    freeze([pid])
    other = project.start_worker("-c", "1")
    until = time.monotonic() + 2 * LEASE
    wait_for(lambda: time.monotonic() > until, 3 * LEASE, "two leases over")
    os.kill(pid, signal.SIGCONT)
    assert project.wait_state(task) == state.SUCCESS
    assert [run.pid for run in project.runs(task)] == [pid]
    worker.stop()
    other.stop()
