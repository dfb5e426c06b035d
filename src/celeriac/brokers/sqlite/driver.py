"""The driver for ``sqlite://`` URLs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from celeriac.brokers.port import Capabilities
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

    def waiter(self, ids: Sequence[str] = ()) -> SqliteWaiter:
        return SqliteWaiter(self._location, self._clock)

    def async_waiter(self, ids: Sequence[str] = ()) -> AsyncSqliteWaiter:
        return AsyncSqliteWaiter(self._location, self._clock)
