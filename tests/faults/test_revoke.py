"""Revoking: what runs is stopped, what waits never runs, whatever becomes of the workers meanwhile."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from celeriac.core import state
from tests.support.fleet import Project
from tests.support.waiting import wait_for

EXTRA = """
@app.task(bind=True, name="deaf")
def deaf(self):
    write("start", self.request)
    while True:
        try:
            time.sleep(60)
        except Exception:
            write("heard", self.request)


@app.task(bind=True, name="again", max_retries=None)
def again(self, seconds):
    write("start", self.request)
    time.sleep(seconds)
    raise self.retry(countdown=0.2)
"""


@pytest.fixture
def project(make_project: Callable[..., Project]) -> Project:
    return make_project(extra=EXTRA)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "options", [("-c", "2"), ("-c", "1", "--threads", "2"), ("-P", "solo")], ids=["processes", "threads", "solo"]
)
def test_running_tasks_are_stopped_on_request(project: Project, options: tuple[str, ...]) -> None:
    worker = project.start_worker(*options)
    (coroutine,) = project.send("anote", 1, 60.0)
    # A thread is interrupted between two lines of Python; waiting for its process to be ended takes longer.
    (plain,) = project.send("note", 1, 60.0)
    (beside,) = project.send("anote", 1, 1.0)
    for one in (coroutine, plain):
        project.wait_started(one)
    project.app.control.revoke([coroutine, plain], terminate=True)
    for one in (coroutine, plain):
        assert project.wait_state(one, 8) == state.REVOKED
        assert len(project.runs(one)) == 1
    assert project.wait_state(beside) == state.SUCCESS
    (after,) = project.send("note", 1)
    assert project.wait_state(after) == state.SUCCESS
    assert project.app.broker.stats() == []
    worker.stop()


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize("signal_name", [None, "SIGKILL"])
def test_task_that_does_not_listen_costs_its_process(project: Project, signal_name: str | None) -> None:
    worker = project.start_worker("-c", "1")
    (beside,) = project.send("anote", 1, 4.0)
    (deaf,) = project.send("deaf", 1)
    project.wait_started(beside)
    pid = project.wait_started(deaf).pid
    project.app.control.revoke(deaf, terminate=True, signal=signal_name)
    assert project.wait_state(deaf, 8) == state.REVOKED
    assert len(project.runs(deaf)) == 1
    assert any(entry.word == "heard" for entry in project.diary()) == (signal_name is None)
    assert project.wait_started(beside, 2).pid != pid
    assert project.wait_state(beside) == state.SUCCESS
    worker.stop()


@pytest.mark.timeout(60)
def test_waiting_and_delayed_tasks_stay_revoked_through_restarts(project: Project) -> None:
    (delayed,) = project.send("note", 1, countdown=1.0)
    (queued,) = project.send("note", 1)
    (kept,) = project.send("note", 1, countdown=1.2)
    project.app.control.revoke([queued, delayed])
    worker = project.start_worker("-c", "1")
    worker.signal_all(signal.SIGKILL)
    worker.wait(5)
    worker = project.start_worker("-c", "1")
    assert project.wait_states([delayed, queued, kept]) == {
        delayed: state.REVOKED,
        queued: state.REVOKED,
        kept: state.SUCCESS,
    }
    assert set(project.starts()) == {kept}
    worker.stop()


@pytest.mark.timeout(60)
def test_task_revoked_while_it_runs_is_not_tried_again(project: Project) -> None:
    """Without terminate the run goes on; what it asks for afterwards does not happen."""
    worker = project.start_worker("-c", "1")
    (task,) = project.send("again", 1, 0.5)
    project.wait_started(task, 2)
    project.app.control.revoke(task)
    assert project.wait_state(task) == state.REVOKED
    count = len(project.runs(task))
    (after,) = project.send("note", 1, countdown=0.5)
    assert project.wait_state(after) == state.SUCCESS
    assert len(project.runs(task)) == count
    worker.stop()


@pytest.mark.timeout(60)
def test_task_revoked_while_it_runs_does_not_run_again_when_its_worker_dies(
    make_project: Callable[..., Project],
) -> None:
    project = make_project(worker_lease=2)
    worker = project.start_worker("-c", "1")
    (task,) = project.send("note", 1, 60.0)
    project.wait_started(task)
    project.app.control.revoke(task)
    worker.kill_all()
    project.start_worker("-c", "1")
    assert project.wait_state(task, 8) == state.REVOKED
    assert len(project.runs(task)) == 1


@pytest.mark.timeout(60)
def test_claimed_task_that_is_revoked_before_it_starts_does_not_run(make_project: Callable[..., Project]) -> None:
    project = make_project(worker_claim_ahead=10)
    worker = project.start_worker("-c", "1")
    first, second = project.send("note", 1, 1.0) + project.send("note", 1)
    project.wait_started(first)
    wait_for(lambda: (found := project.record(second)) is not None and found.owner, 5, "the second claimed")
    project.app.control.revoke(second)
    assert project.wait_states([first, second]) == {first: state.SUCCESS, second: state.REVOKED}
    assert project.runs(second) == []
    wait_for(lambda: project.app.broker.stats() == [], 5, "nothing left at the broker")
    worker.stop()


@pytest.mark.timeout(60)
def test_thousands_of_revoked_ids_hold_up_no_supervisor(project: Project) -> None:
    """A child whose GIL is held does not read; time limits must be enforced all the same."""
    worker = project.start_worker("-c", "2")
    (held,) = project.send("hold", 1, 4.0)
    project.wait_started(held)
    for number in range(4):
        project.app.control.broadcast("revoke", {"ids": [f"{number}-{count}" * 4 for count in range(10_000)]})
    (limited,) = project.send("note", 1, 30.0, time_limit=1.0)
    run = project.wait_started(limited)
    assert project.wait_state(limited, 4) == state.FAILURE
    assert project.error(limited).startswith("TimeLimitExceeded")
    assert project.wait_state(held) == state.SUCCESS
    assert project.runs(held)[0].pid != run.pid
    worker.stop()
