"""The store of a kit: the memory broker's own, which also takes note of every message that comes in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import NamedTuple

from celeriac.brokers.memory.driver import SharedStore
from celeriac.brokers.memory.entry import Entry
from celeriac.brokers.memory.store import Store
from celeriac.core import state
from celeriac.core.message import Message
from celeriac.errors import CeleriacError
from celeriac.testing.clock import VirtualClock

_numbers = count(1)


class NothingRuns(CeleriacError):
    """Something waits for a task, and the kit runs none unless it is told to."""


class Sent(NamedTuple):
    """A message, and when it came."""

    message: Message
    at: float


class KitStore(Store):
    """A store that remembers what came in.

    Args:
        clock: The kit's.
    """

    def __init__(self, clock: VirtualClock) -> None:
        self.sent: list[Sent] = []
        self._queues: dict[str, None] = {}
        super().__init__(clock)

    def _add(self, new: Iterable[tuple[Message, bytes]]) -> tuple[str, ...]:
        batch = list(new)
        now = self.clock.now()
        known = super()._add(batch)
        fresh = [Sent(message, now) for message, _ in batch if message.id not in known]
        self.sent += fresh
        return known

    def _put_back(self, entry: Entry, to: str, due: float | None = None) -> None:
        self._queues[entry.queue] = None
        super()._put_back(entry, to, due)

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues that had messages."""
        return tuple(self._queues)

    def state_of(self, id: str) -> str | None:
        """Return where a message is in its life; None once it is over."""
        entry = self._entries.get(id)
        return None if entry is None else entry.state

    def waiting(self) -> frozenset[str]:
        """Return the ids of the messages that are neither over nor dead letters."""
        return frozenset([id for id, entry in self._entries.items() if entry.state != state.DEAD])


class KitShared(SharedStore):
    """What gives the store to one caller at a time, under a name of its own.

    Args:
        clock: The kit's.
        refuse: Called with the ids of tasks that somebody is about to wait for; raises where that would be for ever.
    """

    def __init__(self, clock: VirtualClock, refuse: Callable[[Sequence[str]], None]) -> None:
        self.messages = KitStore(clock)
        super().__init__(clock, self.messages)
        self.name = f"celeriac-kit-{next(_numbers)}"
        self._refuse = refuse

    def before_wait(self, ids: Sequence[str]) -> None:
        self._refuse(ids)
