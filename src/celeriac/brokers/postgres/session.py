"""One connection's life, written once for blocking and awaiting use: opened when first used, checked, kept at the
current schema, opened again when it breaks.

A session says what to do (:class:`Connect`, :class:`Ask`, :class:`Pause`), and a link does it. Guarantees: one request
is carried out entirely or not at all. What may have been carried out is sent again only if it says that this does no
harm; what certainly was not (no connection, a deadlock) is, until the location's timeout is over. However many
processes find an empty database at once, one of them creates the schema and the others find it.
"""

from __future__ import annotations

import select
import time
import zlib
from collections.abc import Callable, Generator, Iterator
from typing import Any, Final, NamedTuple, TypeAlias

import psycopg

from celeriac.brokers.deadline import after
from celeriac.brokers.postgres.failures import (
    AWAY,
    ROLLED_BACK,
    out_of_time,
    passes,
    translate,
    unreachable,
)
from celeriac.brokers.postgres.queries import query
from celeriac.brokers.postgres.schema import MIGRATIONS, VERSION, within
from celeriac.brokers.postgres.url import Location
from celeriac.brokers.sql.requests import Many, Reply, Rows, Transaction
from celeriac.core.chance import SYSTEM_RNG
from celeriac.errors import CeleriacError, InvalidTaskError, SchemaError

INSTALL_TIMEOUT: Final = 60.0
"""Seconds that creating or upgrading the schema may take, and waiting for another who does it."""
FIRST_PAUSE: Final = 0.02
LONGEST_PAUSE: Final = 0.5
"""Seconds between two attempts; they double from the first to the longest."""


class Connect(NamedTuple):
    """Open a connection until then (monotonic clock), and return it."""

    parameters: dict[str, Any]
    deadline: float


class Ask(NamedTuple):
    """Send this SQL until then, and return its rows."""

    raw: Any
    sql: str
    parameters: tuple[Any, ...] | None
    deadline: float


class Pause(NamedTuple):
    """Rest for some seconds."""

    seconds: float


Step: TypeAlias = Connect | Ask | Pause
Steps: TypeAlias = Generator[Step, Any, Any]


class OutOfTimeError(Exception):
    """A link waited for the server until the deadline."""


def within_time(steps: Generator[Any, Any, Any], deadline: float) -> Generator[Any, Any, Any]:
    """Pass a generator of psycopg's through until the deadline.

    Raises:
        OutOfTimeError: The server has not answered by then.
    """
    try:
        state = next(steps)
        while True:
            ready = yield state
            if not ready and time.monotonic() >= deadline:
                raise OutOfTimeError
            state = steps.send(ready)
    except StopIteration as stop:
        return stop.value


class Session:
    """What is known about one connection.

    Args:
        location: Where the database is.
        on_open: Called with each new connection.
        channels: What to listen to, looked at with each new connection.
    """

    def __init__(
        self,
        location: Location,
        *,
        on_open: Callable[[Any], None] | None = None,
        channels: Callable[[], tuple[str, ...]] = tuple,
    ) -> None:
        self.location: Final = location
        self.raw: Any = None
        self.pooled = False
        """A pooler is in between: each request may go through another connection of the server's."""
        self._on_open: Final = on_open
        self._channels: Final = channels
        self._current = False

    def drop(self) -> None:
        """Let go of the connection, if there is one."""
        raw, self.raw = self.raw, None
        self._current = False
        if raw is not None:
            raw.pgconn.finish()

    def do(self, request: Transaction) -> Generator[Step, Any, Reply]:
        """Carry out one request."""
        deadline = after(self.location.timeout)
        pauses = _pauses(deadline)
        whole = False
        try:
            while True:
                try:
                    yield from self.ready(deadline, installs=request.installs)
                    reply = yield from self._steps(request, deadline)
                except psycopg.Error as exc:
                    if (pause := next(pauses, None)) is None or not self._failed(exc, request.repeatable):
                        raise translate(exc, self.location) from exc
                    yield Pause(pause)
                except UnicodeEncodeError as exc:
                    whole = True
                    raise InvalidTaskError(f"the text {exc.object[:40]!r} cannot be kept: {exc.reason}") from exc
                else:
                    whole = True
                    return reply
        except OutOfTimeError:
            raise out_of_time(self.location) from None
        finally:
            # An interrupt (Ctrl-C, a soft time limit) may have struck anywhere; some errors leave a transaction open.
            if not whole and self.raw is not None and not _idle(self.raw):
                self.drop()

    def _failed(self, exc: psycopg.Error, repeatable: bool) -> bool:
        """Take note of an error; tell whether the same may be tried again: it does no harm, or nothing was done."""
        code = exc.sqlstate or ""
        lost = not code or code in AWAY or code[:2] == "08"
        if lost:
            self.drop()
        return code in ROLLED_BACK or code == "57P03" or (lost and repeatable)

    def ready(self, deadline: float, *, installs: bool) -> Steps:
        """See that there is a connection, and a schema that this version can work with."""
        if self.raw is not None and not _alive(self.raw):
            self.drop()
        if self.raw is None:
            yield from self._open(deadline)
        if installs and not self._current:
            version = yield from self._version(deadline)
            if version < VERSION:
                if not self.location.installs:
                    raise SchemaError(
                        f"schema {self.location.schema!r} in the {self.location.name} has version {version}, and this"
                        f" version of Celeriac needs {VERSION}; the URL says install=false: run `celeriac db upgrade`"
                        " with a URL and a user that may"
                    )
                yield from self._install()
            self._current = True

    def _open(self, deadline: float) -> Steps:
        pauses = _pauses(deadline)
        while True:
            try:
                raw = yield Connect(self.location.parameters, deadline)
                break
            except psycopg.Error as exc:
                if not passes(exc) or (pause := next(pauses, None)) is None:
                    raise unreachable(exc, self.location) from None
                yield Pause(pause)
        self.raw = raw
        if self._on_open is not None:
            self._on_open(raw)
        ((pid,),) = yield Ask(raw, "SELECT pg_backend_pid()", None, deadline)
        # A pooler tells clients a number of its own making.
        self.pooled = pid != raw.info.backend_pid or not self.location.listens
        if not self.pooled:
            for channel in self._channels():
                yield Ask(raw, f'LISTEN "{channel}"', None, deadline)

    def _steps(self, request: Transaction, deadline: float) -> Generator[Step, Any, Reply]:
        raw = self.raw
        steps = request.steps
        assert not any(isinstance(step, Many) for step in steps), "a list is a parameter here"
        if len(steps) == 1:
            return [(yield Ask(raw, steps[0].sql, tuple(steps[0].parameters), deadline))]  # type: ignore[union-attr]
        assert not steps, "each operation is one statement here"
        return [[(self.pooled, self.location.listens)]]

    # The schema

    def _version(self, deadline: float) -> Generator[Step, Any, int]:
        schema = self.location.schema
        rows: Rows = yield Ask(self.raw, query("version_look"), (schema,), deadline)
        if not rows[0][0]:
            return 0
        rows = yield Ask(self.raw, within(schema, query("version")), None, deadline)
        version = int(rows[0][0])
        if version > VERSION:
            raise SchemaError(
                f"schema {schema!r} in the {self.location.name} has version {version}, and this version of Celeriac"
                f" knows {VERSION}: upgrade Celeriac here too, or use another schema (?schema=...)"
            )
        return version

    def _install(self) -> Steps:
        """Create or upgrade the schema in one transaction, alone."""
        schema = self.location.schema
        deadline = time.monotonic() + INSTALL_TIMEOUT
        key = zlib.crc32(f"celeriac schema {schema}".encode())
        yield Ask(self.raw, "BEGIN ISOLATION LEVEL READ COMMITTED", None, deadline)
        try:
            yield Ask(self.raw, f"SELECT pg_advisory_xact_lock({key})", None, deadline)
            version = yield from self._version(deadline)  # Another process may have been here since.
            if version < VERSION:
                ((there,),) = yield Ask(self.raw, query("namespace_look"), (schema,), deadline)
                if not there:
                    yield Ask(self.raw, f'CREATE SCHEMA "{schema}"', None, deadline)
                for text in MIGRATIONS[version:]:
                    yield Ask(self.raw, within(schema, text), None, deadline)
                yield Ask(self.raw, within(schema, query("version_set")), (VERSION,), deadline)
            yield Ask(self.raw, "COMMIT", None, deadline)
        except (psycopg.Error, CeleriacError):
            if self.raw.pgconn.transaction_status in _OPEN:
                yield Ask(self.raw, "ROLLBACK", None, deadline)
            raise


_OPEN: Final = (psycopg.pq.TransactionStatus.INTRANS, psycopg.pq.TransactionStatus.INERROR)


def _idle(raw: Any) -> bool:
    return bool(raw.pgconn.transaction_status == psycopg.pq.TransactionStatus.IDLE)


def _alive(raw: Any) -> bool:
    """Tell whether the server has not closed the connection since it was last used, as far as the system knows."""
    pgconn = raw.pgconn
    try:
        for _ in range(3):
            if pgconn.status != psycopg.pq.ConnStatus.OK:
                return False
            poll = select.poll()
            poll.register(pgconn.socket, select.POLLIN)
            if not poll.poll(0):
                return _idle(raw)
            pgconn.consume_input()  # Notifications, or the server's farewell and the end of the line.
    except psycopg.Error:
        return False
    return bool(pgconn.status == psycopg.pq.ConnStatus.OK)


def notified(raw: Any) -> Iterator[str]:
    """Yield what the notifications say that have come in and were not handed over yet: ``work`` or ``result``."""
    while (found := raw.pgconn.notifies()) is not None:
        yield found.relname.decode().rpartition(":")[2]


def _pauses(deadline: float) -> Iterator[float]:
    """Yield the seconds before each further attempt, with jitter, until the deadline."""
    pause = FIRST_PAUSE
    while (rest := deadline - time.monotonic()) > 0:
        yield min(rest, pause * SYSTEM_RNG.uniform(0.5, 1.0))
        pause = min(pause * 2, LONGEST_PAUSE)
