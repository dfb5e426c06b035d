"""Notices that another connection has committed something.

SQLite does not call anybody; it has a number, ``PRAGMA data_version``, that changes when another connection commits. It
is looked at every millisecond or so just after something happened and ever more rarely while nothing does, down to once
in ten milliseconds. A look costs a few microseconds and takes no lock that a writer needs. The waiter has a connection
of its own, which never writes, so that commits of its own process count as well.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from typing import Final

from celeriac.brokers.sqlite.connection import Connection
from celeriac.brokers.sqlite.failures import is_busy, translate
from celeriac.brokers.sqlite.url import Location
from celeriac.core.clock import Clock

SHORTEST: Final = 0.001
LONGEST: Final = 0.010
"""Seconds between two looks."""
PATIENCE: Final = 20
"""For how many times the pause nothing must have happened before the pause grows."""


class _Looker:
    """Knows what has been seen, and how long to pause before the next look."""

    def __init__(self, location: Location, clock: Clock) -> None:
        self._location: Final = location
        self._connection: Final = Connection(location, clock)
        self._seen: tuple[int, int] | None = None
        self._changed_at = time.monotonic()
        self.look()

    def look(self) -> bool:
        """Tell whether anything was committed since the last look."""
        connection = self._connection
        with connection.lock:
            try:
                ((version,),) = connection.use(installs=True).execute("PRAGMA data_version").fetchall()
            except sqlite3.Error as exc:
                if is_busy(exc):
                    return False  # The file is being created or recovered: the next look sees it.
                connection.disconnect()
                raise translate(exc, self._location.path, self._location.busy_timeout) from exc
            seen = (connection.generation, version)
        if seen == self._seen:
            return False
        self._seen = seen
        self._changed_at = time.monotonic()
        return True

    def pause(self, deadline: float) -> float:
        """Return the seconds until the next look; 0 or less if the deadline has come."""
        now = time.monotonic()
        return min(deadline - now, max(SHORTEST, min(LONGEST, (now - self._changed_at) / PATIENCE)))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class SqliteWaiter:
    """Waits in the calling thread."""

    def __init__(self, location: Location, clock: Clock) -> None:
        self._looker: Final = _Looker(location, clock)

    def wait(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while not self._looker.look():
            pause = self._looker.pause(deadline)
            if pause <= 0:
                return False
            time.sleep(pause)
        return True

    def close(self) -> None:
        self._looker.close()


class AsyncSqliteWaiter:
    """The awaiting twin of :class:`SqliteWaiter`. It looks on the event loop: that is quicker than asking a thread."""

    def __init__(self, location: Location, clock: Clock) -> None:
        self._looker: Final = _Looker(location, clock)

    async def wait(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while not self._looker.look():
            pause = self._looker.pause(deadline)
            if pause <= 0:
                return False
            await asyncio.sleep(pause)
        return True

    async def close(self) -> None:
        self._looker.close()
