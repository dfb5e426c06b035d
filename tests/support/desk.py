"""A desk for schedulers under test: entries that are due every so many seconds, written as MessagePack."""

from __future__ import annotations

import math
import os
from typing import Any

import msgspec

from celeriac import Celeriac
from celeriac.brokers.facade import SyncBroker
from celeriac.core.message import Message
from celeriac.core.schedule import Entry, Interval, Plan
from celeriac.core.scheduled import StoredEntry, Writing
from celeriac.scheduler import flows


class Every(msgspec.Struct, frozen=True, gc=False):
    """An entry.

    Attributes:
        task: The task's name.
        every: Seconds.
        overlap: As the service has it.
        catch_up: Run all that was missed, instead of the latest.
        queue: Where its messages go.
    """

    task: str = "proj.tick"
    every: float = 10.0
    overlap: str = "allow"
    catch_up: bool = False
    queue: str = "celery"


def stored(name: str, due: float | None, **fields: Any) -> StoredEntry:
    """Return an entry of a random edition."""
    body = msgspec.msgpack.encode(Every(**fields))
    return StoredEntry(name=name, body=body, edition=int.from_bytes(os.urandom(6)) + 1, due=due)


def put(broker: SyncBroker[Any, Any], *entries: StoredEntry) -> None:
    """Write entries, whatever is there."""
    assert broker.put_entries([Writing(one) for one in entries]) == ()


def add_unchecked(app: Celeriac, name: str, task: str) -> None:
    """Add an entry of every 10 seconds without arguments, as a program would that does not know the task."""
    entry = Entry(name=name, task=task, trigger=Interval(10.0))
    app.broker.carry(lambda ops: flows.add(ops, entry, app.timezone, False))


class EveryDesk:
    """Reads entries made by :func:`stored`."""

    def read(self, stored: StoredEntry) -> Every:
        return msgspec.msgpack.decode(stored.body, type=Every)

    def plan(self, entry: Every, due: float, now: float) -> Plan:
        if entry.task == "proj.broken":
            raise ValueError("its crontab names February 30")
        passed = math.floor((now - due) / entry.every + 1e-9)
        next_due = due + (passed + 1) * entry.every
        if entry.catch_up:
            return Plan(tuple([due + number * entry.every for number in range(passed + 1)]), next_due)
        return Plan((due + passed * entry.every,), next_due, passed)

    def message(self, entry: Every, due: float, id: str, now: float) -> Message:
        return Message(id=id, task=entry.task, queue=entry.queue, sent_at=now, headers={"due": due})

    def start(self, broker: SyncBroker[Any, Any]) -> None:
        """There are no settings."""
