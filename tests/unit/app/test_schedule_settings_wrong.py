"""Entries of the settings that are wrong: each is told in list, log and health, and holds up no other."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from celeriac import Celeriac
from celeriac.errors import ImproperlyConfigured
from celeriac.events import Bus, EntryFailed
from celeriac.schedules import crontab
from celeriac.testing.clock import VirtualClock

Make = Callable[..., Celeriac]


def start(app: Celeriac) -> list[str]:
    """Start a scheduler, and let it look once; return the names of what it told of in the log and its health."""
    failed: list[EntryFailed] = []
    bus = Bus()
    bus.subscribe(EntryFailed, failed.append)
    scheduler = app.schedule.scheduler(bus, "only")
    scheduler.turn()
    told = [one for one in scheduler.status.doubts if "is registered here" not in one]
    assert [f"schedule entry {one.name!r}: {one.reason}" for one in failed] == told
    return [one.name for one in failed]


def stopped_clock() -> datetime:
    raise RuntimeError("no time")


WRONG: list[tuple[Any, dict[str, Any], str]] = [
    ("cron", {"schedule": "61 * * * *"}, "minute='61'"),
    ("never", {"schedule": "0 0 31 2 *"}, "it is never due"),
    ("arguments", {"args": (1, 2)}, "cannot be called with these arguments"),
    ("unkeepable", {"task": "proj.nowhere", "args": (object(),)}, "object"),
    ("option", {"options": {"colour": "red"}}, "unknown option 'colour'"),
    ("field", {"colour": "red"}, "no field 'colour'"),
    ("nowfun", {"schedule": crontab(nowfun=stopped_clock)}, "no time"),
    ("surrogate \udc00", {}, "1 to 200 bytes in UTF-8"),
    ("x" * 201, {}, "1 to 200 bytes in UTF-8"),
    ("", {}, "1 to 200 bytes in UTF-8"),
    ("celeriac.settings", {}, "choose another"),
    (7, {}, "under a name"),
]


@pytest.mark.parametrize(("name", "fields", "reason"), WRONG)
def test_a_wrong_entry_is_told_and_keeps_no_other_from_its_work(
    make_app: Make, clock: VirtualClock, name: Any, fields: dict[str, Any], reason: str
) -> None:
    app = make_app()

    @app.task(name="proj.add")
    def add(x: int) -> int:
        return x

    good = {"task": "proj.add", "schedule": 10.0, "args": (1,)}
    app.conf.beat_schedule = {"a good": good, name: {**good, **fields}, "z good": good}
    assert start(app) == [str(name)]
    clock.advance(10)
    app.schedule.scheduler(Bus(), "only").turn()
    listed = {one.name: one for one in app.schedule.list()}
    assert [listed[one].total_runs for one in ("a good", "z good")] == [1, 1]
    if isinstance(name, int) or (name.isalpha() and len(name) < 200):
        wrong = listed.pop(str(name))
        assert reason in (wrong.problem or "")
        assert (wrong.entry, wrong.next_run) == (None, None)
    assert listed.keys() == {"a good", "z good"}
    with pytest.raises(ImproperlyConfigured, match="beat_schedule: entry"):
        app.schedule.from_settings()


def test_an_entry_that_is_wrong_for_a_while_keeps_its_history(make_app: Make, clock: VirtualClock) -> None:
    url = "memory://wrong-for-a-while"

    def deploy(**schedule: Any) -> Celeriac:
        app = make_app(broker=url, backend=url)
        app.conf.beat_schedule = {name: {"task": "proj.a", "schedule": when} for name, when in schedule.items()}
        start(app)
        return app

    deploy(job=10.0)
    clock.advance(10)
    app = deploy(job=10.0)
    app.schedule.add("other", "proj.own", every=10)
    app = deploy(job="daily", other="daily")
    job = app.schedule.get("job")
    other = app.schedule.get("other")
    assert job is not None
    assert other is not None
    assert (job.total_runs, job.entry) == (1, None)
    assert "5 fields" in (job.problem or "")
    assert other.entry is not None, "somebody else's stays"
    found = deploy(job=20.0).schedule.get("job")
    assert found is not None
    assert (found.total_runs, found.problem) == (1, None)
    assert found.next_run == datetime.fromtimestamp(clock.now() + 20, UTC)
    assert [one.name for one in deploy().schedule.list()] == ["other"]
