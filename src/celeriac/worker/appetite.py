"""How many deliveries a child process should claim: arithmetic, without any I/O.

A claim cannot ask for plain functions or coroutines alone, so what it brings is a mixture. While both kinds have room,
the size of the claim follows from the mixture seen lately. While only one kind has room, and what comes is mostly of
the other, the process *probes*: it claims a few now and then, ever more rarely while that brings nothing of use, and
gives the rest back at once. So neither kind waits for the other, and deliveries do not gather where they cannot run.
"""

from __future__ import annotations

from typing import Final

import msgspec

from celeriac.brokers.port import MAX_BATCH

MOSTLY: Final = 0.9
"""Share of what lately came from which on all of it is expected to be of that kind."""
PROBE_FIRST: Final = 0.05
PROBE_LONGEST: Final = 1.0
PROBE_MOST: Final = 64
FIRST_MEAN: Final = 0.02
"""First guess of a plain function's run time, so that a new process begins with a claim of one or two."""
_SHARE_WEIGHT: Final = 0.2
_TINY: Final = 1e-6
_WEIGHT: Final = 0.1
"""Of the newest run time in the quick moving mean."""
_SLOW_WEIGHT: Final = 0.001
"""The same in the slow one, which remembers a long task for a thousand short ones: where one was, more may come."""
_GUESSES: Final = 8
"""Runs that the first guess counts for. So what is claimed ahead at first is an eighth of what has been run: as long as
no long task was seen, that is how likely the next one is, and how much it should find behind it."""
_LONG: Final = 0.1
"""Seconds up to which no run is a long one."""
_LONGEST: Final = 10.0
"""Seconds that a run counts for in the slow mean, at most: an hour's task shall not be remembered for days."""


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """The slots of one kind in a child process, and what they are busy with.

    Attributes:
        slots: How many there are, without those that are stuck in something long.
        held: Deliveries for them that are here, running or not.
        mean: Mean time in seconds for which one is taken.
        newest_start: When the most recent run began, if every slot is busy.
    """

    slots: int
    held: int
    mean: float
    newest_start: float | None


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What a child process is busy with.

    Attributes:
        plain: For plain functions.
        coroutines: For coroutine functions.
    """

    plain: Room
    coroutines: Room


class RunTimes:
    """How long runs take: a moving mean that falls slowly.

    Args:
        first: First guess of the mean in seconds.
    """

    def __init__(self, first: float) -> None:
        self.mean = first
        """In seconds: the quick or the slow moving mean, whichever is greater."""
        self._quick = self._slow = first
        self._slow_weight = 1.0 / _GUESSES

    def learn(self, seconds: float) -> None:
        """Take note of how long a run took. Threads that race here lose one of a thousand."""
        quick = self._quick = self._quick + (seconds - self._quick) * _WEIGHT
        weight = self._slow_weight
        if weight > _SLOW_WEIGHT:  # At first it is the mean of all.
            self._slow_weight = weight = weight / (1.0 + weight)
        slow = self._slow = self._slow + (min(seconds, _LONGEST) - self._slow) * weight
        self.mean = max(quick, slow)

    def long_since(self, now: float) -> float:
        """Return the time from before which a run that goes on is a long one. It is in no mean yet, and its slot will
        not work off what waits."""
        return now - max(_LONG, 4.0 * self.mean)


class Appetite:
    """Decides how much to claim, and learns from what came."""

    def __init__(self, claim_ahead: float, *, has_async: bool) -> None:
        """Start hungry.

        Args:
            claim_ahead: Seconds of work to claim ahead of free slots.
            has_async: Some registered task is a coroutine function.
        """
        self._claim_ahead = claim_ahead
        self._has_async = has_async
        self._share = 0.5 if has_async else 0.0
        self._probes_for_async: bool | None = None
        self._probe_at = 0.0
        self._probe_wait = PROBE_FIRST
        self._probe_size = 1

    def saturated(self, room: Room, now: float) -> bool:
        """Return whether every slot runs something long: what is claimed for them now would only wait."""
        return room.newest_start is not None and now - room.newest_start > self._claim_ahead

    def patience(self, mean: float) -> float:
        """Return the seconds for which every slot may run one task while others wait behind it, claimed ahead.

        Half of what is claimed ahead, unless runs of that length are usual: tasks of ten milliseconds are not given
        back, tasks of fifty microseconds are before another process has come far past them.
        """
        return max(0.5 * self._claim_ahead, min(3.0 * mean, 2.0 * self._claim_ahead))

    def target(self, room: Room) -> int:
        """Return how many deliveries the slots should hold: one each, and what they do in ``claim_ahead``."""
        return room.slots + self._ahead(room)

    def keeps(self, room: Room, now: float) -> int:
        """Return how many more deliveries may wait for these slots; those above it are to be given back at once."""
        return 0 if self.saturated(room, now) else max(0, 2 * self.target(room) - room.held)

    def wanted(self, load: Load, now: float) -> int:
        """Return how many deliveries to claim now."""
        self._probes_for_async = None
        sync_room = self._lacks(load.plain, now)
        if not self._has_async:
            return sync_room
        async_room = self._lacks(load.coroutines, now)
        share = self._share
        if sync_room > 0 and async_room > 0:
            return max(1, int(min(sync_room / max(1.0 - share, _TINY), async_room / max(share, _TINY), MAX_BATCH)))
        room, likely = (async_room, share) if async_room > 0 else (sync_room, 1.0 - share)
        if room <= 0:
            return 0
        if likely >= MOSTLY:
            return room
        if now < self._probe_at:
            return 0
        self._probes_for_async = async_room > 0
        return self._probe_size  # Even more than there is room for: what is of use may stand far behind.

    def _ahead(self, room: Room) -> int:
        return min(MAX_BATCH, int(room.slots * self._claim_ahead / max(room.mean, _TINY)))

    def _lacks(self, room: Room, now: float) -> int:
        """Return how many deliveries to get for these slots: when one is free, or half of what waits is used up."""
        if self.saturated(room, now):
            return 0
        ahead = self._ahead(room)
        return room.slots + ahead - room.held if room.held <= room.slots + ahead // 2 else 0

    def retry_in(self, now: float) -> float | None:
        """Return the seconds after which to ask again though nothing has changed; None for never."""
        return max(0.0, self._probe_at - now) if self._has_async and self._probe_at > now else None

    def learn(self, plain: int, coroutines: int, now: float) -> None:
        """Take note of what a claim brought."""
        total = plain + coroutines
        if total == 0:
            self._probe_wait, self._probe_size = PROBE_FIRST, 1
            return
        if self._has_async:
            self._share += (coroutines / total - self._share) * _SHARE_WEIGHT
        if self._probes_for_async is None:
            return
        useful = coroutines if self._probes_for_async else plain
        self._probe_wait = PROBE_FIRST if useful else min(PROBE_LONGEST, 2 * self._probe_wait)
        self._probe_size = min(PROBE_MOST, 4 * self._probe_size)
        self._probe_at = now if useful else now + self._probe_wait
