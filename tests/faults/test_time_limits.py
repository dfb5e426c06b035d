"""Time limits: a task that passes its own pays for it, and nobody else does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from celeriac.core import state
from tests.support.fleet import Project
from tests.support.waiting import wait_for

EXTRA = """
from celeriac.exceptions import SoftTimeLimitExceeded


@app.task(bind=True, name="spin")
def spin(self):
    write("start", self.request)
    while True:
        pass


@app.task(bind=True, name="stubborn")
def stubborn(self):
    write("start", self.request)
    while True:
        try:
            time.sleep(60)
        except SoftTimeLimitExceeded:
            write("soft", self.request)


@app.task(bind=True, name="tidy")
def tidy(self):
    write("start", self.request)
    try:
        time.sleep(60)
    except SoftTimeLimitExceeded:
        write("soft", self.request)
        return "tidied up"


@app.task(bind=True, name="atidy")
async def atidy(self):
    import asyncio
    write("start", self.request)
    try:
        await asyncio.sleep(60)
    except SoftTimeLimitExceeded:
        await asyncio.sleep(0)
        write("soft", self.request)
        return "tidied up"


@app.task(bind=True, name="astubborn")
async def astubborn(self):
    import asyncio
    write("start", self.request)
    while True:
        try:
            await asyncio.sleep(60)
        except Exception:
            write("soft", self.request)


@app.task(bind=True, name="ablock")
async def ablock(self):
    write("start", self.request)
    time.sleep(60)
"""


@pytest.fixture
def project(make_project: Callable[..., Project]) -> Project:
    return make_project(extra=EXTRA)


def lasted(project: Project, task_id: str) -> float:
    """Return the seconds from the task's start to its line about the soft limit."""
    times = {entry.word: entry.at for entry in project.diary() if entry.id == task_id}
    return times["soft"] - times["start"]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("task", ["note", "spin", "stubborn"])
@pytest.mark.parametrize("options", [("-c", "1"), ("-c", "1", "--threads", "4")], ids=["main thread", "threads"])
def test_hard_limit_ends_that_task_alone(project: Project, task: str, options: tuple[str, ...]) -> None:
    """What ran beside it or was claimed runs on elsewhere, unmarked; only the culprit fails."""
    # A coroutine and, with threads, plain functions run beside it when its process is killed.
    beside = project.send("anote", 2, 2.0)
    if "--threads" in options:
        beside += project.send("note", 2, 1.8)
    (culprit,) = project.send(task, 1, *((60.0,) if task == "note" else ()), time_limit=1.0)
    beside += project.send("note", 5, 0.01)
    worker = project.start_worker(*options)
    project.wait_started(culprit)
    assert project.wait_state(culprit, 10) == state.FAILURE
    assert project.error(culprit).startswith("TimeLimitExceeded")
    assert set(project.wait_states(beside, 15).values()) == {state.SUCCESS}
    assert len(project.runs(culprit)) == 1
    assert project.app.broker.stats() == []
    worker.stop()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("options", [("-c", "1"), ("-P", "solo")])
def test_soft_limit_interrupts_a_blocking_call_in_a_process(project: Project, options: tuple[str, ...]) -> None:
    worker = project.start_worker(*options)
    (tidy,) = project.send("tidy", 1, soft_time_limit=0.5)
    (plain,) = project.send("note", 1, 60.0, soft_time_limit=0.5)
    assert project.wait_state(tidy, 5) == state.SUCCESS
    assert 0.5 <= lasted(project, tidy) < 1.5
    assert project.wait_state(plain, 5) == state.FAILURE
    assert project.error(plain).startswith("SoftTimeLimitExceeded")
    (after,) = project.send("note", 1)
    assert project.wait_state(after) == state.SUCCESS
    worker.stop()


@pytest.mark.timeout(60)
def test_soft_limit_in_threads_arrives_between_two_lines_of_python(project: Project) -> None:
    worker = project.start_worker("-c", "1", "--threads", "2")
    (spin,) = project.send("spin", 1, soft_time_limit=0.5, time_limit=20.0)
    assert project.wait_state(spin, 5) == state.FAILURE
    assert project.error(spin).startswith("SoftTimeLimitExceeded")
    (after,) = project.send("note", 1)
    assert project.wait_state(after) == state.SUCCESS
    worker.stop()


@pytest.mark.timeout(60)
def test_hard_limit_follows_an_ignored_soft_one(project: Project) -> None:
    worker = project.start_worker("-c", "1")
    (task,) = project.send("stubborn", 1, soft_time_limit=0.3, time_limit=1.0)
    assert project.wait_state(task, 5) == state.FAILURE
    assert project.error(task).startswith("TimeLimitExceeded")
    assert lasted(project, task) < 1.0
    worker.stop()


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_limits_of_coroutines(project: Project) -> None:
    """A coroutine is ended where it awaits, without its process; one that does not listen costs the process."""
    worker = project.start_worker("-c", "1")
    children = set(worker.children())
    (beside,) = project.send("anote", 1, 1.5)
    project.wait_started(beside)
    (tidy,) = project.send("atidy", 1, soft_time_limit=0.4)
    (hard,) = project.send("anote", 1, 60.0, time_limit=0.4)
    (soft,) = project.send("anote", 1, 60.0, soft_time_limit=0.4)
    assert project.wait_states([tidy, hard, soft], 5) == {
        tidy: state.SUCCESS,
        hard: state.FAILURE,
        soft: state.FAILURE,
    }
    assert project.error(hard).startswith("TimeLimitExceeded")
    assert project.error(soft).startswith("SoftTimeLimitExceeded")
    assert set(worker.children()) == children
    assert project.wait_state(beside) == state.SUCCESS
    assert len(project.runs(beside)) == 1

    (beside,) = project.send("anote", 1, 2.5)
    project.wait_started(beside)
    for name in ("astubborn", "ablock"):
        (task,) = project.send(name, 1, time_limit=0.4)
        assert project.wait_state(task, 6) == state.FAILURE
        assert project.error(task).startswith("TimeLimitExceeded")
        assert len(project.runs(task)) == 1
    assert project.wait_state(beside) == state.SUCCESS
    assert len(project.runs(beside)) == 3
    worker.stop()


@pytest.mark.timeout(60)
def test_limits_given_to_the_worker(project: Project) -> None:
    worker = project.start_worker("-c", "1", "--soft-time-limit", "0.3", "--time-limit", "1")
    (tidy,) = project.send("tidy", 1)
    (stubborn,) = project.send("stubborn", 1)
    assert project.wait_state(tidy, 5) == state.SUCCESS
    assert project.wait_state(stubborn, 5) == state.FAILURE
    assert project.error(stubborn).startswith("TimeLimitExceeded")
    worker.stop()


@pytest.mark.timeout(60)
def test_hard_limit_of_an_at_most_once_task_and_of_one_that_has_expired_meanwhile(project: Project) -> None:
    worker = project.start_worker("-c", "2")
    (once,) = project.send("once", 1, 60.0, time_limit=1.0)
    (expired,) = project.send("note", 1, 60.0, time_limit=1.0, expires=0.5)
    for one in (once, expired):
        assert project.wait_state(one, 8) == state.FAILURE
        assert project.error(one).startswith("TimeLimitExceeded")
    wait_for(lambda: project.app.broker.stats() == [], 5, "nothing left at the broker")
    worker.stop()
