"""Results on PostgreSQL: the same table that settling stores into."""

from __future__ import annotations

from collections.abc import Sequence

from celeriac.brokers.postgres.operations.calls import Asking
from celeriac.brokers.postgres.operations.rows import result_columns, texts
from celeriac.brokers.rules import opened_result
from celeriac.brokers.sql.requests import SqlOperation
from celeriac.core.message import StoredResult


class ResultOperations(Asking):
    """A result store."""

    def store(self, results: Sequence[StoredResult]) -> SqlOperation[None]:
        if results:
            yield self._calls.call("store", *result_columns(results))

    def progress(self, results: Sequence[StoredResult]) -> SqlOperation[tuple[str, ...]]:
        if not results:
            return ()
        (((over,),),) = yield self._calls.call("progress", *result_columns(results))
        return tuple(over)

    def fetch(self, ids: Sequence[str]) -> SqlOperation[list[StoredResult]]:
        if not ids:
            return []
        (rows,) = yield self._calls.read("fetch", texts(ids))
        found: dict[str, bytes] = dict(rows)
        return [opened_result(id, found[id]) for id in dict.fromkeys(ids) if id in found]

    def discard(self, ids: Sequence[str]) -> SqlOperation[int]:
        if not ids:
            return 0
        (rows,) = yield self._calls.write("discard", texts(ids))
        return sum([kept for (kept,) in rows])
