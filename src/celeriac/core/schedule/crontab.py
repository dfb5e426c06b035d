"""Crontabs: five fields, as cron has them.

Around a change of the clock: a time that the clock leaves out comes as much later as it is put forward; a time that
comes twice is due the first time, unless the hour is ``*``: then every matching minute is due.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

import msgspec

from celeriac.errors import InvalidTaskError

_MONTHS: Final = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS: Final = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_FIELDS: Final = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day_of_month", 1, 31, ()),
    ("month_of_year", 1, 12, tuple(_MONTHS)),
    ("day_of_week", 0, 6, tuple(_DAYS)),
)
_MINUTE: Final = timedelta(minutes=1)
_HORIZON: Final = 366 * 9
"""Days that are looked at: February 29 comes after eight years at most."""
_Sets = tuple[frozenset[int], ...]


class Crontab(msgspec.Struct, frozen=True, tag="crontab"):
    """Due at the minutes that match all fields.

    Attributes:
        minute, hour, day_of_month, month_of_year, day_of_week: As cron has them: ``*``, ``5``, ``1-5``, ``*/10``,
            ``mon,fri``; 0 and 7 are Sunday. Where both days are given, both must match.

    Raises:
        InvalidTaskError: A field says nothing, or no day ever matches.
    """

    minute: str = "*"
    hour: str = "*"
    day_of_month: str = "*"
    month_of_year: str = "*"
    day_of_week: str = "*"

    def __post_init__(self) -> None:
        sets = self._sets()
        days = {1: 31, 2: 29, 3: 31, 4: 30, 5: 31, 6: 30, 7: 31, 8: 31, 9: 30, 10: 31, 11: 30, 12: 31}
        if not any(min(sets[2]) <= days[month] for month in sets[3]):
            raise InvalidTaskError(
                f"crontab {self}: no month of {self.month_of_year!r} has a day {self.day_of_month!r}: it is never due"
            )

    @classmethod
    def parse(cls, text: str) -> Crontab:
        """Return the crontab that five fields in one text say, such as ``*/5 8-18 * * mon-fri``.

        Raises:
            InvalidTaskError: There are not five, or one says nothing.
        """
        fields = text.split()
        if len(fields) != len(_FIELDS):
            raise InvalidTaskError(
                f"crontab {text!r} must have 5 fields, not {len(fields)}: minute hour day month weekday"
            )
        return cls(*fields)

    def _sets(self) -> _Sets:
        return tuple([_values(getattr(self, name), name, low, high, names) for name, low, high, names in _FIELDS])

    def next_after(self, moment: float, zone: tzinfo) -> float | None:
        """Return the first time after ``moment`` at which it is due."""
        minutes, hours, days, months, weekdays = self._sets()
        local = datetime.fromtimestamp(moment, zone)
        day = local.date()
        for _ in range(_HORIZON):
            if day.month in months and day.day in days and day.isoweekday() % 7 in weekdays:
                if len(hours) == 24:
                    found = self._within(day.year, day.month, day.day, minutes, moment, zone)
                else:
                    found = _first(day.year, day.month, day.day, sorted(hours), sorted(minutes), moment, zone)
                if found is not None:
                    return found
            day += timedelta(days=1)
        return None

    def _within(
        self, year: int, month: int, day: int, minutes: frozenset[int], moment: float, zone: tzinfo
    ) -> float | None:
        """Return the first matching minute of a day after a moment, as the clock runs."""
        start = datetime(year, month, day, tzinfo=zone).astimezone(UTC)
        after = datetime.fromtimestamp(moment, UTC)
        at = max(start, after.replace(second=0, microsecond=0) + _MINUTE if after >= start else start)
        for _ in range(26 * 60):
            local = at.astimezone(zone)
            if (local.year, local.month, local.day) != (year, month, day):
                return None
            if local.minute in minutes:
                return at.timestamp()
            at += _MINUTE
        return None

    def __str__(self) -> str:
        return " ".join([getattr(self, name) for name, *_ in _FIELDS])


def _first(
    year: int, month: int, day: int, hours: list[int], minutes: list[int], moment: float, zone: tzinfo
) -> float | None:
    for hour in hours:
        if datetime(year, month, day, hour, 59, tzinfo=zone).timestamp() + 7200 <= moment:
            continue
        for minute in minutes:
            at = datetime(year, month, day, hour, minute, tzinfo=zone).timestamp()
            if at > moment:
                return at
    return None


def _values(text: str, field: str, low: int, high: int, names: tuple[str, ...]) -> frozenset[int]:
    found: set[int] = set()
    try:
        for part in str(text).lower().split(","):
            span, _, step = part.partition("/")
            first, dash, last = span.partition("-")
            begin = low if first == "*" else _number(first, low, high, names)
            end = high if first == "*" or (step and not last) else begin
            if dash:
                end = _number(last, low, high, names)
            numbers = range(begin, end + 1) if begin <= end else [*range(begin, high + 1), *range(low, end + 1)]
            found.update(list(numbers)[:: int(step) if step else 1])
    except ValueError:
        found = set()
    if not found:
        raise InvalidTaskError(f"crontab: {field}={text!r} must be *, numbers from {low} to {high}, ranges or steps")
    return frozenset(found)


def _number(text: str, low: int, high: int, names: tuple[str, ...]) -> int:
    if text[:3] in names:
        return names.index(text[:3]) + low
    number = int(text)
    if names == tuple(_DAYS) and number == 7:
        number = 0
    if not low <= number <= high:
        raise ValueError
    return number
