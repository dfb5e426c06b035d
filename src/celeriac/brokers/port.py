"""The port: what a broker driver must do. Until 1.0 it may change in any release; drivers outside this repository
should pin.

A driver is a module of pure *operations* (generators, see :mod:`celeriac.core.operation`) and one *performer* per mode.
All operations take and return batches. Time is the server's: no operation is given the time.

Ownership. A claim names its *owner*, one child process of one worker. The owner has one lease, however many messages
it holds, so renewing costs one row for a whole process; the message carries the owner's name and a token that grows
with each claim. A lease that ran out frees everything the owner held (:meth:`QueueOperations.reclaim`).

Every operation is atomic. Those that say *idempotent* may be repeated after a lost reply without harm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, Protocol, TypeAlias, TypeVar

import msgspec

from celeriac.brokers.joins import WorkflowOperations
from celeriac.brokers.schedule_port import ScheduleOperations
from celeriac.core.message import Delivery, Lease, Message, Settlement, Start, StoredResult
from celeriac.core.operation import Operation
from celeriac.core.seal import Seal

# An operation yields requests and takes replies, a performer takes requests and returns replies, a driver has both.
Req = TypeVar("Req")
Rep = TypeVar("Rep")
ReqOut = TypeVar("ReqOut", covariant=True)
RepIn = TypeVar("RepIn", contravariant=True)
ReqIn = TypeVar("ReqIn", contravariant=True)
RepOut = TypeVar("RepOut", covariant=True)

MAX_BATCH: Final = 500
"""Most items that the facade hands to one operation; longer batches become several operations."""


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a driver can do; chooses the groups of the conformance suite that apply to it.

    Attributes:
        name: The driver's name.
        durable: What was enqueued survives the end of every process.
        shared: Other processes can connect to the same store.
        results: ``settle`` stores results in the same atomic step.
        push: A waiter is woken by the store; False means that it looks again every few milliseconds.
        expires: The store itself forgets expired results, commands, answers and records of workers; ``prune`` need not,
            and counts none of them.
        indexed: What is ready is known by its id, too: it is found, counted, cancelled and recognised if it is sent
            again. False where ready messages lie in a queue that only hands out the next one; then they are in order
            of priority and age within one queue, and what is known of them begins with their claim.
        remote: Callers reach the store by a connection, which may break between a request and its reply.
        stored: The driver keeps more than messages: leases with tokens, counts of lost runs, dead letters, workers,
            commands. False for a message broker alone, where a lease is a connection.
        messages: The driver keeps messages. False for a result store alone.
    """

    name: str
    durable: bool
    shared: bool
    results: bool
    push: bool
    expires: bool = False
    indexed: bool = True
    remote: bool = True
    stored: bool = True
    messages: bool = True


class Sending(msgspec.Struct, frozen=True):
    """Which call of which sender an ``enqueue`` is, so that a repetition is known as one though its tasks are over.

    Whoever sends over a network cannot tell a lost request from a lost reply, so it sends again; by then the task may
    have run and be forgotten. A *sender* makes one call after the other, never two at once.

    Attributes:
        sender: A name that no other sender has, at most 100 characters.
        number: From 1; the same for each try of one call, greater for the next call.
        memory: Seconds for which the store remembers the number, at least.
        once: A driver that keeps messages in two places keeps these where the number is, so that a repetition is known.
    """

    sender: str
    number: int
    memory: float = 600.0
    once: bool = False

    def part(self, place: int) -> Sending:
        """Return what to send a part of the call as, which is kept by itself; its place is counted from 0."""
        return self if place == 0 else Sending(f"{self.sender}/{place}", self.number, self.memory, self.once)


class Cancelled(msgspec.Struct, frozen=True):
    """What cancelling one id came to.

    Attributes:
        id: The task id.
        outcome: ``removed``: it waited, and will not run. ``running``: a worker owns it; it is marked, and will not be
            retried or run again. ``unknown``: the broker has no such message.
        owner: Who owns it, where it is running.
    """

    id: str
    outcome: Literal["removed", "running", "unknown"]
    owner: str | None = None


class Promoted(msgspec.Struct, frozen=True):
    """What :meth:`QueueOperations.promote` did.

    Attributes:
        count: How many messages became due.
        next_in: Seconds until the next one is due; None if none waits.
    """

    count: int
    next_in: float | None


class Reclaimed(msgspec.Struct, frozen=True):
    """What :meth:`QueueOperations.reclaim` did.

    Attributes:
        released: Ids that went back to their queues.
        verdicts: Deliveries, now leased to the caller, that must not simply run again (at-most-once, too many
            crashes, revoked): the caller settles them.
        owners: The owners whose lease was ended.
        at: The store's time when this was carried out, seconds since the epoch; 0.0 where there is nothing to free.
    """

    released: tuple[str, ...] = ()
    verdicts: tuple[Delivery, ...] = ()
    owners: tuple[str, ...] = ()
    at: float = 0.0

    @property
    def count(self) -> int:
        """How many messages were freed."""
        return len(self.released) + len(self.verdicts)


class QueueStats(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of one queue by state, and the age in seconds of the message that has been ready longest."""

    queue: str
    ready: int = 0
    scheduled: int = 0
    owned: int = 0
    dead: int = 0
    oldest: float | None = None


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One message as the broker sees it, for people and for ``AsyncResult.state``.

    Attributes:
        state: PENDING, SCHEDULED, RETRY, RECEIVED, STARTED or DEAD.
        message: None if the stored bytes cannot be decoded.
        due: When it is due, seconds since the epoch, where it waits for its time.
        owner: Who owns it.
        changed: When the state was reached, seconds since the epoch.
        cursor: Where to go on after this record.
        refused: Why the message is none of this app's, where it has keys; then ``message`` is as it lies in the broker.
    """

    id: str
    state: str
    queue: str
    message: Message | None
    raw: bytes = b""
    due: float | None = None
    owner: str | None = None
    token: int = 0
    crashes: int = 0
    reason: str | None = None
    changed: float | None = None
    cursor: int = 0
    refused: str | None = None


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One remote command to workers.

    Attributes:
        id: Where replies go.
        name: For instance ``revoke``, ``ping``, ``shutdown``.
        arguments: Plain values.
        destination: Node names; None means all.
        expires_in: Seconds after which nobody needs to act on it.
        cursor: Its place in the sequence of commands; set by the driver.
        seal: As a message's. A driver keeps it with the rest.
        refused: Why nobody may act on it; never kept.
    """

    id: str
    name: str
    arguments: dict[str, Any] = {}
    destination: tuple[str, ...] | None = None
    expires_in: float = 60.0
    cursor: int = 0
    seal: Seal | None = None
    refused: str | None = None


class CommandReply(msgspec.Struct, frozen=True):
    """One worker's answer to a command. A driver keeps its seal with the rest."""

    command_id: str
    node: str
    value: Any = None
    seal: Seal | None = None


class WorkerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One live worker, as its last heartbeat told.

    Attributes:
        name: The node name.
        owners: The owners (child processes) whose leases it renews.
        info: Plain values: pid, host, queues, concurrency, counts, what runs.
        age: Seconds since the last heartbeat; set by the driver.
    """

    name: str
    owners: tuple[str, ...] = ()
    info: dict[str, Any] = {}
    age: float = 0.0


Level: TypeAlias = Literal["ok", "advice", "warning", "error"]
LEVELS: Final[tuple[Level, ...]] = ("ok", "advice", "warning", "error")
"""How bad a finding is, the harmless first. ``ok``: looked at and found right. ``advice``: works, could be better.
``warning``: may lose work, or stop working, in circumstances that do happen. ``error``: does not work now."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at in a store, for people. No text holds a password.

    Attributes:
        level: How bad it is.
        subject: What was looked at, in a few words that do not change with what was found: ``persistence``.
        text: What was found: a sentence without its full stop, of one line.
        remedy: What to change, likewise; empty if all is well.
    """

    level: Level
    subject: str
    text: str
    remedy: str = ""


class QueueOperations(Protocol[ReqOut, RepIn]):
    """The life of messages."""

    def enqueue(
        self, messages: Sequence[Message], sending: Sending | None = None
    ) -> Operation[ReqOut, RepIn, tuple[str, ...]]:
        """Keep the messages; one with an ``eta`` in the future waits for it. All or none.

        Idempotent: a message whose id the broker holds already is dropped, and its id returned. FIFO within a queue
        and priority, in the order given. With ``sending`` it is idempotent also when the messages are held no longer:
        if the store remembers this number of the sender, or a greater one, all messages are dropped.
        """
        ...

    def claim(
        self, queues: Sequence[str], limit: int, owner: str, lease: float
    ) -> Operation[ReqOut, RepIn, list[Delivery]]:
        """Lease up to ``limit`` ready messages of these queues to the owner; highest priority first, then oldest.

        If anything is leased, the owner's lease is set to ``lease`` seconds from now; a claim that finds nothing
        changes nothing that anybody would be woken for (idle workers must not wake each other), though the store may
        note who is idle, to wake it alone. A claim of 0 says that this owner is not: it takes nothing, and lets one
        other be woken for what is there. Messages that have become due are included. Each token is greater than all
        earlier ones of that message.
        """
        ...

    def start(self, starts: Sequence[Start]) -> Operation[ReqOut, RepIn, tuple[str, ...]]:
        """Record that these runs began (state STARTED). Return the ids no longer owned. Idempotent."""
        ...

    def extend(self, owners: Sequence[str], lease: float) -> Operation[ReqOut, RepIn, tuple[str, ...]]:
        """Set these owners' leases to ``lease`` seconds from now. An unknown owner is added: it owns nothing yet.

        Return the owners whose lease had been ended by a reclaim since they last extended or claimed (each is
        reported once): what they held is no longer theirs. Idempotent otherwise.
        """
        ...

    def holdings(self, owner: str) -> Operation[ReqOut, RepIn, tuple[Lease, ...]]:
        """Return a lease for each message that the owner has, whether or not the owner's own lease has run out.

        With it an owner finds what it has without knowing: the reply to its claim was lost, or the store came back
        from a crash a moment older than it had been. Changes nothing.
        """
        ...

    def settle(self, settlements: Sequence[Settlement]) -> Operation[ReqOut, RepIn, tuple[str, ...]]:
        """Carry out the settlements whose lease still holds (same id and token, still owned).

        Return the ids of the others. Per settlement, in one step: result stored, follow-ups enqueued, message gone,
        changed, released or buried. A cancelled message that is settled with ``retry`` or ``release`` goes instead,
        and REVOKED is stored. Idempotent: a repeated settlement does nothing and is reported as no longer owned.
        """
        ...

    def promote(self, limit: int) -> Operation[ReqOut, RepIn, Promoted]:
        """Make up to ``limit`` messages whose time has come ready. Idempotent."""
        ...

    def reclaim(
        self,
        by: str,
        limit: int,
        *,
        crash_limit: int,
        owner: str | None = None,
        guilty: Sequence[Lease] = (),
        before: float | None = None,
    ) -> Operation[ReqOut, RepIn, Reclaimed]:
        """Free what owners held whose lease ran out, or, with ``owner``, what that one holds, at once.

        A message that had started counts one crash more: without ``owner`` one that is known to have by ``start``, with
        ``owner`` one that is named in ``guilty``, since that caller knows what ran. If it is at-most-once, cancelled,
        or has reached ``crash_limit`` crashes, it is leased to ``by`` and returned as a verdict. Every other message
        goes back to its queue, to its old place, with a greater token, as suspect.
        At most ``limit`` messages a call: call again until nothing is returned.

        ``before`` is a time of the store's. After it, a call without ``owner`` frees nothing and only tells the time:
        it was held up on its way, or by a store that stood still, and the renewals of owners that live may be held up
        behind it.
        """
        ...

    def cancel(self, revoked: Sequence[StoredResult]) -> Operation[ReqOut, RepIn, list[Cancelled]]:
        """Cancel the tasks with these results' ids: a waiting one goes and the given result is stored.

        A message that is owned is marked, so that it will not run again; its result is left to its owner. Idempotent.
        """
        ...

    def revive(self, ids: Sequence[str]) -> Operation[ReqOut, RepIn, tuple[str, ...]]:
        """Put dead letters back into their queues with their counts of crashes at zero; return the ids revived.

        What is stored here about how they ended is forgotten in the same step: they wait again.
        """
        ...


class ControlOperations(Protocol[ReqOut, RepIn]):
    """Workers, roles, remote commands."""

    def heartbeat(self, worker: WorkerRecord, ttl: float) -> Operation[ReqOut, RepIn, None]:
        """Keep the worker's record for ``ttl`` seconds. Idempotent."""
        ...

    def forget(self, name: str, owners: Sequence[str]) -> Operation[ReqOut, RepIn, None]:
        """Drop the worker's record and its owners' leases; owners that still hold messages keep theirs. Idempotent."""
        ...

    def elect(self, role: str, holder: str, ttl: float) -> Operation[ReqOut, RepIn, bool]:
        """Take or keep a role for ``ttl`` seconds; True if ``holder`` has it now. Idempotent."""
        ...

    def resign(self, role: str, holder: str) -> Operation[ReqOut, RepIn, None]:
        """Give the role up, if held. Idempotent."""
        ...

    def broadcast(self, command: Command) -> Operation[ReqOut, RepIn, None]:
        """Keep a command for all workers to read until it expires."""
        ...

    def commands(self, after: int | None) -> Operation[ReqOut, RepIn, tuple[tuple[Command, ...], int]]:
        """Return the commands after a cursor, and the cursor to go on from; None starts at the end: no commands."""
        ...

    def reply(self, replies: Sequence[CommandReply]) -> Operation[ReqOut, RepIn, None]:
        """Keep answers to commands for who asked; they expire."""
        ...

    def replies(self, command_id: str) -> Operation[ReqOut, RepIn, tuple[CommandReply, ...]]:
        """Return all answers so far, without removing them."""
        ...


class InspectOperations(Protocol[ReqOut, RepIn]):
    """Looking, and clearing away."""

    def stats(self) -> Operation[ReqOut, RepIn, list[QueueStats]]:
        """Return the counts of every queue that has messages, sorted by name."""
        ...

    def tallies(self) -> Operation[ReqOut, RepIn, dict[tuple[str, str], int]]:
        """Return how many settlements of each (task name, state) there have been."""
        ...

    def page(
        self, states: Sequence[str], queue: str | None, cursor: int, limit: int
    ) -> Operation[ReqOut, RepIn, list[Record]]:
        """Return up to ``limit`` records in these states after the cursor, oldest first; start with cursor 0."""
        ...

    def get(self, ids: Sequence[str]) -> Operation[ReqOut, RepIn, list[Record]]:
        """Return the records of those ids that the broker holds."""
        ...

    def workers(self) -> Operation[ReqOut, RepIn, list[WorkerRecord]]:
        """Return the live workers, sorted by name."""
        ...

    def purge(self, queue: str, *, dead: bool = False) -> Operation[ReqOut, RepIn, int]:
        """Drop all waiting messages of the queue, or with ``dead`` its dead letters. Owned ones stay.

        Return how many went.
        """
        ...


class StoreOperations(Protocol[ReqOut, RepIn]):
    """What any store can be asked about itself, whether it keeps messages, results or both, and its structure."""

    def now(self) -> Operation[ReqOut, RepIn, float]:
        """Return the store's time, seconds since the epoch, in one round trip; nothing else is looked at."""
        ...

    def examine(self) -> Operation[ReqOut, RepIn, list[Finding]]:
        """Tell what is wrong with the store and what to change; what was found right is told, too.

        Nothing is written, and no waiter is woken. What the store refuses to tell (a server that forbids its
        configuration to be read) is left out, or is a finding of level ``advice``; it is no error.

        Raises:
            SchemaError: Nothing is installed yet, and the store cannot be looked at before.
        """
        ...

    def prune(self, dead_letter_age: float | None, limit: int) -> Operation[ReqOut, RepIn, int]:
        """Forget up to ``limit`` each of: expired results, commands, records of vanished workers and owners, and dead
        letters older than ``dead_letter_age`` seconds (None keeps them); a result store alone has only results. Return
        how many went; what the store forgot by itself is not counted. Idempotent."""
        ...

    def install(self) -> Operation[ReqOut, RepIn, int]:
        """Create what is missing and upgrade what is old; return the version. Idempotent, safe to run concurrently.

        Raises:
            SchemaError: The store was written by a newer version, or is not Celeriac's.
        """
        ...

    def verify(self) -> Operation[ReqOut, RepIn, int]:
        """Return the version if the schema is complete and current.

        Raises:
            SchemaError: It is not; the text says what to do.
        """
        ...


class ResultOperations(StoreOperations[ReqOut, RepIn], Protocol[ReqOut, RepIn]):
    """A result store. A driver whose capabilities say ``results`` is one, too."""

    def store(self, results: Sequence[StoredResult]) -> Operation[ReqOut, RepIn, None]:
        """Keep the results; a later one for the same id replaces the earlier. Idempotent."""
        ...

    def progress(self, results: Sequence[StoredResult]) -> Operation[ReqOut, RepIn, tuple[str, ...]]:
        """Keep interim states (STARTED, RETRY, custom). One whose task is over already is dropped; return those ids."""
        ...

    def fetch(self, ids: Sequence[str]) -> Operation[ReqOut, RepIn, list[StoredResult]]:
        """Return the results that are kept and not expired."""
        ...

    def discard(self, ids: Sequence[str]) -> Operation[ReqOut, RepIn, int]:
        """Forget the results; return how many there were."""
        ...


class Operations(
    QueueOperations[ReqOut, RepIn],
    ControlOperations[ReqOut, RepIn],
    InspectOperations[ReqOut, RepIn],
    ResultOperations[ReqOut, RepIn],
    WorkflowOperations[ReqOut, RepIn],
    ScheduleOperations[ReqOut, RepIn],
    Protocol[ReqOut, RepIn],
):
    """All that a full driver offers."""


class Performer(Protocol[ReqIn, RepOut]):
    """Does requests one at a time, blocking. Safe to share between threads."""

    def perform(self, request: ReqIn) -> RepOut: ...

    def close(self) -> None: ...


class EarlyPerformer(Performer[ReqIn, RepOut], Protocol[ReqIn, RepOut]):
    """A performer that can send a request and leave the reply for later: the caller works while the server does.

    Meanwhile it may be used for other requests, by other threads too.
    """

    def begin(self, request: ReqIn) -> Callable[[], RepOut]:
        """Send the request; return what waits for the reply and returns it, to be called once, by the same thread.

        What goes wrong is raised by that, never here. If it is not called the request may have been carried out.
        """
        ...


class AsyncPerformer(Protocol[ReqIn, RepOut]):
    """Does requests without blocking the event loop."""

    async def perform(self, request: ReqIn) -> RepOut: ...

    async def close(self) -> None: ...


class Waiter(Protocol):
    """Blocks until the store may have something new.

    A waiter remembers what it has seen: a change between two calls of ``wait`` ends the second at once, so that
    looking after each return misses nothing. It may return True for nothing.
    """

    def wait(self, timeout: float) -> bool:
        """Return True when something may be new, False after ``timeout`` seconds."""
        ...

    def close(self) -> None: ...


class AsyncWaiter(Protocol):
    """The awaiting twin of :class:`Waiter`."""

    async def wait(self, timeout: float) -> bool: ...

    async def close(self) -> None: ...


class Driver(Protocol[Req, Rep]):
    """What a driver's module makes of a URL: its operations, its performers and its waiters."""

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def operations(self) -> Operations[Req, Rep]: ...

    def performer(self) -> Performer[Req, Rep]: ...

    def async_performer(self) -> AsyncPerformer[Req, Rep]: ...

    def waiter(self, ids: Sequence[str] = (), *, owner: str | None = None) -> Waiter:
        """Return a new waiter; the caller closes it.

        Args:
            ids: Without, it wakes when there may be something to claim, another due time, a command or an answer. With
                task ids, when one of these tasks may have another result. It may wake for the rest, too.
            owner: Who waits, where that is an owner who claims. Such a waiter need not wake for commands, answers and
                cancellations, and may be woken alone: the store wakes as many of the owners whose last claim found
                nothing as there are messages for them, and lets the others sleep. So it is for whoever claims each time
                that it returns, be it after a timeout of a few seconds: an owner that is woken and does not claim
                keeps a message from the others until they look. A driver may ignore it.
        """
        ...

    def async_waiter(self, ids: Sequence[str] = (), *, owner: str | None = None) -> AsyncWaiter:
        """Return the awaiting twin of :meth:`waiter`."""
        ...


AnyDriver: TypeAlias = Driver[Any, Any]
