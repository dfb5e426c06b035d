"""Triggers and plans: when something is due, and what becomes of what was missed."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from celeriac.core.schedule import Crontab, Entry, Interval, Once, from_dict, plan, to_dict
from celeriac.core.schedule.entry import put_off
from celeriac.errors import InvalidTaskError

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone: ZoneInfo | None = None) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone or UTC).timestamp()


def shown(moment: float | None, zone: ZoneInfo | None = None) -> str:
    assert moment is not None
    return datetime.fromtimestamp(moment, zone or UTC).strftime("%Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        ("* * * * *", "2026-11-27 10:00", "2026-11-27 10:01"),
        ("*/15 * * * *", "2026-11-27 10:50", "2026-11-27 11:00"),
        ("30 6 * * *", "2026-11-27 06:30", "2026-11-28 06:30"),
        ("0 9 * * mon-fri", "2026-11-27 09:00", "2026-11-30 09:00"),
        ("0 0 1 jan *", "2026-11-27 09:00", "2027-01-01 00:00"),
        ("0 0 29 2 *", "2026-11-27 09:00", "2028-02-29 00:00"),
        ("5,10 8-9 * * 7", "2026-11-27 09:00", "2026-11-29 08:05"),
        ("0 22-2/2 * * *", "2026-11-27 22:00", "2026-11-28 00:00"),
        ("10/20 * * * *", "2026-11-27 10:15", "2026-11-27 10:30"),
    ],
)
def test_a_crontab_is_due_at_the_next_minute_that_matches(cron: str, after: str, expected: str) -> None:
    assert shown(Crontab.parse(cron).next_after(at(after), UTC)) == expected


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        # 2:30 does not exist on this day.
        ("30 2 * * *", "2026-03-28 12:00", "2026-03-29 03:30"),
        ("30 2 * * *", "2026-03-29 03:30", "2026-03-30 02:30"),
        # It exists twice on this one, and is due once.
        ("30 2 * * *", "2026-10-24 12:00", "2026-10-25 02:30"),
        ("30 2 * * *", "2026-10-25 02:30", "2026-10-26 02:30"),
    ],
)
def test_a_fixed_time_comes_once_on_days_on_which_the_clock_changes(cron: str, after: str, expected: str) -> None:
    assert shown(Crontab.parse(cron).next_after(at(after, BERLIN), BERLIN), BERLIN) == expected


def test_what_is_due_every_hour_is_due_as_the_clock_runs() -> None:
    for day, hours in (("2026-03-29", 23), ("2026-10-25", 25), ("2026-11-27", 24)):
        found, moment = [], at(f"{day} 00:00", BERLIN) - 1
        while (moment := Crontab.parse("0 * * * *").next_after(moment, BERLIN) or 0.0) < at(
            f"{day} 00:00", BERLIN
        ) + hours * 3600:
            found.append(moment)
        assert len(found) == hours
        assert {later - sooner for sooner, later in itertools.pairwise(found)} == {3600.0}


@pytest.mark.parametrize(
    "cron", ["* * * *", "60 * * * *", "x * * * *", "* * 31 2 *", "* * * 13 *", "", "*/0 * * * *", "1- * * * *"]
)
def test_a_crontab_that_says_nothing_or_never_comes_is_refused(cron: str) -> None:
    with pytest.raises(InvalidTaskError, match="crontab"):
        Crontab.parse(cron)


def test_intervals_and_single_times() -> None:
    assert Interval(10).next_after(5.0, UTC) == 15.0
    assert Interval(10, anchor=3.0).next_after(13.0, UTC) == 23.0
    assert Interval(10, anchor=3.0).next_after(12.9, UTC) == 13.0
    assert Once(7.0).next_after(6.0, UTC) == 7.0
    assert Once(7.0).next_after(7.0, UTC) is None
    for wrong in (0, -1, float("nan"), float("inf")):
        with pytest.raises(InvalidTaskError, match="every"):
            Interval(wrong)


@pytest.mark.parametrize("trigger", [Interval(2.5), Interval(1, 3.0), Crontab.parse("1 2 3 4 5"), Once(9.0)])
def test_a_trigger_survives_as_plain_values(trigger: Interval | Crontab | Once) -> None:
    assert from_dict(to_dict(trigger)) == trigger


def entry(**fields: object) -> Entry:
    given: dict[str, object] = {"name": "e", "task": "t", "trigger": Interval(10), **fields}
    return Entry(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "runs", "next_due", "missed"),
    [
        ({}, (130.0,), 140.0, 3),
        ({"misfire": "all"}, (100.0, 110.0, 120.0, 130.0), 140.0, 0),
        ({"misfire": "all", "window": 20.0}, (120.0, 130.0), 140.0, 2),
        ({"misfire": "skip"}, (), 140.0, 4),
        ({"window": 3.0}, (), 140.0, 4),
        ({"one_off": True}, (100.0,), None, 0),
        ({"end": 125.0}, (120.0,), None, 2),
        ({"trigger": Once(100.0)}, (100.0,), None, 0),
    ],
)
def test_what_becomes_of_an_entry_that_was_due_at_100_and_is_seen_at_135(
    fields: dict[str, object], runs: tuple[float, ...], next_due: float | None, missed: int
) -> None:
    found = plan(entry(**fields), 100.0, 135.0, UTC)
    assert (found.runs, found.next_due, found.missed) == (runs, next_due, missed)


@pytest.mark.parametrize("trigger", [Interval(0.1), Interval(1.0), Interval(1.0, 0.3), Crontab.parse("* * * * *")])
def test_after_a_long_standstill_the_latest_due_times_are_run(trigger: Interval | Crontab) -> None:
    now, pause = 1.8e9 + 0.05, trigger.every if isinstance(trigger, Interval) else 60.0
    due = trigger.next_after(now - 90 * 86400.0, UTC)
    assert due is not None
    once = plan(entry(trigger=trigger), due, now, UTC)
    assert len(once.runs) == 1
    assert now - pause * 1.01 <= once.runs[0] <= now
    recent = plan(entry(trigger=trigger, misfire="all", window=pause * 5), due, now, UTC)
    assert len(recent.runs) in (5, 6)
    assert [later - sooner for sooner, later in itertools.pairwise(recent.runs)] == pytest.approx(
        [pause] * (len(recent.runs) - 1), rel=1e-3
    )
    assert recent.next_due == pytest.approx(recent.runs[-1] + pause)
    if isinstance(trigger, Interval):
        assert once.missed == pytest.approx(90 * 86400.0 / pause, abs=2)


def test_an_entry_is_due_between_start_and_end_while_it_is_enabled() -> None:
    one = entry(trigger=Crontab.parse("0 * * * *"), start=7200.0, end=10800.0)
    assert one.next_after(0.0, UTC) == 7200.0
    assert one.next_after(7200.0, UTC) == 10800.0
    assert one.next_after(10800.0, UTC) is None
    assert entry(enabled=False).next_after(0.0, UTC) is None


def test_jitter_is_the_same_for_whoever_asks_and_bounded() -> None:
    one = entry(jitter=30.0)
    found = [put_off(one, float(due)) for due in range(100)]
    assert found == [put_off(one, float(due)) for due in range(100)]
    assert 0.0 <= min(found) < 5.0 < 25.0 < max(found) <= 30.0
    assert put_off(entry(), 1.0) == 0.0


@pytest.mark.parametrize(
    "fields", [{"misfire": "x"}, {"overlap": "x"}, {"zone": "Mars/Base"}, {"task": ""}, {"jitter": -1.0}]
)
def test_an_entry_says_what_is_wrong_with_it(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidTaskError):
        entry(**fields)


def test_an_interval_begins_with_the_start_that_is_to_come() -> None:
    one = entry(trigger=Interval(3600.0), start=7200.0)
    assert (one.next_after(100.0, UTC), one.next_after(7200.0, UTC), one.next_after(7300.0, UTC)) == (
        7200.0, 10800.0, 10900.0
    )  # fmt: skip
    anchored = entry(trigger=Interval(3600.0, 60.0), start=7200.0)
    assert anchored.next_after(100.0, UTC) == 7260.0
