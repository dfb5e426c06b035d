"""Carries out requests on one connection, blocking or awaiting.

Guarantees: no request waits longer than the location's timeout for the server. A forked child uses nothing of its
parent's. An awaiting request that is cancelled is carried out to the end, and only its reply is dropped.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Generator
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, NoReturn, Protocol

import psycopg
from psycopg import waiting
from psycopg.adapt import Dumper

from celeriac.brokers.postgres.operations.calls import Sweep
from celeriac.brokers.postgres.operations.rows import BYTEA_ARRAY, Blobs
from celeriac.brokers.postgres.session import Ask, Connect, OutOfTimeError, Pause, Session, Step, within_time
from celeriac.brokers.postgres.url import Location
from celeriac.brokers.sql.requests import Reply, Rows, Transaction
from celeriac.core.operation import at_once, begin, run
from celeriac.errors import OperationalError

LOOK_INTERVAL: Final = 0.1
"""Seconds between two looks at the clock while the server is waited for."""
LONGEST_SWEEP: Final = 3600.0
"""Seconds that a piece of upkeep may take."""
SHORTEST_CONNECT: Final = 2
"""libpq takes no shorter time to connect than these seconds."""


_until: Final[ContextVar[float]] = ContextVar("celeriac_postgres_connect_until", default=float("inf"))
"""When the attempt to connect that is under way is to end."""


class _Sent(Exception):
    """The server has all of a statement; ``rest`` is what reads its reply."""

    def __init__(self, rest: Generator[Any, Any, Any]) -> None:
        super().__init__()
        self.rest = rest


class _Blocking(psycopg.Connection[tuple[Any, ...]]):
    """A connection that waits for a limited time, and does not try to cancel what an interrupt leaves behind."""

    deadline = float("inf")
    early = False
    """The next wait ends by :class:`_Sent` as soon as there is nothing left to send."""

    @classmethod
    def _connect_gen(cls, *arguments: Any, **options: Any) -> Any:
        # libpq's own timeout is whole seconds, at least two, for each host.
        return within_time(super()._connect_gen(*arguments, **options), _until.get())

    def wait(self, gen: Any, interval: float = LOOK_INTERVAL, timeout: float | None = None) -> Any:
        if self.early:
            self.early = False
            gen = waiting.wait(_until_sent(within_time(gen, self.deadline)), self.pgconn.socket, interval=interval)
            raise _Sent(gen)
        return waiting.wait(within_time(gen, self.deadline), self.pgconn.socket, interval=interval)


def _until_sent(gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Generator[Any, Any, Any]]:
    """Pass a generator of psycopg's through until all it waits for is a reply; return what goes on from there.

    It does not end before that: a reply that nobody has waited for has not been read.
    """
    state = next(gen)
    while state != waiting.Wait.R:
        state = gen.send((yield state))
    return _resumed(state, gen)


def _resumed(state: Any, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    try:
        while True:
            state = gen.send((yield state))
    except StopIteration as stop:
        return stop.value


class _Awaiting(psycopg.AsyncConnection[tuple[Any, ...]]):
    """The awaiting twin."""

    deadline = float("inf")

    @classmethod
    def _connect_gen(cls, *arguments: Any, **options: Any) -> Any:
        return within_time(super()._connect_gen(*arguments, **options), _until.get())

    async def wait(self, gen: Any, interval: float = LOOK_INTERVAL, timeout: float | None = None) -> Any:
        return await waiting.wait_async(within_time(gen, self.deadline), self.pgconn.socket, interval=interval)


def _options(step: Connect) -> dict[str, Any]:
    hosts = str(step.parameters.get("host", "")).count(",") + 1
    seconds = (step.deadline - time.monotonic()) / hosts
    asked = float(step.parameters.get("connect_timeout") or seconds)
    return {**step.parameters, "connect_timeout": max(SHORTEST_CONNECT, int(min(seconds, asked)))}


class Inherited:
    """Connections of a parent process that must be neither used nor closed here."""

    kept: Final[list[Any]] = []


def start(step: Step) -> Callable[[], Any]:
    """Send the statement of a step, and return what waits for its rows; another step is done at once."""
    if not isinstance(step, Ask) or step.parameters is None:
        return at_once(lambda: do(step))
    raw, rest = step.raw, None
    raw.deadline = step.deadline
    cursor = raw.cursor(binary=True)
    raw.early = True
    try:
        cursor.execute(step.sql, step.parameters)
    except _Sent as sent:
        rest = sent.rest
    except Exception as exc:
        return at_once(partial(_raise, exc))
    finally:
        raw.early = False

    def rows() -> Rows:
        if rest is not None:
            waiting.wait(rest, raw.pgconn.socket, interval=LOOK_INTERVAL)
        return cursor.fetchall() if cursor.description is not None else []

    return rows


def _raise(exc: Exception) -> NoReturn:
    raise exc


def do(step: Step) -> Any:
    """Do one step of a session, blocking."""
    match step:
        case Ask(raw, sql, parameters, deadline):
            raw.deadline = deadline
            cursor = raw.execute(sql, parameters, binary=parameters is not None)
            return cursor.fetchall() if cursor.description is not None else []
        case Connect():
            _until.set(step.deadline)
            raw = _Blocking.connect(autocommit=True, prepare_threshold=None, **_options(step))
            raw.cursor_factory = psycopg.RawCursor
            return _prepared(raw)
        case Pause(seconds):
            time.sleep(seconds)
            return None


async def ado(step: Step) -> Any:
    """Do one step of a session, awaiting."""
    match step:
        case Ask(raw, sql, parameters, deadline):
            raw.deadline = deadline
            cursor = await raw.execute(sql, parameters, binary=parameters is not None)
            rows: Rows = await cursor.fetchall() if cursor.description is not None else []
            return rows
        case Connect():
            _until.set(step.deadline)
            raw = await _Awaiting.connect(autocommit=True, prepare_threshold=None, **_options(step))
            raw.cursor_factory = psycopg.AsyncRawCursor
            return _prepared(raw)
        case Pause(seconds):
            await asyncio.sleep(seconds)
            return None


class _BlobsDumper(Dumper):
    format = psycopg.pq.Format.BINARY
    oid = BYTEA_ARRAY

    def dump(self, obj: Blobs) -> bytes:
        return obj.binary()


def _prepared(raw: Any) -> Any:
    raw.add_notice_handler(_ignore)
    raw.adapters.register_dumper(Blobs, _BlobsDumper)
    return raw


def _ignore(notice: object) -> None:
    """A notice is for somebody at a terminal."""


class _Sweeper:
    """Carries out upkeep, one piece at a time in this process, in a thread and on a connection that last as long."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._busy = threading.Lock()

    def begin(self, location: Location, request: Sweep) -> None:
        """Begin, unless something is under way; the next prune asks again."""
        if self._pid != os.getpid():
            self._begin()
        if self._busy.acquire(blocking=False):
            threading.Thread(target=self._work, args=(location, request), name="celeriac-sweep", daemon=True).start()

    def _work(self, location: Location, request: Sweep) -> None:
        raw: Any = None
        try:
            raw = do(Connect(location.parameters, time.monotonic() + location.timeout))
            for step in request.steps:
                do(Ask(raw, step.sql, None, time.monotonic() + LONGEST_SWEEP))
        except (psycopg.Error, OutOfTimeError):
            pass  # PostgreSQL sweeps by itself, too, and the next prune asks again.
        finally:
            if raw is not None:
                raw.pgconn.finish()
            self._busy.release()


_sweeper: Final = _Sweeper()


class _Begun:
    """A request that is under way."""

    def __init__(self, finish: Callable[[], Reply]) -> None:
        self._finish = finish
        self.reply: Callable[[], Reply] = self._nobody

    def end(self) -> None:
        """Wait for its reply and keep it."""
        self.reply = at_once(self._finish)

    def _nobody(self) -> Reply:
        raise OperationalError("this request was begun in the process that this one was forked from")


class PostgresPerformer:
    """Does requests one at a time on one connection. Safe to share between threads, and across forks.

    Args:
        location: Where the database is.
        at_close: Called when it is closed.
    """

    def __init__(self, location: Location, at_close: Callable[[], None]) -> None:
        self._location: Final = location
        self._at_close: Final = at_close
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._session = Session(self._location)
        self._begun: _Begun | None = None

    def _own(self) -> Session:
        """Return the session; a new one in a child process, where a lock may be held by a thread that is not there."""
        if self._pid != os.getpid():
            Inherited.kept.append(self._session)
            self._begin()
        return self._session

    def perform(self, request: Transaction) -> Reply:
        if isinstance(request, Sweep):
            _sweeper.begin(self._location, request)
            return [[]]
        session = self._own()
        with self._lock:
            self._end_begun()
            return run(session.do(request), do)

    def begin(self, request: Transaction) -> Callable[[], Reply]:
        """Send the request and leave the reply for later; whoever needs the connection before that reads it first."""
        session = self._own()
        with self._lock:
            self._end_begun()
            begun = self._begun = _Begun(begin(session.do(request), start, do))
        return lambda: self._reply(begun)

    def _reply(self, begun: _Begun) -> Reply:
        self._own()
        with self._lock:
            if self._begun is begun:
                self._end_begun()
        return begun.reply()

    def _end_begun(self) -> None:
        begun, self._begun = self._begun, None
        if begun is not None:
            begun.end()

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        session = self._own()
        with self._lock:
            self._end_begun()
            session.drop()
        self._at_close()

    def __del__(self) -> None:
        # Nobody else can use it any more.
        if self._pid == os.getpid():
            self._session.drop()
        else:
            Inherited.kept.append(self._session)


class Link(Protocol):
    """What an awaiting performer asks: the connection of an event loop, shared with those who wait."""

    def join(self, performer: object) -> None: ...

    def stale(self) -> bool: ...

    async def perform(self, request: Transaction) -> Reply: ...

    async def leave(self, user: object) -> None: ...


class AsyncPostgresPerformer:
    """Does requests on the connection of the running event loop.

    Args:
        location: Where the database is.
        find: Returns the link of the running event loop.
    """

    def __init__(self, location: Location, find: Callable[[], Link]) -> None:
        self._location: Final = location
        self._find: Final = find
        self._link: Link | None = None

    async def perform(self, request: Transaction) -> Reply:
        if isinstance(request, Sweep):
            _sweeper.begin(self._location, request)
            return [[]]
        link = self._link
        if link is None or link.stale():
            link = self._link = self._find()
            link.join(self)
        return await link.perform(request)

    async def close(self) -> None:
        """Close the connection unless somebody waits on it; the next request opens another."""
        link, self._link = self._link, None
        if link is not None:
            await link.leave(self)
