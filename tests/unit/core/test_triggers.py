# ruff: noqa: DTZ001 -- wall times have no zone
"""Times of the sun and recurrence rules: against their libraries, and against what they cannot do."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr

from celeriac.core.schedule import Crontab, Rule, Solar, from_dict, rule, solar, to_dict
from celeriac.core.schedule.solar import EVENTS
from celeriac.errors import ImproperlyConfigured, InvalidTaskError

BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2026, 1, 1, 9, 30)


def at(text: str, zone: ZoneInfo | None = None) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone or UTC).timestamp()


def local(moment: float | None, zone: ZoneInfo = BERLIN) -> str:
    assert moment is not None
    return datetime.fromtimestamp(moment, zone).strftime("%Y-%m-%d %H:%M")


def walk(trigger: Solar | Rule | Crontab, first: float, zone: ZoneInfo = BERLIN) -> Iterator[float]:
    following = trigger.next_after(first, zone)
    while following is not None:
        yield following
        following = trigger.next_after(following, zone)


def test_events_of_the_sun_come_in_their_order_every_day() -> None:
    # Berlin; the national almanac has sunrise 8:15 and sunset 15:54 on the shortest day.
    assert local(Solar("sunrise", 52.52, 13.4).next_after(at("2026-12-21"), BERLIN)).startswith("2026-12-21 08:1")
    assert local(Solar("sunset", 52.52, 13.4).next_after(at("2026-12-21"), BERLIN)).startswith("2026-12-21 15:5")
    found = [Solar(event, 52.52, 13.4).next_after(at("2026-03-20"), BERLIN) for event in EVENTS]
    assert found == sorted(found, key=lambda moment: moment or 0.0)
    for event, longitude in itertools.product(EVENTS, range(-180, 181, 30)):
        year = list(itertools.islice(walk(Solar(event, 40.7, longitude), at("2026-01-01")), 365))
        assert {round((later - sooner) / 600) for sooner, later in itertools.pairwise(year)} == {144}, longitude


def test_what_the_sun_does_not_do_for_months_is_due_when_it_does() -> None:
    assert local(Solar("sunrise", 78.2, 15.6).next_after(at("2026-11-27"), BERLIN)).startswith("2027-02")
    # No two events of one place are on one moment, and none is left out at the turn of the day of UTC.
    found = list(itertools.islice(walk(Solar("sunset", -17.0, 179.0), at("2026-01-01")), 400))
    assert all(86000 < later - sooner < 86800 for sooner, later in itertools.pairwise(found))


@pytest.mark.parametrize(
    ("given", "field"),
    [(("noon", 0, 0), "event"), (("sunset", 91, 0), "latitude"), (("sunset", 0, float("nan")), "longitude")],
)
def test_a_wrong_place_or_event_is_refused(given: tuple[str, float, float], field: str) -> None:
    with pytest.raises(InvalidTaskError, match=f"solar: {field}="):
        Solar(*given)


@pytest.mark.parametrize(
    "text",
    [
        "FREQ=DAILY",
        "FREQ=DAILY;INTERVAL=3;BYHOUR=8,20;BYMINUTE=0;BYSECOND=0",
        "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR;WKST=SU",
        "FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=9;BYMINUTE=0",
        "FREQ=MONTHLY;BYMONTHDAY=-1",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
        "FREQ=HOURLY;INTERVAL=7",
        "FREQ=MINUTELY;INTERVAL=45;BYDAY=SA",
        "FREQ=DAILY;COUNT=40",
        "FREQ=WEEKLY;UNTIL=20260601T000000",
        "FREQ=DAILY;INTERVAL=2;BYSETPOS=-1;BYHOUR=7,9",
    ],
)
def test_a_rule_is_due_when_its_library_says(text: str) -> None:
    whole = [
        one.replace(tzinfo=UTC).timestamp() for one in itertools.islice(rrulestr(text, dtstart=START).xafter(START), 60)
    ]
    trigger = Rule.parse(text, START)
    assert list(itertools.islice(walk(trigger, at("2026-01-01 09:30"), ZoneInfo("UTC")), 60)) == whole
    # Asked from anywhere, not in turn.
    begin, end = int(at("2026-01-01 10:00")), int(whole[-1])
    for moment in range(begin, end, (end - begin) // 50):
        assert trigger.next_after(moment, UTC) == next(one for one in whole if one > moment)


def test_dates_beside_a_rule_are_those_of_its_library() -> None:
    dates = "EXDATE:20260105T093000,20260107T093000 RDATE:20260104T120000 EXDATE:20260104T093000 RDATE:20300101T000000"
    for said in ("FREQ=DAILY", "FREQ=DAILY;COUNT=9", "FREQ=WEEKLY;BYDAY=MO,WE;BYHOUR=9,10"):
        text = f"DTSTART:20260101T093000\nRRULE:{said}\n" + dates.replace(" ", "\n")
        whole = [one.replace(tzinfo=UTC).timestamp() for one in itertools.islice(rrulestr(text), 2000)]
        trigger = Rule.parse(text)
        assert list(itertools.islice(walk(trigger, whole[0] - 1, ZoneInfo("UTC")), 2000)) == whole
        assert at("2026-01-04 12:00") in whole
        assert not {at("2026-01-05 09:30"), at("2026-01-07 09:30")} & set(whole)
        for moment in range(int(whole[0]), int(whole[-1]), int(whole[-1] - whole[0]) // 50):
            assert trigger.next_after(moment, UTC) == next(one for one in whole if one > moment)
        assert from_dict(to_dict(trigger)) == trigger


def test_a_rule_keeps_local_time_over_changes_of_the_clock() -> None:
    daily = Rule.parse("FREQ=DAILY", datetime(2026, 1, 1, 2, 30))
    assert [local(one) for one in itertools.islice(walk(daily, at("2026-03-28", BERLIN)), 3)] == [
        "2026-03-28 02:30", "2026-03-29 03:30", "2026-03-30 02:30",
    ]  # fmt: skip
    october = list(itertools.islice(walk(daily, at("2026-10-24 12:00", BERLIN)), 2))
    assert [local(one) for one in october] == ["2026-10-25 02:30", "2026-10-26 02:30"]
    assert october[1] - october[0] == 25 * 3600


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("every day", "write one rule"),
        ("FREQ=NEVER", "FREQ=NEVER"),
        ("FREQ=DAILY;BYHOUR=99", "hour must be in"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "BYMONTHDAY: it is never due"),
        ("FREQ=DAILY;UNTIL=20200101T000000", "never due"),
        ("FREQ=DAILY;UNTIL=20300101T000000Z", "UNTIL is a local time"),
        ("FREQ=SECONDLY;BYMONTH=1", "BYMONTH with FREQ=SECONDLY"),
        ("FREQ=DAILY;COUNT=1\nEXDATE:20260101T093000", "never due"),
        ("FREQ=DAILY\nEXDATE:20260101", "does not match format"),
        ("FREQ=DAILY\nEXDATE;VALUE=DATE:20260101", "time zone of the entry"),
        ("FREQ=DAILY\nRRULE:FREQ=HOURLY", "write one rule"),
        ("RRULE:DAILY", "write one rule"),
        ("RDATE:20260101T093000", "write one rule"),
        ("DTSTART;TZID=Europe/Berlin:20260101T000000\nRRULE:FREQ=DAILY", "time zone of the entry"),
    ],
)
def test_a_rule_that_says_nothing_is_refused_at_once(text: str, what: str) -> None:
    with pytest.raises(InvalidTaskError, match=what):
        Rule.parse(text, START)


def test_a_rule_needs_a_start() -> None:
    with pytest.raises(InvalidTaskError, match="dtstart"):
        Rule.parse("FREQ=DAILY")
    assert Rule.parse("DTSTART:20260101T093000\nRRULE:FREQ=DAILY") == Rule.parse("freq=daily", START)


@pytest.mark.parametrize("trigger", [Solar("sunset", 1.5, -2.5), Rule.parse("FREQ=DAILY", START)])
def test_they_survive_as_plain_values(trigger: Solar | Rule) -> None:
    assert from_dict(to_dict(trigger)) == trigger


@pytest.mark.parametrize(
    ("extra", "make"),
    [
        ("celeriac.solar.", lambda: Solar("sunset", 1.5, 2.5)),
        ("celeriac.rrule.", lambda: Rule.parse("FREQ=DAILY;COUNT=7", START)),
    ],
)
def test_a_missing_library_is_named(extra: str, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("astral", "dateutil"):
        monkeypatch.setitem(sys.modules, name, None)
    solar._library.cache_clear()
    rule._rule.cache_clear()
    with pytest.raises(ImproperlyConfigured, match=extra):
        make()
