"""One process's way to the database: SQLAlchemy's engine, and the threads that use it.

Guarantees: a request is carried out entirely or not at all. One that fails because the connection or a lock was in the
way is tried again until the deadline, which nothing exceeds: a server that says nothing is left behind with its thread
and its connections. A forked child uses nothing of its parent's.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy import exc as errors
from sqlalchemy.pool import NullPool, StaticPool

from celeriac.brokers.deadline import after
from celeriac.core.chance import SYSTEM_RNG
from celeriac.errors import ImproperlyConfigured
from celeriac.results.database import schema
from celeriac.results.database.crew import Crew
from celeriac.results.database.failures import failure, out_of_time, too_big
from celeriac.results.database.requests import Each, Install, Put, Request, Rows, Run, Step, Verify, Work
from celeriac.results.database.tables import Tables
from celeriac.results.database.url import CONNECTIONS, Location

FIRST_PAUSE: Final = 0.02
LONGEST_PAUSE: Final = 1.0
"""Seconds between two attempts; they double from the first to the longest."""
RECYCLE: Final = 3600
"""Seconds after which a connection is not used again: servers close idle ones some time."""
GRACE: Final = 0.25
"""Seconds beyond the deadline for a thread that is about to give up by itself, with a better reason."""
LARGE: Final = 1024 * 1024
"""Bytes of a result from which on a server may hang up on it."""


class Ticket:
    """A request that was handed in.

    Args:
        deadline: When its reply is to be there, a time of the monotonic clock.
    """

    def __init__(self, deadline: float) -> None:
        self.deadline: Final = deadline
        self.future: Future[Any] = Future()
        self.error: Exception | None = None
        """Why it has to be tried again, as far as is known."""

    @property
    def left(self) -> float:
        """Seconds that are left to wait: a little more than until the deadline, for a thread that gives up itself."""
        return self.deadline + GRACE - time.monotonic()


class Desk:
    """Carries out requests.

    Args:
        location: Where the database is.
        tables: The tables.
    """

    def __init__(self, location: Location, tables: Tables) -> None:
        self._location: Final = location
        self._tables: Final = tables
        self._pid: Final = os.getpid()
        self._lock: Final = threading.Lock()
        self._crew: Crew | None = None
        self._engine: Engine | None = None
        self._installed = False
        self._users: Final[set[int]] = set()

    @property
    def stale(self) -> bool:
        """Whether it belongs to the parent process."""
        return self._pid != os.getpid()

    # Asking.

    def ask(self, user: object, request: Request) -> Ticket:
        """Have a request carried out.

        Args:
            user: Who asks: the connections stay open until all who asked have left.
            request: What to do.
        """
        ticket = Ticket(after(self._location.timeout))
        with self._lock:
            self._users.add(id(user))
            if self._crew is None:
                self._crew = Crew(self._location.connections)
            crew = self._crew
        ticket.future = crew.submit(lambda: self._carry_out(request, ticket))
        return ticket

    def give_up(self, ticket: Ticket) -> Exception:
        """Leave a request behind that was not answered in time; return the error to raise."""
        if not ticket.future.cancel():  # Its thread waits for the server, and nobody knows for how long.
            with self._lock:
                crew, self._crew = self._crew, None
                engine, self._engine = self._engine, None
            if crew is not None:
                crew.dismiss()
            if engine is not None:
                engine.dispose(close=False)
        return ticket.error or out_of_time(self._location)

    def leave(self, user: object) -> None:
        """Let go of one who asked; without any the connections are closed."""
        with self._lock:
            self._users.discard(id(user))
            if self._users:
                return
            crew, self._crew = self._crew, None
            engine, self._engine = self._engine, None
        if crew is not None:
            crew.dismiss()
        if engine is not None and not self.stale:
            engine.dispose()

    # In a thread of the crew.

    def _carry_out(self, request: Request, ticket: Ticket) -> Any:
        pause = FIRST_PAUSE
        while True:
            try:
                return self._attempt(request)
            except errors.SQLAlchemyError as exc:
                found = failure(exc, self._location)
                size = _largest(request)
                if found.passes and size >= LARGE and self._too_big(size):
                    raise too_big(self._location, size) from exc
                rest = ticket.deadline - time.monotonic()
                if not found.passes or rest <= 0:
                    raise found.error from exc
                ticket.error = found.error
            time.sleep(min(rest, pause * SYSTEM_RNG.uniform(0.5, 1.0)))
            pause = min(2 * pause, LONGEST_PAUSE)

    def _attempt(self, request: Request) -> Any:
        engine = self._opened()
        match request:
            case Install():
                version = schema.install(engine, self._tables, self._location)
                self._installed = True
                return version
            case Verify():
                with engine.connect() as connection:
                    return schema.verify(connection, self._tables, self._location)
            case Work():
                if request.installs and not self._installed and self._location.installs:
                    schema.install(engine, self._tables, self._location)
                    self._installed = True
                with engine.connect() as connection:
                    return _transaction(connection, request)

    def _too_big(self, size: int) -> bool:
        """Tell whether a server hung up because a result is larger than it takes."""
        if self._location.dialect not in ("mysql", "mariadb"):
            return False
        try:
            with self._opened().connect() as connection:
                most = connection.exec_driver_sql("SELECT @@max_allowed_packet").scalar_one()
        except errors.SQLAlchemyError:
            return False
        return size > int(most) // 2  # Bytes are escaped on the way, which may double them.

    def _opened(self) -> Engine:
        with self._lock:
            if self._engine is None:
                self._engine = make_engine(self._location)
            return self._engine


def _transaction(connection: Connection, request: Work) -> list[Rows]:
    if connection.dialect.name == "sqlite" and connection.dialect.driver == "pysqlite":
        # The writer's lock first: one who reads before it writes could not get it afterwards.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if request.writes else "BEGIN")
    reply = [_do(connection, step) for step in request.steps]
    if request.writes:
        connection.commit()
    else:
        connection.rollback()
    return reply


def _do(connection: Connection, step: Step) -> Rows:
    match step:
        case Run():
            result = connection.execute(step.statement, step.parameters)
            if result.returns_rows:
                return [tuple(row) for row in result]
            return [(result.rowcount,)]
        case Each():
            connection.execute(step.statement, step.rows)
        case Put():
            for row in step.rows:
                _put(connection, step, row)
    return []


def _put(connection: Connection, step: Put, row: Any) -> None:
    if connection.execute(step.update, row).rowcount:
        return
    try:
        with connection.begin_nested():
            connection.execute(step.insert, row)
    except errors.IntegrityError:
        # It is there, and either somebody was quicker, or it must not be changed.
        connection.execute(step.update, row)


def _largest(request: Request) -> int:
    if not isinstance(request, Work):
        return 0
    found = [len(row["payload"]) for step in request.steps if isinstance(step, Each) for row in step.rows]
    return max(found, default=0)


def make_engine(location: Location) -> Engine:
    """Return the engine for a location; nothing is opened yet.

    Raises:
        ImproperlyConfigured: The engine options are not what SQLAlchemy takes.
    """
    options: dict[str, Any] = {"pool_recycle": RECYCLE, **location.engine}
    options["connect_args"] = {**_patience(location), **options.get("connect_args", {})}
    if location.in_memory:
        options["poolclass"] = StaticPool
        for name in ("pool_size", "max_overflow"):
            options.pop(name, None)
    elif location.short_lived:
        options["poolclass"] = NullPool
        for name in ("pool_size", "max_overflow"):
            options.pop(name, None)
    elif "poolclass" not in options:
        options.setdefault("pool_size", CONNECTIONS)
        options.setdefault("max_overflow", 0)
        options.setdefault("pool_timeout", location.timeout)
    if location.dialect in ("mysql", "mariadb", "postgresql"):
        # What is stored is decided by one statement; gaps between rows need no locks.
        options.setdefault("isolation_level", "READ COMMITTED")
    try:
        engine = create_engine(location.url, **options)
    except (TypeError, errors.ArgumentError) as exc:
        raise ImproperlyConfigured(f"setting database_engine_options: {exc}") from exc
    on_connect = _ON_CONNECT.get(location.dialect)
    if on_connect is not None and (location.dialect != "sqlite" or location.client == "pysqlite"):
        event.listen(engine, "connect", on_connect)
    return engine


def _patience(location: Location) -> dict[str, Any]:
    """Return arguments with which client libraries give up by themselves, so that no thread is left behind for long."""
    seconds = max(1, math.ceil(location.timeout))
    match location.client:
        case "pymysql" | "mysqldb":
            return {"connect_timeout": seconds, "read_timeout": seconds, "write_timeout": seconds}
        case "mysqlconnector":
            return {"connection_timeout": seconds}
        case "psycopg" | "psycopg2":
            keep = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 2}
            return {"connect_timeout": max(2, seconds), "application_name": "celeriac", **keep}
        case "pg8000":
            return {"timeout": seconds, "application_name": "celeriac"}
        case "pysqlite":
            return {"timeout": location.timeout, "check_same_thread": False}
        case _:
            return {}


def _mysql_connected(raw: Any, record: Any) -> None:
    with raw.cursor() as cursor:
        # UTC, so that no hour comes twice; strict, so that nothing is cut short without a word.
        cursor.execute("SET time_zone = '+00:00', sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')")


def _sqlite_connected(raw: Any, record: Any) -> None:
    raw.isolation_level = None  # Transactions are begun here, and not behind our back.


_ON_CONNECT: Final[dict[str, Callable[[Any, Any], None]]] = {
    "mysql": _mysql_connected,
    "mariadb": _mysql_connected,
    "sqlite": _sqlite_connected,
}
