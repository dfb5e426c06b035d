"""Looking into a PostgreSQL broker, clearing away, and its schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from celeriac.brokers.port import QueueStats, Record, WorkerRecord
from celeriac.brokers.postgres.operations.calls import Asking, Calls
from celeriac.brokers.postgres.operations.rows import text, texts
from celeriac.brokers.postgres.schema import OBJECTS, VERSION
from celeriac.brokers.rules import opened_worker
from celeriac.brokers.sql.records import NUMBERS, record
from celeriac.brokers.sql.requests import SqlOperation, Statement, Transaction
from celeriac.core import state
from celeriac.errors import SchemaError

PURGE_STEP: Final = 5000
"""Messages that a purge drops in one transaction, so that nobody waits for it for long."""

# Each as the partial indexes say it.
_CONDITIONS: Final = {
    state.PENDING: "state = 0",
    state.SCHEDULED: "state IN (1, 2) AND state = 1",
    state.RETRY: "state IN (1, 2) AND state = 2",
    state.RECEIVED: "state = 3 AND NOT started",
    state.STARTED: "state = 3 AND started",
    state.DEAD: "state = 5",
}


class InspectOperations(Asking):
    """Looking, clearing away, and the schema."""

    def stats(self) -> SqlOperation[list[QueueStats]]:
        (rows,) = yield self._calls.read("stats")
        queues: dict[str, dict[str, Any]] = {}
        for queue, kind, count, oldest in rows:
            counts = queues.setdefault(queue, {})
            counts[kind] = count
            if oldest is not None:
                counts["oldest"] = max(0.0, oldest)
        return [QueueStats(queue=queue, **counts) for queue, counts in sorted(queues.items())]

    def tallies(self) -> SqlOperation[dict[tuple[str, str], int]]:
        (rows,) = yield self._calls.read("tallies")
        return {(task, state): count for task, state, count in rows}

    def page(self, states: Sequence[str], queue: str | None, cursor: int, limit: int) -> SqlOperation[list[Record]]:
        wanted = [name for name in NUMBERS if name in states]
        if not wanted:
            return []
        condition = " OR ".join([_CONDITIONS[name] for name in wanted])
        sql = self._calls.text("page").replace("/*states*/", condition)
        named = None if queue is None else text(queue)
        (rows,) = yield Transaction((Statement(sql, (cursor, named, max(0, limit))),), writes=False)
        return [record(row) for row in rows]

    def get(self, ids: Sequence[str]) -> SqlOperation[list[Record]]:
        if not ids:
            return []
        (rows,) = yield self._calls.read("get", texts(ids))
        found = {row[1]: record(row) for row in rows}
        return [found[id] for id in dict.fromkeys(ids) if id in found]

    def workers(self) -> SqlOperation[list[WorkerRecord]]:
        (rows,) = yield self._calls.read("workers")
        workers = (opened_worker(record, age) for record, age in rows)
        return [worker for worker in workers if worker is not None]

    def purge(self, queue: str, *, dead: bool = False) -> SqlOperation[int]:
        """Drop what there was when the purge began, some thousands in one transaction."""
        (((end,),),) = yield self._calls.read("purge_look")
        count = 0
        while True:
            name = "purge_dead" if dead else "purge"
            (((dropped,),),) = yield self._calls.write(name, text(queue), end, PURGE_STEP)
            count += int(dropped)
            if dropped < PURGE_STEP:
                return count

    def install(self) -> SqlOperation[int]:
        """Return the version. A performer installs the schema with its first request, and this may be the first."""
        return self._verified(installs=True)

    def verify(self) -> SqlOperation[int]:
        return self._verified(installs=False)

    def _verified(self, *, installs: bool) -> SqlOperation[int]:
        if trouble := (yield from schema_trouble(self._calls, installs=installs)):
            raise SchemaError(f"the PostgreSQL broker's {trouble}")
        return VERSION


def schema_trouble(calls: Calls, *, installs: bool) -> SqlOperation[str | None]:
    """Return what is wrong with the schema and what to do; None if nothing is."""
    (((there,),),) = yield calls.read("version_look", calls.schema, installs=installs)
    if not there:
        return (
            f'schema "{calls.schema}" is not installed in this database: it is made by the first worker or producer'
            " that uses it, and by `celeriac db upgrade`"
        )
    (((version,),),) = yield calls.read("version", installs=installs)
    if version < VERSION:
        return (
            f'schema "{calls.schema}" has version {version}, and this version of Celeriac needs {VERSION}: it is'
            " brought up to date by the first worker or producer that uses it, and by `celeriac db upgrade`"
        )
    (found,) = yield calls.read("objects", calls.schema, installs=installs)
    missing = OBJECTS - {(kind, name) for kind, name in found}
    if missing:
        names = ", ".join(sorted(f"{kind} {name}" for kind, name in missing))
        return (
            f'schema "{calls.schema}" lacks {names}: somebody changed it; restore it from a backup, or drop it and run'
            " `celeriac db upgrade`"
        )
    return None
