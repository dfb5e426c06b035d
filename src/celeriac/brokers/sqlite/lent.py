"""Enqueues on a connection of the caller's, as a part of the transaction that is open there.

Guarantees: it takes effect with the caller's commit and not without it; what fails leaves the caller's transaction as
it was. The connection is neither committed nor closed. Where the caller commits each statement by itself, and has
opened no transaction, it takes effect at once.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sqlite3
from typing import Any, Final

from celeriac.brokers.sql.requests import Many, Reply, Rows, Step, Transaction
from celeriac.brokers.sqlite.connection import Connection, now_of
from celeriac.brokers.sqlite.failures import translate
from celeriac.brokers.sqlite.place import told
from celeriac.brokers.sqlite.schema import VERSION
from celeriac.brokers.sqlite.url import Location
from celeriac.core.clock import Clock
from celeriac.errors import ImproperlyConfigured, InvalidTaskError, SchemaError


class LentPerformer:
    """Does transactions as parts of the caller's.

    Args:
        location: The broker's.
        clock: What the SQL function ``now()`` returns.
        connection: A ``sqlite3.Connection`` to the broker's file.

    Raises:
        TypeError: It is something else.
    """

    def __init__(self, location: Location, clock: Clock, connection: Any) -> None:
        if not isinstance(connection, sqlite3.Connection):
            kind = f"{type(connection).__module__}.{type(connection).__qualname__}"
            raise TypeError(
                f"a {kind} is no sqlite3.Connection, in whose transaction a task can be sent to an SQLite broker (of a"
                " connection of SQLAlchemy's that is connection.connection.driver_connection)"
            )
        self._location: Final = location
        self._clock: Final = clock
        self._connection: Final = connection

    def perform(self, request: Transaction) -> Reply:
        raw, path = self._connection, self._location.path
        text, raw.text_factory = raw.text_factory, str
        try:
            self._prepare(raw)
            return _within(raw, request)
        except sqlite3.Error as exc:
            raise translate(exc, path, self._location.busy_timeout) from exc
        except UnicodeEncodeError as exc:
            raise InvalidTaskError(f"the text {exc.object[:40]!r} cannot be kept: {exc.reason}") from exc
        finally:
            raw.text_factory = text

    def close(self) -> None:
        """Leave the connection to its owner."""

    def _prepare(self, raw: sqlite3.Connection) -> None:
        """See that it is the broker's file, with the current schema, and that the connection has our functions."""
        path = self._location.path
        files = [row[2] for row in _plain(raw).execute("PRAGMA database_list").fetchall() if row[1] == "main"]
        if not (files and files[0] and os.path.exists(path) and os.path.samefile(files[0], path)):
            raise ImproperlyConfigured(
                f"the connection leads to {files[0] if files and files[0] else 'a database in memory'}, and the broker"
                f" is the file {path}: a transaction cannot span both"
            )
        # A transaction that is open elsewhere in this process would wait for itself, so then nothing is installed.
        ((found,),) = _plain(raw).execute("PRAGMA user_version").fetchall()
        if found != VERSION and not raw.in_transaction:
            own = Connection(self._location, self._clock)
            try:
                with own.lock:
                    own.use(installs=True)
            finally:
                own.close()
        elif found != VERSION:
            raise SchemaError(f"SQLite broker file {path} is not installed or not current: run `celeriac db upgrade`")
        try:
            _plain(raw).execute("SELECT place()").close()
        except sqlite3.OperationalError:  # They are defined once: SQLite refuses while the caller reads.
            raw.create_function("now", 0, now_of(self._clock))
            raw.create_function("place", 0, functools.partial(told, path))


def _within(raw: sqlite3.Connection, request: Transaction) -> Reply:
    if not raw.in_transaction and raw.isolation_level is not None:
        # As sqlite3 itself does before the caller's first change; the caller commits.
        _plain(raw).execute("BEGIN IMMEDIATE")
    _plain(raw).execute("SAVEPOINT celeriac_lent")
    try:
        reply = [_do(raw, step) for step in request.steps]
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            _plain(raw).execute("ROLLBACK TO celeriac_lent")
            _plain(raw).execute("RELEASE celeriac_lent")
        raise
    _plain(raw).execute("RELEASE celeriac_lent")
    return reply


def _do(raw: sqlite3.Connection, step: Step) -> Rows:
    cursor = _plain(raw)
    if isinstance(step, Many):
        cursor.executemany(step.sql, step.rows)
        return []
    return cursor.execute(step.sql, step.parameters).fetchall()


def _plain(raw: sqlite3.Connection) -> sqlite3.Cursor:
    """Return a cursor whose rows are tuples, whatever the caller prefers."""
    cursor = sqlite3.Cursor(raw)
    cursor.row_factory = None
    return cursor
