# ruff: noqa: DTZ001 -- times without a zone are the point
"""``celeriac.schedules``, ``app.add_periodic_task``, ``@app.periodic``, ``on_after_configure``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from celeriac import Celeriac
from celeriac.core.schedule import Crontab, Interval, Once, Rule
from celeriac.errors import ImproperlyConfigured, InvalidTaskError
from celeriac.events import Bus, EntryFailed
from celeriac.schedules import (
    BaseSchedule,
    ParseException,
    clocked,
    crontab,
    crontab_parser,
    maybe_schedule,
    rrule,
    schedule,
    solar,
)

Make = Callable[..., Celeriac]
TOKYO = ZoneInfo("Asia/Tokyo")
NOW = datetime(2026, 11, 27, 10, 0, 30, tzinfo=UTC)


def now() -> datetime:
    return NOW


@pytest.mark.parametrize(
    ("field", "text", "expected"),
    [
        ("minute", "*/15", {0, 15, 30, 45}),
        ("minute", 5, {5}),
        ("minute", [1, 2], {1, 2}),
        ("minute", (one for one in ("1-3", 7)), {1, 2, 3, 7}),
        ("minute", "50-10/10", {50, 0, 10}),
        ("hour", " 8-10, 20 ", {8, 9, 10, 20}),
        ("day_of_week", "MON-wed", {1, 2, 3}),
        ("day_of_week", "fri-mon", {5, 6, 0, 1}),
        ("day_of_week", "Sunday,tues", {0, 2}),
        ("day_of_week", "5-7", {5, 6, 0}),
        ("day_of_week", {7}, {0}),
        ("month_of_year", "nov-feb", {11, 12, 1, 2}),
        ("month_of_year", "*/3", {1, 4, 7, 10}),
        ("day_of_month", "1-31/10,15", {1, 11, 15, 21, 31}),
    ],
)
def test_a_field_takes_all_that_cron_takes(field: str, text: Any, expected: set[int]) -> None:
    assert getattr(crontab(**{field: text}), field) == expected


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("minute", 60), ("minute", -1), ("minute", ""), ("minute", []), ("minute", "1,"), ("minute", "*-5"),
        ("minute", True), ("minute", 1.5), ("minute", None), ("minute", "5/0"), ("minute", "\u0663"), ("hour", 24),
        ("hour", "mon"), ("day_of_week", 8), ("day_of_week", "xyz"), ("day_of_week", "mo"), ("month_of_year", 0),
        ("month_of_year", 13), ("day_of_month", 0), ("day_of_month", "32"), ("minute", "1--2"), ("minute", "*/*"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named(field: str, text: Any) -> None:
    with pytest.raises(ParseException, match=field):
        crontab(**{field: text})


@pytest.mark.parametrize(("day", "month"), [(31, 2), (30, "feb"), (31, "4,6,9,11"), ("30-31", 2)])
def test_a_day_that_no_month_has_is_refused_at_once(day: Any, month: Any) -> None:
    with pytest.raises(InvalidTaskError, match=r"day_of_month=.*never due"):
        crontab(day_of_month=day, month_of_year=month)


def test_the_parser_alone() -> None:
    assert crontab_parser().parse("*/30") == {0, 30}
    assert crontab_parser(31, 1).parse("30-2") == {30, 31, 1, 2}
    assert crontab_parser(7).parse("sat-mon") == {6, 0, 1}
    with pytest.raises(ParseException):
        crontab_parser(24).parse("24")


def test_is_due_says_whether_and_when_next() -> None:
    every = schedule(60, nowfun=now)
    assert every.is_due(NOW - timedelta(seconds=61)) == (True, 60.0)
    assert every.is_due(NOW - timedelta(seconds=60)) == (True, 60.0)
    assert every.is_due(NOW - timedelta(seconds=20)) == (False, 40.0)
    assert crontab(nowfun=now).is_due(NOW - timedelta(minutes=1)) == (True, 30.0)
    assert crontab(nowfun=now).is_due(NOW) == (False, 30.0)
    assert crontab(nowfun=now).remaining_estimate(NOW) == timedelta(seconds=30)
    once = clocked(NOW, nowfun=now)
    assert once.is_due(NOW - timedelta(days=1)) == (True, None)
    assert once.is_due(NOW) == (False, None)
    assert schedule(timedelta(hours=1), relative=True, nowfun=now).is_due(NOW) == (False, 3570.0)
    assert rrule("FREQ=DAILY", datetime(2026, 1, 1, 12), nowfun=now).is_due(NOW) == (False, 7170.0)
    assert solar("sunset", 52.5, 13.4, nowfun=now).is_due(NOW).next == pytest.approx(5 * 3600, abs=3600)
    # A time without a zone is one of the schedule's.
    tokyo = crontab(minute=0, hour=19, nowfun=lambda: NOW.astimezone(TOKYO))
    assert tokyo.is_due(datetime(2026, 11, 27, 18, 59)).is_due
    assert not tokyo.is_due(datetime(2026, 11, 27, 19, 1)).is_due


def test_what_is_a_schedule() -> None:
    assert maybe_schedule(None) is None
    assert maybe_schedule(5) == maybe_schedule(timedelta(seconds=5)) == schedule(5.0)
    assert maybe_schedule("0 6 * * mon") == crontab(0, 6, "mon")
    assert maybe_schedule(Interval(3)).trigger(UTC) == Interval(3)
    assert crontab(1) == crontab("1")
    assert len({crontab(1), crontab("1"), crontab(2)}) == 2
    for wrong in (crontab, object(), [], "daily", float("nan"), 0, -1):
        with pytest.raises(InvalidTaskError):
            maybe_schedule(wrong)
    assert repr(crontab(minute=5)) == "<crontab: 5 * * * *>"


def test_tasks_that_code_says_periodic(make_app: Make) -> None:
    app = make_app(timezone="Europe/Berlin")
    seen: list[Any] = []

    @app.on_after_configure.connect
    def setup(sender: Celeriac, **kwargs: Any) -> None:
        seen.append(sender)
        sender.add_periodic_task(10.0, say.s("hello"), name="often")
        sender.add_periodic_task(
            crontab(hour=7, minute=30, nowfun=lambda: NOW.astimezone(TOKYO)), say.s("tea"), expires=9
        )
        sender.add_periodic_task(
            "0 4 * * *", "proj.other", kwargs={"a": 1}, start_time=datetime(2027, 1, 1), zone="UTC"
        )

    @app.periodic(timedelta(minutes=5), args=("periodic",), relative=True, misfire="skip", queue="slow")
    @app.task(name="proj.say")
    def say(what: str) -> str:
        return what

    found = {entry.name: entry for entry in app.schedule.from_settings()}
    assert seen == [app]
    assert list(found) == ["proj.say", "often", "proj.say('tea')", "proj.other(a=1)"]
    assert found["often"].trigger == Interval(10.0)
    assert found["often"].args == ("hello",)
    tea = found["proj.say('tea')"]
    assert (tea.trigger, tea.zone, tea.options) == (Crontab("30", "7"), "Asia/Tokyo", {"expires": 9})
    other = found["proj.other(a=1)"]
    assert (other.kwargs, other.start) == ({"a": 1}, datetime(2027, 1, 1, tzinfo=UTC).timestamp())
    own = found["proj.say"]
    assert (own.args, own.misfire, own.options) == (("periodic",), "skip", {"queue": "slow"})
    midnight = datetime(2026, 11, 27, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()
    assert own.trigger.next_after(midnight + 1, UTC) == midnight + 300

    late: list[Any] = []
    app.on_after_configure.connect(lambda sender, **kwargs: late.append(sender))
    assert late == [app]


def test_two_periodic_tasks_need_two_names(make_app: Make) -> None:
    app = make_app()
    app.add_periodic_task(10, "proj.a", (1,))
    assert app.add_periodic_task(10, "proj.a", (1,)) == "proj.a(1)"
    with pytest.raises(InvalidTaskError, match="another name"):
        app.add_periodic_task(20, "proj.a", (1,))
    with pytest.raises(InvalidTaskError, match="name="):
        app.add_periodic_task(20, "proj.a", ("x" * 300,))
    with pytest.raises(InvalidTaskError, match=r"above @app\.task"):
        app.periodic(10)(lambda: None)


def test_a_setup_that_fails_says_so_each_time(make_app: Make) -> None:
    app = make_app()

    @app.on_after_configure.connect(weak=False)
    def setup(sender: Celeriac, **kwargs: Any) -> None:
        raise LookupError("no such thing")

    for _ in range(2):
        with pytest.raises(LookupError, match="no such thing"):
            app.finalize()
    assert app.on_after_configure.disconnect(setup)
    app.finalize()
    assert app.finalized


def test_wrong_entries_hold_up_no_other(make_app: Make) -> None:
    app = make_app(timezone="Asia/Tokyo")
    app.conf.beat_schedule = {
        "good": {"task": "proj.a", "schedule": clocked(datetime(2030, 1, 1))},
        "rule": {
            "task": "proj.a",
            "schedule": rrule("FREQ=DAILY", datetime(2026, 1, 1)),
            "end_time": datetime(2030, 1, 1),
        },
        "field": {"task": "proj.a", "schedule": 5, "colour": "red"},
        "class": {"task": "proj.a", "schedule": crontab},
        "nothing": {"task": "proj.a", "schedule": None},
        "zone": {"task": "proj.a", "schedule": crontab(nowfun=lambda: datetime.now(timezone(timedelta(hours=1))))},
        7: {"task": "proj.a", "schedule": 5},
    }
    found, problems = app.schedule.said()
    assert [(entry.name, type(entry.trigger)) for entry in found] == [("good", Once), ("rule", Rule)]
    assert found[0].trigger.next_after(0.0, UTC) == datetime(2030, 1, 1, tzinfo=TOKYO).timestamp()
    assert found[1].end == datetime(2030, 1, 1, tzinfo=TOKYO).timestamp()
    assert problems.keys() == {"field", "class", "nothing", "zone", "7"}
    assert "entry 'field'" in problems["field"]
    assert "'colour'" in problems["field"]
    assert "schedule=" in problems["class"]
    with pytest.raises(ImproperlyConfigured, match=r"entry 'field'.*'colour'"):
        app.schedule.from_settings()

    bus, failed = Bus(), list[str]()
    bus.subscribe(EntryFailed, lambda event: failed.append(event.name))
    app.schedule.scheduler(bus, "only").turn()
    assert sorted(failed) == ["7", "class", "field", "nothing", "zone"]
    listed = {one.name: one.problem for one in app.schedule.list()}
    assert listed == {"good": None, "rule": None, **problems}


def test_the_store_takes_every_kind(make_app: Make) -> None:
    app = make_app()
    for name, one in {
        "crontab": crontab(minute=0), "solar": solar("sunset", 52.5, 13.4), "rrule": rrule("FREQ=DAILY", NOW),
        "schedule": schedule(5), "clocked": clocked(datetime(2100, 1, 1, tzinfo=UTC)),
    }.items():  # fmt: skip
        app.schedule.add(name, "proj.a", schedule=one)
        kept = app.schedule.get(name)
        assert kept is not None
        assert kept.problem is None
        assert kept.entry is not None
        assert isinstance(one, BaseSchedule)
        assert kept.entry.trigger == one.trigger(UTC)
