"""What a database's errors mean for a result store, in words that say what to do.

PostgreSQL's are known by SQLSTATE, MySQL's and MariaDB's by number, SQLite's by name; of other databases only what
SQLAlchemy makes of them: an error of the connection, or one of the request.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import msgspec
from sqlalchemy import exc as errors

from celeriac.errors import (
    BrokerError,
    CeleriacError,
    InvalidTaskError,
    OperationalError,
    SchemaError,
    StoreCorrupt,
    StoreFull,
)
from celeriac.results.database.url import Location


class Failure(msgspec.Struct, frozen=True):
    """What to do about an error.

    Attributes:
        error: What to raise.
        passes: Trying again soon may help.
    """

    error: CeleriacError
    passes: bool


# What went wrong, and what to do: kinds of errors, the first of which is said.
_ACCESS: Final = "refused the user or the password: check both in the URL"
_NO_DATABASE: Final = "has no such database: check the end of the URL, or create it"
_FORBIDDEN: Final = (
    "does not let this user do that: grant SELECT, INSERT, UPDATE and DELETE on its tables, and let somebody who may"
    " create tables run `celeriac db upgrade`"
)
_NO_TABLE: Final = "lacks a table of results, or part of one: run `celeriac db upgrade`"
_FULL: Final = "has no room left: nothing was stored; make room on its disk"
_TOO_BIG: Final = (
    "refused a result because it is too big: raise its max_allowed_packet, lower the setting result_max_bytes, or"
    " return a reference to large data instead"
)
_BUSY: Final = "had locks in the way; try again"
_STANDBY: Final = "takes no writes: name the primary in the URL"
_THERE: Final = "has that table already"
_CROWDED: Final = "has no room for more connections: raise max_connections, or lower pool_size"

_MYSQL: Final[dict[int, tuple[type[CeleriacError], bool, str]]] = {
    **dict.fromkeys((1045, 1698), (BrokerError, False, _ACCESS)),
    **dict.fromkeys((1044, 1142, 1143, 1227), (BrokerError, False, _FORBIDDEN)),
    1049: (BrokerError, False, _NO_DATABASE),
    **dict.fromkeys((1146, 1054), (SchemaError, False, _NO_TABLE)),
    **dict.fromkeys((1021, 1114, 3675), (StoreFull, False, _FULL)),
    **dict.fromkeys((1153, 1301, 1406), (BrokerError, False, _TOO_BIG)),
    **dict.fromkeys((1205, 1213, 1020), (OperationalError, True, _BUSY)),
    **dict.fromkeys((1290, 1792, 1836), (OperationalError, True, _STANDBY)),
    **dict.fromkeys((1040, 1203, 1226), (OperationalError, True, _CROWDED)),
    **dict.fromkeys((1007, 1050, 1061), (BrokerError, False, _THERE)),
    1366: (InvalidTaskError, False, "cannot keep one of these texts"),
}
_MYSQL_AWAY: Final = frozenset((1053, 1077, 1079, 1158, 1159, 1160, 1161, 1317, 1927, *range(2000, 2060)))

_POSTGRES: Final[dict[str, tuple[type[CeleriacError], bool, str]]] = {
    "28": (BrokerError, False, _ACCESS),
    "3D": (BrokerError, False, _NO_DATABASE),
    "42501": (BrokerError, False, _FORBIDDEN),
    **dict.fromkeys(("3F", "42P01", "42703"), (SchemaError, False, _NO_TABLE)),
    "53300": (OperationalError, True, _CROWDED),
    "53": (StoreFull, False, _FULL),
    "54": (BrokerError, False, _TOO_BIG),
    **dict.fromkeys(("40", "55"), (OperationalError, True, _BUSY)),
    "25006": (OperationalError, True, _STANDBY),
    "22": (InvalidTaskError, False, "cannot keep one of these values"),
}
_POSTGRES_AWAY: Final = ("08", "57", "58")
_POSTGRES_WORDS: Final = (
    ("password authentication failed", _ACCESS),
    ("no password supplied", _ACCESS),
    ("no pg_hba.conf entry", _ACCESS),
    ('role "', _ACCESS),
    ('database "', _NO_DATABASE),
)
"""What it says to one who connects; the client library passes on no code then."""

_SQLITE: Final[dict[int, tuple[type[CeleriacError], bool, str]]] = {
    **dict.fromkeys((sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED), (OperationalError, True, _BUSY)),
    sqlite3.SQLITE_FULL: (StoreFull, False, _FULL),
    **dict.fromkeys(
        (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB),
        (StoreCorrupt, False, "is damaged, or is no SQLite database: check the path, or restore it from a backup"),
    ),
    **dict.fromkeys(
        (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN),
        (BrokerError, False, "cannot be opened and written: check its directory and the permissions"),
    ),
    sqlite3.SQLITE_IOERR: (OperationalError, True, "cannot be read or written: the disk may be failing"),
    sqlite3.SQLITE_TOOBIG: (BrokerError, False, _TOO_BIG),
}


def failure(exc: errors.SQLAlchemyError, location: Location) -> Failure:
    """Return what to do about an error of SQLAlchemy's."""
    orig: Any = getattr(exc, "orig", None)
    said = " ".join(str(orig or exc).split())[:300]
    known = _KNOWN.get(location.dialect, _nothing)(orig, said)
    if known is None:
        away = isinstance(exc, (errors.OperationalError, errors.InterfaceError, errors.TimeoutError)) or bool(
            getattr(exc, "connection_invalidated", False)
        )
        if away:
            known = _AWAY
        else:
            known = BrokerError, False, "refused a request"
    kind, passes, advice = known
    return Failure(kind(f"the {location.name} {advice} ({said})"), passes)


_Known: TypeAlias = "tuple[type[CeleriacError], bool, str] | None"
_AWAY: Final = (OperationalError, True, "cannot be reached, or the connection was lost: check that it runs")


def _mysql(orig: Any, said: str) -> _Known:
    number: Any = next(iter(getattr(orig, "args", None) or ()), None)
    if not isinstance(number, int):
        return None
    return _AWAY if number in _MYSQL_AWAY else _MYSQL.get(number)


def _postgres(orig: Any, said: str) -> _Known:
    state = getattr(orig, "sqlstate", None) or getattr(orig, "pgcode", None)
    if isinstance(state, str):
        if state[:2] in _POSTGRES_AWAY:
            return _AWAY
        return _POSTGRES.get(state) or _POSTGRES.get(state[:2])
    return next(((BrokerError, False, advice) for words, advice in _POSTGRES_WORDS if words in said), None)


def _sqlite(orig: Any, said: str) -> _Known:
    if "no such table" in said or "no such column" in said or "has no column" in said:
        return SchemaError, False, _NO_TABLE
    if "already exists" in said:
        return BrokerError, False, _THERE
    return _SQLITE.get(getattr(orig, "sqlite_errorcode", 0) & 0xFF)


def _nothing(orig: Any, said: str) -> _Known:
    return None


_KNOWN: Final[dict[str, Callable[[Any, str], _Known]]] = {
    "mysql": _mysql,
    "mariadb": _mysql,
    "postgresql": _postgres,
    "sqlite": _sqlite,
}


def out_of_time(location: Location) -> OperationalError:
    """Return the error for a database that does not answer."""
    return OperationalError(
        f"the {location.name} did not answer for {location.timeout:g} seconds: check that it runs and has time, look"
        " for locks, or raise the parameter timeout of the URL"
    )


def too_big(location: Location, size: int) -> BrokerError:
    """Return the error for a result that a server hung up on."""
    return BrokerError(f"the {location.name} {_TOO_BIG} (it has {size:,} bytes)")
