"""Crontabs in all time zones, around every change of the clock in 30 years, against croniter and an oracle.

The oracle enumerates the minutes of UTC and what the clock shows at each; it shares nothing with the code.
"""

from __future__ import annotations

import functools
import importlib.resources
import itertools
import random
import zoneinfo
from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import croniter
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celeriac.core.schedule import Crontab

FIRST, LAST = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (1997, 2028))
DAY = 86400
MINUTE = timedelta(minutes=1)
LIMITS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
GROUPS = 8
Sets = tuple[frozenset[int], ...]


@functools.cache
def zones() -> list[str]:
    """Return one name of each set of rules that there is."""
    found: dict[bytes, str] = {}
    for name in sorted(zoneinfo.available_timezones() - {"localtime", "posixrules", "Factory"}):
        found.setdefault(_rules(name), name)
    return sorted(found.values())


def _rules(name: str) -> bytes:
    for folder in zoneinfo.TZPATH:
        if (path := Path(folder, name)).is_file():
            return path.read_bytes()
    return importlib.resources.files("tzdata").joinpath("zoneinfo", name).read_bytes()


def changes(zone: ZoneInfo) -> list[tuple[int, int]]:
    """Return each second at which the clock is changed, and by how many seconds."""

    def ahead(moment: int) -> int:
        offset = datetime.fromtimestamp(moment, zone).utcoffset()
        assert offset is not None
        return round(offset.total_seconds())

    found = []
    steps = range(FIRST, LAST, DAY * 4)
    for sooner, later in itertools.pairwise([(moment, ahead(moment)) for moment in steps]):
        if sooner[1] == later[1]:
            continue
        moments = range(sooner[0], later[0] + 1)
        at = sooner[0] + bisect_left(moments, True, key=lambda moment: ahead(moment) != sooner[1])
        found.append((at, ahead(at) - sooner[1]))
    return found


def matches(sets: Sets, wall: datetime) -> bool:
    return (
        wall.minute in sets[0]
        and wall.hour in sets[1]
        and wall.day in sets[2]
        and wall.month in sets[3]
        and wall.isoweekday() % 7 in sets[4]
    )


def oracle(sets: Sets, first: int, last: int, zone: ZoneInfo) -> list[int]:
    """Return the due times from ``first`` to ``last``, whole minutes, by the documented rule."""
    clock = [
        (moment, datetime.fromtimestamp(moment, zone).replace(tzinfo=None, fold=0))
        for moment in range(first - 60, last + 61, 60)
    ]
    if len(sets[1]) == 24:
        return [moment for moment, wall in clock if first <= moment <= last and matches(sets, wall)]
    due, seen = set(), set()
    for (moment, wall), (_, following) in itertools.pairwise(clock):
        while wall < following or wall not in seen:
            if wall not in seen and matches(sets, wall):
                due.add(moment)
            seen.add(wall)
            # The minutes that are left out before the next one that is shown come when they would have come.
            wall, moment = wall + MINUTE, moment + 60
            if wall >= following:
                break
    return sorted(moment for moment in due if first <= moment <= last)


def all_from(crontab: Crontab, first: int, last: int, zone: ZoneInfo) -> list[int]:
    found, moment = [], float(first - 1)
    while (following := crontab.next_after(moment, zone)) is not None and following <= last:
        assert following > moment
        found.append(int(following))
        moment = following
    return found


def text_of(sets: Sets) -> list[str]:
    return [
        "*" if len(one) == high - low + 1 else ",".join(map(str, sorted(one)))
        for one, (low, high) in zip(sets, LIMITS, strict=True)
    ]


def some_sets(rng: random.Random, walls: list[datetime]) -> Sets:
    """Return numbers that match now and then around some wall times."""
    full = [frozenset(range(low, high + 1)) for low, high in LIMITS]
    hours = {wall.hour for wall in walls}
    minutes = frozenset(rng.sample(range(60), rng.choice([1, 1, 2, 5])))
    hour = full[1] if rng.random() < 0.3 else frozenset(rng.sample(sorted(hours), rng.randint(1, min(3, len(hours)))))
    days = frozenset({rng.choice(walls).day}) if rng.random() < 0.2 else full[2]
    weekdays = frozenset({rng.choice(walls).isoweekday() % 7}) if rng.random() < 0.2 else full[4]
    return minutes, hour, days, full[3], weekdays


@pytest.mark.parametrize("group", range(GROUPS))
def test_around_every_change_of_the_clock_in_every_zone(group: int) -> None:
    rng = random.Random(group)
    seen = 0
    for name in zones()[group::GROUPS]:
        zone = ZoneInfo(name)
        for change, size in changes(zone):
            seen += 1
            reach = max(7200, 2 * abs(size)) // 60 * 60
            first, last = change // 60 * 60 - reach, change // 60 * 60 + reach
            walls = [datetime.fromtimestamp(moment, zone) for moment in range(first, last, 1800)]
            sets = some_sets(rng, walls)
            crontab = Crontab(*text_of(sets))
            assert all_from(crontab, first, last, zone) == oracle(sets, first, last, zone), (name, change, str(crontab))
    assert seen > 100


@functools.cache
def _changes(name: str) -> list[int]:
    return [change for change, _ in changes(ZoneInfo(name))]


fields = [
    st.one_of(st.just(frozenset(range(low, high + 1))), st.frozensets(st.integers(low, high), min_size=1, max_size=5))
    for low, high in LIMITS
]


@settings(max_examples=300, deadline=None)
@given(
    sets=st.tuples(*fields).filter(lambda sets: any(day <= 28 for day in sets[2])),
    moment=st.integers(FIRST, LAST),
    name=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"]),
)
def test_far_from_changes_of_the_clock_it_is_due_when_croniter_says(sets: Sets, moment: int, name: str) -> None:
    zone = ZoneInfo(name)
    found = Crontab(*text_of(sets)).next_after(float(moment), zone)
    wall = datetime.fromtimestamp(moment, zone).replace(tzinfo=None)
    there = croniter.croniter(" ".join(text_of(sets)), wall, day_or=False, max_years_between_matches=60)
    expected = there.get_next(datetime).replace(tzinfo=zone).timestamp()
    if all(abs(change - one) > 2 * DAY for change in _changes(name) for one in (moment, expected)):
        assert found == expected


def test_leap_days() -> None:
    day = Crontab.parse("0 0 29 2 *")
    found, moment = [], datetime(1890, 1, 1, tzinfo=UTC).timestamp()
    while (moment := day.next_after(moment, UTC) or 1e12) < datetime(2110, 1, 1, tzinfo=UTC).timestamp():
        found.append(datetime.fromtimestamp(moment, UTC).year)
    assert found == [year for year in range(1890, 2110) if year % 4 == 0 and year not in (1900, 2100)]
    # 40 years at most, over 2100.
    monday = Crontab.parse("0 0 29 2 mon").next_after(datetime(2080, 1, 1, tzinfo=UTC).timestamp(), UTC)
    assert monday is not None
    assert f"{datetime.fromtimestamp(monday, UTC):%Y-%m-%d %a}" == "2112-02-29 Mon"
