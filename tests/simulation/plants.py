"""Bugs planted on purpose: in the store, as subclasses of the memory driver's, and in the worker's decisions.

Each is one that somebody could make, or has made; three of them were in the worker until the simulation found them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import msgspec

from celeriac.app.follow_ups import AppFollowUps
from celeriac.brokers.memory.entry import Entry
from celeriac.brokers.memory.store import Store
from celeriac.brokers.port import Cancelled, Promoted, Reclaimed, Sending
from celeriac.core.message import Lease, Message, Settlement, Start, StoredResult
from celeriac.errors import OperationalError
from celeriac.worker import coroutine_slots, sync_slots
from celeriac.worker.holdings import Auditor
from celeriac.worker.keeper import Judge
from celeriac.worker.settler import Settler

# In the store.


class TakesAnyToken(Store):
    """Settles for whoever has ever had the message."""

    def _leased(self, lease: Lease) -> Entry | None:
        return self._held.get(lease.id)


class ReapsTooEarly(Store):
    """Takes leases for run out one second before they are."""

    def reclaim(self, by: str, limit: int, **options: Any) -> Reclaimed:
        kept = {name: lease.expires for name, lease in self._owners.items()}
        for lease in self._owners.values():
            lease.expires -= 1.0
        try:
            return super().reclaim(by, limit, **options)
        finally:
            for name, lease in self._owners.items():
                if not lease.ended and name in kept:
                    lease.expires = kept[name]


class ReapsTooLate(Store):
    """Frees what vanished workers held, however long the request for it was on its way."""

    def reclaim(self, by: str, limit: int, **options: Any) -> Reclaimed:
        return super().reclaim(by, limit, **{**options, "before": None})


class ForgetsCrashes(Store):
    """Counts no lost runs of vanished workers."""

    def reclaim(self, by: str, limit: int, **options: Any) -> Reclaimed:
        for entry in self._held.values():
            entry.state = "RECEIVED"
        return super().reclaim(by, limit, **options)


class ForgetsOnce(Store):
    """Records that a run began, but not that it must be the only one."""

    def start(self, starts: Sequence[Start]) -> tuple[str, ...]:
        return super().start([Start(one.lease) for one in starts])


class DropsFollowUps(Store):
    """Loses what follows from all but the first task of a batch."""

    def settle(self, settlements: Sequence[Settlement]) -> tuple[str, ...]:
        first, *others = settlements
        return super().settle([first, *[msgspec.structs.replace(one, follow_ups=()) for one in others]])


class WakesTooEarly(Store):
    """Makes ready what is due within half a second."""

    def promote(self, limit: int) -> Promoted:
        self._waiting = [(due - 0.5, seq, id) for due, seq, id in self._waiting]
        for entry in self._entries.values():
            if entry.due is not None:
                entry.due -= 0.5
        try:
            return super().promote(limit)
        finally:
            self._waiting = [(due + 0.5, seq, id) for due, seq, id in self._waiting]
            for entry in self._entries.values():
                if entry.due is not None:
                    entry.due += 0.5


class ForgetsRevocations(Store):
    """Says that it has marked what runs, and has not."""

    def cancel(self, revoked: Sequence[StoredResult]) -> list[Cancelled]:
        outcomes = super().cancel(revoked)
        for entry in self._held.values():
            entry.cancelled = None
        return outcomes


class NewestFirst(Store):
    """Takes what came last first."""

    def _add(self, new: Any) -> tuple[str, ...]:
        known = super()._add(new)
        for heap in self._ready.values():
            heap.sort(key=lambda place: (place[0], -place[1]))
        return known


class AcceptsTwice(Store):
    """Does not know again what it has already."""

    def enqueue(self, messages: Sequence[Message], sending: Sending | None) -> tuple[str, ...]:
        for message in messages:
            entry = self._entries.get(message.id)
            if entry is not None and entry.state == "PENDING":
                self._drop(entry)
        return super().enqueue(messages, None)


class ForgetsSendings(Store):
    """Takes a call that is repeated for a new one, once its tasks are over."""

    def enqueue(self, messages: Sequence[Message], sending: Sending | None) -> tuple[str, ...]:
        return super().enqueue(messages, None)


class MiscountsBatches(Store):
    """Counts a batch of several settlements as one less."""

    def settle(self, settlements: Sequence[Settlement]) -> tuple[str, ...]:
        lost = super().settle(settlements)
        if len(settlements) - len(lost) > 1:
            self.tallies.subtract([max(key for key, count in self.tallies.items() if count)])
        return lost


STORES: tuple[type[Store], ...] = (
    TakesAnyToken,
    ReapsTooEarly,
    ReapsTooLate,
    ForgetsCrashes,
    ForgetsOnce,
    DropsFollowUps,
    WakesTooEarly,
    ForgetsRevocations,
    NewestFirst,
    AcceptsTwice,
    ForgetsSendings,
    MiscountsBatches,
)

# In the worker.


@contextmanager
def _in_place(owner: Any, name: str, other: object) -> Iterator[None]:
    kept = getattr(owner, name)
    setattr(owner, name, other)
    try:
        yield
    finally:
        setattr(owner, name, kept)


def never_audits() -> AbstractContextManager[None]:
    """What was claimed in a reply that got lost stays with a child that knows nothing of it, as long as that lives."""

    async def run(self: Auditor) -> None:
        await asyncio.Event().wait()

    return _in_place(Auditor, "run", run)


def renews_verdicts() -> AbstractContextManager[None]:
    """Verdicts are leased to the keeper's own name, which is renewed: a lost reply hides them for ever."""
    whole = Judge.reclaim

    def reclaim(self: Judge, *args: Any, **kwargs: Any) -> Reclaimed:
        self._name = self._name.removesuffix("/judge")
        self._doubtful = False
        return whole(self, *args, **kwargs)

    return _in_place(Judge, "reclaim", reclaim)


@contextmanager
def begins_without_a_lease() -> Iterator[None]:
    """A process that stood still while a start was recorded goes on as if nothing had happened."""
    with _in_place(sync_slots, "may_begin", lambda *_: True), _in_place(coroutine_slots, "may_begin", lambda *_: True):
        yield


def forgets_unanswered_settlements() -> AbstractContextManager[None]:
    """A settlement whose reply is lost is dropped, as if it had surely been carried out."""
    whole = Settler._attempt

    async def attempt(self: Settler, batch: list[Settlement]) -> tuple[str, ...]:
        try:
            return await whole(self, batch)
        except OperationalError:
            return ()

    return _in_place(Settler, "_attempt", attempt)


def loses_links_in_a_retry() -> AbstractContextManager[None]:
    """A task that is tried again forgets what is to follow."""
    whole = AppFollowUps.retry

    def retry(self: AppFollowUps, *args: Any) -> tuple[Message, float]:
        message, due = whole(self, *args)
        args_and_embed = msgspec.json.decode(message.body)
        return msgspec.structs.replace(message, body=msgspec.json.encode([*args_and_embed[:2], {}])), due

    return _in_place(AppFollowUps, "retry", retry)


WORKERS: tuple[Callable[[], AbstractContextManager[None]], ...] = (
    never_audits,
    renews_verdicts,
    begins_without_a_lease,
    forgets_unanswered_settlements,
    loses_links_in_a_retry,
)
