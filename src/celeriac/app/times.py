"""Moments as users give them, turned into seconds since the epoch.

A countdown is seconds from now; an eta is a moment; ``expires`` may be either. Datetimes without a time zone are read
in the app's own zone. Whatever is not a moment is refused here, before anything is sent.
"""

from __future__ import annotations

import math
import os
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from celeriac.errors import ImproperlyConfigured, InvalidTaskError

LATEST: Final = datetime(9999, 12, 31, tzinfo=UTC).timestamp()
"""The last moment that every broker can keep."""


def seconds(value: float | timedelta, name: str) -> float:
    """Return a duration as float seconds.

    Raises:
        InvalidTaskError: It is not a number or timedelta, or not finite.
    """
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, (int, float)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidTaskError(
            f"{name}={value!r} is a {type(value).__name__}: give seconds as a number, or a datetime.timedelta"
        )
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise InvalidTaskError(f"{name}={value!r} must be a finite number of seconds")
    return found


def moment(value: datetime, zone: tzinfo, name: str) -> float:
    """Return a datetime as seconds since the epoch; one without a time zone is read in ``zone``.

    Raises:
        InvalidTaskError: It is not a datetime, or is before 1970 or after 9999.
    """
    if not isinstance(value, datetime):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidTaskError(f"{name}={value!r} is a {type(value).__name__}: give a datetime.datetime")
    try:
        found = (value if value.tzinfo is not None else value.replace(tzinfo=zone)).timestamp()
    except (OverflowError, ValueError):
        found = -1.0
    return _bounded(found, value, name)


def not_before(
    countdown: float | timedelta | None, eta: datetime | float | None, *, now: float, zone: tzinfo
) -> float | None:
    """Return the moment before which a task must not run, or None for at once.

    A countdown of zero or less, and an eta in the past, mean at once.

    Raises:
        InvalidTaskError: Both are given, or one is not what its name says.
    """
    if countdown is not None:
        if eta is not None:
            raise InvalidTaskError("countdown and eta say the same in two ways: give one of them")
        wait = seconds(countdown, "countdown")
        return _bounded(now + wait, countdown, "countdown") if wait > 0 else None
    if eta is None:
        return None
    if isinstance(eta, (int, float)):
        found = _bounded(seconds(eta, "eta"), eta, "eta")
    else:
        found = moment(eta, zone, "eta")
    return found if found > now else None


def is_duration(value: object) -> bool:
    """Tell whether it is a number of seconds, in one of the ways to say it, and no moment."""
    return isinstance(value, (int, float, timedelta))


def not_after(expires: float | timedelta | datetime | None, *, now: float, zone: tzinfo) -> float | None:
    """Return the moment after which a task must not start, or None for never.

    Args:
        expires: Seconds from now, or a datetime. A moment in the past is kept: such a task is revoked as expired.
        now: Seconds since the epoch.
        zone: In which a datetime without a time zone is read.

    Raises:
        InvalidTaskError: It is neither.
    """
    if expires is None:
        return None
    if isinstance(expires, datetime):
        return moment(expires, zone, "expires")
    return _bounded(now + seconds(expires, "expires"), expires, "expires")


def _bounded(found: float, given: object, name: str) -> float:
    if not 0 <= found <= LATEST:
        raise InvalidTaskError(f"{name}={given!r} is not between the years 1970 and 9999")
    return found


LOCAL_TIME: Final = Path("/etc/localtime")


def local_zone() -> tzinfo:
    """Return the time zone of the machine: of the variable ``TZ``, else of the system; UTC if neither says one.

    Raises:
        ImproperlyConfigured: The variable names no known time zone.
    """
    name = os.environ.get("TZ", "").removeprefix(":")
    try:
        if name:
            return ZoneInfo(name)
        with LOCAL_TIME.open("rb") as file:
            return ZoneInfo.from_file(file)
    except FileNotFoundError:
        return UTC
    except (OSError, ValueError, KeyError) as exc:
        raise ImproperlyConfigured(
            f"setting enable_utc = False: the zone of this machine, {name or LOCAL_TIME}, cannot be read: say it by"
            " the setting timezone, an IANA name such as 'Europe/Berlin'"
        ) from exc
