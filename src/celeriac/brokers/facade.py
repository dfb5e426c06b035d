"""A broker as callers see it: one plain method per operation, blocking or awaiting, the same for every driver.

Guarantees: batches longer than :data:`~celeriac.brokers.port.MAX_BATCH` become several operations, in order, each
atomic by itself; where a later one fails, the earlier ones hold. A ``limit`` of claim, promote, reclaim and prune is
cut to MAX_BATCH, since fewer than asked for is always allowed there. The connection is opened with the first call;
after ``close()`` the next call opens another. What the methods mean is said once, in :mod:`celeriac.brokers.port`.

A :class:`SyncBroker` may be shared between threads, an :class:`AsyncBroker` between tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, Protocol, Self, TypeVar

from celeriac.brokers.batches import parts, sendings
from celeriac.brokers.optional import Handing
from celeriac.brokers.port import (
    MAX_BATCH,
    AsyncPerformer,
    AsyncWaiter,
    Cancelled,
    Capabilities,
    Command,
    CommandReply,
    Driver,
    Finding,
    Operations,
    Performer,
    Promoted,
    QueueStats,
    Reclaimed,
    Record,
    ResultOperations,
    Sending,
    Waiter,
    WorkerRecord,
)
from celeriac.core.message import Arrival, Delivery, Lease, Message, Settlement, Start, StoredResult
from celeriac.core.operation import Operation, arun, at_once, begin, run
from celeriac.core.scheduled import Firing, StoredEntry, Turns, Writing
from celeriac.core.workflow import LAST, Harvest, Join, Workflow, WorkflowRecord

Req = TypeVar("Req")
Rep = TypeVar("Rep")
Ops = TypeVar("Ops", bound=ResultOperations[Any, Any])
T = TypeVar("T")
OpsOut = TypeVar("OpsOut", bound=ResultOperations[Any, Any], covariant=True)


class Store(Protocol[OpsOut]):
    """What the facade needs of a driver: the port's Driver, or a driver that keeps results only."""

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def operations(self) -> OpsOut: ...

    def performer(self) -> Performer[Any, Any]: ...

    def async_performer(self) -> AsyncPerformer[Any, Any]: ...

    def waiter(self, ids: Sequence[str] = (), *, owner: str | None = None) -> Waiter: ...

    def async_waiter(self, ids: Sequence[str] = (), *, owner: str | None = None) -> AsyncWaiter: ...


class _Facade(Generic[Ops]):
    """What both modes have in common."""

    def __init__(self, driver: Store[Ops]) -> None:
        self._driver: Final = driver
        self._ops: Final[Ops] = driver.operations
        self.capabilities: Final = driver.capabilities
        """What the driver can do."""


class SyncCalls(_Facade[Ops]):
    """The blocking way to carry out operations."""

    _performer: Performer[Any, Any] | None = None

    def _run(self, operation: Operation[Any, Any, T]) -> T:
        performer = self._performer or self._connected()
        return run(operation, performer.perform)

    def _begun(self, operation: Operation[Any, Any, T]) -> Callable[[], T]:
        """Begin an operation, if the driver can do that, and return what ends it; if it cannot, do all of it now."""
        performer = self._connected()
        start = getattr(performer, "begin", None)
        if start is None:
            return at_once(lambda: run(operation, performer.perform))
        return begin(operation, start, performer.perform)

    def _connected(self) -> Performer[Any, Any]:
        performer = self._performer
        if performer is None:
            # The first of several threads wins; a lock held here by another thread would be stuck after a fork.
            performer = vars(self).setdefault("_performer", self._driver.performer())
        return performer

    def carry(self, make: Callable[[Ops], Operation[Any, Any, T]]) -> T:
        """Carry out what is made of the operations: several, one after the other, written once for both modes."""
        return self._run(make(self._ops))

    def waiter(self, ids: Sequence[str] = (), *, owner: str | None = None) -> Waiter:
        """Return a new waiter on this store, for an owner, or on results of tasks; the caller closes it."""
        return self._driver.waiter(ids, owner=owner)

    def close(self) -> None:
        """Close the connection. Safe to call twice."""
        performer = vars(self).pop("_performer", None)
        if performer is not None:
            performer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class SyncResultCalls(SyncCalls[Ops]):
    """:class:`~celeriac.brokers.port.ResultOperations`, blocking."""

    def store(self, results: Sequence[StoredResult]) -> None:
        for part in parts(results):
            self._run(self._ops.store(part))

    def progress(self, results: Sequence[StoredResult]) -> tuple[str, ...]:
        return tuple([id for part in parts(results) for id in self._run(self._ops.progress(part))])

    def fetch(self, ids: Sequence[str]) -> list[StoredResult]:
        return [result for part in parts(ids) for result in self._run(self._ops.fetch(part))]

    def discard(self, ids: Sequence[str]) -> int:
        return sum([self._run(self._ops.discard(part)) for part in parts(ids)])

    def now(self) -> float:
        return self._run(self._ops.now())

    def examine(self) -> list[Finding]:
        return self._run(self._ops.examine())

    def prune(self, dead_letter_age: float | None, limit: int) -> int:
        return self._run(self._ops.prune(dead_letter_age, min(limit, MAX_BATCH)))

    def install(self) -> int:
        return self._run(self._ops.install())

    def verify(self) -> int:
        return self._run(self._ops.verify())


class SyncQueueCalls(SyncCalls[Operations[Req, Rep]]):
    """:class:`~celeriac.brokers.port.QueueOperations`, blocking."""

    def enqueue(self, messages: Sequence[Message], sending: Sending | None = None) -> tuple[str, ...]:
        if 0 < len(messages) <= MAX_BATCH:
            return self._run(self._ops.enqueue(messages, sending))
        return tuple([id for part in sendings(messages, sending) for id in self._run(self._ops.enqueue(*part))])

    def begin_enqueue(
        self, messages: Sequence[Message], sending: Sending | None = None
    ) -> Callable[[], tuple[str, ...]]:
        """Begin an enqueue of at most MAX_BATCH messages, and return what ends it, to be called once.

        Between the two the caller can work while the store does, where the driver has an ``EarlyPerformer``; with
        others all is done at once. Errors are raised by the second part.
        """
        return self._begun(self._ops.enqueue(messages, sending))

    def claim(self, queues: Sequence[str], limit: int, owner: str, lease: float) -> list[Delivery]:
        return self._run(self._ops.claim(queues, min(limit, MAX_BATCH), owner, lease))

    def start(self, starts: Sequence[Start]) -> tuple[str, ...]:
        return tuple([id for part in parts(starts) for id in self._run(self._ops.start(part))])

    def extend(self, owners: Sequence[str], lease: float) -> tuple[str, ...]:
        return tuple([owner for part in parts(owners) for owner in self._run(self._ops.extend(part, lease))])

    def holdings(self, owner: str) -> tuple[Lease, ...]:
        return self._run(self._ops.holdings(owner))

    def settle(self, settlements: Sequence[Settlement]) -> tuple[str, ...]:
        return tuple([id for part in parts(settlements) for id in self._run(self._ops.settle(part))])

    def promote(self, limit: int) -> Promoted:
        return self._run(self._ops.promote(min(limit, MAX_BATCH)))

    def reclaim(
        self,
        by: str,
        limit: int,
        *,
        crash_limit: int,
        owner: str | None = None,
        guilty: Sequence[Lease] = (),
        before: float | None = None,
    ) -> Reclaimed:
        operation = self._ops.reclaim(
            by, min(limit, MAX_BATCH), crash_limit=crash_limit, owner=owner, guilty=guilty, before=before
        )
        return self._run(operation)

    def cancel(self, revoked: Sequence[StoredResult]) -> list[Cancelled]:
        return [one for part in parts(revoked) for one in self._run(self._ops.cancel(part))]

    def revive(self, ids: Sequence[str]) -> tuple[str, ...]:
        return tuple([id for part in parts(ids) for id in self._run(self._ops.revive(part))])


class SyncControlCalls(SyncCalls[Operations[Req, Rep]]):
    """:class:`~celeriac.brokers.port.ControlOperations`, blocking."""

    def heartbeat(self, worker: WorkerRecord, ttl: float) -> None:
        self._run(self._ops.heartbeat(worker, ttl))

    def forget(self, name: str, owners: Sequence[str]) -> None:
        self._run(self._ops.forget(name, owners))

    def elect(self, role: str, holder: str, ttl: float) -> bool:
        return self._run(self._ops.elect(role, holder, ttl))

    def resign(self, role: str, holder: str) -> None:
        self._run(self._ops.resign(role, holder))

    def broadcast(self, command: Command) -> None:
        self._run(self._ops.broadcast(command))

    def commands(self, after: int | None) -> tuple[tuple[Command, ...], int]:
        return self._run(self._ops.commands(after))

    def reply(self, replies: Sequence[CommandReply]) -> None:
        for part in parts(replies):
            self._run(self._ops.reply(part))

    def replies(self, command_id: str) -> tuple[CommandReply, ...]:
        return self._run(self._ops.replies(command_id))


class SyncInspectCalls(SyncCalls[Operations[Req, Rep]]):
    """:class:`~celeriac.brokers.port.InspectOperations`, blocking."""

    def stats(self) -> list[QueueStats]:
        return self._run(self._ops.stats())

    def tallies(self) -> dict[tuple[str, str], int]:
        return self._run(self._ops.tallies())

    def page(self, states: Sequence[str], queue: str | None, cursor: int, limit: int) -> list[Record]:
        records: list[Record] = []
        while (size := min(MAX_BATCH, limit - len(records))) > 0:
            part = self._run(self._ops.page(states, queue, cursor, size))
            records += part
            if len(part) < size:
                break
            cursor = part[-1].cursor
        return records

    def get(self, ids: Sequence[str]) -> list[Record]:
        return [record for part in parts(ids) for record in self._run(self._ops.get(part))]

    def workers(self) -> list[WorkerRecord]:
        return self._run(self._ops.workers())

    def purge(self, queue: str, *, dead: bool = False) -> int:
        return self._run(self._ops.purge(queue, dead=dead))


class SyncScheduleCalls(SyncCalls[Operations[Req, Rep]]):
    """:class:`~celeriac.brokers.schedule_port.ScheduleOperations`, blocking."""

    def put_entries(self, writings: Sequence[Writing]) -> tuple[str, ...]:
        return tuple([name for part in parts(writings) for name in self._run(self._ops.put_entries(part))])

    def drop_entries(self, names: Sequence[str]) -> tuple[str, ...]:
        return tuple([name for part in parts(names) for name in self._run(self._ops.drop_entries(part))])

    def due_entries(self, limit: int) -> Turns:
        return self._run(self._ops.due_entries(min(limit, MAX_BATCH)))

    def fire_entries(self, firings: Sequence[Firing]) -> tuple[str, ...]:
        return tuple([name for part in parts(firings) for name in self._run(self._ops.fire_entries(part))])

    def begin_fire_entries(self, firings: Sequence[Firing]) -> Callable[[], tuple[str, ...]]:
        """Begin to fire at most MAX_BATCH entries, and return what ends it, as for :meth:`begin_enqueue`."""
        return self._begun(self._ops.fire_entries(firings))

    def get_entries(self, names: Sequence[str]) -> list[StoredEntry]:
        return [entry for part in parts(names) for entry in self._run(self._ops.get_entries(part))]

    def page_entries(self, after: str, limit: int) -> list[StoredEntry]:
        return self._run(self._ops.page_entries(after, min(limit, MAX_BATCH)))


class SyncWorkflowCalls(SyncCalls[Operations[Req, Rep]]):
    """:class:`~celeriac.brokers.port.WorkflowOperations`, blocking."""

    def plant(self, workflow: Workflow, joins: Sequence[Join]) -> None:
        self._run(self._ops.plant(workflow, joins))

    def arrive(self, arrivals: Sequence[Arrival]) -> None:
        for part in parts(arrivals):
            self._run(self._ops.arrive(part))

    def harvest(self, workflow: str, join: int, after: int, limit: int, until: int = LAST) -> Harvest:
        return self._run(self._ops.harvest(workflow, join, after, min(limit, MAX_BATCH), until))

    def workflows(self, ids: Sequence[str], cursor: float, limit: int) -> list[WorkflowRecord]:
        return self._run(self._ops.workflows(ids, cursor, min(limit, MAX_BATCH)))

    def reopen(self, workflow: str, places: Sequence[tuple[int, int]], messages: Sequence[Message] = ()) -> int:
        """Many places are emptied in several steps; the messages are kept in the last."""
        cut = [*parts(places)] or [()]
        done = sum([self._run(self._ops.reopen(workflow, part)) for part in cut[:-1]])
        for part in [*parts(messages)][1:]:
            self._run(self._ops.reopen(workflow, (), part))
        return done + self._run(self._ops.reopen(workflow, cut[-1], messages[:MAX_BATCH]))

    def note(self, workflow: str, number: int, record: bytes) -> None:
        self._run(self._ops.note(workflow, number, record))

    def parts(self, workflow: str, after: int, limit: int) -> list[tuple[int, bytes]]:
        return self._run(self._ops.parts(workflow, after, min(limit, MAX_BATCH)))

    def uproot(self, ids: Sequence[str]) -> int:
        return sum([self._run(self._ops.uproot(part)) for part in parts(ids)])


class SyncBroker(
    SyncQueueCalls[Req, Rep],
    SyncScheduleCalls[Req, Rep],
    SyncControlCalls[Req, Rep],
    SyncInspectCalls[Req, Rep],
    SyncWorkflowCalls[Req, Rep],
    SyncResultCalls[Operations[Req, Rep]],
):
    """A driver behind blocking calls.

    Args:
        driver: From :func:`celeriac.brokers.connect`.
    """

    def __init__(self, driver: Driver[Req, Rep]) -> None:
        super().__init__(driver)


class AsyncCalls(_Facade[Ops]):
    """The awaiting way to carry out operations."""

    _performer: AsyncPerformer[Any, Any] | None = None

    async def _run(self, operation: Operation[Any, Any, T]) -> T:
        performer = self._performer
        if performer is None:
            performer = vars(self).setdefault("_performer", self._driver.async_performer())
        return await arun(operation, performer.perform)

    async def carry(self, make: Callable[[Ops], Operation[Any, Any, T]]) -> T:
        """Carry out what is made of the operations: several, one after the other, written once for both modes."""
        return await self._run(make(self._ops))

    def waiter(self, ids: Sequence[str] = (), *, owner: str | None = None) -> AsyncWaiter:
        """Return a new waiter on this store, for an owner, or on results of tasks; the caller closes it."""
        return self._driver.async_waiter(ids, owner=owner)

    async def close(self) -> None:
        """Close the connection. Safe to call twice."""
        performer = vars(self).pop("_performer", None)
        if performer is not None:
            await performer.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()


class AsyncResultCalls(AsyncCalls[Ops]):
    """:class:`~celeriac.brokers.port.ResultOperations`, awaiting."""

    async def store(self, results: Sequence[StoredResult]) -> None:
        for part in parts(results):
            await self._run(self._ops.store(part))

    async def progress(self, results: Sequence[StoredResult]) -> tuple[str, ...]:
        return tuple([id for part in parts(results) for id in await self._run(self._ops.progress(part))])

    async def fetch(self, ids: Sequence[str]) -> list[StoredResult]:
        return [result for part in parts(ids) for result in await self._run(self._ops.fetch(part))]

    async def discard(self, ids: Sequence[str]) -> int:
        return sum([await self._run(self._ops.discard(part)) for part in parts(ids)])

    async def now(self) -> float:
        return await self._run(self._ops.now())

    async def examine(self) -> list[Finding]:
        return await self._run(self._ops.examine())

    async def prune(self, dead_letter_age: float | None, limit: int) -> int:
        return await self._run(self._ops.prune(dead_letter_age, min(limit, MAX_BATCH)))

    async def install(self) -> int:
        return await self._run(self._ops.install())

    async def verify(self) -> int:
        return await self._run(self._ops.verify())


class AsyncQueueCalls(AsyncCalls[Operations[Req, Rep]]):
    """:class:`~celeriac.brokers.port.QueueOperations`, awaiting."""

    def receiver(self, owner: str, take: Callable[[Delivery | None], None]) -> AsyncWaiter:
        """Return a new waiter for an owner, to which the store may hand deliveries over if it can; see
        :meth:`celeriac.brokers.optional.Handing.receiver`. The caller closes it."""
        if isinstance(self._driver, Handing):
            return self._driver.receiver(owner, take)
        return self.waiter(owner=owner)

    async def enqueue(self, messages: Sequence[Message], sending: Sending | None = None) -> tuple[str, ...]:
        if 0 < len(messages) <= MAX_BATCH:
            return await self._run(self._ops.enqueue(messages, sending))
        return tuple([id for part in sendings(messages, sending) for id in await self._run(self._ops.enqueue(*part))])

    async def claim(self, queues: Sequence[str], limit: int, owner: str, lease: float) -> list[Delivery]:
        return await self._run(self._ops.claim(queues, min(limit, MAX_BATCH), owner, lease))

    async def start(self, starts: Sequence[Start]) -> tuple[str, ...]:
        return tuple([id for part in parts(starts) for id in await self._run(self._ops.start(part))])

    async def extend(self, owners: Sequence[str], lease: float) -> tuple[str, ...]:
        return tuple([owner for part in parts(owners) for owner in await self._run(self._ops.extend(part, lease))])

    async def holdings(self, owner: str) -> tuple[Lease, ...]:
        return await self._run(self._ops.holdings(owner))

    async def settle(self, settlements: Sequence[Settlement]) -> tuple[str, ...]:
        return tuple([id for part in parts(settlements) for id in await self._run(self._ops.settle(part))])

    async def promote(self, limit: int) -> Promoted:
        return await self._run(self._ops.promote(min(limit, MAX_BATCH)))

    async def reclaim(
        self,
        by: str,
        limit: int,
        *,
        crash_limit: int,
        owner: str | None = None,
        guilty: Sequence[Lease] = (),
        before: float | None = None,
    ) -> Reclaimed:
        operation = self._ops.reclaim(
            by, min(limit, MAX_BATCH), crash_limit=crash_limit, owner=owner, guilty=guilty, before=before
        )
        return await self._run(operation)

    async def cancel(self, revoked: Sequence[StoredResult]) -> list[Cancelled]:
        return [one for part in parts(revoked) for one in await self._run(self._ops.cancel(part))]

    async def revive(self, ids: Sequence[str]) -> tuple[str, ...]:
        return tuple([id for part in parts(ids) for id in await self._run(self._ops.revive(part))])


class AsyncControlCalls(AsyncCalls[Operations[Req, Rep]]):
    """:class:`~celeriac.brokers.port.ControlOperations`, awaiting."""

    async def heartbeat(self, worker: WorkerRecord, ttl: float) -> None:
        await self._run(self._ops.heartbeat(worker, ttl))

    async def forget(self, name: str, owners: Sequence[str]) -> None:
        await self._run(self._ops.forget(name, owners))

    async def elect(self, role: str, holder: str, ttl: float) -> bool:
        return await self._run(self._ops.elect(role, holder, ttl))

    async def resign(self, role: str, holder: str) -> None:
        await self._run(self._ops.resign(role, holder))

    async def broadcast(self, command: Command) -> None:
        await self._run(self._ops.broadcast(command))

    async def commands(self, after: int | None) -> tuple[tuple[Command, ...], int]:
        return await self._run(self._ops.commands(after))

    async def reply(self, replies: Sequence[CommandReply]) -> None:
        for part in parts(replies):
            await self._run(self._ops.reply(part))

    async def replies(self, command_id: str) -> tuple[CommandReply, ...]:
        return await self._run(self._ops.replies(command_id))


class AsyncInspectCalls(AsyncCalls[Operations[Req, Rep]]):
    """:class:`~celeriac.brokers.port.InspectOperations`, awaiting."""

    async def stats(self) -> list[QueueStats]:
        return await self._run(self._ops.stats())

    async def tallies(self) -> dict[tuple[str, str], int]:
        return await self._run(self._ops.tallies())

    async def page(self, states: Sequence[str], queue: str | None, cursor: int, limit: int) -> list[Record]:
        records: list[Record] = []
        while (size := min(MAX_BATCH, limit - len(records))) > 0:
            part = await self._run(self._ops.page(states, queue, cursor, size))
            records += part
            if len(part) < size:
                break
            cursor = part[-1].cursor
        return records

    async def get(self, ids: Sequence[str]) -> list[Record]:
        return [record for part in parts(ids) for record in await self._run(self._ops.get(part))]

    async def workers(self) -> list[WorkerRecord]:
        return await self._run(self._ops.workers())

    async def purge(self, queue: str, *, dead: bool = False) -> int:
        return await self._run(self._ops.purge(queue, dead=dead))


class AsyncScheduleCalls(AsyncCalls[Operations[Req, Rep]]):
    """:class:`~celeriac.brokers.schedule_port.ScheduleOperations`, awaiting."""

    async def put_entries(self, writings: Sequence[Writing]) -> tuple[str, ...]:
        return tuple([name for part in parts(writings) for name in await self._run(self._ops.put_entries(part))])

    async def drop_entries(self, names: Sequence[str]) -> tuple[str, ...]:
        return tuple([name for part in parts(names) for name in await self._run(self._ops.drop_entries(part))])

    async def due_entries(self, limit: int) -> Turns:
        return await self._run(self._ops.due_entries(min(limit, MAX_BATCH)))

    async def fire_entries(self, firings: Sequence[Firing]) -> tuple[str, ...]:
        return tuple([name for part in parts(firings) for name in await self._run(self._ops.fire_entries(part))])

    async def get_entries(self, names: Sequence[str]) -> list[StoredEntry]:
        return [entry for part in parts(names) for entry in await self._run(self._ops.get_entries(part))]

    async def page_entries(self, after: str, limit: int) -> list[StoredEntry]:
        return await self._run(self._ops.page_entries(after, min(limit, MAX_BATCH)))


class AsyncWorkflowCalls(AsyncCalls[Operations[Req, Rep]]):
    """:class:`~celeriac.brokers.port.WorkflowOperations`, awaiting."""

    async def plant(self, workflow: Workflow, joins: Sequence[Join]) -> None:
        await self._run(self._ops.plant(workflow, joins))

    async def arrive(self, arrivals: Sequence[Arrival]) -> None:
        for part in parts(arrivals):
            await self._run(self._ops.arrive(part))

    async def harvest(self, workflow: str, join: int, after: int, limit: int, until: int = LAST) -> Harvest:
        return await self._run(self._ops.harvest(workflow, join, after, min(limit, MAX_BATCH), until))

    async def workflows(self, ids: Sequence[str], cursor: float, limit: int) -> list[WorkflowRecord]:
        return await self._run(self._ops.workflows(ids, cursor, min(limit, MAX_BATCH)))

    async def reopen(self, workflow: str, places: Sequence[tuple[int, int]], messages: Sequence[Message] = ()) -> int:
        """Many places are emptied in several steps; the messages are kept in the last."""
        cut = [*parts(places)] or [()]
        done = sum([await self._run(self._ops.reopen(workflow, part)) for part in cut[:-1]])
        for part in [*parts(messages)][1:]:
            await self._run(self._ops.reopen(workflow, (), part))
        return done + await self._run(self._ops.reopen(workflow, cut[-1], messages[:MAX_BATCH]))

    async def note(self, workflow: str, number: int, record: bytes) -> None:
        await self._run(self._ops.note(workflow, number, record))

    async def parts(self, workflow: str, after: int, limit: int) -> list[tuple[int, bytes]]:
        return await self._run(self._ops.parts(workflow, after, min(limit, MAX_BATCH)))

    async def uproot(self, ids: Sequence[str]) -> int:
        return sum([await self._run(self._ops.uproot(part)) for part in parts(ids)])


class AsyncBroker(
    AsyncQueueCalls[Req, Rep],
    AsyncScheduleCalls[Req, Rep],
    AsyncControlCalls[Req, Rep],
    AsyncInspectCalls[Req, Rep],
    AsyncWorkflowCalls[Req, Rep],
    AsyncResultCalls[Operations[Req, Rep]],
):
    """A driver behind awaitable calls: the twin of :class:`SyncBroker`.

    Args:
        driver: From :func:`celeriac.brokers.connect`.
    """

    def __init__(self, driver: Driver[Req, Rep]) -> None:
        super().__init__(driver)
