"""The port's operations on a memory store. A request is what to do with the store; the performer hands the store in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, TypeVar

from celeriac.brokers.memory.store import Store
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
from celeriac.core.message import Arrival, Delivery, Lease, Message, Settlement, Start, StoredResult
from celeriac.core.operation import Operation
from celeriac.core.scheduled import Firing, StoredEntry, Turns, Writing
from celeriac.core.workflow import LAST, Harvest, Join, Workflow, WorkflowRecord

T = TypeVar("T")
Request: TypeAlias = Callable[[Store], Any]

SCHEMA_VERSION: Final = 1
LIFETIME: Final = Finding(
    level="advice",
    subject="durability",
    text="a memory store lives in one process: no other sees it, and all it holds ends with it",
    remedy="use it for tests and trials; to keep what is accepted, name a store such as sqlite:///celeriac.db",
)


def _ask(request: Callable[[Store], T]) -> Operation[Request, Any, T]:
    reply: T = yield request
    return reply


class QueueOperations:
    """The life of messages."""

    def enqueue(
        self, messages: Sequence[Message], sending: Sending | None = None
    ) -> Operation[Request, Any, tuple[str, ...]]:
        return _ask(lambda store: store.enqueue(messages, sending))

    def claim(
        self, queues: Sequence[str], limit: int, owner: str, lease: float
    ) -> Operation[Request, Any, list[Delivery]]:
        return _ask(lambda store: store.claim(queues, limit, owner, lease))

    def start(self, starts: Sequence[Start]) -> Operation[Request, Any, tuple[str, ...]]:
        return _ask(lambda store: store.start(starts))

    def extend(self, owners: Sequence[str], lease: float) -> Operation[Request, Any, tuple[str, ...]]:
        return _ask(lambda store: store.extend(owners, lease))

    def holdings(self, owner: str) -> Operation[Request, Any, tuple[Lease, ...]]:
        return _ask(lambda store: store.holdings(owner))

    def settle(self, settlements: Sequence[Settlement]) -> Operation[Request, Any, tuple[str, ...]]:
        return _ask(lambda store: store.settle(settlements))

    def promote(self, limit: int) -> Operation[Request, Any, Promoted]:
        return _ask(lambda store: store.promote(limit))

    def reclaim(
        self,
        by: str,
        limit: int,
        *,
        crash_limit: int,
        owner: str | None = None,
        guilty: Sequence[Lease] = (),
        before: float | None = None,
    ) -> Operation[Request, Any, Reclaimed]:
        return _ask(
            lambda store: store.reclaim(by, limit, crash_limit=crash_limit, owner=owner, guilty=guilty, before=before)
        )

    def cancel(self, revoked: Sequence[StoredResult]) -> Operation[Request, Any, list[Cancelled]]:
        return _ask(lambda store: store.cancel(revoked))

    def revive(self, ids: Sequence[str]) -> Operation[Request, Any, tuple[str, ...]]:
        return _ask(lambda store: store.revive(ids))

    def prune(self, dead_letter_age: float | None, limit: int) -> Operation[Request, Any, int]:
        return _ask(lambda store: store.prune(dead_letter_age, limit))


class ControlOperations:
    """Workers, roles, remote commands."""

    def heartbeat(self, worker: WorkerRecord, ttl: float) -> Operation[Request, Any, None]:
        return _ask(lambda store: store.board.heartbeat(worker, ttl))

    def forget(self, name: str, owners: Sequence[str]) -> Operation[Request, Any, None]:
        return _ask(lambda store: store.forget(name, owners))

    def elect(self, role: str, holder: str, ttl: float) -> Operation[Request, Any, bool]:
        return _ask(lambda store: store.board.elect(role, holder, ttl))

    def resign(self, role: str, holder: str) -> Operation[Request, Any, None]:
        return _ask(lambda store: store.board.resign(role, holder))

    def broadcast(self, command: Command) -> Operation[Request, Any, None]:
        return _ask(lambda store: store.broadcast(command))

    def commands(self, after: int | None) -> Operation[Request, Any, tuple[tuple[Command, ...], int]]:
        return _ask(lambda store: store.board.commands(after))

    def reply(self, replies: Sequence[CommandReply]) -> Operation[Request, Any, None]:
        return _ask(lambda store: store.reply(replies))

    def replies(self, command_id: str) -> Operation[Request, Any, tuple[CommandReply, ...]]:
        return _ask(lambda store: store.board.replies(command_id))


class InspectOperations:
    """Looking, and clearing away."""

    def stats(self) -> Operation[Request, Any, list[QueueStats]]:
        return _ask(lambda store: store.stats())

    def tallies(self) -> Operation[Request, Any, dict[tuple[str, str], int]]:
        return _ask(lambda store: dict(store.tallies))

    def page(
        self, states: Sequence[str], queue: str | None, cursor: int, limit: int
    ) -> Operation[Request, Any, list[Record]]:
        return _ask(lambda store: store.page(states, queue, cursor, limit))

    def get(self, ids: Sequence[str]) -> Operation[Request, Any, list[Record]]:
        return _ask(lambda store: store.get(ids))

    def workers(self) -> Operation[Request, Any, list[WorkerRecord]]:
        return _ask(lambda store: store.board.workers())

    def purge(self, queue: str, *, dead: bool = False) -> Operation[Request, Any, int]:
        return _ask(lambda store: store.purge(queue, dead=dead))

    def now(self) -> Operation[Request, Any, float]:
        return _ask(lambda store: store.clock.now())

    def examine(self) -> Operation[Request, Any, list[Finding]]:
        return _ask(lambda store: [LIFETIME])


class ResultOperations:
    """Results; the same dict that ``settle`` stores into."""

    def store(self, results: Sequence[StoredResult]) -> Operation[Request, Any, None]:
        return _ask(lambda store: store.store(results))

    def progress(self, results: Sequence[StoredResult]) -> Operation[Request, Any, tuple[str, ...]]:
        return _ask(lambda store: store.progress(results))

    def fetch(self, ids: Sequence[str]) -> Operation[Request, Any, list[StoredResult]]:
        return _ask(lambda store: store.results.fetch(ids))

    def discard(self, ids: Sequence[str]) -> Operation[Request, Any, int]:
        return _ask(lambda store: store.results.discard(ids))


class ScheduleOperations:
    """Schedule entries."""

    def put_entries(self, writings: Sequence[Writing]) -> Operation[Request, Any, tuple[str, ...]]:
        return _ask(lambda store: store.entries.put(writings))

    def drop_entries(self, names: Sequence[str]) -> Operation[Request, Any, tuple[str, ...]]:
        return _ask(lambda store: store.entries.drop(names))

    def due_entries(self, limit: int) -> Operation[Request, Any, Turns]:
        return _ask(lambda store: store.entries.due(limit))

    def fire_entries(self, firings: Sequence[Firing]) -> Operation[Request, Any, tuple[str, ...]]:
        return _ask(lambda store: store.entries.fire(firings))

    def get_entries(self, names: Sequence[str]) -> Operation[Request, Any, list[StoredEntry]]:
        return _ask(lambda store: store.entries.get(names))

    def page_entries(self, after: str, limit: int) -> Operation[Request, Any, list[StoredEntry]]:
        return _ask(lambda store: store.entries.page(after, limit))


class WorkflowOperations:
    """What workflows wait for."""

    def plant(self, workflow: Workflow, joins: Sequence[Join]) -> Operation[Request, Any, None]:
        return _ask(lambda store: store.joins.plant(workflow, joins))

    def arrive(self, arrivals: Sequence[Arrival]) -> Operation[Request, Any, None]:
        return _ask(lambda store: store.joins.arrive(arrivals))

    def harvest(
        self, workflow: str, join: int, after: int, limit: int, until: int = LAST
    ) -> Operation[Request, Any, Harvest]:
        return _ask(lambda store: store.joins.harvest(workflow, join, after, limit, until))

    def workflows(self, ids: Sequence[str], cursor: float, limit: int) -> Operation[Request, Any, list[WorkflowRecord]]:
        return _ask(lambda store: store.joins.workflows(ids, cursor, limit))

    def reopen(
        self, workflow: str, places: Sequence[tuple[int, int]], messages: Sequence[Message] = ()
    ) -> Operation[Request, Any, int]:
        return _ask(lambda store: store.joins.reopen(workflow, places, messages))

    def note(self, workflow: str, number: int, record: bytes) -> Operation[Request, Any, None]:
        return _ask(lambda store: store.joins.note(workflow, number, record))

    def parts(self, workflow: str, after: int, limit: int) -> Operation[Request, Any, list[tuple[int, bytes]]]:
        return _ask(lambda store: store.joins.parts(workflow, after, limit))

    def uproot(self, ids: Sequence[str]) -> Operation[Request, Any, int]:
        return _ask(lambda store: store.joins.uproot(ids))


class MemoryOperations(
    QueueOperations, ControlOperations, InspectOperations, ResultOperations, ScheduleOperations, WorkflowOperations
):
    """All operations. There is no schema to install: it is always current."""

    def install(self) -> Operation[Request, Any, int]:
        return _ask(lambda store: SCHEMA_VERSION)

    def verify(self) -> Operation[Request, Any, int]:
        return _ask(lambda store: SCHEMA_VERSION)
