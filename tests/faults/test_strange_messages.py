"""Messages that a worker cannot run: none is dropped, each ends where a person can see it."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
import pytest

from celeriac.core import state
from celeriac.core.message import Message
from tests.support.fleet import Project
from tests.support.waiting import wait_for

LATER = """
if os.environ.get("ROLLED_OUT"):
    @app.task(bind=True, name="novelty")
    def novelty(self):
        write("start", self.request)
"""


@pytest.mark.timeout(60)
def test_unknown_task_waits_for_a_worker_that_knows_it(
    make_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rolling deploy: the producer and one worker are new, the other worker is not yet."""
    project = make_project(extra=LATER, worker_unknown_task_delay=0.3, worker_unknown_task_window=30)
    old = project.start_worker("-c", "1")
    task = project.app.send_task("novelty").id
    old.wait_log("novelty")
    wait_for(lambda: (found := project.record(task)) is not None and found.state == state.SCHEDULED, 5, "it is parked")
    assert project.runs(task) == []
    monkeypatch.setenv("ROLLED_OUT", "1")
    new = project.start_worker("-c", "1")
    run = project.wait_started(task, timeout=10)
    assert run.pid in new.children()
    assert project.wait_state(task) == state.SUCCESS
    (after,) = project.send("note", 1)
    assert project.wait_state(after) == state.SUCCESS
    old.stop()
    new.stop()


@pytest.mark.timeout(60)
def test_unknown_task_is_a_dead_letter_when_its_window_is_over(make_project: Callable[..., Project]) -> None:
    project = make_project(worker_unknown_task_delay=0.3, worker_unknown_task_window=1.2)
    worker = project.start_worker("-c", "1")
    sent = time.monotonic()
    task = project.app.send_task("nobody.knows").id
    assert project.wait_state(task) == state.DEAD
    assert time.monotonic() - sent >= 1.2
    assert project.error(task).startswith("NotRegistered")
    record = project.record(task)
    assert record is not None
    assert record.reason is not None
    assert "nobody.knows" in record.reason
    assert "worker_unknown_task_window" in record.reason
    worker.stop()


@pytest.mark.timeout(60)
def test_bodies_that_cannot_be_read_are_dead_letters(project: Project) -> None:
    """Hostile or damaged, they are buried with their bytes, and the worker goes on."""
    good = Message(id="good", task="note", queue="celery", body=b"[[0.0],{},null]")
    bad = {
        "not json": msgspec.structs.replace(good, id="not json", body=b"\x80\x04\x95 nonsense"),
        "cut off": msgspec.structs.replace(good, id="cut off", body=b"[[0.0],{}"),
        "no list": msgspec.structs.replace(good, id="no list", body=b'{"a": 1}'),
        "pickle": msgspec.structs.replace(good, id="pickle", content_type="application/x-python-serialize"),
        "unknown type": msgspec.structs.replace(good, id="unknown type", content_type="application/x-nothing"),
        "not compressed": msgspec.structs.replace(good, id="not compressed", compression="application/x-gzip"),
    }
    project.app.broker.enqueue([*bad.values(), good])
    worker = project.start_worker("-c", "1")
    assert project.wait_state("good") == state.SUCCESS
    assert set(project.wait_states(bad).values()) == {state.DEAD}
    for name, message in bad.items():
        record = project.record(name)
        assert record is not None
        assert record.state == state.DEAD
        assert record.reason
        assert record.message is not None
        assert record.message.body == message.body
    assert set(project.starts()) == {"good"}
    worker.stop()


@pytest.mark.timeout(60)
def test_wrong_arguments_are_a_failure(project: Project) -> None:
    message = Message(id="too many", task="note", queue="celery", body=b"[[1,2,3],{},null]")
    project.app.broker.enqueue([message])
    worker = project.start_worker("-c", "1")
    assert project.wait_state("too many") == state.FAILURE
    assert project.error("too many").startswith("TypeError")
    worker.stop()


@pytest.mark.timeout(60)
def test_expired_task_does_not_run(project: Project) -> None:
    (task,) = project.send("note", 1, expires=0.2)
    (kept,) = project.send("note", 1, expires=60)
    until = time.monotonic() + 0.25
    wait_for(lambda: time.monotonic() > until, 1, "it has expired")
    worker = project.start_worker("-c", "1")
    assert project.wait_states([task, kept]) == {task: state.REVOKED, kept: state.SUCCESS}
    assert set(project.starts()) == {kept}
    worker.stop()
