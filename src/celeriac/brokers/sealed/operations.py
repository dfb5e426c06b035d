"""The operations of a driver, with a seal around what they carry."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from celeriac.brokers.port import Cancelled, Command, CommandReply, Operations, Reclaimed, Record, Rep, Req, Sending
from celeriac.brokers.sealed.replay import SPENT, ReplayMemory
from celeriac.brokers.sealed.results import SealedResults
from celeriac.core import state
from celeriac.core.clock import Clock
from celeriac.core.codec import encode, encode_exception
from celeriac.core.message import Arrival, Delivery, Lease, Message, Refusal, Settlement, StoredResult, check
from celeriac.core.operation import Operation
from celeriac.core.scheduled import Firing, StoredEntry, Writing, check_entry
from celeriac.core.seal import Seal
from celeriac.core.security import COMMAND, ENTRY, MESSAGE, REPLY, RESULT, Guard
from celeriac.core.workflow import LAST, Arrived, Harvest, Join, Workflow
from celeriac.errors import SecurityError

COMMAND_PATIENCE = 30.0
"""Seconds by which the clocks of who sends a remote command and who reads it may differ."""


class SealedOperations(SealedResults[Req, Rep]):
    """All operations of the port.

    Args:
        inner: The driver's.
        guard: Seals and opens.
        clock: For the age of messages and commands.
    """

    def __init__(self, inner: Operations[Req, Rep], guard: Guard, clock: Clock) -> None:
        super().__init__(inner, guard, clock)
        self._inner = inner
        self._memory = None if guard.window is None else ReplayMemory(inner, guard, clock, guard.window)
        self._seen: dict[str, tuple[int, float]] = {}
        """Cursors of remote commands that were read, and until when they may be, by their ids."""
        # What carries nothing that could be sealed passes as it is.
        self.start = inner.start
        self.extend = inner.extend
        self.holdings = inner.holdings
        self.promote = inner.promote
        self.purge = inner.purge
        self.heartbeat = inner.heartbeat
        self.forget = inner.forget
        self.elect = inner.elect
        self.resign = inner.resign
        self.stats = inner.stats
        self.tallies = inner.tallies
        self.workers = inner.workers
        self.drop_entries = inner.drop_entries
        self.due_entries = inner.due_entries
        self.workflows = inner.workflows
        self.note = inner.note
        self.parts = inner.parts
        self.uproot = inner.uproot

    # Messages.

    def enqueue(
        self, messages: Sequence[Message], sending: Sending | None = None
    ) -> Operation[Req, Rep, tuple[str, ...]]:
        now = self._clock.now()
        return (yield from self._inner.enqueue([self._sealed(one, now) for one in messages], sending))

    def claim(self, queues: Sequence[str], limit: int, owner: str, lease: float) -> Operation[Req, Rep, list[Delivery]]:
        deliveries = yield from self._inner.claim(queues, limit, owner, lease)
        if not deliveries:
            return deliveries
        opened = [self._opened(one, queues) for one in deliveries]
        if self._memory is None:
            return opened
        return (yield from self._memory.judge(opened, [*map(_seal_of, deliveries, opened)]))

    def settle(self, settlements: Sequence[Settlement]) -> Operation[Req, Rep, tuple[str, ...]]:
        now = self._clock.now()
        sealed = [self._sealed_settlement(one, now) for one in settlements]
        memory = self._memory
        if memory is None:
            return (yield from self._inner.settle(sealed))
        seals = yield from memory.seals_of(settlements)
        lost = yield from self._inner.settle(sealed)
        yield from memory.settled(settlements, seals, lost)
        return lost

    def reclaim(
        self,
        by: str,
        limit: int,
        *,
        crash_limit: int,
        owner: str | None = None,
        guilty: Sequence[Lease] = (),
        before: float | None = None,
    ) -> Operation[Req, Rep, Reclaimed]:
        reclaimed = yield from self._inner.reclaim(
            by, limit, crash_limit=crash_limit, owner=owner, guilty=guilty, before=before
        )
        if not reclaimed.verdicts:
            return reclaimed
        # These were judged when they were claimed, and run no more.
        verdicts = tuple([self._opened(one, None) for one in reclaimed.verdicts])
        return msgspec.structs.replace(reclaimed, verdicts=verdicts)

    def cancel(self, revoked: Sequence[StoredResult]) -> Operation[Req, Rep, list[Cancelled]]:
        memory = self._memory
        before: list[Record] = []
        if memory is not None:
            before = yield from self._inner.get([one.id for one in revoked])
        found = yield from self._inner.cancel(self._sealed_results(revoked))
        if memory is not None:
            removed = {one.id for one in found if one.outcome == "removed"}
            seals = [memory.held_of(one) for one in before if one.id in removed]
            yield from memory.write([memory.mark(one, SPENT) for one in seals if one is not None])
        return found

    def revive(self, ids: Sequence[str]) -> Operation[Req, Rep, tuple[str, ...]]:
        if self._memory is not None:
            records = yield from self._inner.get(ids)
            genuine = [one for one in records if one.state == state.DEAD and self._opened_record(one).refused is None]
            yield from self._memory.renew(genuine)
        return (yield from self._inner.revive(ids))

    # Workflows.

    def plant(self, workflow: Workflow, joins: Sequence[Join]) -> Operation[Req, Rep, None]:
        now = self._clock.now()
        sealed = [
            msgspec.structs.replace(one, messages=tuple([self._sealed(message, now) for message in one.messages]))
            for one in joins
        ]
        yield from self._inner.plant(workflow, sealed)

    def reopen(
        self, workflow: str, places: Sequence[tuple[int, int]], messages: Sequence[Message] = ()
    ) -> Operation[Req, Rep, int]:
        now = self._clock.now()
        return (yield from self._inner.reopen(workflow, places, [self._sealed(one, now) for one in messages]))

    def arrive(self, arrivals: Sequence[Arrival]) -> Operation[Req, Rep, None]:
        now = self._clock.now()
        yield from self._inner.arrive([self._sealed_arrival(one, now) for one in arrivals])

    def harvest(
        self, workflow: str, join: int, after: int, limit: int, until: int = LAST
    ) -> Operation[Req, Rep, Harvest]:
        found = yield from self._inner.harvest(workflow, join, after, limit, until)
        return msgspec.structs.replace(found, arrived=[self._opened_arrived(one) for one in found.arrived])

    def _opened_arrived(self, arrived: Arrived) -> Arrived:
        message = arrived.message
        if message is not None:
            try:
                message = self._guard.open(MESSAGE, message)
            except SecurityError:  # Nobody may send it again.
                message = None
        return Arrived(arrived.slot, arrived.failed, self._opened_result(arrived.result), message)

    def _opened_result(self, result: StoredResult) -> StoredResult:
        """Return what a step came to; where that is none of ours, a failure that says so."""
        try:
            return self._guard.open(RESULT, result)
        except SecurityError as exc:
            refused = SecurityError(f"what task {result.id[:200]} returned is refused: {exc}")
            body = encode(encode_exception(refused), "json")
            return StoredResult(id=result.id, state=state.FAILURE, body=body.body)

    def _sealed_arrival(self, arrival: Arrival, now: float) -> Arrival:
        message = arrival.message
        return msgspec.structs.replace(
            arrival,
            result=self._guard.seal(RESULT, arrival.result, now),
            message=None if message is None else self._sealed(message, now),
        )

    # Looking.

    def page(
        self, states: Sequence[str], queue: str | None, cursor: int, limit: int
    ) -> Operation[Req, Rep, list[Record]]:
        return [self._opened_record(one) for one in (yield from self._inner.page(states, queue, cursor, limit))]

    def get(self, ids: Sequence[str]) -> Operation[Req, Rep, list[Record]]:
        return [self._opened_record(one) for one in (yield from self._inner.get(ids))]

    # Schedule entries.

    def put_entries(self, writings: Sequence[Writing]) -> Operation[Req, Rep, tuple[str, ...]]:
        now = self._clock.now()
        sealed = [
            msgspec.structs.replace(one, entry=self._guard.seal(ENTRY, check_entry(one.entry), now)) for one in writings
        ]
        # A store takes the due time and the state from what is written; no seal covers them, for they change.
        whole = [
            msgspec.structs.replace(
                one, entry=msgspec.structs.replace(one.entry, due=plain.entry.due, state=plain.entry.state)
            )
            for one, plain in zip(sealed, writings, strict=True)
        ]
        return (yield from self._inner.put_entries(whole))

    def fire_entries(self, firings: Sequence[Firing]) -> Operation[Req, Rep, tuple[str, ...]]:
        now = self._clock.now()
        sealed = [
            msgspec.structs.replace(one, messages=tuple([self._sealed(message, now) for message in one.messages]))
            for one in firings
        ]
        return (yield from self._inner.fire_entries(sealed))

    def get_entries(self, names: Sequence[str]) -> Operation[Req, Rep, list[StoredEntry]]:
        return [self._opened_entry(one) for one in (yield from self._inner.get_entries(names))]

    def page_entries(self, after: str, limit: int) -> Operation[Req, Rep, list[StoredEntry]]:
        return [self._opened_entry(one) for one in (yield from self._inner.page_entries(after, limit))]

    # Remote commands.

    def broadcast(self, command: Command) -> Operation[Req, Rep, None]:
        yield from self._inner.broadcast(self._guard.seal(COMMAND, command, self._clock.now()))

    def commands(self, after: int | None) -> Operation[Req, Rep, tuple[tuple[Command, ...], int]]:
        found, cursor = yield from self._inner.commands(after)
        return tuple([self._opened_command(one) for one in found]), cursor

    def reply(self, replies: Sequence[CommandReply]) -> Operation[Req, Rep, None]:
        now = self._clock.now()
        yield from self._inner.reply([self._guard.seal(REPLY, one, now) for one in replies])

    def replies(self, command_id: str) -> Operation[Req, Rep, tuple[CommandReply, ...]]:
        found = yield from self._inner.replies(command_id)
        return tuple([self._opened_reply(one, command_id) for one in found])

    # Sealing and opening.

    def _sealed(self, message: Message, now: float) -> Message:
        return self._guard.seal(MESSAGE, check(message), now)

    def _sealed_settlement(self, settlement: Settlement, now: float) -> Settlement:
        message, result, follow_ups = settlement.message, settlement.result, settlement.follow_ups
        arrival = settlement.arrival
        if message is None and result is None and not follow_ups and arrival is None:
            return settlement
        return msgspec.structs.replace(
            settlement,
            message=None if message is None else self._sealed(message, now),
            result=None if result is None else self._guard.seal(RESULT, result, now),
            follow_ups=tuple([self._sealed(one, now) for one in follow_ups]) if follow_ups else (),
            arrival=None if arrival is None else self._sealed_arrival(arrival, now),
        )

    def _opened(self, delivery: Delivery, queues: Sequence[str] | None) -> Delivery:
        message = delivery.message
        if message is None:
            return delivery
        try:
            # A broker finds a message by an id and a queue beside it, which nothing signs.
            if message.id != delivery.lease.id:
                raise SecurityError(f"it is the message of task {message.id[:200]!r}, under another id: it was moved")
            if queues is not None and message.queue not in queues:
                raise SecurityError(f"it was sent to queue {message.queue[:200]!r} and lay in another: it was moved")
            opened = self._guard.open(MESSAGE, message)
        except SecurityError as exc:
            return msgspec.structs.replace(delivery, refusal=Refusal(str(exc)))
        return msgspec.structs.replace(delivery, message=opened)

    def _opened_record(self, record: Record) -> Record:
        message = record.message
        if message is None:
            return record
        try:
            if message.id != record.id:
                raise SecurityError(f"it is the message of task {message.id[:200]!r}, under another id: it was moved")
            opened = self._guard.open(MESSAGE, message)
        except SecurityError as exc:
            return msgspec.structs.replace(record, refused=str(exc))
        return msgspec.structs.replace(record, message=opened, refused=None)

    def _opened_entry(self, entry: StoredEntry) -> StoredEntry:
        if entry.refused is not None:
            return entry
        try:
            return self._guard.open(ENTRY, entry)
        except SecurityError as exc:
            return msgspec.structs.replace(entry, refused=str(exc))

    def _opened_command(self, command: Command) -> Command:
        now = self._clock.now()
        self._seen = {id: seen for id, seen in self._seen.items() if seen[1] > now}
        try:
            opened: Command = self._guard.open(COMMAND, msgspec.structs.replace(command, refused=None))
            if command.seal is not None:
                until = command.seal.at + opened.expires_in + COMMAND_PATIENCE
                if until < now:
                    raise SecurityError("the command is older than it may be: it was replayed")
                # The same one may be read twice, where a reply was lost; a copy has a place of its own.
                if self._seen.setdefault(command.id, (command.cursor, until))[0] != command.cursor:
                    raise SecurityError("the command was carried out before, and this is a copy: it was replayed")
        except SecurityError as exc:
            return msgspec.structs.replace(command, refused=str(exc))
        return opened

    def _opened_reply(self, reply: CommandReply, command_id: str) -> CommandReply:
        try:
            if reply.command_id != command_id:
                raise SecurityError("the reply is to another command: it was moved")
            opened: CommandReply = self._guard.open(REPLY, reply)
        except SecurityError as exc:
            return CommandReply(command_id, reply.node, {"error": f"this answer is refused: {exc}"})
        return opened


class ForwardingOperations(SealedOperations[Req, Rep]):
    """The same, but what is enqueued was sealed before, when it was written to an outbox."""

    def enqueue(
        self, messages: Sequence[Message], sending: Sending | None = None
    ) -> Operation[Req, Rep, tuple[str, ...]]:
        if self._memory is not None:
            yield from self._memory.publish(messages)
        return (yield from self._inner.enqueue(messages, sending))


def _seal_of(stored: Delivery, opened: Delivery) -> Seal | None:
    return None if stored.message is None or opened.refusal is not None else stored.message.seal
