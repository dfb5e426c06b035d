"""Notices that another connection has committed something.

SQLite does not call anybody; it has a number, ``PRAGMA data_version``, that changes when another connection commits.
When to look at it is told by a watch on the write-ahead log (:mod:`celeriac.brokers.sqlite.watch`), which every commit
writes to: nothing is done while nothing happens. Without a watch the number is looked at every millisecond or so just
after something happened, and ever more rarely while nothing does, down to once in ten milliseconds. A look costs a few
microseconds and takes no lock that a writer needs. The waiter has a connection of its own, which never writes, so that
commits of its own process count as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import sqlite3
import time
from typing import Final

from celeriac.brokers.sqlite.connection import Connection
from celeriac.brokers.sqlite.failures import is_busy, translate
from celeriac.brokers.sqlite.url import Location
from celeriac.brokers.sqlite.watch import Watch, watch
from celeriac.core.clock import Clock

SHORTEST: Final = 0.001
LONGEST: Final = 0.010
"""Seconds between two looks without a watch."""
PATIENCE: Final = 20
"""For how many times the pause nothing must have happened before the pause grows."""
FIRST_AFTER_WRITE: Final = 0.0002
"""Seconds from hearing a write to the second look; each pause after that is as long as all before."""
VISIBLE_AFTER: Final = 0.2
"""Seconds after which a write that was heard is not looked for any more: it was a checkpoint, or it was undone."""
LONGEST_WATCHED: Final = 2.0
"""Seconds between two looks with a watch, in case that it is deaf, as it may be on an unusual file system."""
DEAF_AFTER: Final = 3
"""Commits that a watch may miss before it is given up."""


class Looker:
    """Knows what has been seen, and how long to rest before the next look.

    Args:
        location: The file.
        clock: What its connection calls now.
        watches: False does without a watch.
    """

    def __init__(self, location: Location, clock: Clock, *, watches: bool = True) -> None:
        self._location: Final = location
        self._connection: Final = Connection(location, clock)
        self._watches: Final = watches
        self._watch: Watch | None = None
        self._generation = 0
        self._seen: tuple[int, int] | None = None
        self._changed_at = time.monotonic()
        self._heard_at: float | None = None
        self._missed = 0
        self.look()

    def look(self) -> bool:
        """Tell whether anything was committed since the last look."""
        # First: what is written after the look is then heard again.
        if self._watch is not None and self._watch.hear():
            self._heard_at = time.monotonic()
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
        if seen[0] != self._generation:
            # Another connection, maybe in another process or to another file. What is written between the look and the
            # watch is not heard, but this look says that something is new, and the next comes after the watch.
            self._generation = seen[0]
            self._rewatch()
        elif self._watch is not None and self._heard_at is None and not self._watch.hear():
            self._missed += 1
            if self._missed >= DEAF_AFTER:
                self._drop_watch()
        self._seen = seen
        self._changed_at = time.monotonic()
        self._heard_at = None
        return True

    def rest(self, deadline: float) -> tuple[float, int | None]:
        """Return the seconds until the next look (0 or less if the deadline has come) and what may end them early."""
        now = time.monotonic()
        if self._watch is None:
            pause = max(SHORTEST, min(LONGEST, (now - self._changed_at) / PATIENCE))
            return min(deadline - now, pause), None
        if self._heard_at is not None:
            since = now - self._heard_at
            if since < VISIBLE_AFTER:
                return min(deadline - now, max(FIRST_AFTER_WRITE, since)), None
            self._heard_at = None
        return min(deadline - now, LONGEST_WATCHED), self._watch.fd

    def close(self) -> None:
        """Close the connection and the watch."""
        self._connection.close()
        self._drop_watch()

    def __del__(self) -> None:
        self._drop_watch()

    def _rewatch(self) -> None:
        self._drop_watch()  # After a fork, parent and child have a copy each; either closes its own.
        self._watch = watch(f"{self._location.path}-wal") if self._watches else None
        self._missed = 0

    def _drop_watch(self) -> None:
        found, self._watch = self._watch, None
        if found is not None:
            found.close()


class SqliteWaiter:
    """Waits in the calling thread."""

    def __init__(self, location: Location, clock: Clock, *, watches: bool = True) -> None:
        self._looker: Final = Looker(location, clock, watches=watches)

    def wait(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while not self._looker.look():
            seconds, fd = self._looker.rest(deadline)
            if seconds <= 0:
                return False
            if fd is None:
                time.sleep(seconds)
            else:
                poll = select.poll()
                poll.register(fd, select.POLLIN)
                poll.poll(seconds * 1000)
        return True

    def close(self) -> None:
        self._looker.close()


class AsyncSqliteWaiter:
    """The awaiting twin of :class:`SqliteWaiter`. It looks on the event loop: that is quicker than asking a thread."""

    def __init__(self, location: Location, clock: Clock, *, watches: bool = True) -> None:
        self._looker: Final = Looker(location, clock, watches=watches)

    async def wait(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while not self._looker.look():
            seconds, fd = self._looker.rest(deadline)
            if seconds <= 0:
                return False
            if fd is None:
                await asyncio.sleep(seconds)
            else:
                await _readable(fd, seconds)
        return True

    async def close(self) -> None:
        self._looker.close()


async def _readable(fd: int, seconds: float) -> None:
    """Wait until something can be read, or for so many seconds."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(fd, ready.set)
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await ready.wait()
    finally:
        loop.remove_reader(fd)
