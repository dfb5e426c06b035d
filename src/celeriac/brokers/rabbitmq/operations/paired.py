"""RabbitMQ paired with a store that another driver serves.

What is ready lies in RabbitMQ; everything else lies in the store, in the store's own records and under its own rules:
what waits for its time, what is owned, dead letters, results, workers, commands. A claim moves messages: it takes them
from RabbitMQ, enqueues them in the store, lets RabbitMQ forget them, and then claims from the store. So

- a lease, its token and its end are the store's, and finishing a task is one atomic step of the store's;
- no delivery stays open at RabbitMQ while its task runs: ``consumer_timeout`` never applies, and a lost connection
  takes nothing from a worker that runs something;
- what a claim moved and did not get lies ready in the store, for any worker; so does what follows a task, and what is
  given back. Where tasks are short and claims small, a claim moves more than it wants, for the next ones: see
  :mod:`celeriac.brokers.rabbitmq.operations.ahead`;
- a message that RabbitMQ delivers twice, because it never heard that the first was moved, is known to the store and
  dropped while its task waits, runs or is dead; one that may be such a second is also dropped if the store knows how
  its task ended;
- when one that may be such a second ends, its id stays known for a while: the process that took the first may have been
  stopped before it moved it, and moves it when it goes on.

RabbitMQ does not know ids. A task that is ready there can be cancelled only by leaving a note in the store, which drops
it when it comes: a message of the same id, in the queue REVOKED, that waits for the end of its time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from celeriac.brokers.optional import Joining
from celeriac.brokers.port import MAX_BATCH, Cancelled, Finding, Operations, QueueStats, Reclaimed, Record, Sending
from celeriac.brokers.rabbitmq.operations.ahead import Ahead
from celeriac.brokers.rabbitmq.operations.messages import (
    AGAIN,
    AGAIN_BIT,
    addressed,
    as_sent,
    marked,
    publish,
    readable,
    received,
    stores,
)
from celeriac.brokers.rabbitmq.operations.passed import PassedOn
from celeriac.brokers.rabbitmq.operations.server import examine_server, unreached
from celeriac.brokers.rabbitmq.requests import Ack, Count, Purge, RabbitOperation, Take, Taken
from celeriac.brokers.rabbitmq.topology import Topology
from celeriac.brokers.rules import first_of_each, is_over, queues_of, tally_state
from celeriac.core import state
from celeriac.core.message import Arrival, Delivery, Lease, Message, Settlement, Start, StoredResult, check
from celeriac.core.operation import in_one
from celeriac.core.scheduled import Firing
from celeriac.errors import CeleriacError, OperationalError

REVOKED: Final = "celeriac.revoked"
"""The queue, in the store, of the notes on tasks that must not run when they come out of RabbitMQ; their task name."""
REVOKED_FOR: Final = 7 * 86400.0
"""Seconds for which such a note is kept."""
ENDED_FOR: Final = 86400.0
"""Seconds for which the note is kept that a task has ended which RabbitMQ had delivered twice."""


class PairedOperations(PassedOn):
    """All operations. What is not here is the store's own.

    Args:
        store: The store's operations.
        topology: What queues are like.
        clock: Seconds that only grow, to know what looking into RabbitMQ costs.
    """

    def __init__(self, store: Operations[Any, Any], topology: Topology, clock: Callable[[], float]) -> None:
        super().__init__(store)
        self._topology = topology
        self._ahead = Ahead(clock)
        self._joining = store if isinstance(store, Joining) else None

    def enqueue(self, messages: Sequence[Message], sending: Sending | None = None) -> RabbitOperation[tuple[str, ...]]:
        for message in messages:
            check(message)
        known: tuple[str, ...] = ()
        once = sending is not None and sending.once
        stored: list[Message] = []
        ready: list[Message] = []
        for message in messages:
            given = message if message.eta is None and not once else addressed(message, self._topology)
            # The store's clock says whether it is due; and where a repetition must be known, the store knows it. Only
            # RabbitMQ knows to which queues an exchange sends.
            direct = message.eta is not None or (once and not given.exchange)
            (stored if direct else ready).append(given)
        if stored:
            # These first: they are known to the store if this is repeated.
            known = yield from self.paired.enqueue(stored, sending)
        if ready:
            yield publish(ready, self._topology)
        return known

    def claim(self, queues: Sequence[str], limit: int, owner: str, lease: float) -> RabbitOperation[list[Delivery]]:
        if limit <= 0 or not queues:
            return []
        deliveries: list[Delivery] = []
        names, ahead = tuple(queues), self._ahead
        full = True
        while full and len(deliveries) < limit:
            wanted = limit - len(deliveries)
            claim = partial(self.paired.claim, queues, wanted, owner, lease)
            found: list[Delivery] | None = None
            try:
                if not ahead.suffices(names, wanted):
                    size = ahead.begin(names, wanted)
                    taken: list[Taken] = yield Take(names, size, owner, hurry=True)
                    if taken:
                        found = yield from self._move(taken, claim)
                    ahead.end(len(taken))
                    full = len(taken) == size  # Some of it may not be to run, and there may be more.
                if found is None:
                    found = yield from claim()
                ahead.claimed(wanted, len(found))
                found = yield from self._not_over(found)
            except OperationalError:
                yield Take((), 0, owner)  # Others may have more luck with what was not moved.
                if deliveries:
                    return deliveries
                raise
            deliveries += [readable(delivery) for delivery in found]
        return deliveries

    def _not_over(self, found: list[Delivery]) -> RabbitOperation[list[Delivery]]:
        """Drop what RabbitMQ delivered twice and another process ended before it was kept a second time.

        Where the first run ended between the two looks of :meth:`_move`, another claim may be faster than the second.
        """
        again = [one for one in found if one.message is not None and AGAIN in one.message.headers]
        if not again:
            return found
        results = yield from self.paired.fetch([one.lease.id for one in again])
        over = {result.id for result in results if result.state == state.SUCCESS}
        if not over:
            return found
        yield from self.paired.settle(
            [Settlement(lease=one.lease, action="done", state=state.IGNORED) for one in again if one.lease.id in over]
        )
        return [one for one in found if one.lease.id not in over]

    def _move(
        self, taken: Sequence[Taken], claim: Callable[[], RabbitOperation[list[Delivery]]]
    ) -> RabbitOperation[list[Delivery] | None]:
        """Move messages to the store; return what was claimed in the same round trip, None if nothing was."""
        messages = [marked(received(one)) if one.again else received(one) for one in taken]
        doubtful = [message.id for one, message in zip(taken, messages, strict=True) if one.again]
        found: list[Delivery] | None = None
        known: tuple[str, ...] = ()
        if doubtful:
            results = yield from self.paired.fetch(doubtful)
            over = {result.id for result in results if is_over(result)}
            messages = [message for message in messages if message.id not in over]
            if messages:
                known = yield from self.paired.enqueue(messages)
        elif self._joining is None:
            known = yield from self.paired.enqueue(messages)
        else:
            known, found = yield from in_one(self.paired.enqueue(messages), claim(), self._joining.joined)
        kept = {message.id for message in messages}.difference(known).intersection(doubtful)
        if kept:
            # One that was under way when its result was looked for may have ended before it was kept a second time.
            results = yield from self.paired.fetch([*kept])
            yield from self.paired.cancel([result for result in results if is_over(result)])
        steps = {message.id: message for message in messages if message.place is not None and message.id in known}
        if steps:
            yield from self._end_revoked(steps)
        # Where this is not heard the messages come again, and are known.
        yield Ack([one.ref for one in taken])
        return found

    def _end_revoked(self, steps: dict[str, Message]) -> RabbitOperation[None]:
        """Tell the workflows of steps that a note keeps from running."""
        records = yield from self.paired.get(list(steps))
        noted = [record.id for record in records if record.queue == REVOKED]
        results = (yield from self.paired.fetch(noted)) if noted else []
        arrivals: list[Arrival] = []
        for result in results:
            message = steps[result.id]
            if message.place is not None and result.state == state.REVOKED:
                arrivals.append(
                    Arrival(
                        workflow=message.workflow or "",
                        join=message.place.join,
                        slot=message.place.slot,
                        result=result,
                        failed=True,
                        message=message,
                    )
                )
        if arrivals:
            yield from self.paired.arrive(arrivals)

    def start(self, starts: Sequence[Start]) -> RabbitOperation[tuple[str, ...]]:
        return self.paired.start([Start(stores(one.lease), one.once) for one in starts])

    def reclaim(
        self,
        by: str,
        limit: int,
        *,
        crash_limit: int,
        owner: str | None = None,
        guilty: Sequence[Lease] = (),
        before: float | None = None,
    ) -> RabbitOperation[Reclaimed]:
        own = [stores(lease) for lease in guilty]
        freed = yield from self.paired.reclaim(
            by, limit, crash_limit=crash_limit, owner=owner, guilty=own, before=before
        )
        return msgspec.structs.replace(freed, verdicts=tuple([readable(verdict) for verdict in freed.verdicts]))

    def settle(self, settlements: Sequence[Settlement]) -> RabbitOperation[tuple[str, ...]]:
        routed = [one for each in settlements for one in each.follow_ups if one.exchange]
        if routed:
            # Only RabbitMQ knows to which queues an exchange sends.
            yield publish(routed, self._topology)
            settlements = [
                one
                if not any(message.exchange for message in one.follow_ups)
                else msgspec.structs.replace(one, follow_ups=tuple(m for m in one.follow_ups if not m.exchange))
                for one in settlements
            ]
        if any(one.lease.ref >= AGAIN_BIT for one in settlements):
            return (yield from self._settle_again(settlements))
        lost: tuple[str, ...] = yield from self.paired.settle(settlements)
        return lost

    def _settle_again(self, settlements: Sequence[Settlement]) -> RabbitOperation[tuple[str, ...]]:
        """Settle where some are of marked tasks, and keep the ids of those that end."""
        until = (yield from self.paired.now()) + ENDED_FOR
        lost: tuple[str, ...] = yield from self.paired.settle([_remembered(one, until) for one in settlements])
        # What arrives at a workflow has to be over, so a step leaves its note right after it: see decision 0019.
        steps = [
            _note(one.lease.id, until)
            for one in settlements
            if one.lease.ref >= AGAIN_BIT and _is_step(one) and one.lease.id not in lost
        ]
        if steps:
            yield from self.paired.enqueue(steps)
        return lost

    def cancel(self, revoked: Sequence[StoredResult]) -> RabbitOperation[list[Cancelled]]:
        results = {result.id: result for result in first_of_each(revoked)}
        if not results:
            return []
        before = {record.id: record.queue for record in (yield from self.paired.get(list(results)))}
        # A note must not be taken for the task: cancelling it would take it away.
        noted = [id for id, queue in before.items() if queue == REVOKED]
        rest = [result for id, result in results.items() if id not in noted]
        found = {one.id: one for one in (yield from self.paired.cancel(rest))}
        if noted:
            yield from self._store_unless_over([results[id] for id in noted])
            found |= {id: Cancelled(id, "removed") for id in noted}
        # What has come to be removed since may have been a note, left by another caller at the same moment.
        absent = [id for id, one in found.items() if id not in before and one.outcome != "running"]
        if absent:
            found |= yield from self._cancel_absent({id: results[id] for id in absent})
        return [found[id] for id in results]

    def _store_unless_over(self, results: Sequence[StoredResult]) -> RabbitOperation[None]:
        over = {one.id for one in (yield from self.paired.fetch([one.id for one in results])) if is_over(one)}
        missing = [one for one in results if one.id not in over]
        if missing:
            yield from self.paired.store(missing)

    def _cancel_absent(self, results: dict[str, StoredResult]) -> RabbitOperation[dict[str, Cancelled]]:
        """Leave a note on tasks that the store does not know: they may be in RabbitMQ."""
        kept = yield from self.paired.fetch(list(results))
        ended = {one.id for one in kept if is_over(one) and one.state != state.REVOKED}
        ended |= {one.id for one in (yield from self.paired.get(list(results))) if one.state == state.DEAD}
        open_ids = [id for id in results if id not in ended]
        if not open_ids:
            return {}
        until = (yield from self.paired.now()) + REVOKED_FOR
        notes = [_note(id, until) for id in open_ids]
        known = set((yield from self.paired.enqueue(notes)))
        fresh = [results[id] for id in open_ids if id not in known]
        if fresh:
            yield from self.paired.store(fresh)
        answers = {result.id: Cancelled(result.id, "removed") for result in fresh}
        if known:  # They came out of RabbitMQ at this moment.
            again = yield from self.paired.cancel([results[id] for id in known])
            answers |= {one.id: one for one in again}
        return answers

    def prune(self, dead_letter_age: float | None, limit: int) -> RabbitOperation[int]:
        gone: int = yield from self.paired.prune(dead_letter_age, limit)
        notes = yield from self.paired.claim([REVOKED], min(limit, MAX_BATCH), REVOKED, 60.0)
        if notes:
            ended = [Settlement(lease=note.lease, action="done", state=state.REVOKED) for note in notes]
            yield from self.paired.settle(ended)
        return gone + len(notes)

    def fire_entries(self, firings: Sequence[Firing]) -> RabbitOperation[tuple[str, ...]]:
        """Fire: what is enqueued lies ready in the store, as what follows a task does."""
        routed = [
            one
            if not any(message.exchange for message in one.messages)
            else msgspec.structs.replace(
                one, messages=tuple([addressed(message, self._topology) for message in one.messages])
            )
            for one in firings
        ]
        refused: tuple[str, ...] = yield from self.paired.fire_entries(routed)
        return refused

    # Looking.

    def stats(self) -> RabbitOperation[list[QueueStats]]:
        found = {one.queue: one for one in (yield from self.paired.stats()) if one.queue != REVOKED}
        names = dict.fromkeys([*self._topology.queues, *found, *(yield from self._served())])
        counts: dict[str, int] = yield Count(tuple(names))
        for name, ready in counts.items():
            if ready:
                known = found.get(name, QueueStats(queue=name))
                found[name] = msgspec.structs.replace(known, ready=known.ready + ready)
        return [found[name] for name in sorted(found)]

    def _served(self) -> RabbitOperation[list[str]]:
        """Return the queues that workers say they listen to."""
        return [queue for worker in (yield from self.paired.workers()) for queue in queues_of(worker)]

    def tallies(self) -> RabbitOperation[dict[tuple[str, str], int]]:
        counted = yield from self.paired.tallies()
        return {key: count for key, count in counted.items() if key[0] != REVOKED}

    def page(self, states: Sequence[str], queue: str | None, cursor: int, limit: int) -> RabbitOperation[list[Record]]:
        records: list[Record] = []
        while len(records) < limit:
            asked = limit - len(records)
            part = yield from self.paired.page(states, queue, cursor, asked)
            records += [as_sent(record) for record in part if record.queue != REVOKED]
            if len(part) < asked:
                break
            cursor = part[-1].cursor
        return records

    def get(self, ids: Sequence[str]) -> RabbitOperation[list[Record]]:
        return [as_sent(record) for record in (yield from self.paired.get(ids)) if record.queue != REVOKED]

    def purge(self, queue: str, *, dead: bool = False) -> RabbitOperation[int]:
        gone = yield from self.paired.purge(queue, dead=dead)
        if not dead:
            gone += yield Purge(queue)
        return gone

    def examine(self) -> RabbitOperation[list[Finding]]:
        served: list[str] = []
        try:
            stored: list[Finding] = yield from self.paired.examine()
            if not any(one.level == "error" for one in stored):
                served = yield from self._served()
        except CeleriacError as exc:
            stored = [unreached(exc, "store")]
        return (yield from examine_server(self._topology, served)) + stored


def _remembered(settlement: Settlement, until: float) -> Settlement:
    """Return what the store is told: the id of a marked task that ends is known until then, the mark of another stays.

    In the same step as the settlement, so that there is no moment in which the store would take the task for a new one.
    """
    lease = stores(settlement.lease)
    if lease is settlement.lease:
        return settlement
    if settlement.action == "done" and not _is_step(settlement):
        note, counted = _note(lease.id, until), tally_state(settlement)
        return msgspec.structs.replace(
            settlement, lease=lease, action="retry", message=note, due=until, counted=counted
        )
    message = settlement.message
    return msgspec.structs.replace(settlement, lease=lease, message=message and marked(message))


def _is_step(settlement: Settlement) -> bool:
    """Tell whether the settlement ends a step of a workflow."""
    return settlement.action == "done" and settlement.arrival is not None


def _note(id: str, until: float) -> Message:
    return Message(id=id, task=REVOKED, queue=REVOKED, eta=until)
