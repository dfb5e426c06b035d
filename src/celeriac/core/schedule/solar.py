"""Times of the sun: when it rises, sets and stands highest at a place."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any, Final

import msgspec

from celeriac.errors import ImproperlyConfigured, InvalidTaskError

EVENTS: Final = {
    "dawn_astronomical": (1, 18.0),
    "dawn_nautical": (1, 12.0),
    "dawn_civil": (1, 6.0),
    "sunrise": (1, 16 / 60),
    "solar_noon": (0, 0.0),
    "sunset": (-1, 16 / 60),
    "dusk_civil": (-1, 6.0),
    "dusk_nautical": (-1, 12.0),
    "dusk_astronomical": (-1, 18.0),
}
"""Whether the sun goes up or down, and how many degrees its middle is below the horizon then."""
_DAY: Final = 86400.0
_HORIZON: Final = 370
"""Days that are looked at: near the poles an event may not come for months."""


class Solar(msgspec.Struct, frozen=True, tag="solar"):
    """Due when the sun does something; on days on which it does not, it is not due.

    Attributes:
        event: ``sunrise``, ``sunset``, ``solar_noon``, or ``dawn_`` and ``dusk_`` with ``civil``, ``nautical`` and
            ``astronomical``.
        latitude: Degrees; the north is positive.
        longitude: Degrees; the east is positive.

    Raises:
        InvalidTaskError: There is no such event or place.
        ImproperlyConfigured: The package astral is missing.
    """

    event: str
    latitude: float
    longitude: float

    def __post_init__(self) -> None:
        if self.event not in EVENTS:
            raise InvalidTaskError(f"solar: event={self.event!r} must be one of {', '.join(EVENTS)}")
        for name, value, most in (("latitude", self.latitude, 90), ("longitude", self.longitude, 180)):
            if not -most <= value <= most:
                raise InvalidTaskError(f"solar: {name}={value!r} must be between {-most} and {most} degrees")
        _library()

    def next_after(self, moment: float, zone: tzinfo) -> float | None:
        """Return the first time after ``moment`` at which it is due, to the second; None if none is in a year."""
        day = datetime.fromtimestamp(moment, UTC).date() - timedelta(days=2)
        before = _at(self.event, self.latitude, self.longitude, day)
        for _ in range(_HORIZON):
            day += timedelta(days=1)
            found = _at(self.event, self.latitude, self.longitude, day)
            for one in _between(before, found):
                if one > moment:
                    return one
            before = found
        return None

    def __str__(self) -> str:
        return f"{self.event} at {self.latitude:g}, {self.longitude:g}"


def _between(before: float | None, found: float | None) -> tuple[float, ...]:
    """Return the events after that of the day before until that of a day.

    The library gives each day of UTC one event. Where the event moves over midnight in the course of the year, it gives
    one event to two days, or leaves one out.
    """
    if found is None:
        return ()
    if before is not None and found - before > _DAY * 1.5:
        return float(round((before + found) / 2)), found
    return () if before is not None and found - before < _DAY / 2 else (found,)


@lru_cache(maxsize=8192)
def _at(event: str, latitude: float, longitude: float, day: date) -> float | None:
    sun, astral = _library()
    way, depression = EVENTS[event]
    observer = astral.Observer(latitude, longitude)
    try:
        if not way:
            found: datetime = sun.noon(observer, day, UTC)
        else:
            direction = astral.SunDirection.RISING if way > 0 else astral.SunDirection.SETTING
            found = sun.time_of_transit(observer, day, 90.0 + depression, direction)
    except ValueError:  # not on this day
        return None
    return float(round(found.timestamp()))


@lru_cache(maxsize=1)
def _library() -> tuple[Any, Any]:
    try:
        import astral
        import astral.sun
    except ImportError as exc:
        raise ImproperlyConfigured(
            "schedules by the sun need the package astral: pip install 'celeriac[solar]'"
        ) from exc
    return astral.sun, astral
