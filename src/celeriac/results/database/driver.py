"""The result store for SQLAlchemy's URLs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from celeriac.brokers.port import Capabilities
from celeriac.core.clock import Clock
from celeriac.results.database.desk import Desk
from celeriac.results.database.operations import DatabaseOperations
from celeriac.results.database.performers import AsyncDatabasePerformer, DatabasePerformer
from celeriac.results.database.statements import Statements, server_time
from celeriac.results.database.tables import Tables
from celeriac.results.database.url import Location
from celeriac.results.database.waiters import AsyncDatabaseWaiter, DatabaseWaiter, Looker

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

_inherited: Final[list[Desk]] = []
"""What a forked child has of its parent's, unused, lest its end were felt there."""


class DatabaseStore:
    """Makes operations, performers and waiters for one set of tables. Nothing is opened before it is used.

    All performers and waiters of a process share its connections and threads.

    Args:
        location: From :func:`celeriac.results.database.url.parse`.
        clock: The time of this machine, for databases that cannot be asked for theirs.
        now: Returns the time as an expression; None takes the server's.
        generic: Use only what every database understands.
    """

    def __init__(
        self,
        location: Location,
        clock: Clock,
        *,
        now: Callable[[], ColumnElement[Any]] | None = None,
        generic: bool = False,
    ) -> None:
        self._location: Final = location
        self._tables: Final = Tables(location.table, location.schema)
        self._lock: Final = threading.Lock()
        self._desk: Desk | None = None
        own = server_time(location.dialect, clock.now)
        self._now: Final = now or (lambda: own)
        self._generic: Final = generic
        self._made: tuple[ColumnElement[Any], Statements] | None = None
        self._operations: Final = DatabaseOperations(self._statements, location.dialect)

    @property
    def capabilities(self) -> Capabilities:
        here = self._location.in_memory
        return Capabilities(
            name="database", durable=not here, shared=not here, results=True, push=False, messages=False
        )

    @property
    def operations(self) -> DatabaseOperations:
        return self._operations

    def performer(self) -> DatabasePerformer:
        return DatabasePerformer(self._open)

    def async_performer(self) -> AsyncDatabasePerformer:
        return AsyncDatabasePerformer(self._open)

    def waiter(self, ids: Sequence[str] = (), *, owner: str | None = None) -> DatabaseWaiter:
        return DatabaseWaiter(self._open, Looker(ids, self._statements().look))

    def async_waiter(self, ids: Sequence[str] = (), *, owner: str | None = None) -> AsyncDatabaseWaiter:
        return AsyncDatabaseWaiter(self._open, Looker(ids, self._statements().look))

    def _statements(self) -> Statements:
        now = self._now()
        if self._made is None or self._made[0] is not now:
            self._made = now, Statements(self._tables, self._location.dialect, now, generic=self._generic)
        return self._made[1]

    def _open(self) -> Desk:
        with self._lock:
            found = self._desk
            if found is not None and found.stale:
                _inherited.append(found)
                found = None
            if found is None:
                found = self._desk = Desk(self._location, self._tables)
            return found
