"""RabbitMQ without a store: at-least-once, by the connection that a delivery came on.

What is claimed stays RabbitMQ's until it is settled: when the process or its connection ends, the server gives it to
somebody else. That is all there is of a lease: no token tells a superseded run from its successor, nobody counts lost
runs but the queue itself, and what only a store can keep is not there: :data:`NEEDS_STORE` is the list, which a worker
logs when it starts.

- *Delays.* A message that is not due waits in a queue whose messages end after a fixed time and then go back to the
  queue they are for (``x-message-ttl``, ``x-dead-letter-exchange``). There is one such queue for each time that is
  used, and times are steps, two for each doubling. Whoever takes a message that still is not due sends it into the
  largest step that fits into what is left. So any delay ends after a few hops, never early and at most ``SHORTEST``
  late, nothing waits in a worker, and unused queues go by themselves.
- *Long tasks.* RabbitMQ closes the channel of a consumer that does not acknowledge within ``consumer_timeout``, 30
  minutes. The delivery of a long task is therefore renewed: :mod:`celeriac.brokers.rabbitmq.renewal`.
- *Settling* is: publish what follows, and wait for the confirms; then acknowledge. A crash between the two repeats.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Final, NoReturn

import msgspec

from celeriac.brokers.port import (
    Cancelled,
    Command,
    CommandReply,
    Finding,
    Promoted,
    QueueStats,
    Reclaimed,
    Record,
    Sending,
    WorkerRecord,
)
from celeriac.brokers.rabbitmq.operations.messages import UNREADABLE, publish, received
from celeriac.brokers.rabbitmq.operations.server import examine_server
from celeriac.brokers.rabbitmq.requests import (
    Ack,
    Bodies,
    Count,
    GiveBack,
    Held,
    Keep,
    Now,
    Outgoing,
    Publish,
    Purge,
    RabbitOperation,
    Take,
    Taken,
)
from celeriac.brokers.rabbitmq.topology import DEAD, SHORTEST, Topology, delay_queue, step
from celeriac.brokers.rules import checked
from celeriac.core.message import Arrival, Delivery, Lease, Message, Settlement, Start, StoredResult, check, pack
from celeriac.core.scheduled import Firing, StoredEntry, Turns, Writing
from celeriac.core.workflow import LAST, Harvest, Join, Workflow, WorkflowRecord
from celeriac.errors import StoreNeeded

NEEDS_STORE: Final = (
    ("results", "what tasks return is not kept by the broker"),
    ("revocation", "a task that was sent cannot be revoked"),
    ("fencing", "a run whose connection was lost is told so only when it settles"),
    ("lost runs", "nobody counts the runs that a task's process did not survive: it runs again and again"),
    ("at-most-once", "a task with acks_late=False may run again after a crash"),
    ("remote control", "ping, inspect, shutdown and the list of workers are not there"),
    ("duplicates", "a task that is sent twice with one id runs twice"),
    ("schedules", "no scheduler can run: there is nowhere to keep when an entry is due next"),
    ("dead letters", f"they lie in the queue {DEAD}, where celeriac dlq does not see them"),
)
VERSION: Final = 1
_ENTRIES: Final = "to keep schedule entries"
_REASON: Final = "x-celeriac-reason"


class AloneQueues:
    """The life of messages.

    Args:
        topology: What queues are like.
    """

    def __init__(self, topology: Topology) -> None:
        self._topology = topology

    def enqueue(self, messages: Sequence[Message], sending: Sending | None = None) -> RabbitOperation[tuple[str, ...]]:
        if messages:
            now: float = yield Now()
            yield self._sent(messages, now)
        return ()

    def _sent(self, messages: Sequence[Message], now: float) -> Publish:
        """Return what sends these messages, those that are not due by way of delay queues."""
        for message in messages:
            check(message)
        late = [one for one in messages if one.eta is not None and one.eta - now >= SHORTEST]
        if not late:
            return publish(messages, self._topology)
        ready = publish([one for one in messages if one not in late], self._topology)
        outgoing = list(ready.messages)
        queues = dict.fromkeys(ready.queues)
        others: dict[str, dict[str, Any]] = {}
        for message in late:
            target = self._topology.physical(message.queue, message.priority)
            name, arguments = delay_queue(target, step((message.eta or now) - now))
            queues[target] = None
            others[name] = arguments
            outgoing.append(Outgoing("", name, message.id, pack(message), message.priority))
        return Publish(outgoing, tuple(queues), tuple(others.items()))

    def claim(self, queues: Sequence[str], limit: int, owner: str, lease: float) -> RabbitOperation[list[Delivery]]:
        if limit <= 0 or not queues:
            return []
        taken: list[Taken] = yield Take(tuple(queues), limit, owner)
        if not taken:
            return []
        now: float = yield Now()
        messages = {one.ref: received(one) for one in taken}
        late = {ref: one for ref, one in messages.items() if one.eta is not None and one.eta - now >= SHORTEST}
        if late:
            yield self._sent(list(late.values()), now)
            yield Ack(tuple(late))
        # Only now: if this had been given up before, the next claim would have taken them again.
        yield Keep([one.ref for one in taken if one.ref not in late])
        token = int(now * 1e6)
        return [_delivery(one, messages[one.ref], owner, token) for one in taken if one.ref not in late]

    def start(self, starts: Sequence[Start]) -> RabbitOperation[tuple[str, ...]]:
        ours = set((yield Held([start.lease.ref for start in starts])))
        return tuple([start.lease.id for start in starts if start.lease.ref not in ours])

    def extend(self, owners: Sequence[str], lease: float) -> RabbitOperation[tuple[str, ...]]:
        yield from _nothing()
        return ()

    def holdings(self, owner: str) -> RabbitOperation[tuple[Lease, ...]]:
        yield from _nothing()
        return ()

    def settle(self, settlements: Sequence[Settlement]) -> RabbitOperation[tuple[str, ...]]:
        valid, lost = checked(settlements)
        if not valid:
            return tuple(lost)
        if any(one.follow_ups or one.action != "done" for one in valid):
            # Nothing may follow from a run that is another's by now.
            ours = set((yield Held([one.lease.ref for one in valid])))
            lost += [one.lease.id for one in valid if one.lease.ref not in ours]
            valid = [one for one in valid if one.lease.ref in ours]
        now: float = yield Now()
        following = [message for one in valid for message in one.follow_ups]
        kept = [one for one in valid if one.message is not None and one.action in ("retry", "release")]
        following += [_moved(one) for one in kept]
        if following:
            yield self._sent(following, now)
        buried = [one for one in valid if one.action == "dead"]
        bodies: dict[int, bytes] = (yield Bodies([one.lease.ref for one in buried])) if buried else {}
        if buried:
            letters = [_letter(one, bodies.get(one.lease.ref, b"")) for one in buried]
            yield Publish(letters, (), ((DEAD, {"x-queue-type": self._topology.queue_type}),))
        back = [one for one in valid if one.action in ("retry", "release") and one.message is None]
        returned = {one.lease.ref for one in back}
        gone: list[int] = []
        if back:
            gone += yield GiveBack(list(returned))
        if len(back) < len(valid):
            gone += yield Ack([one.lease.ref for one in valid if one.lease.ref not in returned], heard=True)
        return tuple(lost + [one.lease.id for one in valid if one.lease.ref in set(gone)])

    def promote(self, limit: int) -> RabbitOperation[Promoted]:
        yield from _nothing()
        return Promoted(0, None)

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
        yield from _nothing()
        return Reclaimed()

    def cancel(self, revoked: Sequence[StoredResult]) -> RabbitOperation[list[Cancelled]]:
        yield from _nothing()
        _refuse("to revoke tasks")

    def revive(self, ids: Sequence[str]) -> RabbitOperation[tuple[str, ...]]:
        yield from _nothing()
        _refuse("to revive dead letters")

    def prune(self, dead_letter_age: float | None, limit: int) -> RabbitOperation[int]:
        yield from _nothing()
        return 0


class AloneControl:
    """There are no records of workers, no roles and no commands."""

    def heartbeat(self, worker: WorkerRecord, ttl: float) -> RabbitOperation[None]:
        yield from _nothing()

    def forget(self, name: str, owners: Sequence[str]) -> RabbitOperation[None]:
        yield from _nothing()

    def elect(self, role: str, holder: str, ttl: float) -> RabbitOperation[bool]:
        yield from _nothing()
        _refuse("to elect one of several")

    def resign(self, role: str, holder: str) -> RabbitOperation[None]:
        yield from _nothing()

    def broadcast(self, command: Command) -> RabbitOperation[None]:
        yield from _nothing()
        _refuse(f"to tell workers to {command.name}")

    def commands(self, after: int | None) -> RabbitOperation[tuple[tuple[Command, ...], int]]:
        yield from _nothing()
        return (), after or 0

    def reply(self, replies: Sequence[CommandReply]) -> RabbitOperation[None]:
        yield from _nothing()

    def replies(self, command_id: str) -> RabbitOperation[tuple[CommandReply, ...]]:
        yield from _nothing()
        return ()


class AloneEntries:
    """Schedule entries: there is nowhere to keep them."""

    def put_entries(self, writings: Sequence[Writing]) -> RabbitOperation[tuple[str, ...]]:
        yield from _nothing()
        _refuse(_ENTRIES)

    def drop_entries(self, names: Sequence[str]) -> RabbitOperation[tuple[str, ...]]:
        yield from _nothing()
        _refuse(_ENTRIES)

    def due_entries(self, limit: int) -> RabbitOperation[Turns]:
        yield from _nothing()
        _refuse(_ENTRIES)

    def fire_entries(self, firings: Sequence[Firing]) -> RabbitOperation[tuple[str, ...]]:
        yield from _nothing()
        _refuse(_ENTRIES)

    def get_entries(self, names: Sequence[str]) -> RabbitOperation[list[StoredEntry]]:
        yield from _nothing()
        _refuse(_ENTRIES)

    def page_entries(self, after: str, limit: int) -> RabbitOperation[list[StoredEntry]]:
        yield from _nothing()
        _refuse(_ENTRIES)


class AloneWorkflows:
    """Steps that wait for others: there is nobody to keep them."""

    def plant(self, workflow: Workflow, joins: Sequence[Join]) -> RabbitOperation[None]:
        yield from _nothing()
        _refuse("to keep steps of a workflow that wait for others")

    def arrive(self, arrivals: Sequence[Arrival]) -> RabbitOperation[None]:
        yield from _nothing()

    def harvest(self, workflow: str, join: int, after: int, limit: int, until: int = LAST) -> RabbitOperation[Harvest]:
        yield from _nothing()
        return Harvest(-1, None, [])

    def workflows(self, ids: Sequence[str], cursor: float, limit: int) -> RabbitOperation[list[WorkflowRecord]]:
        yield from _nothing()
        return []

    def reopen(
        self, workflow: str, places: Sequence[tuple[int, int]], messages: Sequence[Message] = ()
    ) -> RabbitOperation[int]:
        yield from _nothing()
        return 0

    def note(self, workflow: str, number: int, record: bytes) -> RabbitOperation[None]:
        yield from _nothing()

    def parts(self, workflow: str, after: int, limit: int) -> RabbitOperation[list[tuple[int, bytes]]]:
        yield from _nothing()
        return []

    def uproot(self, ids: Sequence[str]) -> RabbitOperation[int]:
        yield from _nothing()
        return 0


class AloneOperations(AloneQueues, AloneControl, AloneEntries, AloneWorkflows):
    """The port's operations, as far as a message broker alone has them."""

    def stats(self) -> RabbitOperation[list[QueueStats]]:
        counts: dict[str, int] = yield Count((*self._topology.queues, DEAD))
        dead = counts.pop(DEAD, 0)
        found = {queue: QueueStats(queue=queue, ready=ready) for queue, ready in counts.items() if ready}
        if dead:
            found[DEAD] = QueueStats(queue=DEAD, dead=dead)
        return [found[queue] for queue in sorted(found)]

    def tallies(self) -> RabbitOperation[dict[tuple[str, str], int]]:
        yield from _nothing()
        return {}

    def page(self, states: Sequence[str], queue: str | None, cursor: int, limit: int) -> RabbitOperation[list[Record]]:
        yield from _nothing()
        return []

    def get(self, ids: Sequence[str]) -> RabbitOperation[list[Record]]:
        yield from _nothing()
        return []

    def workers(self) -> RabbitOperation[list[WorkerRecord]]:
        yield from _nothing()
        return []

    def purge(self, queue: str, *, dead: bool = False) -> RabbitOperation[int]:
        gone: int = yield Purge(DEAD if dead else queue)
        return gone

    def now(self) -> RabbitOperation[float]:
        now: float = yield Now()
        return now

    def examine(self) -> RabbitOperation[list[Finding]]:
        remedy = (
            "give the app a result backend that pairs with RabbitMQ (Redis, PostgreSQL or SQLite); if it has one,"
            " celeriac -A proj doctor examines both"
        )
        findings = [
            Finding(level="warning", subject=f"needs a store: {subject}", text=text, remedy=remedy)
            for subject, text in NEEDS_STORE
        ]
        text = "AMQP tells no time: due times go by the clocks of the machines that send and that work; keep them set"
        findings.append(Finding(level="ok", subject="clock", text=text))
        return (yield from examine_server(self._topology, alone=True)) + findings

    def store(self, results: Sequence[StoredResult]) -> RabbitOperation[None]:
        yield from _nothing()

    def progress(self, results: Sequence[StoredResult]) -> RabbitOperation[tuple[str, ...]]:
        yield from _nothing()
        return ()

    def fetch(self, ids: Sequence[str]) -> RabbitOperation[list[StoredResult]]:
        yield from _nothing()
        return []

    def discard(self, ids: Sequence[str]) -> RabbitOperation[int]:
        yield from _nothing()
        return 0

    def install(self) -> RabbitOperation[int]:
        yield from _nothing()
        return VERSION

    def verify(self) -> RabbitOperation[int]:
        yield from _nothing()
        return VERSION


def _nothing() -> Generator[Any, Any, None]:
    yield from ()


def _refuse(what: str) -> NoReturn:
    raise StoreNeeded(
        f"RabbitMQ alone has no way {what}: give the app a result backend that pairs with it (Redis, PostgreSQL or"
        " SQLite), in the workers as well as here"
    )


def _delivery(taken: Taken, message: Message, owner: str, token: int) -> Delivery:
    lease = Lease(message.id, owner, token, taken.ref)
    if message.task == UNREADABLE:
        return Delivery(None, lease, raw=message.body, suspect=taken.again)
    return Delivery(message, lease, suspect=taken.again)


def _moved(settlement: Settlement) -> Message:
    message = settlement.message
    assert message is not None
    return msgspec.structs.replace(message, eta=settlement.due)


def _letter(settlement: Settlement, body: bytes) -> Outgoing:
    reason = {_REASON: settlement.reason or "", "x-celeriac-id": settlement.lease.id}
    return Outgoing("", DEAD, settlement.lease.id, body, headers=reason)
