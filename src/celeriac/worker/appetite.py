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
_SHARE_WEIGHT: Final = 0.2
_TINY: Final = 1e-6


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What a child process is busy with.

    Attributes:
        slots: Sync slots.
        held: Deliveries for them that are here, running or not.
        mean: Mean run time of theirs in seconds.
        newest_start: When the most recent run began, if every sync slot is busy.
        async_room: Coroutines that could start now.
    """

    slots: int
    held: int
    mean: float
    newest_start: float | None
    async_room: int


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

    def saturated(self, load: Load, now: float) -> bool:
        """Return whether every sync slot runs something long: what is claimed for them now would only wait."""
        return load.newest_start is not None and now - load.newest_start > self._claim_ahead

    def patience(self, mean: float) -> float:
        """Return the seconds for which every slot may run one task while others wait behind it, claimed ahead.

        Half of what is claimed ahead, unless runs of that length are usual: tasks of ten milliseconds are not given
        back, tasks of fifty microseconds are before another process has come far past them.
        """
        return max(0.5 * self._claim_ahead, min(3.0 * mean, 2.0 * self._claim_ahead))

    def target(self, load: Load) -> int:
        """Return how many deliveries the sync slots should hold: one each, and what they do in ``claim_ahead``."""
        return load.slots + min(MAX_BATCH, int(self._claim_ahead / max(load.mean, _TINY)))

    def keeps(self, load: Load, now: float) -> int:
        """Return how many more deliveries for sync slots may wait here; those above it are to be given back at once."""
        return 0 if self.saturated(load, now) else max(0, 2 * self.target(load) - load.held)

    def wanted(self, load: Load, now: float) -> int:
        """Return how many deliveries to claim now."""
        self._probes_for_async = None
        target = 0 if self.saturated(load, now) else self.target(load)
        sync_room = target - load.held if load.held <= target // 2 else 0
        async_room = load.async_room if self._has_async else 0
        share = self._share
        if not self._has_async:
            return sync_room
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
