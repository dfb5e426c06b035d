"""How many messages a claim moves from RabbitMQ to the store beyond those it wants: arithmetic, without any I/O.

A look into RabbitMQ costs the same for one message as for a hundred: a consumer is opened and closed, each time with
the consent of a quorum queue's servers. A claim from the store costs a fraction of it. Where a process claims few at a
time and is done with them at once (short tasks among long ones), it would do little but look. So a look moves more, as
many as keep looks from taking more than a fifth of the time, and the claims after it go to the store alone. What was
moved lies ready there, for every worker: nothing waits in the hands of a process behind what that runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

MOST: Final = 100
"""Messages that one look moves for later claims, at most."""
FRESH: Final = 0.05
"""Seconds after a look in which claims need no other: for so long at most do they miss what is more urgent."""
_WORTH: Final = 4.0
"""How many times as long as the look took what it moved should last."""


class Ahead:
    """How many messages a look of this process should move, and how many should still lie in the store.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._queues: tuple[str, ...] = ()
        self._aim = 0
        self._asked = 0
        self._spare = 0
        self._more = 0
        self._began = self._ended = -FRESH

    def suffices(self, queues: tuple[str, ...], wanted: int) -> bool:
        """Return whether so many of these queues should be in the store, and a look was a moment ago."""
        fresh = self._clock() - self._ended < FRESH
        return fresh and queues == self._queues and wanted <= self._spare

    def begin(self, queues: tuple[str, ...], wanted: int) -> int:
        """Note that a look begins; return how many messages it should take, at least those that are wanted."""
        if queues != self._queues:
            self._queues, self._aim, self._spare, self._more = queues, 0, 0, 0
        now = self._clock()
        took, lasted = self._ended - self._began, now - self._ended
        self._aim = min(MOST, 2 * self._aim) if lasted < _WORTH * took else self._aim // 2
        self._began = now
        self._asked = max(wanted, self._aim - self._spare)
        return self._asked

    def end(self, moved: int) -> None:
        """Note that the look has moved so many."""
        self._ended = self._clock()
        self._spare += moved
        # Where there are no more there is nothing to be gained.
        self._aim = moved if moved < self._asked else min(MOST, max(self._aim, moved))

    def claimed(self, wanted: int, found: int) -> None:
        """Note what a claim from the store brought."""
        if found < wanted:
            self._spare = self._more = 0  # Others have taken what was moved here.
        elif found > self._spare:
            # There was more than was moved here, given back or moved by others: the guess grows while that is so.
            self._spare = self._more = min(MOST, max(found, 2 * self._more))
        else:
            self._spare -= found
