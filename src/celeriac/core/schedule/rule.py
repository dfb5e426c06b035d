"""Recurrence rules of RFC 5545, as calendars have them; python-dateutil reads them."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any, Final

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
_PLAIN: Final = re.compile(r"(?:DTSTART:(?P<start>\d{8}T\d{6})\s+)?(?:RRULE:)?(?P<rule>[A-Z]+=[^\s:]+)", re.IGNORECASE)


class Rule(msgspec.Struct, frozen=True, tag="rrule"):
    """Due as a recurrence rule says.

    Attributes:
        rule: Such as ``FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=9;BYMINUTE=0;BYSECOND=0``.
        start: When it begins, a local time such as ``20260101T090000``. What the rule leaves open is as then.

    Raises:
        InvalidTaskError: It is no rule, or never due.
        ImproperlyConfigured: The package python-dateutil is missing.
    """

    rule: str
    start: str

    def __post_init__(self) -> None:
        _rule(self.rule, self.start)

    @classmethod
    def parse(cls, text: str, start: datetime | None = None) -> Rule:
        """Return the rule that a text says, with or without a line ``DTSTART:`` before it.

        Raises:
            InvalidTaskError: It is no rule, is never due, or says nothing of its start.
        """
        found = _PLAIN.fullmatch(text.strip())
        if found is None:
            raise InvalidTaskError(
                f"rrule {text!r:.200}: write one rule such as FREQ=DAILY;BYHOUR=9, or lines DTSTART:20260101T090000 and"
                " RRULE:...; times are in the time zone of the entry"
            )
        began = f"{start:%Y%m%dT%H%M%S}" if start is not None else found["start"]
        if began is None:
            raise InvalidTaskError(f"rrule {text!r:.200}: give dtstart=, or a line DTSTART:20260101T090000")
        return cls(found["rule"].upper(), began.upper())

    def next_after(self, moment: float, zone: tzinfo) -> float | None:
        """Return the first time after ``moment`` at which it is due."""
        rule, step = _rule(self.rule, self.start)

        def following(wall: datetime) -> datetime | None:
            nearer = rule
            if step is not None and wall - step > rule._dtstart:
                # Whole steps on, the rule is the same, and need not be counted from its start.
                nearer = rule.replace(dtstart=rule._dtstart + (wall - rule._dtstart) // step * step)
            found: datetime | None = nearer.after(wall)
            return found

        try:
            found = first_after(following, math.floor(moment), zone)
        except (OverflowError, ValueError):  # the end of the calendar
            return None
        return None if found is None else float(found)

    def __str__(self) -> str:
        return f"{self.rule} from {self.start}"


@lru_cache(maxsize=4096)
def _rule(text: str, start: str) -> tuple[Any, timedelta | None]:
    """Return a rule, and by how much its start may be moved; None: not at all."""
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
        found: Any = rrule.rrulestr(text, dtstart=datetime.strptime(start, "%Y%m%dT%H%M%S"))  # noqa: DTZ007
    except (ValueError, TypeError, KeyError) as exc:
        raise InvalidTaskError(f"rrule {text!r:.200}: {exc}") from exc
    if not any(day <= LONGEST.get(month, 0) for day in days for month in months):
        raise InvalidTaskError(f"rrule {text!r:.200}: no month of BYMONTH has a day of BYMONTHDAY: it is never due")
    if found.after(datetime.min) is None:  # noqa: DTZ901 -- a wall has no zone
        raise InvalidTaskError(f"rrule {text!r:.200}: it is never due")
    unit = _UNITS.get(frequency)
    return found, None if unit is None or "COUNT" in parts else unit * interval
