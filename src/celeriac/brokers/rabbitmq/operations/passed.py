"""The operations that RabbitMQ has no part in: the paired store's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from celeriac.brokers.port import Command, CommandReply, Operations, Promoted, WorkerRecord
from celeriac.brokers.rabbitmq.requests import RabbitOperation
from celeriac.core.message import Arrival, Lease, Message, Start, StoredResult
from celeriac.core.scheduled import StoredEntry, Turns, Writing
from celeriac.core.workflow import LAST, Harvest, Join, Workflow, WorkflowRecord


class PassedQueues:
    """The life of messages that the store has.

    Args:
        store: The store's operations.
    """

    def __init__(self, store: Operations[Any, Any]) -> None:
        self.paired = store

    def start(self, starts: Sequence[Start]) -> RabbitOperation[tuple[str, ...]]:
        return self.paired.start(starts)

    def extend(self, owners: Sequence[str], lease: float) -> RabbitOperation[tuple[str, ...]]:
        return self.paired.extend(owners, lease)

    def holdings(self, owner: str) -> RabbitOperation[tuple[Lease, ...]]:
        return self.paired.holdings(owner)

    def promote(self, limit: int) -> RabbitOperation[Promoted]:
        return self.paired.promote(limit)

    def revive(self, ids: Sequence[str]) -> RabbitOperation[tuple[str, ...]]:
        return self.paired.revive(ids)


class PassedEntries(PassedQueues):
    """Schedule entries, but for firing them."""

    def put_entries(self, writings: Sequence[Writing]) -> RabbitOperation[tuple[str, ...]]:
        return self.paired.put_entries(writings)

    def drop_entries(self, names: Sequence[str]) -> RabbitOperation[tuple[str, ...]]:
        return self.paired.drop_entries(names)

    def due_entries(self, limit: int) -> RabbitOperation[Turns]:
        return self.paired.due_entries(limit)

    def get_entries(self, names: Sequence[str]) -> RabbitOperation[list[StoredEntry]]:
        return self.paired.get_entries(names)

    def page_entries(self, after: str, limit: int) -> RabbitOperation[list[StoredEntry]]:
        return self.paired.page_entries(after, limit)


class PassedWorkflows(PassedEntries):
    """What workflows wait for."""

    def plant(self, workflow: Workflow, joins: Sequence[Join]) -> RabbitOperation[None]:
        return self.paired.plant(workflow, joins)

    def arrive(self, arrivals: Sequence[Arrival]) -> RabbitOperation[None]:
        return self.paired.arrive(arrivals)

    def harvest(self, workflow: str, join: int, after: int, limit: int, until: int = LAST) -> RabbitOperation[Harvest]:
        return self.paired.harvest(workflow, join, after, limit, until)

    def workflows(self, ids: Sequence[str], cursor: float, limit: int) -> RabbitOperation[list[WorkflowRecord]]:
        return self.paired.workflows(ids, cursor, limit)

    def reopen(
        self, workflow: str, places: Sequence[tuple[int, int]], messages: Sequence[Message] = ()
    ) -> RabbitOperation[int]:
        return self.paired.reopen(workflow, places, messages)

    def note(self, workflow: str, number: int, record: bytes) -> RabbitOperation[None]:
        return self.paired.note(workflow, number, record)

    def parts(self, workflow: str, after: int, limit: int) -> RabbitOperation[list[tuple[int, bytes]]]:
        return self.paired.parts(workflow, after, limit)

    def uproot(self, ids: Sequence[str]) -> RabbitOperation[int]:
        return self.paired.uproot(ids)


class PassedOn(PassedWorkflows):
    """Workers, roles, commands, results, and the store's own structure."""

    def heartbeat(self, worker: WorkerRecord, ttl: float) -> RabbitOperation[None]:
        return self.paired.heartbeat(worker, ttl)

    def forget(self, name: str, owners: Sequence[str]) -> RabbitOperation[None]:
        return self.paired.forget(name, owners)

    def elect(self, role: str, holder: str, ttl: float) -> RabbitOperation[bool]:
        return self.paired.elect(role, holder, ttl)

    def resign(self, role: str, holder: str) -> RabbitOperation[None]:
        return self.paired.resign(role, holder)

    def broadcast(self, command: Command) -> RabbitOperation[None]:
        return self.paired.broadcast(command)

    def commands(self, after: int | None) -> RabbitOperation[tuple[tuple[Command, ...], int]]:
        return self.paired.commands(after)

    def reply(self, replies: Sequence[CommandReply]) -> RabbitOperation[None]:
        return self.paired.reply(replies)

    def replies(self, command_id: str) -> RabbitOperation[tuple[CommandReply, ...]]:
        return self.paired.replies(command_id)

    def workers(self) -> RabbitOperation[list[WorkerRecord]]:
        return self.paired.workers()

    def now(self) -> RabbitOperation[float]:
        return self.paired.now()

    def store(self, results: Sequence[StoredResult]) -> RabbitOperation[None]:
        return self.paired.store(results)

    def progress(self, results: Sequence[StoredResult]) -> RabbitOperation[tuple[str, ...]]:
        return self.paired.progress(results)

    def fetch(self, ids: Sequence[str]) -> RabbitOperation[list[StoredResult]]:
        return self.paired.fetch(ids)

    def discard(self, ids: Sequence[str]) -> RabbitOperation[int]:
        return self.paired.discard(ids)

    def install(self) -> RabbitOperation[int]:
        return self.paired.install()

    def verify(self) -> RabbitOperation[int]:
        return self.paired.verify()
