"""Schedule entries in memory: a dict by name, and a heap of due times on which what has moved on is skipped."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

import msgspec

from celeriac.brokers.rules import packed
from celeriac.core.clock import Clock
from celeriac.core.message import Message
from celeriac.core.scheduled import Firing, StoredEntry, Turn, Turns, Writing, first_firings, last_of_each


class Entries:
    """All entries of a store.

    Args:
        clock: Says what time it is.
        enqueue: Keeps messages that are packed.
        changed: Tells waiters that something changed.
    """

    def __init__(
        self,
        clock: Clock,
        enqueue: Callable[[list[tuple[Message, bytes]]], object],
        changed: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._enqueue = enqueue
        self._changed = changed
        self._entries: dict[str, StoredEntry] = {}
        self._waiting: list[tuple[float, int, str]] = []  # heap of (due, edition, name)

    def put(self, writings: Sequence[Writing]) -> tuple[str, ...]:
        """Write entries; return the names of those refused."""
        self._changed()
        refused: list[str] = []
        for writing in last_of_each(writings):
            entry = writing.entry
            old = self._entries.get(entry.name)
            edition = 0 if old is None else old.edition
            if writing.replaces not in (None, edition) and edition != entry.edition:
                refused.append(entry.name)
                continue
            if old is not None:
                due = old.due if writing.keeps_due else entry.due
                entry = msgspec.structs.replace(entry, state=old.state, due=due)
            self._keep(entry)
        return tuple(refused)

    def _keep(self, entry: StoredEntry) -> None:
        self._entries[entry.name] = entry
        if entry.due is not None:
            heapq.heappush(self._waiting, (entry.due, entry.edition, entry.name))

    def drop(self, names: Iterable[str]) -> tuple[str, ...]:
        """Drop entries; return the names of those that were here."""
        self._changed()
        return tuple([name for name in names if self._entries.pop(name, None) is not None])

    def due(self, limit: int) -> Turns:
        """Return what is due."""
        now = self._clock.now()
        found: dict[str, tuple[float, int, str]] = {}
        next_in: float | None = None
        while self._waiting:
            place = self._waiting[0]
            due, edition, name = place
            entry = self._entries.get(name)
            if entry is not None and (entry.due, entry.edition) == (due, edition) and name not in found:
                if due > now or len(found) >= limit:
                    next_in = max(0.0, due - now)
                    break
                found[name] = place
            heapq.heappop(self._waiting)
        for place in found.values():
            heapq.heappush(self._waiting, place)
        turns = [Turn(name, edition, due, self._entries[name].state) for due, edition, name in found.values()]
        return Turns(tuple(turns), now, next_in)

    def fire(self, firings: Sequence[Firing]) -> tuple[str, ...]:
        """Enqueue and advance; return the names of entries that had moved on."""
        valid, refused = first_firings(firings)
        accepted: list[Firing] = []
        for firing in valid:
            entry = self._entries.get(firing.name)
            if entry is not None and (entry.edition, entry.due) == (firing.edition, firing.due):
                accepted.append(firing)
            else:
                refused.append(firing.name)
        self._enqueue(packed([message for firing in accepted for message in firing.messages]))
        for firing in accepted:
            self._keep(msgspec.structs.replace(self._entries[firing.name], due=firing.next_due, state=firing.state))
        return tuple(refused)

    def get(self, names: Iterable[str]) -> list[StoredEntry]:
        """Return the entries of those names that are here."""
        return [self._entries[name] for name in dict.fromkeys(names) if name in self._entries]

    def page(self, after: str, limit: int) -> list[StoredEntry]:
        """Return entries after a name, in order."""
        names = sorted([name for name in self._entries if name.encode() > after.encode()], key=str.encode)
        return [self._entries[name] for name in islice(names, max(0, limit))]
