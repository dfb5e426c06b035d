"""The part of the port that schedule entries need; :mod:`celeriac.brokers.port` has the rest, and says what is common.

Correctness is here: whoever fires an entry names the edition and the due time that it saw, and of many that fire the
same due time one succeeds. Whether there is one scheduler or many, and which of them leads, does not matter to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from celeriac.core.operation import Operation
from celeriac.core.scheduled import Firing, StoredEntry, Turns, Writing

ReqOut = TypeVar("ReqOut", covariant=True)
RepIn = TypeVar("RepIn", contravariant=True)


class ScheduleOperations(Protocol[ReqOut, RepIn]):
    """Schedule entries. Each change costs its own row only; waiters on the id ``ENTRIES`` are woken by it."""

    def put_entries(self, writings: Sequence[Writing]) -> Operation[ReqOut, RepIn, tuple[str, ...]]:
        """Write entries; return the names of those that were not, because what is there is not what they replace.

        All in one step. Of several writings of one name the last counts. Idempotent: an entry that is there already in
        the edition that is written counts as written.
        """
        ...

    def drop_entries(self, names: Sequence[str]) -> Operation[ReqOut, RepIn, tuple[str, ...]]:
        """Drop entries; return the names of those that were there.

        A store that calls its waiters (``push``) calls them even if there were none.
        """
        ...

    def due_entries(self, limit: int) -> Operation[ReqOut, RepIn, Turns]:
        """Return up to ``limit`` entries whose time has come by the store's clock. Changes nothing."""
        ...

    def fire_entries(self, firings: Sequence[Firing]) -> Operation[ReqOut, RepIn, tuple[str, ...]]:
        """Carry out the firings of entries that still have this edition and due time; return the names of the others.

        Per firing, in one step: messages enqueued (one whose id the broker holds is dropped), due time advanced, state
        replaced. Of several firings of one entry the first counts. A repetition is refused, and does nothing.

        Where an entry and the queue of its messages are in different slots of a Redis Cluster, the messages go first,
        and are known by their ids for an hour.
        """
        ...

    def get_entries(self, names: Sequence[str]) -> Operation[ReqOut, RepIn, list[StoredEntry]]:
        """Return the entries of those names that there are."""
        ...

    def page_entries(self, after: str, limit: int) -> Operation[ReqOut, RepIn, list[StoredEntry]]:
        """Return up to ``limit`` entries whose names come after this one, in order of their names' bytes."""
        ...
