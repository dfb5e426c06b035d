"""What clocks on a wall show, and when: local times of a zone as whole seconds and back.

A wall time is a datetime without a zone. One that the clock leaves out comes as much later as the clock is put
forward; one that comes twice is meant the first time.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from typing import Final

DAY: Final = 86400
NONE: Final = timedelta()


def shown(moment: int, zone: tzinfo) -> tuple[datetime, timedelta]:
    """Return what the clock shows, and how far it is ahead of UTC."""
    local = datetime.fromtimestamp(moment, zone)
    return local.replace(tzinfo=None, fold=0), local.utcoffset() or NONE


def offset(moment: int, zone: tzinfo) -> timedelta:
    """Return how far the clock is ahead of UTC."""
    return datetime.fromtimestamp(moment, zone).utcoffset() or NONE


def when(wall: datetime, zone: tzinfo) -> int:
    """Return when the clock shows a wall time."""
    return round(wall.replace(tzinfo=zone).timestamp())


def change_in(first: int, last: int, zone: tzinfo) -> int:
    """Return the first second of another offset than that of ``first``, where ``last`` has another."""
    before = offset(first, zone)
    while last - first > 1:
        middle = (first + last) // 2
        if offset(middle, zone) == before:
            first = middle
        else:
            last = middle
    return last


Following = Callable[[datetime], datetime | None]
"""Returns the first matching wall time after another; None if there is none."""


def first_after(following: Following, moment: int, zone: tzinfo) -> int | None:
    """Return the first time after a moment at which a matching wall time comes; each comes once.

    Args:
        following: Says which wall times match.
        moment: Seconds since the epoch.
        zone: Whose clock it is.
    """
    wall, ahead = shown(moment, zone)
    candidate = following(wall)
    # Behind a clock that was put back, what comes now came before.
    found: int | None = None
    while candidate is not None and (found := when(candidate, zone)) <= moment:
        candidate = following(candidate)
    if candidate is None:
        found = None
    skipped = found is not None and shown(found, zone)[0] != candidate
    # Left out times come later than they would, so that others may be before them: look at all of those around.
    back = ahead - offset(moment - DAY, zone)
    if back > NONE and offset(moment - round(back.total_seconds()), zone) == ahead:
        back = NONE
    if skipped or back > NONE:
        start = wall - back - timedelta(minutes=1)
        return _least(following, start, moment, found, zone)
    return found


def _least(following: Following, start: datetime, moment: int, found: int | None, zone: tzinfo) -> int | None:
    candidate = following(start)
    while candidate is not None and (found is None or candidate <= shown(found, zone)[0]):
        at = when(candidate, zone)
        if at > moment and (found is None or at < found):
            found = at
        candidate = following(candidate)
    return found


def first_shown(following: Following, moment: int, zone: tzinfo) -> int | None:
    """Return the first time after a moment at which the clock shows a matching wall time; it may show one twice.

    Args:
        following: Says which wall times match.
        moment: Seconds since the epoch.
        zone: Whose clock it is.
    """
    wall, ahead = shown(moment, zone)
    since = moment
    while (candidate := following(wall)) is not None:
        # As if the clock were not changed any more.
        found = moment + round((candidate - wall).total_seconds())
        end = min(found, moment + DAY)
        if offset(end, zone) != ahead:
            change = change_in(since, end, zone)
            if found < change:
                return found
            wall, ahead = shown(change, zone)
            # Its first second counts.
            wall -= timedelta(seconds=1)
            moment, since = change - 1, change
        elif end == found:
            return found
        else:
            # Nothing matches until then, whatever the clock does in between.
            moment = since = max(end, when(candidate, zone) - DAY)
            wall, ahead = shown(moment, zone)
    return None
