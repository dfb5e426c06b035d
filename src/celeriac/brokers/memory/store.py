"""The life of messages in memory: the reference that the other drivers must agree with.

A message is an Entry in one dict by id. Heaps per queue say who is next and a heap of due times says who
becomes ready; an entry that has moved on since it was put on a heap is skipped there, so nothing is ever searched for.
Each method is one atomic step, provided that only one caller is inside the store at a time: the performer sees to it.
Only the clock that is handed in is read, so a simulation may run the store on a virtual one.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice

import msgspec

from celeriac.brokers.memory.board import Board
from celeriac.brokers.memory.entries import Entries
from celeriac.brokers.memory.entry import Entry, OwnerLease, record
from celeriac.brokers.memory.joins import Joins
from celeriac.brokers.memory.results import Results
from celeriac.brokers.port import Cancelled, Command, CommandReply, Promoted, QueueStats, Reclaimed, Record, Sending
from celeriac.brokers.rules import (
    OWNER_MEMORY,
    VERDICT_LEASE,
    checked,
    delivery,
    first_of_each,
    goes_if_cancelled,
    kept_state,
    packed,
    tally_state,
)
from celeriac.core import state
from celeriac.core.clock import Clock
from celeriac.core.message import Delivery, Lease, Message, Settlement, Start, StoredResult, pack


class Store:
    """Everything that a memory broker holds.

    Args:
        clock: Says what time it is.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.results = Results(clock)
        self.board = Board(clock)
        self.entries = Entries(clock, self._add, self._changed)
        self.tallies: Counter[tuple[str, str]] = Counter()
        self.changes = 0
        """Grows with everything that somebody may be waiting for."""
        self._entries: dict[str, Entry] = {}
        self._held: dict[str, Entry] = {}
        self._owners: dict[str, OwnerLease] = {}
        self._ready: dict[str, list[tuple[int, int, str]]] = {}  # by queue: heap of (-priority, seq, id)
        self._waiting: list[tuple[float, int, str]] = []  # heap of (due, seq, id)
        self._seq = 0
        self.joins = Joins(clock, self._add_later)

    def _changed(self) -> None:
        self.changes += 1

    # Producers

    def enqueue(self, messages: Sequence[Message], sending: Sending | None) -> tuple[str, ...]:
        """Keep the messages; return the ids that were here already, or all if the call was."""
        new = packed(messages)
        if sending is not None and not self.board.is_new(sending):
            return tuple([message.id for message in messages])
        return self._add(new)

    def _add(self, new: Iterable[tuple[Message, bytes]]) -> tuple[str, ...]:
        now = self.clock.now()
        known: list[str] = []
        for message, payload in new:
            if message.id in self._entries:
                known.append(message.id)
                continue
            self._seq += 1
            entry = Entry(
                self._seq, message.id, message.queue, message.priority, message.task, payload, state.PENDING, now
            )
            self._entries[message.id] = entry
            if message.eta is not None and message.eta > now:
                self._put_back(entry, state.SCHEDULED, message.eta)
            else:
                self._put_back(entry, state.PENDING)
        return tuple(known)

    def _add_later(self, messages: Iterable[tuple[Message, float | None]]) -> None:
        """Keep messages that become ready so many seconds from now."""
        now = self.clock.now()
        waiting = [
            (one if delay is None else msgspec.structs.replace(one, eta=now + delay), pack(one))
            for one, delay in messages
        ]
        self._add(waiting)

    def cancel(self, revoked: Sequence[StoredResult]) -> list[Cancelled]:
        """Remove what waits, mark what runs."""
        outcomes: list[Cancelled] = []
        for result in first_of_each(revoked):
            entry = self._entries.get(result.id)
            if entry is None or entry.state == state.DEAD:  # A dead letter is over; a person is meant to see it.
                outcomes.append(Cancelled(result.id, "unknown"))
            elif entry.state in state.OWNED_STATES:
                entry.cancelled = entry.cancelled or result
                outcomes.append(Cancelled(result.id, "running", entry.owner))
            else:
                self._drop(entry)
                self.results.store([result])
                outcomes.append(Cancelled(result.id, "removed"))
        self.changes += 1
        return outcomes

    # Workers

    def claim(self, queues: Sequence[str], limit: int, owner: str, lease: float) -> list[Delivery]:
        """Lease ready messages to the owner, the most urgent and then the oldest first."""
        now = self.clock.now()
        self.promote(len(self._waiting))
        deliveries: list[Delivery] = []
        if limit > 0 and self._next(queues) is not None:
            self._extend(owner, now + lease)
        while len(deliveries) < limit and (entry := self._next(queues)) is not None:
            deliveries.append(self._hold(entry, owner, now))
        return deliveries

    def _next(self, queues: Sequence[str]) -> Entry | None:
        """Return the entry to claim next, without taking it off its heap."""
        best: tuple[int, int, str] | None = None
        for queue in queues:
            heap = self._ready.get(queue, [])
            while heap and not self._is_ready(queue, heap[0]):
                heapq.heappop(heap)
            if heap and (best is None or heap[0] < best):
                best = heap[0]
        return None if best is None else self._entries[best[2]]

    def _is_ready(self, queue: str, place: tuple[int, int, str]) -> bool:
        entry = self._entries.get(place[2])
        return (
            entry is not None
            and entry.state == state.PENDING
            and (queue, -entry.priority, entry.seq) == (entry.queue, *place[:2])
        )

    def _hold(self, entry: Entry, owner: str, now: float) -> Delivery:
        entry.state = state.RECEIVED
        entry.changed = now
        entry.owner = owner
        entry.token += 1
        self._held[entry.id] = entry
        return delivery(
            entry.payload,
            Lease(entry.id, owner, entry.token, entry.seq),
            crashes=entry.crashes,
            suspect=entry.suspect,
            cancelled=entry.cancelled is not None,
        )

    def start(self, starts: Sequence[Start]) -> tuple[str, ...]:
        """Record that runs began; return the ids no longer owned."""
        lost: list[str] = []
        for start in starts:
            entry = self._leased(start.lease)
            if entry is None:
                lost.append(start.lease.id)
                continue
            if entry.state != state.STARTED:
                entry.state = state.STARTED
                entry.changed = self.clock.now()
            entry.once = entry.once or start.once
        return tuple(lost)

    def extend(self, owners: Sequence[str], lease: float) -> tuple[str, ...]:
        """Renew the owners' leases; return those that a reclaim had ended."""
        expires = self.clock.now() + lease
        return tuple([owner for owner in dict.fromkeys(owners) if self._extend(owner, expires)])

    def _extend(self, owner: str, expires: float) -> bool:
        """Set the owner's lease; True if a reclaim had ended it."""
        known = self._owners.get(owner)
        self._owners[owner] = OwnerLease(expires)
        if known is None or not known.ended:
            return False
        # A limited reclaim may have left something behind. The owner is told that it has lost everything, so it will
        # not look after that: nobody must own it, or it would hang on to the renewed lease.
        for entry in self._held.values():
            if entry.owner == owner:
                entry.owner = None
        return True

    def holdings(self, owner: str) -> tuple[Lease, ...]:
        """Return the leases of what the owner has."""
        held = [entry for entry in self._held.values() if entry.owner == owner]
        return tuple([Lease(entry.id, owner, entry.token, entry.seq) for entry in held])

    def settle(self, settlements: Sequence[Settlement]) -> tuple[str, ...]:
        """Carry out the settlements whose lease holds; return the ids of the others."""
        valid, lost = checked(settlements)
        follow_ups = [packed(settlement.follow_ups) for settlement in valid]
        now = self.clock.now()
        # Everybody's results and follow-ups come before anybody's message goes, as they do where a store does one kind
        # after the other.
        settled: list[tuple[Entry, Settlement]] = []
        for settlement, following in zip(valid, follow_ups, strict=True):
            entry = self._leased(settlement.lease)
            if entry is None:
                lost.append(settlement.lease.id)
                continue
            settled.append((entry, settlement))
            if not _overruled(entry, settlement):
                self.results.store([settlement.result] if settlement.result is not None else [])
                self._add(following)
        for entry, settlement in settled:
            task, counted = entry.task, tally_state(settlement)
            if settlement.arrival is not None and _overruled(entry, settlement) == goes_if_cancelled(settlement):
                self.joins.arrive([settlement.arrival])
            if _overruled(entry, settlement) and entry.cancelled is not None:
                self.results.store([entry.cancelled])
                counted = state.REVOKED
                self._drop(entry)
            elif settlement.action == "done":
                self._drop(entry)
            else:
                self._keep(entry, settlement, now)
            if counted is not None:
                self.tallies[task, counted] += 1
        self.changes += 1
        return tuple(lost)

    def _drop(self, entry: Entry) -> None:
        del self._entries[entry.id]
        self._held.pop(entry.id, None)

    def _keep(self, entry: Entry, settlement: Settlement, now: float) -> None:
        entry.changed = now
        entry.reason = settlement.reason
        if settlement.message is not None:
            entry.queue = settlement.message.queue
            entry.priority = settlement.message.priority
            entry.task = settlement.message.task
            entry.payload = pack(settlement.message)
        if settlement.crashed:
            entry.crashes += 1
            entry.suspect = True
        to = kept_state(settlement)
        waits = to in (state.RETRY, state.SCHEDULED)
        self._put_back(entry, to, (now if settlement.due is None else settlement.due) if waits else None)

    def _leased(self, lease: Lease) -> Entry | None:
        """Return what the lease is on, if it still holds."""
        entry = self._held.get(lease.id)
        if entry is None or (entry.seq, entry.token, entry.owner) != (lease.ref, lease.token, lease.owner):
            return None
        return entry

    def _put_back(self, entry: Entry, to: str, due: float | None = None) -> None:
        """Let nobody own the entry, and put it where it will be found."""
        entry.state = to
        entry.due = due
        entry.owner = None
        entry.once = False
        self._held.pop(entry.id, None)
        if due is not None:
            heapq.heappush(self._waiting, (due, entry.seq, entry.id))
        elif to == state.PENDING:
            heapq.heappush(self._ready.setdefault(entry.queue, []), (-entry.priority, entry.seq, entry.id))
        self.changes += 1

    # Upkeep

    def promote(self, limit: int) -> Promoted:
        """Make ready what is due."""
        now = self.clock.now()
        count = 0
        while self._waiting:
            due, seq, id = self._waiting[0]
            entry = self._entries.get(id)
            if entry is not None and (entry.seq, entry.due) == (seq, due):
                if due > now:
                    return Promoted(count, due - now)
                if count == limit:
                    return Promoted(count, 0.0)
                count += 1
                entry.changed = now
                self._put_back(entry, state.PENDING)
            heapq.heappop(self._waiting)
        return Promoted(count, None)

    def reclaim(
        self,
        by: str,
        limit: int,
        *,
        crash_limit: int,
        owner: str | None,
        guilty: Sequence[Lease],
        before: float | None,
    ) -> Reclaimed:
        """Free what lost its owner."""
        now = self.clock.now()
        if owner is None and before is not None and now > before:
            return Reclaimed(at=now)
        live = {name for name, lease in self._owners.items() if lease.expires > now}
        names = [name for name in self._owners if name not in live] if owner is None else [owner]
        ended = [name for name in names if name in self._owners and not self._owners[name].ended]
        for name in ended:
            self._owners[name] = OwnerLease(min(now, self._owners[name].expires), ended=True)
        freed = (
            entry
            for entry in sorted(self._held.values(), key=lambda entry: entry.seq)
            if (entry.owner not in live if owner is None else entry.owner == owner)
        )
        blamed = {(lease.ref, lease.token) for lease in guilty}
        released: list[str] = []
        verdicts: list[Delivery] = []
        for entry in islice(freed, max(0, limit)):
            if (owner is None and entry.state == state.STARTED) or (entry.seq, entry.token) in blamed:
                entry.crashes += 1
            entry.suspect = True
            entry.changed = now
            if entry.cancelled is not None or entry.once or 0 < crash_limit <= entry.crashes:
                verdicts.append(self._hold(entry, by, now))
            else:
                entry.token += 1
                self._put_back(entry, state.PENDING)
                released.append(entry.id)
        if verdicts:
            own = self._owners.setdefault(by, OwnerLease(now))
            if own.expires <= now:
                own.expires = now + VERDICT_LEASE
        return Reclaimed(tuple(released), tuple(verdicts), tuple(sorted(ended)), now)

    def forget(self, name: str, owners: Sequence[str]) -> None:
        """Drop the worker's record, and the leases of its owners that hold nothing."""
        self.board.forget(name)
        holding = {entry.owner for entry in self._held.values()}
        for owner in owners:
            if owner not in holding:
                self._owners.pop(owner, None)

    def prune(self, dead_letter_age: float | None, limit: int) -> int:
        """Forget what nobody needs any more; return how many went."""
        now = self.clock.now()
        holding = {entry.owner for entry in self._held.values()}
        gone = [
            name
            for name, lease in self._owners.items()
            if lease.expires + (OWNER_MEMORY if lease.ended else 0.0) <= now and name not in holding
        ][:limit]
        for name in gone:
            del self._owners[name]
        dead: list[Entry] = []
        if dead_letter_age is not None:
            found = (entry for entry in self._entries.values() if entry.state == state.DEAD)
            dead = [entry for entry in found if entry.changed <= now - dead_letter_age][:limit]
        for entry in dead:
            self._drop(entry)
        return len(gone) + len(dead) + self.results.prune(limit) + self.board.prune(limit) + self.joins.prune(limit)

    def revive(self, ids: Sequence[str]) -> tuple[str, ...]:
        """Put dead letters back; return the ids revived."""
        revived: list[str] = []
        for id in dict.fromkeys(ids):
            entry = self._entries.get(id)
            if entry is not None and entry.state == state.DEAD:
                entry.crashes = 0
                entry.suspect = False
                entry.cancelled = None
                entry.reason = None
                entry.changed = self.clock.now()
                self._put_back(entry, state.PENDING)
                revived.append(id)
        self.results.discard(revived)
        return tuple(revived)

    def purge(self, queue: str, *, dead: bool) -> int:
        """Drop what waits in the queue, or its dead letters; return how many."""
        states = {state.DEAD} if dead else state.WAITING_STATES
        gone = [entry for entry in self._entries.values() if entry.queue == queue and entry.state in states]
        for entry in gone:
            self._drop(entry)
        return len(gone)

    # What somebody may be waiting for besides messages

    def store(self, results: Sequence[StoredResult]) -> None:
        """Keep the results."""
        self.results.store(results)
        self.changes += 1

    def progress(self, results: Sequence[StoredResult]) -> tuple[str, ...]:
        """Keep interim states; return the ids of the tasks that are over."""
        self.changes += 1
        return self.results.progress(results)

    def broadcast(self, command: Command) -> None:
        """Keep the command for all workers."""
        self.board.broadcast(command)
        self.changes += 1

    def reply(self, replies: Sequence[CommandReply]) -> None:
        """Keep the answers for who asked."""
        self.board.reply(replies)
        self.changes += 1

    # Looking

    def stats(self) -> list[QueueStats]:
        """Return the counts of every queue that has messages."""
        now = self.clock.now()
        states: dict[str, Counter[str]] = {}
        oldest: dict[str, float] = {}
        for entry in self._entries.values():
            states.setdefault(entry.queue, Counter())[entry.state] += 1
            if entry.state == state.PENDING:
                oldest[entry.queue] = min(entry.changed, oldest.get(entry.queue, entry.changed))
        return [
            QueueStats(
                queue=queue,
                ready=count[state.PENDING],
                scheduled=count[state.SCHEDULED] + count[state.RETRY],
                owned=count[state.RECEIVED] + count[state.STARTED],
                dead=count[state.DEAD],
                oldest=max(0.0, now - oldest[queue]) if queue in oldest else None,
            )
            for queue, count in sorted(states.items())
        ]

    def page(self, states: Sequence[str], queue: str | None, cursor: int, limit: int) -> list[Record]:
        """Return records in these states after the cursor, oldest first."""
        found = (
            record(entry)
            for entry in self._entries.values()
            if entry.seq > cursor and entry.state in states and queue in (None, entry.queue)
        )
        return list(islice(found, max(0, limit)))

    def get(self, ids: Sequence[str]) -> list[Record]:
        """Return the records of the ids that are here."""
        found = (self._entries.get(id) for id in dict.fromkeys(ids))
        return [record(entry) for entry in found if entry is not None]


def _overruled(entry: Entry, settlement: Settlement) -> bool:
    """Tell whether a revocation overrules what the settlement says."""
    return entry.cancelled is not None and goes_if_cancelled(settlement)
