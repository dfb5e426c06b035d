"""Tasks that do to their process what tasks should not do; each may cost itself, and nobody else."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from celeriac.core import state
from tests.support.fleet import Project

TASKS = """
import sys
from celeriac.exceptions import SoftTimeLimitExceeded


@app.task(name="unprintable")
def unprintable():
    raise FileNotFoundError(os.fsdecode(b"/odd\\xe9"))


@app.task(name="fork")
def fork(how):
    pid = os.fork()
    if pid == 0:
        if how == "exit":
            sys.exit(3)
        if how == "raise":
            raise ValueError("in the copy")
        return "copy"
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@app.task(name="afork")
async def afork(how):
    return fork.run(how)


@app.task(name="cancel_all")
async def cancel_all():
    import asyncio
    for one in asyncio.all_tasks():
        one.cancel()
    await asyncio.sleep(0.1)


@app.task(name="spoil")
def spoil():
    import threading
    threading.Thread(target=time.sleep, args=(60,)).start()
    sys.stdout = sys.stderr = None
    os.close(0)


@app.task(name="reset_handler")
def reset_handler():
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)


@app.task(name="overdue", soft_time_limit=0.2)
def overdue():
    try:
        time.sleep(20)
    except SoftTimeLimitExceeded:
        return "told"


@app.task(bind=True, name="first_fails")
def first_fails(self):
    write("start", self.request)
    if self.request.fencing_token == 1:
        time.sleep(1.5)
        write("end", self.request)
        raise ValueError("the first run")
    return "the second run"
"""


@pytest.mark.timeout(60)
def test_error_whose_text_is_no_unicode_fails_its_task_alone(make_project: Callable[..., Project]) -> None:
    """The name of a file may be any bytes, and so may the text of an error about it."""
    project = make_project(extra=TASKS)
    worker = project.start_worker("-c", "1")
    ids = [*project.send("note", 20), *project.send("unprintable", 1), *project.send("note", 20)]
    states = project.wait_states(ids)
    assert states.pop(ids[20]) == state.FAILURE
    assert set(states.values()) == {state.SUCCESS}
    traceback = project.results([ids[20]])[ids[20]].traceback
    assert traceback is not None
    assert "odd\\udce9" in traceback
    assert "ended" not in worker.log(), worker.log()
    worker.stop()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["fork", "afork"])
@pytest.mark.parametrize("options", [("-c", "1"), ("-c", "1", "--threads", "2")], ids=["processes", "threads"])
def test_copy_of_the_process_that_returns_from_a_task_ends(
    make_project: Callable[..., Project], name: str, options: tuple[str, ...]
) -> None:
    """Or it would run and report what the process had claimed a second time."""
    project = make_project(extra=TASKS)
    behind = [
        *project.send(name, 1, "exit"),
        *project.send(name, 1, "raise"),
        *project.send(name, 1, "return"),
        *project.send("note", 50),
    ]
    worker = project.start_worker(*options)
    assert set(project.wait_states(behind).values()) == {state.SUCCESS}
    assert [bytes(project.results([one])[one].body) for one in behind[:3]] == [b"3", b"1", b"0"]
    assert {len(runs) for runs in project.starts().values()} == {1}
    assert "in the copy" in worker.log()
    worker.stop()


@pytest.mark.timeout(60)
def test_time_limits_survive_a_task_that_resets_signals(make_project: Callable[..., Project]) -> None:
    project = make_project(extra=TASKS)
    worker = project.start_worker("-c", "1")
    ids = [*project.send("reset_handler", 1), *project.send("overdue", 1)]
    assert set(project.wait_states(ids).values()) == {state.SUCCESS}
    assert bytes(project.results(ids)[ids[1]].body) == b'"told"'
    assert "ended" not in worker.log(), worker.log()
    worker.stop()


@pytest.mark.serial
@pytest.mark.timeout(60)
def test_superseded_run_leaves_a_separate_result_store_alone(make_project: Callable[..., Project]) -> None:
    """The result store cannot compare tokens: who was superseded must not get to write into it."""
    project = make_project(
        extra=TASKS + "\napp.conf.result_backend = 'sqlite:///' + __file__ + '.results'\n", worker_lease=2.0
    )
    stopped = project.start_worker("-c", "1")
    (task,) = project.send("first_fails", 1)
    project.wait_started(task)
    stopped.signal_all(signal.SIGSTOP)
    other = project.start_worker("-c", "1")
    assert project.wait_state(task, 30) == state.SUCCESS
    stopped.signal_all(signal.SIGCONT)
    stopped.wait_log("was taken over")
    assert project.wait_state(task) == state.SUCCESS
    assert bytes(project.results([task])[task].body) == b'"the second run"'
    stopped.stop()
    other.stop()


@pytest.mark.timeout(60)
def test_task_that_ends_and_fails_its_engine_becomes_a_dead_letter(make_project: Callable[..., Project]) -> None:
    """Its runs end, so none is under way when the process fails: they must count as lost all the same."""
    project = make_project(extra=TASKS)
    worker = project.start_worker("-c", "1")
    ids = [*project.send("note", 20), *project.send("cancel_all", 1), *project.send("note", 20)]
    states = project.wait_states(ids)
    assert states.pop(ids[20]) == state.DEAD
    assert set(states.values()) == {state.SUCCESS}
    assert worker.log().count("exited with code 70") == 3, worker.log()
    worker.stop()


@pytest.mark.timeout(60)
def test_worker_ends_whatever_tasks_made_of_threads_and_streams(make_project: Callable[..., Project]) -> None:
    project = make_project(extra=TASKS)
    worker = project.start_worker("-c", "1")
    ids = [*project.send("spoil", 1), *project.send("note", 5)]
    assert set(project.wait_states(ids).values()) == {state.SUCCESS}
    worker.stop()
