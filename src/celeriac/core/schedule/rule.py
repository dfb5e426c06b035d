"""Recurrence rules of RFC 5545, as calendars have them; python-dateutil reads them."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any, Final, TypeAlias

import msgspec

from celeriac.core.schedule.fields import LONGEST
from celeriac.core.schedule.wall import first_after
from celeriac.errors import ImproperlyConfigured, InvalidTaskError

_UNITS: Final = {
    "SECONDLY": timedelta(seconds=1),
    "MINUTELY": timedelta(minutes=1),
    "HOURLY": timedelta(hours=1),
    "DAILY": timedelta(days=1),
    "WEEKLY": timedelta(weeks=1),
}
_SPARSE: Final = frozenset({"BYMONTH", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYEASTER", "BYSETPOS"})
_LINE: Final = re.compile(r"(?:(?P<name>DTSTART|RRULE|RDATE|EXDATE):)?(?P<said>[^\s:]+)", re.IGNORECASE)
_RULE: Final = re.compile(r"[A-Z]+=\S+", re.IGNORECASE)
_FORM: Final = "%Y%m%dT%H%M%S"
Times: TypeAlias = tuple[str, ...]


class Rule(msgspec.Struct, frozen=True, tag="rrule"):
    """Due as a recurrence rule says.

    Attributes:
        rule: Such as ``FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=9;BYMINUTE=0;BYSECOND=0``.
        start: When it begins, a local time such as ``20260101T090000``. What the rule leaves open is as then.
        extra: Further times at which it is due, local times; ``RDATE``.
        without: Times at which it is not due; ``EXDATE``.

    Raises:
        InvalidTaskError: It is no rule, or never due.
        ImproperlyConfigured: The package python-dateutil is missing.
    """

    rule: str
    start: str
    extra: Times = ()
    without: Times = ()

    def __post_init__(self) -> None:
        _rule(self.rule, self.start, self.extra, self.without)

    @classmethod
    def parse(cls, text: str, start: datetime | None = None) -> Rule:
        """Return the rule that a text says: the rule alone, or lines ``DTSTART:``, ``RRULE:``, ``RDATE:``, ``EXDATE:``.

        Raises:
            InvalidTaskError: It is no rule, is never due, or says nothing of its start.
        """
        said: dict[str, list[str]] = {"DTSTART": [], "RRULE": [], "RDATE": [], "EXDATE": []}
        for line in text.split():
            found = _LINE.fullmatch(line)
            if found is None or (found["name"] is None and not _RULE.fullmatch(found["said"])):
                raise _no_rule(text)
            name = (found["name"] or "RRULE").upper()
            said[name] += found["said"].upper().split(",") if name.endswith("DATE") else [found["said"].upper()]
        if len(said["RRULE"]) != 1 or len(said["DTSTART"]) > 1 or not _RULE.fullmatch(said["RRULE"][0]):
            raise _no_rule(text)
        began = f"{start:{_FORM}}" if start is not None else next(iter(said["DTSTART"]), None)
        if began is None:
            raise InvalidTaskError(f"rrule {text!r:.200}: give dtstart=, or a line DTSTART:20260101T090000")
        return cls(said["RRULE"][0], began, tuple(said["RDATE"]), tuple(said["EXDATE"]))

    def next_after(self, moment: float, zone: tzinfo) -> float | None:
        """Return the first time after ``moment`` at which it is due."""
        read = _rule(self.rule, self.start, self.extra, self.without)

        def following(wall: datetime) -> datetime | None:
            nearer, step = read.rule, read.step
            if step is not None and wall - step > nearer._dtstart:
                # Whole steps on, the rule is the same, and need not be counted from its start.
                nearer = nearer.replace(dtstart=nearer._dtstart + (wall - nearer._dtstart) // step * step)
            found: datetime | None = read.together(nearer).after(wall)
            return found

        try:
            found = first_after(following, math.floor(moment), zone)
        except (OverflowError, ValueError):  # the end of the calendar
            return None
        return None if found is None else float(found)

    def __str__(self) -> str:
        dates = [
            f" {word} {', '.join(times)}" for word, times in (("and", self.extra), ("without", self.without)) if times
        ]
        return f"{self.rule} from {self.start}{''.join(dates)}"


def _no_rule(text: str) -> InvalidTaskError:
    return InvalidTaskError(
        f"rrule {text!r:.200}: write one rule such as FREQ=DAILY;BYHOUR=9, or lines DTSTART:20260101T090000, RRULE:...,"
        " EXDATE:... and RDATE:...; times are in the time zone of the entry"
    )


class _Read(msgspec.Struct, frozen=True):
    """A rule of dateutil's, by how much its start may be moved (None: not at all), and dates beside it."""

    rule: Any
    step: timedelta | None
    library: Any
    extra: tuple[datetime, ...]
    without: tuple[datetime, ...]

    def together(self, rule: Any) -> Any:
        """Return a rule with the dates."""
        if not self.extra and not self.without:
            return rule
        found = self.library.rruleset()
        found.rrule(rule)
        for one in self.extra:
            found.rdate(one)
        for one in self.without:
            found.exdate(one)
        return found


@lru_cache(maxsize=4096)
def _rule(text: str, start: str, extra: Times, without: Times) -> _Read:
    """Return a rule as the library reads it."""
    try:
        from dateutil import rrule
    except ImportError as exc:
        raise ImproperlyConfigured("rules of RFC 5545 need python-dateutil: pip install 'celeriac[rrule]'") from exc
    parts: dict[str, str] = {}
    for part in text.upper().split(";"):
        name, _, said = part.partition("=")
        parts[name] = said
    if parts.get("UNTIL", "").endswith("Z"):
        raise InvalidTaskError(f"rrule {text!r:.200}: UNTIL is a local time, without Z: or give the entry an end")
    frequency = parts.get("FREQ", "")
    sparse = sorted(_SPARSE & parts.keys())
    if frequency in ("SECONDLY", "MINUTELY") and (sparse or (frequency == "SECONDLY" and "BYDAY" in parts)):
        raise InvalidTaskError(
            f"rrule {text!r:.200}: {(sparse or ['BYDAY'])[0]} with FREQ={frequency} would be searched for second by"
            " second: write FREQ=DAILY or rarer, with BYHOUR, BYMINUTE and BYSECOND"
        )
    try:
        months = [int(one) for one in parts.get("BYMONTH", ",".join(map(str, LONGEST))).split(",")]
        days = [abs(int(one)) for one in parts.get("BYMONTHDAY", "1").split(",")]
        interval = int(parts.get("INTERVAL", "1"))
        if interval < 1:
            raise ValueError("INTERVAL must be at least 1")
        found: Any = rrule.rrulestr(text, dtstart=datetime.strptime(start, _FORM))  # noqa: DTZ007
        dates = [tuple([datetime.strptime(one, _FORM) for one in times]) for times in (extra, without)]  # noqa: DTZ007
    except (ValueError, TypeError, KeyError) as exc:
        raise InvalidTaskError(f"rrule {text!r:.200}: {exc}") from exc
    if not any(day <= LONGEST.get(month, 0) for day in days for month in months):
        raise InvalidTaskError(f"rrule {text!r:.200}: no month of BYMONTH has a day of BYMONTHDAY: it is never due")
    unit = _UNITS.get(frequency)
    read = _Read(found, None if unit is None or "COUNT" in parts else unit * interval, rrule, *dates)
    if read.together(found).after(datetime.min) is None:  # noqa: DTZ901 -- a wall has no zone
        raise InvalidTaskError(f"rrule {text!r:.200}: it is never due")
    return read
