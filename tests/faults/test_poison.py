"""Tasks that kill their process: each is stopped in the end, and stops nobody else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from celeriac.core import state
from tests.support.fleet import Project
from tests.support.waiting import wait_for

LIMIT = 3

EXTRA = """
@app.task(bind=True, name="leave")
def leave(self, code):
    write("start", self.request)
    os._exit(code)


@app.task(bind=True, name="abandon")
def abandon(self):
    write("start", self.request)
    raise SystemExit(3)


@app.task(bind=True, name="apoison")
async def apoison(self):
    write("start", self.request)
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(bind=True, name="segfault")
def segfault(self):
    import ctypes
    write("start", self.request)
    ctypes.string_at(0)


@app.task(bind=True, name="once_poison", acks_late=False)
def once_poison(self):
    write("start", self.request)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def assert_buried(project: Project, task_id: str, cause: str) -> None:
    """Check that the task is a dead letter, and that everybody can read why."""
    assert project.wait_state(task_id) == state.DEAD
    error = project.error(task_id)
    assert error.startswith("WorkerLostError")
    assert "task_delivery_limit" in error
    assert cause in error
    record = project.record(task_id)
    assert record is not None
    assert (record.state, record.crashes) == (state.DEAD, LIMIT)
    assert record.reason is not None
    assert cause in record.reason


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("task", "arguments", "cause"),
    [
        ("poison", (), "SIGKILL"),
        ("apoison", (), "SIGKILL"),
        ("segfault", (), "SIGSEGV"),
        ("leave", (7,), "code 7"),
        ("leave", (0,), "code 0"),
    ],
)
@pytest.mark.parametrize("options", [("-c", "2"), ("-c", "1", "--threads", "4")], ids=["processes", "threads"])
def test_poison_is_buried_and_harms_nobody(
    make_project: Callable[..., Project], task: str, arguments: tuple[object, ...], cause: str, options: tuple[str, ...]
) -> None:
    """Beside it run plain functions and coroutines, some long enough to be there at every death."""
    project = make_project(extra=EXTRA, task_delivery_limit=LIMIT)
    beside = project.send("note", 20, 0.05) + project.send("anote", 20, 0.05) + project.send("anote", 3, 1.0)
    (poison,) = project.send(task, 1, *arguments)
    beside += project.send("note", 40, 0.01) + project.send("anote", 20, 0.01)
    worker = project.start_worker(*options)
    assert set(project.wait_states(beside, 30).values()) == {state.SUCCESS}
    assert_buried(project, poison, cause)
    assert len(project.runs(poison)) == LIMIT
    worker.stop()


@pytest.mark.timeout(60)
def test_two_poisons_do_not_bury_each_others_neighbours(make_project: Callable[..., Project]) -> None:
    project = make_project(extra=EXTRA, task_delivery_limit=LIMIT)
    poisons = project.send("poison", 2) + project.send("apoison", 2)
    beside = project.send("note", 30, 0.02) + project.send("anote", 30, 0.02)
    worker = project.start_worker("-c", "2", "--threads", "3")
    assert set(project.wait_states(beside, 30).values()) == {state.SUCCESS}
    for one in poisons:
        assert_buried(project, one, "SIGKILL")
        # Another poison may have struck when this one was about to write its first line.
        assert 1 <= len(project.runs(one)) <= LIMIT
    worker.stop()


@pytest.mark.timeout(60)
def test_system_exit_in_a_task_is_a_failure_and_no_dead_process(make_project: Callable[..., Project]) -> None:
    project = make_project(extra=EXTRA)
    worker = project.start_worker("-c", "1")
    children = set(worker.children())
    (task,) = project.send("abandon", 1)
    assert project.wait_state(task) == state.FAILURE
    assert project.error(task).startswith("SystemExit")
    assert set(worker.children()) == children
    worker.stop()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("options", [("-c", "2"), ("-c", "1", "--threads", "4")], ids=["processes", "threads"])
def test_at_most_once_task_never_runs_twice(make_project: Callable[..., Project], options: tuple[str, ...]) -> None:
    project = make_project(extra=EXTRA)
    (killer,) = project.send("once_poison", 1)
    beside = project.send("once", 10, 0.05) + project.send("note", 10, 0.05)
    worker = project.start_worker(*options)
    states = project.wait_states([killer, *beside], 30)
    starts = project.starts()
    assert [one for one in [*beside[:10], killer] if len(starts.get(one, [])) > 1] == []
    assert states[killer] == state.FAILURE
    assert project.error(killer).startswith("WorkerLostError")
    assert "at-most-once" in project.error(killer)
    for one in beside[:10]:
        # One that ran beside the killer, or was just about to, is lost with it, and says so; the others run.
        if states[one] == state.SUCCESS:
            assert len(starts[one]) == 1
        else:
            assert project.error(one).startswith("WorkerLostError")
    assert {states[one] for one in beside[10:]} == {state.SUCCESS}
    wait_for(lambda: project.app.broker.stats() == [], 5, "nothing left at the broker")
    worker.stop()


@pytest.mark.timeout(60)
def test_at_most_once_task_of_a_killed_worker_is_a_failure(make_project: Callable[..., Project]) -> None:
    project = make_project(extra=EXTRA, worker_lease=2)
    worker = project.start_worker("-c", "1")
    (task,) = project.send("once", 1, 30.0)
    project.wait_started(task)
    worker.kill_all()
    project.start_worker("-c", "1")
    assert project.wait_state(task, 8) == state.FAILURE
    assert project.error(task).startswith("WorkerLostError")
    assert len(project.runs(task)) == 1
