"""Results on SQLite: the same table that settling stores into."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from celeriac.brokers.rules import opened_result
from celeriac.brokers.sql.requests import Many, SqlOperation, Transaction, for_items
from celeriac.brokers.sqlite.operations.rows import result_row
from celeriac.brokers.sqlite.queries import query
from celeriac.core.message import StoredResult

STORE: Final = query("store")
OVER: Final = query("over")
PROGRESS: Final = query("progress")
FETCH: Final = query("fetch")
DISCARD: Final = query("discard")


class ResultOperations:
    """A result store."""

    def store(self, results: Sequence[StoredResult]) -> SqlOperation[None]:
        if results:
            yield Transaction((Many(STORE, [result_row(result) for result in results]),))

    def progress(self, results: Sequence[StoredResult]) -> SqlOperation[tuple[str, ...]]:
        if not results:
            return ()
        ids = [result.id for result in results]
        rows = [result_row(result) for result in results]
        reply = yield Transaction((for_items(OVER, ids), Many(PROGRESS, rows)))
        over = {id for (id,) in reply[0]}
        return tuple([id for id in ids if id in over])

    def fetch(self, ids: Sequence[str]) -> SqlOperation[list[StoredResult]]:
        if not ids:
            return []
        reply = yield Transaction((for_items(FETCH, ids),), writes=False)
        found: dict[str, bytes] = dict(reply[0])
        return [opened_result(id, found[id]) for id in dict.fromkeys(ids) if id in found]

    def discard(self, ids: Sequence[str]) -> SqlOperation[int]:
        if not ids:
            return 0
        reply = yield Transaction((for_items(DISCARD, ids),))
        return sum([kept for (kept,) in reply[0]])
