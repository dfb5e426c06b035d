"""What the store must hold, worked out beside it from what it was asked and what it replied.

Each operation is seen at the moment when it is carried out. A change of state must be a row of the transition table, a
settlement must be of the newest lease, a lease may be ended only when it ran out, and what is claimed must be the most
urgent and the oldest. This is a model of the port's promises in the fewest words; it shares no code with any driver.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from celeriac.brokers.port import Cancelled, Reclaimed, Sending
from celeriac.core import state
from celeriac.core.message import Delivery, Lease, Message, Settlement, Start, StoredResult
from celeriac.testing.simulation.network import Request

VERDICT_LEASE: Final = 30.0
"""Seconds for which a verdict is given to whoever has no lease: part of the port's meaning."""


class Item(msgspec.Struct, kw_only=True):
    """One acceptance of one message.

    Attributes:
        seq: Its place in the order of acceptance.
        message: What was sent.
        state: A name of ``core.state``.
        due: Until when it waits.
        owner, token, ref: Who has it; the newest token ever given, and the store's handle with it.
        crashes: Runs lost.
        once: Its start was recorded as that of an at-most-once task.
        suspect: It was lost at least once.
        cancelled: The token at the moment when it was marked as revoked; None if it was not.
        begun: Tokens of which a run is known to have begun, by the task itself or by ``start``.
    """

    seq: int
    message: Message
    state: str = ""
    due: float | None = None
    owner: str | None = None
    token: int = 0
    ref: int = 0
    crashes: int = 0
    once: bool = False
    suspect: bool = False
    cancelled: int | None = None
    begun: set[int] = msgspec.field(default_factory=set[int])

    @property
    def id(self) -> str:
        """The task id."""
        return self.message.id

    @property
    def over(self) -> bool:
        """Whether its life has ended."""
        return self.state in state.READY_STATES

    @property
    def rank(self) -> tuple[int, int]:
        """Its place among those that are ready."""
        return (-self.message.priority, self.seq)


_OPEN: Final = state.WAITING_STATES | state.OWNED_STATES
_ENDS: Final = {
    state.SUCCESS: "succeeded",
    state.FAILURE: "failed",
    state.REVOKED: "revoked",
    state.REJECTED: "rejected",
    state.IGNORED: "ignored",
}


class Ledger:
    """The model.

    Args:
        wrong: Told of everything that must not be.
        limit: The delivery limit.
    """

    def __init__(self, wrong: Callable[[str], None], limit: int) -> None:
        self._wrong = wrong
        self._limit = limit
        self.items: dict[str, Item] = {}
        self.all: list[Item] = []
        self.accepted: Counter[str] = Counter()
        self.tallies: Counter[tuple[str, str]] = Counter()
        self._leases: dict[str, float] = {}
        self._open = 0
        self._operations: dict[str, Callable[..., None]] = {
            "enqueue": self._enqueue,
            "claim": self._claim,
            "start": self._start,
            "extend": self._extend,
            "settle": self._settle,
            "promote": self._promote,
            "reclaim": self._reclaim,
            "cancel": self._cancel,
        }

    def take(self, now: float, request: Request, reply: Any) -> None:
        """Take note of an operation that was carried out."""
        follow = self._operations.get(request.name)
        if follow is not None:
            follow(now, reply, *request.args, **request.kwargs)

    def open(self) -> list[Item]:
        """Return what is not over."""
        return [item for item in self.items.values() if not item.over]

    @property
    def all_over(self) -> bool:
        """Whether nothing is open."""
        return self._open == 0

    def held(self, lease: Lease) -> Item | None:
        """Return what this lease has."""
        item = self.items.get(lease.id)
        if item is None or item.state not in state.OWNED_STATES:
            return None
        return item if (item.owner, item.token, item.ref) == (lease.owner, lease.token, lease.ref) else None

    def _step(self, item: Item, event: str) -> None:
        self._open -= item.state in _OPEN
        try:
            item.state = state.after(item.state, event)
        except ValueError as exc:
            self._wrong(f"states: {item.id}: {exc}")
        self._open += item.state in _OPEN
        if item.state not in state.OWNED_STATES:
            item.owner = None
            item.once = False
        if item.state not in (state.SCHEDULED, state.RETRY):
            item.due = None

    # Producers.

    def _enqueue(self, now: float, known: Sequence[str], messages: Sequence[Message], sending: Sending) -> None:
        self._add(now, [one for one in messages if one.id not in known])
        for id in known:
            if id not in self.items:
                self._wrong(f"lost: {id} was dropped as known, and never was there")

    def _add(self, now: float, messages: Sequence[Message]) -> None:
        for message in messages:
            earlier = self.items.get(message.id)
            if earlier is not None and not earlier.over:
                self._wrong(f"doubled: {message.id} was accepted twice at once")
            item = Item(seq=len(self.all) + 1, message=message)
            late = message.eta is not None and message.eta > now
            self._step(item, "scheduled" if late else "enqueued")
            item.due = message.eta if late else None
            self.items[message.id] = item
            self.all.append(item)
            self.accepted[message.id] += 1

    def _cancel(self, now: float, reply: Sequence[Cancelled], revoked: Sequence[StoredResult]) -> None:
        for one in reply:
            item = self.items.get(one.id)
            if item is None:
                continue
            if one.outcome == "removed":
                self._step(item, "revoked")
            elif one.outcome == "running":
                if item.state not in state.OWNED_STATES:
                    self._wrong(f"states: {one.id} is said to run, and is {item.state}")
                item.cancelled = item.token if item.cancelled is None else item.cancelled
            elif not item.over:
                self._wrong(f"lost: {one.id} is said to be unknown, and is {item.state}")

    # Workers.

    def _promote(self, now: float, reply: Any, limit: int) -> None:
        self._become_ready(now)

    def _become_ready(self, now: float) -> None:
        for item in self.items.values():
            if item.due is not None and item.due <= now:
                self._step(item, "promoted")

    def _claim(
        self, now: float, reply: Sequence[Delivery], queues: Sequence[str], limit: int, owner: str, lease: float
    ) -> None:
        self._become_ready(now)
        if not reply:
            return
        self._leases[owner] = now + lease
        for delivery in reply:
            item = self.items.get(delivery.lease.id)
            if item is None or item.over:
                self._wrong(f"doubled: {delivery.lease.id} was claimed, and is over")
                continue
            if item.state in state.OWNED_STATES:
                self._wrong(f"fencing: {item.id} was claimed while {item.owner} has it")
            if item.due is not None:
                self._wrong(f"early: {item.id} was claimed {item.due - now:.3f} s before it is due")
            self._hold(item, delivery, "claimed")
            if item.crashes >= self._limit:
                self._wrong(f"crashes: {item.id} was claimed after {item.crashes} lost runs")
        ranks = [self.items[one.lease.id].rank for one in reply if one.lease.id in self.items]
        waiting = [
            one.rank for one in self.items.values() if one.state == state.PENDING and one.message.queue in queues
        ]
        if ranks != sorted(ranks) or (waiting and min(waiting) < ranks[-1]):
            self._wrong(f"order: {owner} was not given the most urgent and oldest")

    def _hold(self, item: Item, delivery: Delivery, event: str) -> None:
        self._step(item, event)
        lease = delivery.lease
        if lease.token <= item.token:
            self._wrong(f"fencing: the token {lease.token} of {item.id} is no greater than {item.token}")
        if delivery.crashes != item.crashes or delivery.suspect != item.suspect:
            self._wrong(f"crashes: {item.id} has lost {item.crashes} runs, and is said to have lost {delivery.crashes}")
        if delivery.message != item.message:
            self._wrong(f"lost: {item.id} came back as another message")
        item.owner, item.token, item.ref = lease.owner, lease.token, lease.ref

    def _start(self, now: float, lost: Sequence[str], starts: Sequence[Start]) -> None:
        for start in starts:
            item = self.held(start.lease)
            if (item is None) is not (start.lease.id in lost):
                self._wrong(f"fencing: {start.lease.id} is started, or not, by the wrong lease")
            elif item is not None:
                if item.state == state.RECEIVED:
                    self._step(item, "started")
                item.once = item.once or start.once
                item.begun.add(item.token)

    def _extend(self, now: float, ended: Sequence[str], owners: Sequence[str], lease: float) -> None:
        for owner in owners:
            self._leases[owner] = now + lease

    def _reclaim(
        self,
        now: float,
        reply: Reclaimed,
        by: str,
        limit: int,
        *,
        crash_limit: int,
        owner: str | None = None,
        **rest: Any,
    ) -> None:
        named = {(lease.id, lease.token) for lease in rest.get("guilty", ())}
        verdicts = {one.lease.id: one for one in reply.verdicts}
        for id in (*reply.released, *verdicts):
            item = self.items[id]
            if item.state not in state.OWNED_STATES:
                self._wrong(f"states: {id} was reclaimed, and is {item.state}")
                continue
            if owner is None and item.owner is not None and self._leases.get(item.owner, 0.0) > now:
                self._wrong(f"fencing: {id} was taken from {item.owner}, whose lease holds")
            if owner is not None and item.owner != owner:
                self._wrong(f"fencing: {id} was taken from {item.owner}, not from {owner}")
            if (owner is None and item.state == state.STARTED) or (id, item.token) in named:
                item.crashes += 1
            item.suspect = True
            must_not_run = item.once or item.cancelled is not None or 0 < crash_limit <= item.crashes
            if must_not_run is not (id in verdicts):
                self._wrong(f"crashes: {id} was reclaimed, and the verdict on it is wrong")
            once = item.once
            self._step(item, "lost")
            if id in verdicts:
                item.once = once
                self._hold(item, verdicts[id], "claimed")
            else:
                item.token += 1
        if verdicts and self._leases.get(by, 0.0) <= now:
            self._leases[by] = now + VERDICT_LEASE

    def _settle(self, now: float, lost: Sequence[str], settlements: Sequence[Settlement]) -> None:
        refused = Counter(lost)
        settled: dict[Lease, tuple[Item, Settlement]] = {}
        for one in settlements:
            item = None if one.lease in settled else self.held(one.lease)  # Of repeated ones the first counts.
            if item is None:
                if refused[one.lease.id] == 0:
                    self._wrong(f"fencing: {one.lease.id} was settled by token {one.lease.token}, which was superseded")
                refused[one.lease.id] -= 1
                continue
            if refused[one.lease.id] > 0 and sum(two.lease.id == item.id for two in settlements) == 1:
                self._wrong(f"fencing: the settlement of {item.id} by its newest lease was refused")
                continue
            settled[one.lease] = (item, one)
        # What follows is there before anything goes.
        for item, one in settled.values():
            if not _overruled(item, one):
                self._add(now, [message for message in one.follow_ups if not self._has(message.id)])
        for item, one in settled.values():
            self._settled(now, item, one)

    def _has(self, id: str) -> bool:
        item = self.items.get(id)
        return item is not None and (not item.over or item.state == state.DEAD)

    def _settled(self, now: float, item: Item, one: Settlement) -> None:
        task = item.message.task
        if _overruled(item, one):
            self._step(item, "revoked")
            self.tallies[task, state.REVOKED] += 1
            return
        if one.action == "done":
            ended = one.result.state if one.result is not None else one.state
            self._step(item, _ENDS.get(ended, ended))
            self.tallies[task, ended] += 1
            return
        if one.message is not None:
            item.message = one.message
        if one.crashed:
            item.crashes += 1
            item.suspect = True
        if one.action == "dead":
            self._step(item, "buried")
            self.tallies[task, state.DEAD] += 1
        elif one.action == "retry":
            self._step(item, "retried")
            item.due = now if one.due is None else one.due
            self.tallies[task, state.RETRY] += 1
        else:
            self._step(item, "released" if one.due is None else "parked")
            item.due = one.due


def _overruled(item: Item, one: Settlement) -> bool:
    """Tell whether a revocation overrules what the settlement says."""
    return item.cancelled is not None and one.action in ("retry", "release")
