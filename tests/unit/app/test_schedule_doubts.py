"""Bad entries are told in the scheduler's health, in ``list`` and in the log, until they are changed or dropped."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from celeriac import Celeriac
from celeriac.core.scheduled import StoredEntry, Writing
from celeriac.events import Bus, EntryFailed
from celeriac.scheduler.doubts import MOST, Doubts
from celeriac.scheduler.service import Scheduler
from celeriac.testing.clock import VirtualClock
from tests.support.desk import add_unchecked


def turn(scheduler: Scheduler) -> str:
    """Let it do what is due, look at what was bad, and say what is bad."""
    scheduler._doubt_at = 0.0
    scheduler.turn()
    return "\n".join(scheduler.status.doubts)


def test_a_bad_entry_is_told_until_it_is_changed_or_dropped(app: Celeriac, clock: VirtualClock) -> None:
    @app.task(name="proj.add")
    def add(x: int) -> int:
        return x

    add_unchecked(app, "arguments", "proj.add")
    app.schedule.add("unknown", "proj.nowhere", every=10)
    app.schedule.add("good", add, every=10, args=(1,))
    app.broker.put_entries([Writing(StoredEntry(name="unreadable", body=b"{", edition=1, due=clock.now()))])
    scheduler = app.schedule.scheduler(Bus(), "only")
    clock.advance(10)
    turn(scheduler)
    told = turn(scheduler)
    assert [line.split("'")[1] for line in sorted(told.splitlines())] == ["arguments", "unknown", "unreadable"]
    assert "no task 'proj.nowhere' is registered here" in told
    assert "cannot be called with these arguments" in told
    assert scheduler.status.problems == ()
    listed = {one.name: (one.problem is not None, one.doubt is not None) for one in app.schedule.list()}
    assert listed == {
        "arguments": (True, False), "good": (False, False), "unknown": (False, True), "unreadable": (True, False)
    }  # fmt: skip

    app.schedule.update("arguments", args=(1,))
    app.schedule.remove("unreadable")
    app.schedule.update("unknown", task=add, args=(2,))
    assert turn(scheduler) == ""
    clock.advance(10)
    assert turn(scheduler) == ""


def test_what_is_wrong_in_the_settings_is_told_until_the_end(make_app: Callable[..., Celeriac]) -> None:
    app = make_app()
    app.conf.beat_schedule = {"wrong": {"task": "proj.a", "schedule": "daily"}}
    scheduler = app.schedule.scheduler(Bus(), "only")
    for _ in range(3):
        assert "schedule entry 'wrong'" in turn(scheduler)


def test_an_unknown_task_in_the_settings_is_told_at_once_and_until_the_entry_is_changed(
    make_app: Callable[..., Celeriac],
) -> None:
    app = make_app()

    @app.task(name="proj.add")
    def add() -> None:
        """Do nothing."""

    app.conf.beat_schedule = {"yearly": {"task": "proj.nowhere", "schedule": "0 0 1 1 *"}}
    scheduler = app.schedule.scheduler(Bus(), "only")
    for _ in range(2):
        assert "no task 'proj.nowhere' is registered here" in turn(scheduler)
    app.schedule.update("yearly", task=add)
    assert turn(scheduler) == ""


@pytest.mark.parametrize("count", [MOST, MOST + 1])
def test_not_all_of_very_many_are_remembered(count: int) -> None:
    bus = Bus()
    doubts = Doubts(bus)
    for number in range(count):
        bus.emit(EntryFailed(f"e{number}", "bad"))
    assert len(doubts.told()) == MOST
