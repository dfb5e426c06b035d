"""Who is to be woken, and for what: the part of waiting that does no input and output.

The store sends one notification for some milliseconds (``1_wake.sql``), so what is heard is passed on at once, and
once more when everything that was kept in these milliseconds can be seen. Where notifications cannot be had, because a
pooler is in between, the moments of the last ones are looked at instead, less and less often while nothing happens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

KINDS: Final = ("work", "result")
AGAIN_AFTER: Final = 0.012
"""Seconds from a notification to the second wake-up: longer than the store is silent, and a commit takes."""
AGAIN_AFTER_LOOK: Final = 0.1
"""The same where notifications are looked for: what is found was there before its commit."""
FIRST_LOOK: Final = 0.005
LONGEST_LOOK: Final = 0.5
"""Seconds between two looks; they grow from the first to the longest."""


class Sleeper(Protocol):
    """One that waits."""

    @property
    def kind(self) -> str:
        """What it waits for."""
        ...

    def wake(self) -> None:
        """End its wait, or its next one."""
        ...


def kind_of(ids: Sequence[str]) -> str:
    """Return what one waits for who names these results, or none."""
    return "result" if ids else "work"


class Alarm:
    """Those who wait on one connection."""

    def __init__(self) -> None:
        self.sleepers: Final[set[Sleeper]] = set()
        self._looked: tuple[int, ...] | None = None
        self._pause = FIRST_LOOK

    @property
    def kinds(self) -> tuple[str, ...]:
        """What anybody waits for."""
        wanted = {sleeper.kind for sleeper in list(self.sleepers)}
        return tuple([kind for kind in KINDS if kind in wanted])

    def ring(self, kind: str) -> None:
        """Wake those who wait for this."""
        for sleeper in list(self.sleepers):
            if sleeper.kind == kind:
                sleeper.wake()

    def ring_all(self) -> None:
        """Wake everybody: nobody knows what was missed."""
        for sleeper in list(self.sleepers):
            sleeper.wake()

    def looked(self, found: tuple[int, ...]) -> tuple[str, ...]:
        """Return what has happened since the last look, and set the next pause."""
        before, self._looked = self._looked, found
        new = (
            KINDS
            if before is None
            else tuple([kind for kind, a, b in zip(KINDS, before, found, strict=True) if a != b])
        )
        self._pause = FIRST_LOOK if new else min(self._pause * 1.25, LONGEST_LOOK)
        return new

    @property
    def pause(self) -> float:
        """Seconds until the next look."""
        return self._pause
