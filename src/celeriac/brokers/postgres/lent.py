"""Enqueueing on a caller's own connection, as a part of its transaction: committed with it, gone with its rollback.

The message is a row like any other, so PostgreSQL does the rest, savepoints included, and wakes the workers at the
commit. Nothing is retried here: an error has ended the caller's transaction, and only the caller can begin another.
"""

from __future__ import annotations

import sys
from typing import Any, Final, NoReturn, cast

import psycopg
from psycopg.rows import tuple_row

from celeriac.brokers.postgres.failures import translate
from celeriac.brokers.postgres.operations.calls import ENQUEUE, enqueue_within
from celeriac.brokers.postgres.operations.rows import Blobs
from celeriac.brokers.postgres.url import Location
from celeriac.brokers.sql.requests import Reply, Statement, Transaction
from celeriac.errors import BrokerError, CeleriacError, OperationalError, SchemaError

_STYLES: Final = {"qmark": "?", "numeric": ":{}", "named": ":p{}", "format": "%s", "pyformat": "%s"}
_MISSING: Final = ("42883", "3F000", "42P01")


def _is(connection: object, *names: str) -> bool:
    """Tell whether it is of one of SQLAlchemy's classes, without importing SQLAlchemy for it."""
    return any(f"{kind.__module__.partition('.')[0]}.{kind.__name__}" in names for kind in type(connection).__mro__)


def _parameters(location: Location, request: Transaction) -> tuple[Any, ...]:
    (step,) = request.steps
    if not isinstance(step, Statement) or not step.sql.endswith(ENQUEUE):
        raise BrokerError(f"the {location.name}: only sending tasks can be a part of another's transaction")
    # The caller's library may be any.
    return tuple([one.text() if isinstance(one, Blobs) else one for one in step.parameters])


def _fail(exc: Exception, location: Location) -> NoReturn:
    """Raise what an error of any client library means."""
    origin: Any = getattr(exc, "orig", None) or exc  # SQLAlchemy wraps.
    if isinstance(origin, psycopg.Error):
        raise translate(origin, location) from exc
    if _code(origin) in _MISSING:
        raise SchemaError(
            f"the database of this transaction has no schema {location.schema!r}: run `celeriac db upgrade`, and check"
            f" that it is the database of the broker, {location.name}"
        ) from exc
    raise OperationalError(f"the transaction's connection refused the task: {exc}") from exc


def _code(origin: Any) -> Any:
    """Return PostgreSQL's code of an error, where the client library tells it: psycopg 2, asyncpg, pg8000."""
    details: Any = origin.args[0] if origin.args else None
    fields = cast("dict[str, Any]", details) if isinstance(details, dict) else {}
    return getattr(origin, "sqlstate", None) or getattr(origin, "pgcode", None) or fields.get("C")


class LentPerformer:
    """Enqueues on a caller's connection.

    Args:
        location: The broker's.
        connection: A psycopg connection, an SQLAlchemy ``Session`` or ``Connection``, or any connection of a client for
            PostgreSQL that follows PEP 249 (Django's ``django.db.connection`` does).

    Raises:
        TypeError: It is something else, or for coroutines.
    """

    def __init__(self, location: Location, connection: Any) -> None:
        if _is(connection, *_ASYNC, "psycopg.AsyncConnection"):
            raise TypeError(f"{_name(connection)} is for coroutines: send with adelay() or aapply_async()")
        if not _is(connection, *_SYNC) and not callable(getattr(connection, "cursor", None)):
            raise TypeError(f"{_name(connection)} is no connection or session of a database")
        self._location: Final = location
        self._connection: Final = connection

    def perform(self, request: Transaction) -> Reply:
        parameters = _parameters(self._location, request)
        try:
            known = self._send(parameters)
        except (CeleriacError, UnicodeEncodeError):
            raise
        except Exception as exc:
            _fail(exc, self._location)
        return [[(known,)]]

    def _send(self, parameters: tuple[Any, ...]) -> list[int]:
        connection = self._connection
        style, given = _style(connection, parameters)
        if _is(connection, *_SYNC):
            sql, named = _for_sqlalchemy(self._location.schema, parameters)
            return list(connection.execute(sql, named).scalar_one())
        # Whatever kind of cursor and rows the caller prefers, with psycopg this one is ours.
        ours = isinstance(cast("object", connection), psycopg.Connection)
        cursor: Any = psycopg.Cursor(connection, row_factory=tuple_row) if ours else connection.cursor()
        try:
            cursor.execute(enqueue_within(self._location.schema, style), given)
            (known,) = cursor.fetchone()
        finally:
            cursor.close()
        return list(known)

    def close(self) -> None:
        """The connection is the caller's."""


class AsyncLentPerformer:
    """The awaiting twin of :class:`LentPerformer`, for an ``AsyncConnection`` of psycopg, or an ``AsyncSession`` or
    ``AsyncConnection`` of SQLAlchemy."""

    def __init__(self, location: Location, connection: Any) -> None:
        if not _is(connection, *_ASYNC, "psycopg.AsyncConnection"):
            raise TypeError(
                f"{_name(connection)} is no connection or session for coroutines that this can use: in a coroutine,"
                " send with psycopg's AsyncConnection, or an AsyncSession or AsyncConnection of SQLAlchemy (over"
                " psycopg or asyncpg), or with delay() and apply_async()"
            )
        self._location: Final = location
        self._connection: Final = connection

    async def perform(self, request: Transaction) -> Reply:
        parameters = _parameters(self._location, request)
        connection = self._connection
        try:
            if isinstance(cast("object", connection), psycopg.AsyncConnection):
                sql: Any = enqueue_within(self._location.schema, "%s")
                async with psycopg.AsyncCursor(connection, row_factory=tuple_row) as cursor:
                    await cursor.execute(sql, parameters)
                    row: Any = await cursor.fetchone()
                return [[(list(row[0]),)]]
            text, named = _for_sqlalchemy(self._location.schema, parameters)
            known = (await connection.execute(text, named)).scalar_one()
        except (CeleriacError, UnicodeEncodeError):
            raise
        except Exception as exc:
            _fail(exc, self._location)
        return [[(list(known),)]]

    async def close(self) -> None:
        """The connection is the caller's."""


_SYNC: Final = ("sqlalchemy.Session", "sqlalchemy.Connection", "sqlalchemy.scoped_session")
_ASYNC: Final = ("sqlalchemy.AsyncSession", "sqlalchemy.AsyncConnection", "sqlalchemy.async_scoped_session")


def _for_sqlalchemy(schema: str, parameters: tuple[Any, ...]) -> tuple[Any, dict[str, Any]]:
    from sqlalchemy import text  # It is there: the caller has a session.

    named = {f"p{place}": value for place, value in enumerate(parameters, 1)}
    return text(enqueue_within(schema, ":p{}")), named


def _style(connection: object, parameters: tuple[Any, ...]) -> tuple[str, Any]:
    """Return how the connection's library writes parameters, and the parameters as it wants them."""
    package = type(connection).__module__.partition(".")[0]
    style = getattr(sys.modules.get(package), "paramstyle", "format")
    if style == "named":
        return _STYLES[style], {f"p{place}": value for place, value in enumerate(parameters, 1)}
    return _STYLES.get(style, "%s"), parameters


def _name(connection: object) -> str:
    return f"a {type(connection).__module__}.{type(connection).__qualname__}"
