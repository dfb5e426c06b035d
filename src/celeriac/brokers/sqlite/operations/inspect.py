"""Looking into a SQLite broker, clearing away, and its schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from celeriac.brokers.port import QueueStats, Record, WorkerRecord
from celeriac.brokers.rules import opened_worker
from celeriac.brokers.sql.records import NUMBERS, record
from celeriac.brokers.sql.requests import SqlOperation, Statement, Transaction, for_items
from celeriac.brokers.sqlite.operations.examine import SCHEMA_OBJECTS, SCHEMA_VERSION, schema_trouble
from celeriac.brokers.sqlite.operations.rows import array
from celeriac.brokers.sqlite.queries import query
from celeriac.brokers.sqlite.schema import VERSION
from celeriac.errors import SchemaError

STATS: Final = query("stats")
TALLIES: Final = query("tallies")
PAGE: Final = query("page")
GET: Final = query("get")
WORKERS: Final = query("workers")
PURGE_LOOK: Final = query("purge_look")
PURGE: Final = query("purge")
PURGE_DEAD: Final = query("purge_dead")

PURGE_STEP: Final = 5000
"""Messages that a purge drops in one transaction: some 30 milliseconds, so that nobody is kept out for long."""


def _through(index: str, condition: str) -> str:
    """Return page.sql reading through a partial index, so that it does not read through a backlog of others."""
    return PAGE.replace("/*index*/", f"INDEXED BY {index}").replace("WHERE", f"WHERE {condition} AND")


# The states that each partial index has, and page.sql through it.
_PAGES: Final = (
    (frozenset({5}), _through("message_dead", "state = 5")),
    (frozenset({3, 4}), _through("message_held", "state IN (3, 4)")),
    (frozenset({1, 2}), _through("message_due", "state IN (1, 2)")),
)


class InspectOperations:
    """Looking, clearing away, and the schema."""

    def stats(self) -> SqlOperation[list[QueueStats]]:
        reply = yield Transaction((Statement(STATS),), writes=False)
        queues: dict[str, dict[str, Any]] = {}
        for queue, kind, count, oldest in reply[0]:
            counts = queues.setdefault(queue, {})
            counts[kind] = count
            if oldest is not None:
                counts["oldest"] = max(0.0, oldest)
        return [QueueStats(queue=queue, **counts) for queue, counts in sorted(queues.items())]

    def tallies(self) -> SqlOperation[dict[tuple[str, str], int]]:
        reply = yield Transaction((Statement(TALLIES),), writes=False)
        return {(task, state): count for task, state, count in reply[0]}

    def page(self, states: Sequence[str], queue: str | None, cursor: int, limit: int) -> SqlOperation[list[Record]]:
        numbers = {NUMBERS[state] for state in states if state in NUMBERS}
        if not numbers:
            return []
        sql = next((sql for indexed, sql in _PAGES if numbers <= indexed), PAGE)
        statement = Statement(sql, (cursor, queue, max(0, limit), array(numbers)))
        reply = yield Transaction((statement,), writes=False)
        return [record(row) for row in reply[0]]

    def get(self, ids: Sequence[str]) -> SqlOperation[list[Record]]:
        if not ids:
            return []
        reply = yield Transaction((for_items(GET, ids),), writes=False)
        found = {row[1]: record(row) for row in reply[0]}
        return [found[id] for id in dict.fromkeys(ids) if id in found]

    def workers(self) -> SqlOperation[list[WorkerRecord]]:
        reply = yield Transaction((Statement(WORKERS),), writes=False)
        workers = (opened_worker(text, age) for text, age in reply[0])
        return [worker for worker in workers if worker is not None]

    def purge(self, queue: str, *, dead: bool = False) -> SqlOperation[int]:
        """Drop what there was when the purge began, some thousands in one transaction.

        All in one would keep every other process waiting, and grow the write-ahead log to the size of the queue.
        """
        reply = yield Transaction((Statement(PURGE_LOOK),), writes=False)
        ((end,),) = reply[0]
        count = 0
        while True:
            statement = Statement(PURGE_DEAD if dead else PURGE, (queue, end, PURGE_STEP))
            dropped = len((yield Transaction((statement,)))[0])
            count += dropped
            if dropped < PURGE_STEP:
                return count

    def install(self) -> SqlOperation[int]:
        """Return the version. A performer installs the schema with its first request, and this may be the first."""
        return (yield from _verified(installs=True))

    def verify(self) -> SqlOperation[int]:
        return _verified(installs=False)


def _verified(*, installs: bool) -> SqlOperation[int]:
    steps = (Statement(SCHEMA_VERSION), Statement(SCHEMA_OBJECTS))
    reply = yield Transaction(steps, writes=False, installs=installs)
    if trouble := schema_trouble(*reply):
        raise SchemaError(trouble)
    return VERSION
