"""Carries out transactions on the file, blocking or in a thread of its own.

Guarantees: a transaction is done entirely or not at all, also when an exception (a soft time limit, Ctrl-C) strikes in
the middle of it. Waiting for other writers ends after the URL's ``busy_timeout``, counted from the first refusal.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
import weakref
from queue import SimpleQueue
from typing import Final, TypeAlias

from celeriac.brokers.sql.requests import Many, Reply, Rows, Step, Transaction
from celeriac.brokers.sqlite.connection import Connection
from celeriac.brokers.sqlite.failures import breaks_connection, is_busy, translate
from celeriac.brokers.sqlite.url import Location
from celeriac.core.chance import SYSTEM_RNG
from celeriac.core.clock import Clock
from celeriac.errors import InvalidTaskError

FIRST_PAUSE: Final = 0.00005
LONGEST_PAUSE: Final = 0.001
"""Seconds between two attempts to get the write lock; they grow from the first to the longest. A transaction takes
about half a millisecond; SQLite's own waiting soon sleeps for tens of them, and leaves the lock idle."""


class SqlitePerformer:
    """Does transactions one at a time on one connection. Safe to share between threads, and across forks."""

    def __init__(self, location: Location, clock: Clock) -> None:
        self._location: Final = location
        self._connection: Final = Connection(location, clock)
        self._lock: Final = self._connection.lock

    def perform(self, request: Transaction) -> Reply:
        deadline: float | None = None
        pause = FIRST_PAUSE
        with self._lock:
            while True:
                try:
                    return _attempt(self._connection.use(installs=request.installs), request)
                except sqlite3.Error as exc:
                    now = time.monotonic()
                    deadline = deadline or now + self._location.busy_timeout
                    if not is_busy(exc) or now >= deadline:
                        if breaks_connection(exc):
                            self._connection.disconnect()
                        raise translate(exc, self._location.path, self._location.busy_timeout) from exc
                except UnicodeEncodeError as exc:
                    raise InvalidTaskError(f"the text {exc.object[:40]!r} cannot be kept: {exc.reason}") from exc
                # Jitter, so that two processes do not ask in step.
                time.sleep(pause * SYSTEM_RNG.uniform(0.5, 1.0))
                pause = min(pause * 1.2, LONGEST_PAUSE)

    def close(self) -> None:
        """Close the connection; the next request opens it again."""
        self._connection.close()


def _attempt(connection: sqlite3.Connection, request: Transaction) -> Reply:
    steps = request.steps
    if len(steps) == 1 and not isinstance(steps[0], Many):
        return [_do(connection, steps[0])]  # One statement is a transaction by itself.
    try:
        connection.execute("BEGIN IMMEDIATE" if request.writes else "BEGIN")
        reply = [_do(connection, step) for step in steps]
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        raise
    return reply


def _do(connection: sqlite3.Connection, step: Step) -> Rows:
    if isinstance(step, Many):
        connection.executemany(step.sql, step.rows)
        return []
    return connection.execute(step.sql, step.parameters).fetchall()


_Job: TypeAlias = "tuple[Transaction | None, asyncio.AbstractEventLoop, asyncio.Future[Reply]]"
_Jobs: TypeAlias = "SimpleQueue[_Job | None]"


class _Worker:
    """A thread and what it is to do. It ends when nobody can give it any more."""

    def __init__(self, performer: SqlitePerformer) -> None:
        self.jobs: Final[_Jobs] = SimpleQueue()
        arguments = (self.jobs, performer)
        self.thread: Final = threading.Thread(target=_work, args=arguments, name="celeriac-sqlite", daemon=True)
        self.thread.start()
        weakref.finalize(self, self.jobs.put, None)


class AsyncSqlitePerformer:
    """Does transactions in one thread of its own, in the order of the calls.

    A call that is cancelled leaves nothing half done: its transaction is carried out to the end by the thread, and only
    the reply is dropped. So a cancelled call may have had its effect, as after a lost reply.
    """

    def __init__(self, location: Location, clock: Clock) -> None:
        self._inner: Final = SqlitePerformer(location, clock)
        self._worker: _Worker | None = None

    async def perform(self, request: Transaction) -> Reply:
        return await self._ask(request)

    async def close(self) -> None:
        """Carry out what has been asked for, close the connection and end the thread; the next request starts anew."""
        worker = self._worker
        if worker is None:
            return
        if worker.thread.is_alive():
            await asyncio.shield(self._ask(None))
            worker.thread.join()  # It has nothing left to do.
        self._worker = None

    def _ask(self, request: Transaction | None) -> asyncio.Future[Reply]:
        worker = self._worker
        if worker is None or not worker.thread.is_alive():  # In a forked child the thread is gone.
            worker = self._worker = _Worker(self._inner)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply] = loop.create_future()
        worker.jobs.put((request, loop, future))
        return future


def _work(jobs: _Jobs, performer: SqlitePerformer) -> None:
    """Do the jobs until one says to close, or until nobody can give any more."""
    while (job := jobs.get()) is not None:
        request, loop, future = job
        reply: Reply = []
        failure: Exception | None = None
        try:
            if request is None:
                performer.close()
            else:
                reply = performer.perform(request)
        except Exception as exc:
            failure = exc
        with contextlib.suppress(RuntimeError):  # The loop has been closed, so nobody waits.
            loop.call_soon_threadsafe(_answer, future, reply, failure)
        if request is None:
            return
        del job, request, loop, future, reply, failure  # Not to be kept alive until the next job comes.
    performer.close()


def _answer(future: asyncio.Future[Reply], reply: Reply, failure: Exception | None) -> None:
    if future.done():  # The caller was cancelled.
        return
    if failure is None:
        future.set_result(reply)
    else:
        future.set_exception(failure)
