"""The port's operations on a database for results. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any, Final

from celeriac.brokers.port import Finding
from celeriac.brokers.rules import is_over, opened_result
from celeriac.core.message import StoredResult, pack_result
from celeriac.errors import SchemaError
from celeriac.results.database.examine import looks, told
from celeriac.results.database.requests import DatabaseOperation, Install, Parameters, Rows, Run, Verify, Work
from celeriac.results.database.statements import Statements
from celeriac.results.database.tables import FOREVER, STATE_LENGTH


class DatabaseOperations:
    """A result store.

    Args:
        statements: Returns the statements.
        dialect: Such as ``mysql``.
    """

    def __init__(self, statements: Callable[[], Statements], dialect: str) -> None:
        self._statements: Final = statements
        self._dialect: Final = dialect

    def store(self, results: Sequence[StoredResult]) -> DatabaseOperation[None]:
        if results:
            yield Work((self._statements().store(_rows(results)),))

    def progress(self, results: Sequence[StoredResult]) -> DatabaseOperation[tuple[str, ...]]:
        if not results:
            return ()
        ids = [result.id for result in results]
        statements = self._statements()
        reply = yield Work((Run(statements.over, {"ids": ids}), statements.progress(_rows(results))))
        over = {id for (id,) in reply[0]}
        return tuple([id for id in ids if id in over])

    def fetch(self, ids: Sequence[str]) -> DatabaseOperation[list[StoredResult]]:
        if not ids:
            return []
        unique = list(dict.fromkeys(ids))
        reply = yield Work((Run(self._statements().fetch, {"ids": unique}),), writes=False)
        found: dict[str, Any] = dict(reply[0])
        return [opened_result(id, bytes(found[id])) for id in unique if id in found]

    def discard(self, ids: Sequence[str]) -> DatabaseOperation[int]:
        """Forget the results; if a reply is lost and the request repeated, those of before are not counted."""
        if not ids:
            return 0
        statements, named = self._statements(), {"ids": list(ids)}
        reply = yield Work((Run(statements.discard, named), Run(statements.forget, named)))
        return int(reply[0][0][0])

    def prune(self, dead_letter_age: float | None, limit: int) -> DatabaseOperation[int]:
        statements = self._statements()
        reply = yield Work((Run(statements.expired, {"most": limit}),), writes=False)
        ids = [id for (id,) in reply[0]]
        if not ids:
            return 0
        reply = yield Work((Run(statements.prune, {"ids": ids}),))
        return int(reply[0][0][0])

    def now(self) -> DatabaseOperation[float]:
        reply = yield Work((Run(self._statements().now),), writes=False, installs=False)
        return float(reply[0][0][0])

    def examine(self) -> DatabaseOperation[list[Finding]]:
        tables: int | SchemaError
        try:
            tables = yield Verify()
        except SchemaError as exc:
            tables = exc
        steps = looks(self._dialect)
        reply: list[Rows] = (yield Work(steps, writes=False, installs=False)) if steps else []
        facts: dict[str, Any] = dict(row for rows in reply for row in rows)
        return told(self._dialect, tables, facts)

    def install(self) -> DatabaseOperation[int]:
        version: int = yield Install()
        return version

    def verify(self) -> DatabaseOperation[int]:
        version: int = yield Verify()
        return version


def _rows(results: Sequence[StoredResult]) -> list[Parameters]:
    """Return one row for each id: the last result of a batch counts."""
    return [_row(result) for result in {result.id: result for result in results}.values()]


def _row(result: StoredResult) -> Parameters:
    payload = pack_result(result)
    lasts = FOREVER if result.expires is None else result.expires
    return {
        "id": result.id,
        "state": result.state[:STATE_LENGTH],
        "over_until": lasts if is_over(result) else 0.0,
        "expires": result.expires,
        # Small enough that the sum of a whole batch fits into 64 bits.
        "version": int.from_bytes(blake2b(payload, digest_size=6).digest(), "big"),
        "payload": payload,
    }


def looked(rows: Sequence[tuple[Any, ...]]) -> tuple[int, int]:
    """Return what a look at results says: how many there are, and a number that changes with any of them."""
    ((count, versions),) = rows
    return int(count), int(versions or 0)
