"""What the port promises, in the fewest words: a model that a driver must agree with after every step.

It searches lists where a driver has indexes, and every change of state is a row of the transition table, so the table
and the drivers are held to each other. The model does not decide what the port leaves open, such as which of several
lost messages a limited reclaim frees first: there it checks the driver's choice and follows it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from celeriac.brokers.port import Reclaimed
from celeriac.core.message import Delivery, Lease, Message, Settlement, Start
from celeriac.core.state import DEAD, OWNED_STATES, PENDING, RETRY, SCHEDULED, WAITING_STATES, after


@dataclass
class Item:
    """One message in the model."""

    place: int
    message: Message
    state: str
    due: float | None = None
    lease: Lease | None = None
    crashes: int = 0
    suspect: bool | None = False
    once: bool = False
    cancelled: bool = False
    last_token: int = 0
    dead_since: float = 0.0

    def step(self, event: str) -> None:
        """Change the state as the table says."""
        self.state = after(self.state, event)
        if self.state not in OWNED_STATES:
            self.lease = None
            self.once = False
        if self.state not in (SCHEDULED, RETRY):
            self.due = None


@dataclass
class Model:
    """A broker as the port describes it."""

    now: float
    items: dict[str, Item] = field(default_factory=dict)
    over: list[tuple[str, str]] = field(default_factory=list)
    results: dict[str, str] = field(default_factory=dict)
    tallies: Counter[tuple[str, str]] = field(default_factory=Counter)
    leases: dict[str, float] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    accepted: int = 0
    dropped: int = 0

    # Steps whose outcome the port fixes

    def enqueue(self, messages: Iterable[Message]) -> list[str]:
        known: list[str] = []
        for message in messages:
            if message.id in self.items:
                known.append(message.id)
                continue
            self.accepted += 1
            item = Item(self.accepted, message, "")
            item.step("scheduled" if message.eta is not None and message.eta > self.now else "enqueued")
            item.due = message.eta if item.state == SCHEDULED else None
            self.items[message.id] = item
        return known

    def due(self) -> list[Item]:
        """Return what waits for its time and is due, the earliest first."""
        found = [item for item in self.items.values() if item.due is not None and item.due <= self.now]
        return sorted(found, key=lambda item: (item.due or 0.0, item.place))

    def promote(self, limit: int) -> int:
        found = self.due()[:limit]
        for item in found:
            item.step("promoted")
        return len(found)

    def next_due(self) -> float | None:
        return min((item.due for item in self.items.values() if item.due is not None), default=None)

    def claim(self, queues: Sequence[str], limit: int, *, owner: str, until: float) -> list[Item]:
        """Return what a claim must hand out; :meth:`claimed` is told the leases."""
        self.promote(len(self.items))
        ready = [item for item in self.items.values() if item.state == PENDING and item.message.queue in queues]
        ready.sort(key=lambda item: (-item.message.priority, item.place))
        if ready:
            self.leases[owner] = until
            self.ended.discard(owner)
        return ready[:limit]

    def claimed(self, item: Item, delivery: Delivery) -> None:
        """Check one delivery, and note its lease."""
        lease = delivery.lease
        assert delivery.message == item.message
        assert lease.id == item.message.id
        assert lease.token > item.last_token, "tokens must grow"
        assert delivery.crashes == item.crashes
        assert item.suspect is None or delivery.suspect == item.suspect
        assert delivery.cancelled == item.cancelled
        item.step("claimed")
        item.lease = lease
        item.last_token = lease.token

    def holder(self, lease: Lease) -> Item | None:
        """Return what this lease still owns."""
        item = self.items.get(lease.id)
        return item if item is not None and item.lease == lease else None

    def start(self, starts: Iterable[Start]) -> list[str]:
        lost: list[str] = []
        for start in starts:
            item = self.holder(start.lease)
            if item is None:
                lost.append(start.lease.id)
                continue
            if item.state != "STARTED":
                item.step("started")
            item.once = item.once or start.once
        return lost

    def settle(self, settlements: Iterable[Settlement]) -> list[str]:
        lost: list[str] = []
        for settlement in settlements:
            item = self.holder(settlement.lease)
            if item is None:
                lost.append(settlement.lease.id)
            elif item.cancelled and settlement.action in ("retry", "release"):
                self._end(item, "revoked", "REVOKED")
            else:
                self._settle(item, settlement)
        return lost

    def _settle(self, item: Item, settlement: Settlement) -> None:
        if settlement.result is not None:
            self.results[settlement.result.id] = settlement.result.state
        if settlement.action == "done":
            state = settlement.result.state if settlement.result is not None else "SUCCESS"
            self._end(item, {"SUCCESS": "succeeded", "FAILURE": "failed", "REJECTED": "rejected"}[state], None)
        else:
            if settlement.message is not None:
                item.message = settlement.message
            if settlement.crashed:
                item.crashes += 1
                item.suspect = True
            if settlement.action == "retry":
                item.step("retried")
                item.due = self.now if settlement.due is None else settlement.due
            elif settlement.action == "dead":
                item.step("buried")
                item.dead_since = self.now
            else:
                item.step("parked" if settlement.due is not None else "lost" if settlement.crashed else "released")
                item.due = settlement.due
            if settlement.action != "release":
                self.tallies[item.message.task, item.state] += 1
        self.enqueue(settlement.follow_ups)

    def _end(self, item: Item, event: str, stored: str | None) -> None:
        item.step(event)
        del self.items[item.message.id]
        self.over.append((item.message.id, item.state))
        self.tallies[item.message.task, item.state] += 1
        if stored is not None:
            self.results[item.message.id] = stored

    def extend(self, owners: Iterable[str], until: float) -> set[str]:
        told = self.ended & set(owners)
        self.ended -= told
        self.leases.update(dict.fromkeys(owners, until))
        return told

    def cancel(self, ids: Iterable[str]) -> dict[str, str]:
        outcomes: dict[str, str] = {}
        for id in ids:
            item = self.items.get(id)
            if item is None or item.state == DEAD:
                outcomes[id] = "unknown"
            elif item.state in OWNED_STATES:
                item.cancelled = True
                outcomes[id] = "running"
            else:
                item.step("revoked")
                del self.items[id]
                self.over.append((id, item.state))
                self.results[id] = item.state
                outcomes[id] = "removed"
        return outcomes

    def revive(self, ids: Iterable[str]) -> set[str]:
        found = {id for id in ids if id in self.items and self.items[id].state == DEAD}
        for id in found:
            item = self.items[id]
            item.step("revived")
            item.crashes = 0
            item.suspect = None  # The port does not say.
            item.cancelled = False
            self.results.pop(id, None)
        return found

    def purge(self, queue: str, *, dead: bool) -> int:
        states = {DEAD} if dead else WAITING_STATES
        gone = [item for item in self.items.values() if item.message.queue == queue and item.state in states]
        self._drop(gone)
        return len(gone)

    def prune(self, dead_letter_age: float) -> None:
        self._drop(
            [
                item
                for item in self.items.values()
                if item.state == DEAD and item.dead_since <= self.now - dead_letter_age
            ]
        )

    def _drop(self, items: Sequence[Item]) -> None:
        for item in items:
            del self.items[item.message.id]
        self.dropped += len(items)

    # Steps in which the driver may choose

    def lapsed(self) -> set[str]:
        """Return the owners whose lease has run out."""
        return {owner for owner, until in self.leases.items() if until <= self.now}

    def held(self, owners: set[str]) -> dict[str, Item]:
        """Return what these owners hold."""
        return {id: item for id, item in self.items.items() if item.lease is not None and item.lease.owner in owners}

    def reclaimed(
        self,
        found: Reclaimed,
        *,
        losers: set[str],
        limit: int,
        crash_limit: int,
        guilty: Sequence[Lease],
        by_owner: bool,
    ) -> None:
        """Check what a reclaim did to what these owners held, and follow it."""
        held = self.held(losers)
        freed = [*found.released, *(verdict.lease.id for verdict in found.verdicts)]
        assert len(freed) == len(set(freed)) == min(limit, len(held))
        verdicts = {verdict.lease.id: verdict for verdict in found.verdicts}
        for id in freed:
            item = held[id]
            item.crashes += (item.state == "STARTED" and not by_owner) or item.lease in guilty
            item.suspect = True
            condemned = item.once or item.cancelled or item.crashes >= crash_limit
            assert condemned == (id in verdicts), f"{id} after {item.crashes} crashes"
            once = item.once
            item.step("lost")
            if condemned:
                item.once = once
                self._judged(item, verdicts[id])

    def _judged(self, item: Item, verdict: Delivery) -> None:
        once = item.once
        self.claimed(item, verdict)
        item.once = once
