"""Workers that stand still: stopped for longer than their lease and continued, with the GIL held by a task, or with a
clock that jumps."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from celeriac.core import state
from tests.support.fleet import Project, Worker
from tests.support.scenarios import on
from tests.support.tally import HOST_PROMISE, Incident, conclude, count, sized
from tests.support.waiting import wait_for

LEASE = 2.0


@pytest.mark.serial
@on()
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
    project.freeze([stopped.pid, *own])
    at = time.monotonic()
    diary = project.diary()
    begun = {entry.id for entry in diary if entry.word == "start"}
    running = begun - {entry.id for entry in diary if entry.word == "end"}
    owned = {one.id for one in project.app.broker.get(ids) if one.owner is not None}
    other = project.start_worker("-c", "2")
    wait_for(lambda: len(project.results(ids)) == len(ids), 40, "everything done by the other")

    stopped.signal_all(signal.SIGCONT)
    wait_for(lambda: not left_running(project, running), 10, "what it ran has ended there, too")
    more = project.send("note", 200, 0.002)
    other.stop()
    assert set(project.wait_states(more).values()) == {state.SUCCESS}, "it does not work any more"
    assert {run.pid for one in more for run in project.runs(one)} & set(stopped.children())

    # What had ended before the stop and was not settled yet runs again, as after a kill; what had not begun does not.
    elsewhere = [runs[-1].at - at for one, runs in project.starts().items() if one in owned and runs[-1].pid not in own]
    figures = count(project, [*ids, *more], [Incident(at, frozenset(begun & owned))], recovery=elsewhere)
    fault = f"worker stopped (SIGSTOP) past its lease of {LEASE:g} s, {' '.join(options)}"
    conclude(project, "stops", fault, figures, promise=HOST_PROMISE)
    assert running, "nothing ran at the stop: the test has shown nothing"
    assert owned - begun, "nothing was merely claimed at the stop: the test has shown nothing"
    stopped.stop()


def left_running(project: Project, ids: set[str]) -> set[str]:
    """Return those of the tasks that have a start without an end."""
    diary = project.diary()
    ended = {(entry.id, entry.token) for entry in diary if entry.word == "end"}
    return {entry.id for entry in diary if entry.id in ids and (entry.id, entry.token) not in ended}


@on()
@pytest.mark.parametrize("blocks", ["GIL", "event loop"])
def test_task_that_blocks_its_process_keeps_its_lease(make_project: Callable[..., Project], blocks: str) -> None:
    """The engine of its process stands still for many leases; the supervisor renews them all the same."""
    lease, seconds = sized(2, 6), sized(6, 60)
    project = make_project(extra=BLOCK, worker_lease=lease)
    worker = project.start_worker("-c", "1")
    (held,) = project.send("hold" if blocks == "GIL" else "block", 1, float(seconds))
    project.wait_started(held)
    other = project.start_worker("-c", "1")
    at = time.monotonic()
    behind = project.send("note", 5)
    project.wait_states(behind)
    recovery = [project.runs(one)[0].at - at for one in behind]
    assert project.wait_state(held, seconds + 20) == state.SUCCESS
    figures = count(project, [held, *behind], [Incident(at)], recovery=recovery)
    note = "recovery: until another process had run the tasks that were sent meanwhile"
    fault = f"{blocks} blocked for {seconds} s, lease of {lease} s"
    conclude(project, "stops", fault, figures, promise=HOST_PROMISE, note=note)
    for one in (worker, other):
        assert "lease" not in one.log()
        one.stop()


BLOCK = """
@app.task(bind=True, name="block")
async def block(self, seconds):
    write("start", self.request)
    time.sleep(seconds)
    write("end", self.request)
    return self.request.fencing_token
"""


@pytest.mark.serial
@on()
@pytest.mark.parametrize("step", [3600, -3600], ids=["forward", "back"])
def test_clock_of_a_worker_is_stepped(make_project: Callable[..., Project], tmp_path: Path, step: int) -> None:
    """By an hour, while tasks run. Where the store has a clock of its own, only this worker's jumps; where it has none,
    the clock is the machine's, and so it jumps for both workers."""
    project = make_project(worker_lease=LEASE)
    clock = tmp_path / "clock"
    clock.write_text("0")
    env = stepped(tmp_path, clock)
    workers = [project.start_worker("-c", "1", env=env)]
    workers.append(project.start_worker("-c", "1", env={} if project.backing.traits.own_clock else env))
    long = [project.send("note", 1, 3 * LEASE)[0], project.send("anote", 1, 3 * LEASE)[0]]
    for one in long:
        project.wait_started(one)
    ids = [one for _ in range(3) for one in [*project.send("note", 100, 0.005), *project.send("anote", 20, 0.05)]]
    project.wait_more(50)
    new = tmp_path / "new"
    new.write_text(str(step))
    new.replace(clock)
    at = time.monotonic()
    ids += project.send("note", 50, 0.005)
    recovery = [project.next_start(at)]
    project.wait_states([*long, *ids], 40)
    assert abs(logged(workers[0]) - time.time() - step) < 60, "the clock was not stepped: the test has shown nothing"
    figures = count(project, [*long, *ids], [Incident(at)], recovery=recovery)
    conclude(project, "stops", f"clock of a worker set {step:+d} s", figures, promise=HOST_PROMISE)
    for worker in workers:
        worker.stop()


def logged(worker: Worker) -> float:
    """Return the time of the last line that the worker has logged, seconds since the epoch."""
    *_, last = re.findall(r"^\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)", worker.log(), re.MULTILINE)
    return datetime.fromisoformat(last).astimezone().timestamp()


STEPPED = """
# What every process of a stepped worker does first: from now on time.time() is off by what the file says. The steady
# clock is not touched, as it is not when somebody sets the clock of a machine; neither is datetime.now(), which nothing
# here asks. (libfaketime moves all of it, and makes Python's time.sleep() fail.)
import os, time

wall, path = time.time, os.environ["FLEET_CLOCK"]


def stepped():
    with open(path) as file:
        return wall() + float(file.read() or 0)


time.time = stepped
"""


def stepped(folder: Path, clock: Path) -> dict[str, str]:
    """Return the environment of a worker whose wall clock is as far off as the file says."""
    (folder / "sitecustomize.py").write_text(STEPPED)
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"PYTHONPATH": path, "FLEET_CLOCK": str(clock)}


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_child_stopped_alone_keeps_what_it_runs(make_project: Callable[..., Project]) -> None:
    """Its supervisor renews its lease: nobody else may run its task."""
    project = make_project(worker_lease=LEASE)
    worker = project.start_worker("-c", "1")
    (task,) = project.send("note", 1, 0.5)
    pid = project.wait_started(task).pid
    project.freeze([pid])
    other = project.start_worker("-c", "1")
    until = time.monotonic() + 2 * LEASE
    wait_for(lambda: time.monotonic() > until, 3 * LEASE, "two leases over")
    os.kill(pid, signal.SIGCONT)
    assert project.wait_state(task) == state.SUCCESS
    assert [run.pid for run in project.runs(task)] == [pid]
    worker.stop()
    other.stop()
