"""The driver for ``sqlite://`` URLs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from celeriac.brokers.port import AsyncPerformer, Capabilities
from celeriac.brokers.sqlite.lent import LentPerformer
from celeriac.brokers.sqlite.operations import SqliteOperations
from celeriac.brokers.sqlite.performers import AsyncSqlitePerformer, SqlitePerformer
from celeriac.brokers.sqlite.url import Location
from celeriac.brokers.sqlite.waiters import AsyncSqliteWaiter, SqliteWaiter
from celeriac.core.clock import Clock


class SqliteDriver:
    """Makes operations, performers and waiters for one file. Nothing is opened before it is used.

    Args:
        location: From :func:`celeriac.brokers.sqlite.url.parse`.
        clock: What the store takes for the time: the machine's clock, which all its processes share.
    """

    def __init__(self, location: Location, clock: Clock) -> None:
        self._location: Final = location
        self._clock: Final = clock
        self._operations: Final = SqliteOperations()

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(name="sqlite", durable=True, shared=True, results=True, push=False, remote=False)

    @property
    def operations(self) -> SqliteOperations:
        return self._operations

    def performer(self) -> SqlitePerformer:
        return SqlitePerformer(self._location, self._clock)

    def async_performer(self) -> AsyncSqlitePerformer:
        return AsyncSqlitePerformer(self._location, self._clock)

    def performer_on(self, connection: Any) -> LentPerformer:
        """Return a performer that enqueues on a caller's connection; see :class:`celeriac.brokers.optional.Lending`."""
        return LentPerformer(self._location, self._clock, connection)

    def async_performer_on(self, connection: Any) -> AsyncPerformer[Any, Any]:
        """Refuse: a connection of sqlite3 blocks, and another client's is of no use to it."""
        raise TypeError(
            f"{type(connection).__module__}.{type(connection).__qualname__}: in a transaction of SQLite's a task is"
            " sent with delay() or apply_async(), on a sqlite3.Connection"
        )

    def waiter(self, ids: Sequence[str] = (), *, owner: str | None = None) -> SqliteWaiter:
        return SqliteWaiter(self._location, self._clock)

    def async_waiter(self, ids: Sequence[str] = (), *, owner: str | None = None) -> AsyncSqliteWaiter:
        return AsyncSqliteWaiter(self._location, self._clock)
