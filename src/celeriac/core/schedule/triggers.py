"""Triggers: values that say when something is due next."""

from __future__ import annotations

import math
from datetime import tzinfo
from typing import Any, Final, TypeAlias

import msgspec

from celeriac.core.schedule.crontab import Crontab
from celeriac.core.schedule.rule import Rule
from celeriac.core.schedule.solar import Solar
from celeriac.errors import ImproperlyConfigured, InvalidTaskError

SHORTEST: Final = 0.001
"""Fewest seconds of an interval: the times that a shorter one missed would keep a scheduler from all other entries."""


class Interval(msgspec.Struct, frozen=True, tag="interval"):
    """Due every so many seconds.

    Attributes:
        every: Seconds, at least ``SHORTEST``.
        anchor: A time at which it is due, seconds since the epoch; None: when the entry was made.

    Raises:
        InvalidTaskError: ``every`` is shorter.
    """

    every: float
    anchor: float | None = None

    def __post_init__(self) -> None:
        if not (self.every > 0 and math.isfinite(self.every)):
            raise InvalidTaskError(f"every={self.every!r} must be more than 0 seconds")
        if self.every < SHORTEST:
            raise InvalidTaskError(f"every={self.every!r} must be at least {SHORTEST} seconds")

    def next_after(self, moment: float, zone: tzinfo) -> float | None:
        """Return the first time after ``moment`` at which it is due; without an anchor one interval later."""
        if self.anchor is None:
            return moment + self.every
        steps = math.floor((moment - self.anchor) / self.every) + 1
        found = self.anchor + steps * self.every
        return found if found > moment else found + self.every

    def __str__(self) -> str:
        return f"every {self.every:g} s"


class Once(msgspec.Struct, frozen=True, tag="once"):
    """Due at one time, ``at`` seconds since the epoch."""

    at: float

    def next_after(self, moment: float, zone: tzinfo) -> float | None:
        """Return that time, if it is after ``moment``."""
        return self.at if self.at > moment else None

    def __str__(self) -> str:
        return "once"


Trigger: TypeAlias = Interval | Crontab | Once | Solar | Rule


def to_dict(trigger: Trigger) -> dict[str, Any]:
    """Return the trigger as plain values."""
    found: dict[str, Any] = msgspec.to_builtins(trigger)
    return found


def from_dict(values: dict[str, Any]) -> Trigger:
    """Return the trigger that these values say.

    Raises:
        InvalidTaskError: They say none.
    """
    try:
        found: Trigger = msgspec.convert(values, Interval | Crontab | Once | Solar | Rule)
        return found
    except ImproperlyConfigured:  # of a library that is missing here
        raise
    except (msgspec.ValidationError, TypeError, ValueError) as exc:
        raise InvalidTaskError(f"no trigger: {exc}") from exc
