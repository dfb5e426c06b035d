"""One connection to the file: opened when first used, checked, and brought to the current schema.

Guarantees: a file that is not Celeriac's, or that a newer version wrote, is refused before anything is written to it.
However many processes open a new file at once, one of them creates the schema and the others find it. If the file is
replaced while it is open, the next use goes to the new one. No connection is open while the process forks.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from celeriac.brokers.sqlite import forks
from celeriac.brokers.sqlite.install import upgrade, version_of
from celeriac.brokers.sqlite.place import told
from celeriac.brokers.sqlite.schema import MIGRATIONS, VERSION
from celeriac.brokers.sqlite.url import Location
from celeriac.core.clock import Clock, SystemClock
from celeriac.errors import BrokerError, ImproperlyConfigured, SchemaError

OLDEST_SQLITE: Final = (3, 35, 0)
"""RETURNING came with it."""
LOOK_INTERVAL: Final = 1.0
"""Seconds between two looks whether the file at the path is still the one that is open."""
CHECKPOINT_PAGES: Final = 4000
"""Pages (of 4 KiB) in the write-ahead log before they are brought into the file. Four times SQLite's default: under
load the same pages change again and again, and each is then copied once."""
LOG_LIMIT: Final = 64 * 1024 * 1024
"""Bytes that the write-ahead log keeps on disk once it has been brought into the file."""
CACHED_STATEMENTS: Final = 512


class Connection:
    """A connection to share between threads, each of which holds :attr:`lock` while it uses it.

    Args:
        location: Where the file is and how to treat it.
        clock: What the SQL function ``now()`` returns.
    """

    def __init__(self, location: Location, clock: Clock) -> None:
        self.location: Final = location
        self.generation = 0
        """How often a connection has been opened: what depends on one connection is worth nothing in another."""
        self._lock: Final = threading.RLock()
        self._now: Final = now_of(clock)
        self._raw: sqlite3.Connection | None = None
        self._installed = False
        self._file: tuple[int, int] | None = None
        self._next_look = 0.0
        forks.guard(self)

    @property
    def lock(self) -> threading.RLock:
        """Held by whoever uses the connection."""
        return self._lock

    def use(self, *, installs: bool) -> sqlite3.Connection:
        """Return the open connection; the caller holds the lock.

        Args:
            installs: Create or upgrade the schema if need be.

        Raises:
            sqlite3.Error: What SQLite said; the file may be locked.
            ImproperlyConfigured, BrokerError, SchemaError: The file cannot be used.
        """
        now = time.monotonic()
        if self._raw is not None and now >= self._next_look:
            self._next_look = now + LOOK_INTERVAL
            if self._identity() != self._file:
                self.disconnect()
        raw = self._raw
        if raw is None:
            raw, self._installed = self._open(creates=installs)
            self._raw = raw
            self._file = self._identity()
            self._next_look = now + LOOK_INTERVAL
            self.generation += 1
        if installs and not self._installed:
            upgrade(raw, self.location.path, MIGRATIONS)
            self._installed = True
        return raw

    def disconnect(self) -> None:
        """Close the connection; the caller holds the lock."""
        raw, self._raw = self._raw, None
        if raw is not None:
            with contextlib.suppress(sqlite3.Error):
                raw.close()

    def close(self) -> None:
        """Close the connection. Safe to call twice; the next use opens it again."""
        with self._lock:
            self.disconnect()

    def __del__(self) -> None:
        # Nobody else can use it any more. A connection that is left open warns since Python 3.13.
        self.disconnect()

    def _identity(self) -> tuple[int, int] | None:
        """Return which file is at the path."""
        try:
            found = os.stat(self.location.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _open(self, *, creates: bool) -> tuple[sqlite3.Connection, bool]:
        """Return a new connection, and whether the schema is there and current."""
        _check_place(Path(self.location.path), creates=creates)
        raw = sqlite3.connect(
            self.location.path,
            timeout=0,  # Waiting for a lock is the performer's business: it knows the deadline.
            isolation_level=None,
            check_same_thread=False,
            cached_statements=CACHED_STATEMENTS,
        )
        try:
            return raw, self._prepare(raw) == VERSION
        except BaseException:
            raw.close()
            raise

    def _prepare(self, raw: sqlite3.Connection) -> int:
        """Make the connection what this driver needs; return the version of the schema that it found."""
        path = self.location.path
        raw.create_function("now", 0, self._now)
        raw.create_function("place", 0, functools.partial(told, path))
        version = version_of(raw, path, VERSION)  # First, so that nothing is changed in a file of somebody else's.
        ((mode,),) = raw.execute("PRAGMA journal_mode = WAL").fetchall()
        if mode != "wal":
            raise BrokerError(
                f"SQLite broker file {path} cannot have a write-ahead log (journal mode is {mode}): a network file"
                " system cannot carry it; put the file on a local disk"
            )
        raw.execute(f"PRAGMA synchronous = {self.location.synchronous}")
        raw.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        raw.execute(f"PRAGMA journal_size_limit = {LOG_LIMIT}")
        raw.execute("PRAGMA temp_store = MEMORY")
        if self.location.max_size is not None:
            ((page,),) = raw.execute("PRAGMA page_size").fetchall()
            raw.execute(f"PRAGMA max_page_count = {self.location.max_size // page}")
        return version


def now_of(clock: Clock) -> Callable[[], float]:
    """Return what the SQL function ``now()`` calls."""
    # A Python function could be interrupted by a signal's exception (a soft time limit, Ctrl-C), which SQLite would
    # report as an error of its own. The built-in one cannot, and is faster.
    return time.time if isinstance(clock, SystemClock) else clock.now


def _check_place(path: Path, *, creates: bool) -> None:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise ImproperlyConfigured(
            f"the SQLite broker needs SQLite {'.'.join(map(str, OLDEST_SQLITE))} or newer, and this Python has"
            f" {sqlite3.sqlite_version}"
        )
    if path.is_dir():
        raise ImproperlyConfigured(f"SQLite broker file {path} is a directory: the URL must name a file")
    if not path.parent.is_dir():
        raise ImproperlyConfigured(
            f"SQLite broker file {path}: the directory {path.parent} does not exist; create it or correct the URL"
        )
    if not creates and not path.exists():
        raise SchemaError(
            f"SQLite broker file {path} does not exist yet: it is made by the first worker or producer that uses it,"
            " and by `celeriac db upgrade`"
        )
