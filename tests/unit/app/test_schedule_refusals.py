"""What is refused when entries are added and changed, and what their policies count."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest

from celeriac import Celeriac
from celeriac.canvas import group
from celeriac.core.message import Settlement
from celeriac.errors import InvalidTaskError, StoreNeeded
from celeriac.events import Bus
from celeriac.testing.clock import VirtualClock
from tests.support.desk import add_unchecked


def tick(app: Celeriac) -> None:
    """Let a new scheduler do what is due now."""
    app.schedule.scheduler(Bus(), "only").turn()


def test_what_is_wrong_with_an_entry_is_said_when_it_is_added(app: Celeriac) -> None:
    @app.task(name="proj.add")
    def add(x: int) -> int:
        return x

    wrong: list[tuple[dict[str, Any], str]] = [
        ({"args": "abc"}, "args='abc' must be a list or tuple"),
        ({"kwargs": [1]}, r"kwargs=\[1\] must be a dictionary"),
        ({"kwargs": {1: 2}}, "kwargs must have names as keys, not 1"),
        ({"args": (1,), "options": {"colour": "red"}}, "unknown option 'colour'"),
        ({"args": (1,), "options": {"priority": 99}}, "priority=99"),
        ({"args": (1,), "options": {"task_id": "x"}}, "leave task_id= out"),
        ({}, "missing 1 required positional argument"),
        ({"args": (1,), "start": "soon"}, "start='soon' is a str"),
        ({"args": (1,), "end": date(2090, 1, 1)}, "end=.* is a date"),
        ({"args": (1,), "enabled": "no"}, "enabled='no' must be True or False"),
        ({"args": (1,), "keep": 1.5}, "keep=1.5 must be a whole number"),
        ({"args": (1,), "jitter": "5"}, "jitter='5' is a str"),
        ({"args": (1,), "enabled": None}, "enabled=None must be True or False"),
        ({"args": (1,), "start": None, "start_time": None}, "start_time= and start= are one field"),
        ({"args": (1,), "keep": 10**9}, "keep=1000000000 must be at most 10000"),
        ({"args": (1,), "zone": 5}, "no time zone 5"),
        ({"args": (1,), "every": None, "cron": 5}, "cron=5 must be a text"),
        ({"args": (1,), "every": 1e300}, r"every=1e\+300"),
        ({"args": (1,), "every": 1e-9}, "every=1e-09 must be at least 0.001 seconds"),
        ({"args": (1,), "every": 86400 * 366 * 9000}, "never due"),
    ]
    for fields, reason in wrong:
        with pytest.raises(InvalidTaskError, match=reason):
            app.schedule.add("bad", add, **{"every": 10, **fields})
    for name in (5, "celeriac.settings"):
        with pytest.raises(InvalidTaskError, match=repr(name)):
            app.schedule.add(name, add, every=10, args=(1,))  # type: ignore[arg-type]
    with pytest.raises(InvalidTaskError, match="not for schedule entries"):
        app.schedule.remove("celeriac.settings")
    assert app.schedule.list() == []
    # As in Celery's entries, None stands for no arguments.
    app.schedule.add("none", "proj.a", every=10, args=None, kwargs=None, options=None, description=None)


def test_a_change_after_which_an_entry_would_never_run_is_refused(app: Celeriac) -> None:
    app.schedule.add("good", "proj.a", every=10)
    long_ago = datetime(2001, 1, 1, tzinfo=UTC)
    for fields in ({"at": long_ago}, {"end": long_ago}):
        with pytest.raises(InvalidTaskError, match="'good' is never due"):
            app.schedule.update("good", **fields)
    with pytest.raises(InvalidTaskError, match="unknown option 'colour'"):
        app.schedule.update("good", options={"colour": "red"})
    found = app.schedule.get("good")
    assert found is not None
    assert found.next_run is not None


def test_an_entry_that_cannot_be_sent_can_be_disabled(app: Celeriac) -> None:
    @app.task(name="proj.add")
    def add(x: int) -> int:
        return x

    add_unchecked(app, "bad", "proj.add")
    app.schedule.disable("bad")
    found = app.schedule.get("bad")
    assert found is not None
    assert found.next_run is None


@pytest.mark.parametrize("misfire", ["skip", "once"])
def test_a_run_that_waits_for_the_one_before_it_has_not_been_missed(
    app: Celeriac, clock: VirtualClock, misfire: str
) -> None:
    app.schedule.add("report", "proj.a", every=100, overlap="queue", misfire=misfire, window=2.0)
    clock.advance(100)
    tick(app)
    (first,) = app.broker.claim(["celery"], 10, "w", 1000.0)
    clock.advance(100)
    for _ in range(10):
        tick(app)
        clock.advance(5)
    assert app.broker.claim(["celery"], 10, "w", 1000.0) == []
    app.broker.settle([Settlement(lease=first.lease, action="done")])
    tick(app)
    assert len(app.broker.claim(["celery"], 10, "w", 1000.0)) == 1
    found = app.schedule.get("report")
    assert found is not None
    assert (found.total_runs, found.missed) == (2, 0)


def test_a_run_that_goes_on_is_heeded_although_one_was_sent_by_hand(app: Celeriac, clock: VirtualClock) -> None:
    app.schedule.add("report", "proj.a", every=100, overlap="skip")
    clock.advance(100)
    tick(app)
    assert len(app.broker.claim(["celery"], 10, "w", 1000.0)) == 1
    app.schedule.run_now("report")
    (by_hand,) = app.broker.claim(["celery"], 10, "w", 1000.0)
    app.broker.settle([Settlement(lease=by_hand.lease, action="done")])
    clock.advance(100)
    tick(app)
    assert app.broker.claim(["celery"], 10, "w", 1000.0) == []


def test_an_entry_that_keeps_no_runs_does_not_grow(app: Celeriac, clock: VirtualClock) -> None:
    app.schedule.add("none", "proj.a", every=100, keep=0)
    app.schedule.add("none, and alone", "proj.a", every=100, keep=0, overlap="skip")
    for _ in range(3):
        clock.advance(100)
        tick(app)
    assert app.schedule.history("none") == []
    assert len(app.schedule.history("none, and alone")) == 1
    found = app.schedule.get("none, and alone")
    assert found is not None
    assert (found.total_runs, found.missed) == (1, 2)


def test_a_signature_brings_its_arguments_and_a_workflow_is_refused(app: Celeriac) -> None:
    @app.task(name="proj.add")
    def add(x: int, y: int, z: int = 0) -> int:
        return x + y + z

    sig = add.s(1, z=5).set(queue="q", priority=3)
    entry = app.schedule.add("one", sig, every=10, args=(2,), kwargs=None, options={"priority": 4})
    assert (entry.task, entry.args, entry.kwargs) == ("proj.add", (1, 2), {"z": 5})
    assert entry.options == {"queue": "q", "priority": 4}
    given: list[dict[str, Any]] = [{"kwargs": [1]}, {"options": 5}, {"args": 5}]
    for wrong in given:
        with pytest.raises(InvalidTaskError, match=f"{next(iter(wrong))}=.* must be a"):
            app.schedule.add("wrong", sig, every=10, **wrong)
    changed = app.schedule.update("one", task=add.s(7, 8))
    assert (changed.args, changed.kwargs, changed.options) == ((7, 8), {}, {})
    for workflow in (add.s(1, 2) | add.s(3), group(add.s(1, 2), add.s(3, 4))):
        with pytest.raises(InvalidTaskError, match="write a task that starts the workflow"):
            app.schedule.add("flow", workflow, every=10)
        with pytest.raises(InvalidTaskError, match="write a task that starts the workflow"):
            app.add_periodic_task(10, workflow)


def test_a_broker_without_a_store_has_no_scheduler(make_app: Callable[..., Celeriac]) -> None:
    app = make_app(broker="amqp://guest@127.0.0.1:1//", backend=None)
    with pytest.raises(StoreNeeded, match="RabbitMQ alone has no way to keep a schedule: give the app"):
        app.schedule.start_background()


@pytest.mark.parametrize("name", ["", "x" * 201, "a\0b", "\udc00", "celeriac.settings:x", "celeriac.resigned"])
def test_a_name_that_no_entry_can_have_is_refused_by_every_call(app: Celeriac, name: str) -> None:
    schedule = app.schedule
    calls: list[Callable[[str], object]] = [
        schedule.get, schedule.history, schedule.remove, schedule.run_now, schedule.update, schedule.enable,
        schedule.disable, lambda given: schedule.add(given, "proj.a", every=5),
    ]  # fmt: skip
    if name:
        calls.append(lambda given: schedule.list(after=given))
    for call in calls:
        with pytest.raises(InvalidTaskError, match="name"):
            call(name)
