"""The driver for ``postgresql://`` URLs."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Sequence
from typing import Any, Final

from celeriac.brokers.port import Capabilities
from celeriac.brokers.postgres.lent import AsyncLentPerformer, LentPerformer
from celeriac.brokers.postgres.links import LoopLink
from celeriac.brokers.postgres.operations import PostgresOperations
from celeriac.brokers.postgres.performers import AsyncPostgresPerformer, Inherited, PostgresPerformer
from celeriac.brokers.postgres.url import Location
from celeriac.brokers.postgres.waiters import AsyncPostgresWaiter, Hub, PostgresWaiter, kind_of


class PostgresDriver:
    """Makes operations, performers and waiters for one schema. Nothing is opened before it is used.

    Connections: one for each blocking performer, one for all blocking waiters together, and one for each event loop,
    whose performers and waiters share it.

    Args:
        location: From :func:`celeriac.brokers.postgres.url.parse`.
    """

    def __init__(self, location: Location) -> None:
        self._location: Final = location
        self._operations: Final = PostgresOperations(location.schema)
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._hub: Hub | None = None
        self._links: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LoopLink] = weakref.WeakKeyDictionary()

    def _own(self) -> None:
        """Begin anew in a child process."""
        if self._pid != os.getpid():
            Inherited.kept.extend((self._hub, self._links))
            self._begin()

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(name="postgresql", durable=True, shared=True, results=True, push=True)

    @property
    def operations(self) -> PostgresOperations:
        return self._operations

    def performer(self) -> PostgresPerformer:
        return PostgresPerformer(self._location, self._close_hub_if_idle)

    def async_performer(self) -> AsyncPostgresPerformer:
        return AsyncPostgresPerformer(self._location, self._link)

    def performer_on(self, connection: Any) -> LentPerformer:
        """Return a performer that enqueues on a caller's connection; see :class:`celeriac.brokers.optional.Lending`."""
        return LentPerformer(self._location, connection)

    def async_performer_on(self, connection: Any) -> AsyncLentPerformer:
        """Return the awaiting twin of :meth:`performer_on`."""
        return AsyncLentPerformer(self._location, connection)

    def waiter(self, ids: Sequence[str] = (), *, owner: str | None = None) -> PostgresWaiter:
        return PostgresWaiter(self._find_hub, kind_of(ids))

    def async_waiter(self, ids: Sequence[str] = (), *, owner: str | None = None) -> AsyncPostgresWaiter:
        return AsyncPostgresWaiter(self._link, kind_of(ids))

    def _link(self) -> LoopLink:
        """Return the running event loop's link."""
        self._own()
        loop = asyncio.get_running_loop()
        found = self._links.get(loop)
        if found is None or found.stale():
            links, reference = self._links, weakref.ref(loop)

            def forget() -> Any:
                ended = reference()
                return None if ended is None else links.pop(ended, None)

            found = links[loop] = LoopLink(self._location, forget)
        return found

    def _find_hub(self) -> Hub:
        self._own()
        with self._lock:
            if self._hub is None:
                self._hub = Hub(self._location)
            return self._hub

    def _close_hub_if_idle(self) -> None:
        self._own()
        if self._hub is not None:
            self._hub.close_if_idle()
