"""The fields of a crontab: text to sorted numbers, worked out once for each text."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from calendar import monthrange
from collections.abc import Iterable
from datetime import MAXYEAR, datetime
from functools import lru_cache
from typing import Any, Final

import msgspec

from celeriac.errors import InvalidTaskError

_MONTHS: Final = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_DAYS: Final = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")


class Field(msgspec.Struct, frozen=True):
    """What one field may say.

    Attributes:
        name: Its name.
        low, high: The first and last number.
        names: Words for the numbers from ``low`` on; three letters are enough.
    """

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()


FIELDS: Final = (
    Field("minute", 0, 59),
    Field("hour", 0, 23),
    Field("day_of_month", 1, 31),
    Field("month_of_year", 1, 12, _MONTHS),
    Field("day_of_week", 0, 6, _DAYS),
)
HORIZON: Final = 50
"""Years that are looked at: February 29 is a Monday again after 40 years at most."""
LONGEST: Final = {1: 31, 2: 29, 3: 31, 4: 30, 5: 31, 6: 30, 7: 31, 8: 31, 9: 30, 10: 31, 11: 30, 12: 31}
"""Most days of each month."""


class Sets(msgspec.Struct, frozen=True):
    """The numbers of a crontab, in order.

    Attributes:
        minutes, hours, days, months: Numbers.
        weekdays: For each day from Monday whether it matches; None: all do.
        times: All minutes of a day that match, counted from midnight.
        hourly: Every hour matches.
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[bool, ...] | None
    times: tuple[int, ...]
    hourly: bool

    def following(self, wall: datetime) -> datetime | None:
        """Return the first matching minute on the wall after that of ``wall``; None if there is none in 50 years."""
        year, month, day = wall.year, wall.month, wall.day
        if month in self.months and day in self.days and self._falls(wall.weekday()):
            times = self.times
            at = bisect_right(times, wall.hour * 60 + wall.minute)
            if at < len(times):
                return datetime(year, month, day, *divmod(times[at], 60))  # noqa: DTZ001 -- a wall has no zone
        found = self._day_after(year, month, day)
        return None if found is None else datetime(*found, self.hours[0], self.minutes[0])  # noqa: DTZ001

    def _falls(self, weekday: int) -> bool:
        return self.weekdays is None or self.weekdays[weekday]

    def _day_after(self, year: int, month: int, day: int) -> tuple[int, int, int] | None:
        months, days, weekdays = self.months, self.days, self.weekdays
        first_month, first_day = month, day + 1
        for this in range(year, min(year + HORIZON, MAXYEAR) + 1):
            for one in months[bisect_left(months, first_month) :]:
                first, length = monthrange(this, one)
                start = bisect_left(days, first_day) if (this, one) == (year, month) else 0
                for candidate in days[start : bisect_right(days, length)]:
                    if weekdays is None or weekdays[(first + candidate - 1) % 7]:
                        return this, one, candidate
            first_month = 1
        return None


def text_of(value: Any, name: str) -> str:
    """Return a field as text: text itself, a number, or several numbers or texts.

    Raises:
        InvalidTaskError: It is none of them.
    """
    if isinstance(value, str):
        return "".join(value.split())
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, Iterable):
        found = [text_of(one, name) for one in _in_order(value)]  # pyright: ignore[reportUnknownArgumentType]
        if found:
            return ",".join(found)
    raise InvalidTaskError(f"crontab: {name}={value!r:.100} must be text, a number, or several of them")


def _in_order(value: Iterable[Any]) -> Iterable[Any]:
    # A set has no order of its own, and the same crontab has to be the same text.
    return sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value


@lru_cache(maxsize=4096)
def numbers(text: str, field: Field) -> frozenset[int]:
    """Return the numbers that a field's text says.

    Raises:
        InvalidTaskError: It says none.
    """
    try:
        found = frozenset(number for part in text.lower().split(",") for number in _part(part, field))
    except ValueError as exc:
        words = f" or names such as {field.names[0][:3]}" if field.names else ""
        raise InvalidTaskError(
            f"crontab: {field.name}={text!r:.100}: {exc}: it must be *, numbers from {field.low} to {field.high}"
            f"{words}, ranges (1-5), steps (*/2, 1-9/2) or a list of them"
        ) from None
    return found


def _part(text: str, field: Field) -> Iterable[int]:
    span, slash, step_text = text.partition("/")
    first, dash, last = span.partition("-")
    step = _plain(step_text) if slash else 1
    if step == 0:
        raise ValueError("a step must be at least 1")
    if first == "*" and not dash:
        return range(field.low, field.high + 1, step)
    begin = _number(first, field)
    if not dash:
        return range(begin, field.high + 1 if slash else begin + 1, step)
    end = _number(last, field)
    if begin <= end:
        return range(begin, end + 1, step)
    return [*range(begin, field.high + 1), *range(field.low, end + 1)][::step]


def _plain(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValueError(f"{text!r:.40} is no number")
    return int(text)


def _number(text: str, field: Field) -> int:
    if len(text) >= 3 and text.isalpha():
        for position, name in enumerate(field.names):
            if name.startswith(text):
                return position + field.low
    number = _plain(text)
    if field.name == "day_of_week" and number == 7:
        return 0
    if not field.low <= number <= field.high:
        raise ValueError(f"{number} is not between {field.low} and {field.high}")
    return number


@lru_cache(maxsize=65536)
def sets_of(minute: str, hour: str, day_of_month: str, month_of_year: str, day_of_week: str) -> Sets:
    """Return the numbers of five fields.

    Raises:
        InvalidTaskError: A field says nothing, or no month has such a day.
    """
    texts = (minute, hour, day_of_month, month_of_year, day_of_week)
    minutes, hours, days, months, weekdays = [
        tuple(sorted(numbers(text, field))) for text, field in zip(texts, FIELDS, strict=True)
    ]
    if not any(days[0] <= LONGEST[month] for month in months):
        raise InvalidTaskError(
            f"crontab {' '.join(texts)!r}: day_of_month={day_of_month!r}: no month of month_of_year={month_of_year!r}"
            " has such a day: it is never due"
        )
    return Sets(
        minutes,
        hours,
        days,
        months,
        None if len(weekdays) == 7 else tuple([(day + 1) % 7 in weekdays for day in range(7)]),
        tuple([60 * one + other for one in hours for other in minutes]),
        len(hours) == 24,
    )
