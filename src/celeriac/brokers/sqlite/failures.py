"""What SQLite's errors mean for a broker, in words that say what to do."""

from __future__ import annotations

import sqlite3
from typing import Final

from celeriac.errors import BrokerError, CeleriacError, OperationalError, SchemaError, StoreCorrupt, StoreFull

_PRIMARY: Final = 0xFF  # The rest of an error code says more about the same primary one.


def code_of(exc: sqlite3.Error) -> int:
    """Return SQLite's primary error code; 0 where the module made the error itself."""
    return getattr(exc, "sqlite_errorcode", 0) & _PRIMARY


def is_busy(exc: sqlite3.Error) -> bool:
    """Tell whether another connection holds a lock, so that trying again soon helps."""
    return code_of(exc) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def breaks_connection(exc: sqlite3.Error) -> bool:
    """Tell whether the connection should be opened anew before it is used again."""
    return code_of(exc) not in (0, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_FULL)


def translate(exc: sqlite3.Error, path: str, busy_timeout: float) -> CeleriacError:
    """Return the error to raise instead."""
    name = f"SQLite broker file {path}"
    match code_of(exc):
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return OperationalError(
                f"{name} was locked by another process for more than {busy_timeout:g} seconds: look for a process that"
                " was stopped or that holds a transaction open (a database browser, a backup), or raise the parameter"
                " busy_timeout of the URL"
            )
        case sqlite3.SQLITE_CORRUPT:
            return StoreCorrupt(
                f"{name} is damaged ({exc}): stop all processes that use it, keep a copy, and rescue what can be read"
                ' with "sqlite3 FILE .recover", or move it away and let Celeriac make a new one'
            )
        case sqlite3.SQLITE_NOTADB:
            return StoreCorrupt(
                f"{name} is not a SQLite database, or its beginning is damaged: check the path in the URL"
            )
        case sqlite3.SQLITE_FULL:
            return StoreFull(
                f"{name} cannot grow: the disk, the quota or the parameter max_size of the URL is used up. Nothing was"
                " written; make room and try again"
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return BrokerError(
                f"{name} cannot be written by this user ({exc}): check the permissions of the file, of the files beside"
                " it that end in -wal and -shm, and of its directory"
            )
        case sqlite3.SQLITE_CANTOPEN:
            return BrokerError(f"{name} cannot be opened ({exc}): check that the directory exists and its permissions")
        case sqlite3.SQLITE_IOERR:
            return OperationalError(f"reading or writing {name} failed ({exc}): the disk may be full or failing")
        case sqlite3.SQLITE_TOOBIG:
            return BrokerError(f"a message or result is too big for {name}: pass a reference to large data instead")
        case sqlite3.SQLITE_ERROR if "no such" in str(exc):
            return SchemaError(
                f"{name} lacks part of its schema ({exc}): somebody changed the file; restore it from a backup, or move"
                " it away and let Celeriac make a new one"
            )
        case 0:
            return OperationalError(f"the connection to {name} was interrupted ({exc}); try again")
        case _:
            return BrokerError(f"{name} refused an operation ({getattr(exc, 'sqlite_errorname', 'SQLite')}): {exc}")
