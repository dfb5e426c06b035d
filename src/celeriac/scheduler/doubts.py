"""What is wrong with entries, for the scheduler's health: the entries that were put aside or doubted, and still are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from celeriac.events import Bus, EntryDoubted, EntryFailed

MOST: Final = 100
"""Most entries that are remembered; the log has them all."""


class Doubts:
    """Hears of bad entries until they are changed or dropped.

    Args:
        bus: Where they are told.
    """

    def __init__(self, bus: Bus) -> None:
        self._why: dict[str, str] = {}
        self._editions: dict[str, int] = {}
        self._failed: set[str] = set()
        self._lasting: frozenset[str] = frozenset()
        bus.subscribe(EntryFailed, self._note)
        bus.subscribe(EntryDoubted, self._note)

    def _note(self, event: EntryFailed | EntryDoubted) -> None:
        if event.name in self._why or len(self._why) < MOST:
            self._why[event.name] = event.reason
            self._editions.pop(event.name, None)
            if isinstance(event, EntryFailed):
                self._failed.add(event.name)

    def last(self) -> None:
        """Hold the entries that have failed by now to be bad until the program ends: they are wrong in the settings."""
        self._lasting = frozenset(self._failed)

    @property
    def open(self) -> Iterable[str]:
        """The names of the entries of which it is not known whether they are as they were."""
        return [name for name in self._why if name not in self._lasting]

    def compare(self, editions: Mapping[str, int]) -> None:
        """Forget those that are not there any more, or are of another edition than when this was asked before."""
        for name in self.open:
            if name not in editions or self._editions.setdefault(name, editions[name]) != editions[name]:
                del self._why[name]
                self._failed.discard(name)
                self._editions.pop(name, None)

    def told(self) -> tuple[str, ...]:
        """Return what is wrong, in words."""
        return tuple([f"schedule entry {name!r}: {why}" for name, why in list(self._why.items())])
