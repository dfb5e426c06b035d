"""Entries, and what is to become of one whose time has come."""

from __future__ import annotations

import math
import random
from collections import deque
from datetime import UTC, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from celeriac.core.schedule.triggers import Interval, Trigger
from celeriac.errors import InvalidTaskError

MISFIRES: Final = ("skip", "once", "all")
OVERLAPS: Final = ("allow", "skip", "queue")
ON_TIME: Final = 1.0
"""Seconds by which a run may be late without having been missed."""
MOST_RUNS: Final = 100
"""Most runs of one entry that are caught up with in one step."""
MOST_STEPS: Final = 10_000
"""Most due times that are counted as missed in one step."""
MOST_KEPT: Final = 10_000
"""Most runs that an entry may remember: each run writes all of them."""
LATEST: Final = 253_402_214_400.0
"""Seconds from 1970 to the end of the year 9999: whatever would be due later is never due."""
_TEXT: Final = ("text", (str,))
_SAID: Final[dict[str, tuple[str, tuple[type, ...]]]] = {
    "task": _TEXT,
    "args": ("a list or tuple", (tuple,)),
    "kwargs": ("a dictionary", (dict,)),
    "options": ("a dictionary", (dict,)),
    "description": _TEXT,
    "zone": ("the name of a time zone", (str, type(None))),
    "start": ("a datetime", (float, int, type(None))),
    "end": ("a datetime", (float, int, type(None))),
    "enabled": ("True or False", (bool,)),
    "one_off": ("True or False", (bool,)),
    "window": ("a number of seconds", (float, int, type(None))),
    "jitter": ("a number of seconds", (float, int)),
    "keep": ("a whole number", (int,)),
}
"""What a field must be, in words and as types."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is to be sent, and when.

    Attributes:
        name: Its name.
        task: The task's name.
        trigger: When it is due.
        args, kwargs, options: Of the call; ``countdown`` and ``expires`` in seconds count from the run.
        description: For people.
        zone: Name of the time zone of its crontab; None: that of the app.
        start, end: Not before, not after; seconds since the epoch.
        enabled: False: it is never due.
        one_off: It runs once.
        misfire: What becomes of due times that were missed while no scheduler ran: ``skip`` them, run ``once`` for all
            of them, or run ``all`` of them within ``window``.
        window: Seconds; older ones are skipped. None: none is too old.
        overlap: ``allow`` a run while one goes on, ``skip`` it, or ``queue`` one.
        jitter: Most seconds by which a run is put off; how many is drawn for each run.
        keep: How many runs are remembered; at most ``MOST_KEPT``.
        origin: ``store``, or ``settings`` for what the app's settings say.
    """

    name: str
    task: str
    trigger: Trigger
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    options: dict[str, Any] = {}
    description: str = ""
    zone: str | None = None
    start: float | None = None
    end: float | None = None
    enabled: bool = True
    one_off: bool = False
    misfire: str = "once"
    window: float | None = None
    overlap: str = "allow"
    jitter: float = 0.0
    keep: int = 20
    origin: str = "store"

    def __post_init__(self) -> None:
        for field, (words, types) in _SAID.items():
            value = getattr(self, field)
            right = isinstance(value, types) and (bool in types or not isinstance(value, bool))
            if not right or (isinstance(value, float) and not math.isfinite(value)):
                raise InvalidTaskError(f"schedule entry {self.name!r:.100}: {field}={value!r:.100} must be {words}")
        for field, mapping in (("kwargs", self.kwargs), ("options", self.options)):
            keys: list[object] = list(mapping)
            if wrong := [key for key in keys if not isinstance(key, str)]:
                raise InvalidTaskError(
                    f"schedule entry {self.name!r}: {field} must have names as keys, not {wrong[0]!r:.100}"
                )
        for field, value, known in (("misfire", self.misfire, MISFIRES), ("overlap", self.overlap, OVERLAPS)):
            if value not in known:
                raise InvalidTaskError(
                    f"schedule entry {self.name!r}: {field}={value!r} must be one of {', '.join(known)}"
                )
        if not self.task:
            raise InvalidTaskError(f"schedule entry {self.name!r} names no task")
        if self.jitter < 0 or self.keep < 0 or (self.window is not None and self.window < 0):
            raise InvalidTaskError(f"schedule entry {self.name!r}: jitter, keep and window must be at least 0")
        if self.keep > MOST_KEPT:
            raise InvalidTaskError(f"schedule entry {self.name!r}: keep={self.keep} must be at most {MOST_KEPT}")
        zone_of(self.zone, UTC)

    def next_after(self, moment: float, zone: tzinfo) -> float | None:
        """Return the first time after ``moment`` at which it is due; None if there is none.

        An interval that is counted from nothing else begins with the start, if that is to come.
        """
        if not self.enabled:
            return None
        begins = self.start is not None and moment < self.start
        if begins and isinstance(self.trigger, Interval) and self.trigger.anchor is None:
            found = self.start
        else:
            since = self.start - 1e-6 if begins and self.start is not None else moment
            found = self.trigger.next_after(since, zone_of(self.zone, zone))
        latest = LATEST if self.end is None else min(self.end, LATEST)
        return None if found is None or found > latest else found


class Plan(msgspec.Struct, frozen=True, gc=False):
    """What is to become of an entry that is due.

    Attributes:
        runs: The due times to run it for, the earliest first.
        next_due: When it is due next; None: never.
        missed: Due times that pass without a run.
    """

    runs: tuple[float, ...]
    next_due: float | None
    missed: int = 0


def plan(entry: Entry, due: float, now: float, zone: tzinfo) -> Plan:
    """Return what is to become of an entry that was due at ``due``, which is not after ``now``."""
    passed, count, next_due = _passed(entry, due, now, zone)
    if entry.one_off:
        passed, count, next_due = [due], 1, None
    oldest = now - ON_TIME if entry.misfire == "skip" else (now - entry.window if entry.window is not None else None)
    runs = [one for one in passed if oldest is None or one >= oldest]
    if entry.misfire != "all":
        runs = runs[-1:]
    return Plan(tuple(runs), next_due, count - len(runs))


def _passed(entry: Entry, due: float, now: float, zone: tzinfo) -> tuple[list[float], int, float | None]:
    """Return the latest of the due times until now, how many there are in all, and the first one after that."""
    first, count = _leap(entry, due, now)
    passed = deque((first,), MOST_RUNS)
    steps = 1
    following = entry.next_after(first, zone)
    while following is not None and following <= now:
        passed.append(following)
        count, steps = count + 1, steps + 1
        if steps == MOST_STEPS:
            # Those in between are not counted: a year of minutes would hold up all other entries.
            behind = (following - first) / steps * MOST_RUNS
            following = max(following, now - behind)
        following = entry.next_after(following, zone)
    return list(passed), count, following


def _leap(entry: Entry, due: float, now: float) -> tuple[float, int]:
    """Return a due time from which on there are few until now, and how many there are until then, both counted."""
    trigger = entry.trigger
    if not isinstance(trigger, Interval):
        return due, 1
    until = now if entry.end is None else min(now, entry.end)
    steps = math.floor((until - due) / trigger.every) - MOST_RUNS
    if steps <= 0:
        return due, 1
    if trigger.anchor is None:
        return due + steps * trigger.every, steps + 1
    # Between two of them, so that what is lost in adding up makes no third.
    return trigger.next_after(due + (steps - 0.5) * trigger.every, UTC) or due, steps + 1


def put_off(entry: Entry, due: float) -> float:
    """Return by how many seconds the run for a due time is put off: the same for whoever asks."""
    return random.Random(f"{entry.name}/{due!r}").uniform(0.0, entry.jitter) if entry.jitter else 0.0


_zones: dict[str, tzinfo] = {"UTC": UTC}


def zone_of(name: str | None, default: tzinfo) -> tzinfo:
    """Return the time zone of this name.

    Raises:
        InvalidTaskError: There is none.
    """
    if name is None:
        return default
    zone = _zones.get(name)
    if zone is None:
        try:
            zone = _zones[name] = ZoneInfo(name)
        except (ZoneInfoNotFoundError, TypeError, ValueError, OSError) as exc:
            raise InvalidTaskError(
                f"there is no time zone {name!r:.100}: give an IANA name such as 'Europe/Berlin'"
            ) from exc
    return zone
