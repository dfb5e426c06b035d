"""Crontabs in every time zone around each change of its clock, against an oracle that looks at every minute."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

import pytest

from celeriac.core.schedule import Crontab
from celeriac.errors import InvalidTaskError

FIRST, LAST = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (2007, 2037))
HOUR: Final = 3600
DAY: Final = 86400
BEFORE: Final = 30 * HOUR
AFTER: Final = 54 * HOUR
FIXED: Final = (
    ("30 2 * * *", {30}, {2}),
    ("0 0 * * *", {0}, {0}),
    ("10,35 1-3 * * *", {10, 35}, {1, 2, 3}),
    ("*/20 0,2,23 * * *", {0, 20, 40}, {0, 2, 23}),
)
HOURLY: Final = (("0 * * * *", {0}), ("7,50 * * * *", {7, 50}))


def offset(moment: int, zone: ZoneInfo) -> int:
    return round((datetime.fromtimestamp(moment, zone).utcoffset() or timedelta()).total_seconds())


def changes(zone: ZoneInfo) -> Iterator[int]:
    """Yield the seconds of another offset than before, over thirty years."""
    known = offset(FIRST, zone)
    for noon in range(FIRST, LAST, 7 * DAY):
        if offset(noon + 7 * DAY, zone) != known:
            low, high = noon, noon + 7 * DAY
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset(middle, zone) == known else (low, middle)
            yield high
            known = offset(noon + 7 * DAY, zone)


def kinds() -> dict[tuple[int, int, int], tuple[int, str]]:
    """Return one change for each pair of offsets and time of day, of all zones: the others are alike."""
    found: dict[tuple[int, int, int], tuple[int, str]] = {}
    for name in sorted(available_timezones()):
        zone = ZoneInfo(name)
        for at in changes(zone):
            found.setdefault((offset(at - 1, zone), offset(at, zone), at % DAY), (at, name))
    return found


def oracle(at: int, zone: ZoneInfo, minutes: set[int], hours: set[int] | None) -> list[int]:
    """Return the due times around a change: from what the clock shows at each minute of UTC, by the documented rule."""
    start = at - at % 60 - BEFORE - DAY
    due: set[int] = set()
    seen: set[datetime] = set()
    previous: datetime | None = None
    for moment in range(start, at + AFTER + DAY, 60):
        shown = datetime.fromtimestamp(moment, zone).replace(tzinfo=None, fold=0)
        skipped = shown if previous is None else previous + timedelta(minutes=1)
        late = moment
        while hours is not None and skipped < shown:
            # Left out: as much later as it is after the last minute before the change.
            if skipped.minute in minutes and skipped.hour in hours and skipped not in seen:
                due.add(late)
                seen.add(skipped)
            skipped += timedelta(minutes=1)
            late += 60
        if shown.minute in minutes and (hours is None or shown.hour in hours) and (hours is None or shown not in seen):
            due.add(moment)
            seen.add(shown)
        previous = shown
    return sorted(due)


def walk(cron: Crontab, start: int, end: int, zone: ZoneInfo) -> list[int]:
    found: list[int] = []
    moment: float = start
    while (following := cron.next_after(moment, zone)) is not None and following <= end:
        assert following > moment
        found.append(int(following))
        moment = following
    return found


def test_every_kind_of_change_of_any_clock_in_thirty_years() -> None:
    tried = kinds()
    assert len(tried) > 100
    assert {after - before for before, after, _ in tried} >= {HOUR, -HOUR, HOUR // 2, -HOUR // 2, DAY}
    draw = random.Random(2007)
    for at, name in tried.values():
        zone = ZoneInfo(name)
        text, minutes, hours = draw.choice(FIXED)
        plain, few = draw.choice(HOURLY)
        for cron, expected in (
            (text, oracle(at, zone, minutes, hours)),
            (plain, oracle(at, zone, few, None)),
        ):
            one = Crontab.parse(cron)
            start, end = at - BEFORE, at + AFTER
            assert walk(one, start, end, zone) == [due for due in expected if start < due <= end], (cron, name, at)
            for _ in range(10):
                moment = draw.uniform(start, at + DAY)
                found = one.next_after(moment, zone)
                assert found == expected[bisect_right(expected, moment)], (cron, name, moment)


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        ("0 0 29 2 *", "2096-03-01", "2104-02-29"),
        ("0 0 29 feb sun", "2088-03-01", "2128-02-29"),
        ("0 0 31 * *", "2026-01-31", "2026-03-31"),
        ("0 0 13 * friday", "2026-11-27", "2027-08-13"),
    ],
)
def test_rare_days_are_found(cron: str, after: str, expected: str) -> None:
    found = Crontab.parse(cron).next_after(datetime.fromisoformat(after).replace(tzinfo=UTC).timestamp(), UTC)
    assert found == datetime.fromisoformat(expected).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"day_of_month": "31", "month_of_year": "2"}, "day_of_month"),
        ({"day_of_month": "31", "month_of_year": "4,6,9,nov"}, "day_of_month"),
        ({"minute": "60"}, "minute"),
        ({"hour": "*/0"}, "hour"),
        ({"month_of_year": "juneau"}, "month_of_year"),
        ({"day_of_week": "8"}, "day_of_week"),
        ({"minute": "+5"}, "minute"),
    ],
)
def test_what_is_impossible_is_refused_at_once_and_the_field_named(fields: dict[str, str], named: str) -> None:
    with pytest.raises(InvalidTaskError, match=f"{named}="):
        Crontab(**fields)
