"""Times of the sun: when it rises, sets and stands highest at a place."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any, Final

import msgspec

from celeriac.errors import ImproperlyConfigured, InvalidTaskError

EVENTS: Final = {
    "dawn_astronomical": ("dawn", 18.0),
    "dawn_nautical": ("dawn", 12.0),
    "dawn_civil": ("dawn", 6.0),
    "sunrise": ("sunrise", None),
    "solar_noon": ("noon", None),
    "sunset": ("sunset", None),
    "dusk_civil": ("dusk", 6.0),
    "dusk_nautical": ("dusk", 12.0),
    "dusk_astronomical": ("dusk", 18.0),
}
"""What is asked for each event, and how many degrees the sun is below the horizon then."""
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
        day = datetime.fromtimestamp(moment, UTC).date() - timedelta(days=1)
        for _ in range(_HORIZON):
            found = _at(self.event, self.latitude, self.longitude, day)
            if found is not None and found > moment:
                return found
            day += timedelta(days=1)
        return None

    def __str__(self) -> str:
        return f"{self.event} at {self.latitude:g}, {self.longitude:g}"


@lru_cache(maxsize=4096)
def _at(event: str, latitude: float, longitude: float, day: date) -> float | None:
    sun, observer = _library()
    name, depression = EVENTS[event]
    more = {} if depression is None else {"depression": depression}
    try:
        found: datetime = getattr(sun, name)(observer(latitude, longitude), date=day, tzinfo=UTC, **more)
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
    return astral.sun, astral.Observer
