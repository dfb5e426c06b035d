"""Children that are replaced while work goes on: after so many tasks, above so much memory, more and fewer of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from celeriac.core import state
from tests.support.fleet import Project
from tests.support.scenarios import on
from tests.support.tally import Incident, conclude, count, sized
from tests.support.waiting import wait_for

EXTRA = """
BALLAST = []


@app.task(bind=True, name="grow")
def grow(self, mebibytes):
    write("start", self.request)
    BALLAST.append(b"x" * (mebibytes << 20))
"""


def assert_each_ran_once(project: Project, ids: list[str]) -> None:
    starts = project.starts()
    assert Counter(len(starts.get(one, [])) for one in ids) == {1: len(ids)}


@pytest.mark.timeout(90)
@pytest.mark.parametrize("options", [("-c", "2"), ("-c", "1", "--threads", "3")], ids=["processes", "threads"])
def test_one_task_per_child(project: Project, options: tuple[str, ...]) -> None:
    ids = project.send("note", 40, 0.01) + project.send("anote", 20, 0.01)
    worker = project.start_worker(*options, "--max-tasks-per-child", "1")
    assert set(project.wait_states(ids, 60).values()) == {state.SUCCESS}
    assert_each_ran_once(project, ids)
    runs = Counter(run.pid for found in project.starts().values() for run in found)
    assert set(runs.values()) == {1}
    assert "ERROR" not in worker.log()
    worker.stop()


@on()
@pytest.mark.parametrize("most", [1, 50])
def test_children_are_replaced_under_load(project: Project, most: int) -> None:
    rounds = sized(1, 8) if most == 1 else sized(20, 120)
    seconds = 0.0 if most == 1 else 0.002
    ids = [one for _ in range(rounds) for one in project.send("note", 20, seconds) + project.send("anote", 10, seconds)]
    worker = project.start_worker("-c", "2", "--max-tasks-per-child", str(most))
    project.wait_empty(200)
    runs = Counter(run.pid for found in project.starts().values() for run in found)
    assert max(runs.values()) <= most
    figures = count(project, ids, [Incident(0.0)] * len(runs), recovery=())
    note = f"{len(runs)} children; a fault is the end of one"
    conclude(project, "shutdown", f"max_tasks_per_child={most}", figures, note=note)
    assert "ERROR" not in worker.log()
    worker.stop()


@pytest.mark.timeout(60)
def test_child_that_has_grown_is_replaced_between_tasks(make_project: Callable[..., Project]) -> None:
    project = make_project(extra=EXTRA)
    worker = project.start_worker("-c", "1", "--max-memory-per-child", str(200 << 10))
    (first,) = worker.children()
    (long,) = project.send("anote", 1, 1.0)
    project.wait_started(long)
    (grow,) = project.send("grow", 1, 200)
    assert project.wait_state(grow) == state.SUCCESS
    worker.wait_log("max_memory_per_child")
    wait_for(lambda: first not in worker.children(), 10, "the grown child replaced")
    assert project.wait_state(long) == state.SUCCESS
    assert len(project.runs(long)) == 1
    (after,) = project.send("note", 1)
    assert project.wait_started(after).pid != first
    assert "ERROR" not in worker.log()
    worker.stop()


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_autoscale_grows_while_all_are_busy_and_shrinks_when_idle(project: Project) -> None:
    ids = project.send("note", 12, 1.0)
    worker = project.start_worker("--autoscale", "3,1")
    assert len(worker.children()) == 1
    wait_for(lambda: len(worker.children()) == 3, 15, "three children")
    assert set(project.wait_states(ids, 30).values()) == {state.SUCCESS}
    wait_for(lambda: len(worker.children()) == 1, 30, "one child")
    more = project.send("note", 5)
    assert set(project.wait_states(more).values()) == {state.SUCCESS}
    assert_each_ran_once(project, ids + more)
    assert "ERROR" not in worker.log()
    worker.stop()


@pytest.mark.timeout(60)
def test_pool_grows_and_shrinks_by_command(project: Project) -> None:
    worker = project.start_worker("-c", "1")
    project.app.control.broadcast("pool_grow", {"n": 2})
    wait_for(lambda: len(worker.children()) == 3, 15, "three children")
    ids = project.send("note", 3, 1.0)
    wait_for(lambda: len(project.starts()) == 3, 10, "three tasks at once")
    project.app.control.broadcast("pool_shrink", {"n": 2})
    wait_for(lambda: len(worker.children()) == 1, 15, "one child")
    assert set(project.wait_states(ids).values()) == {state.SUCCESS}
    assert_each_ran_once(project, ids)
    worker.stop()
