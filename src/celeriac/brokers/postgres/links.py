"""The one connection of an event loop: requests and notifications share it, so that a process needs no second one.

While a request is under way psycopg hands notifications over; between requests the loop watches the socket. A
connection that breaks while somebody waits is opened again, with growing pauses, and everybody is woken then.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

import psycopg

from celeriac.brokers.postgres.alarm import AGAIN_AFTER, AGAIN_AFTER_LOOK, Alarm, Sleeper
from celeriac.brokers.postgres.performers import Inherited, ado
from celeriac.brokers.postgres.queries import query
from celeriac.brokers.postgres.schema import channel, within
from celeriac.brokers.postgres.session import Ask, Session, Steps, notified
from celeriac.brokers.postgres.url import Location
from celeriac.brokers.sql.requests import Reply, Transaction
from celeriac.core.operation import arun
from celeriac.errors import CeleriacError

FIRST_RETRY: Final = 0.1
LONGEST_RETRY: Final = 5.0
"""Seconds between two attempts to listen again; they double from the first to the longest."""


class LoopLink:
    """The connection of one event loop, and who uses it.

    Args:
        location: Where the database is.
        at_end: Called when nobody uses it any more.
    """

    def __init__(self, location: Location, at_end: Callable[[], object]) -> None:
        self._pid: Final = os.getpid()
        self._location: Final = location
        self._at_end: Final = at_end
        self._alarm: Final = Alarm()
        self._session: Final = Session(location, on_open=self._opened, channels=self._channels)
        self._busy: Final = asyncio.Lock()
        self._performers: Final[set[int]] = set()
        self._tasks: Final[set[asyncio.Task[Any]]] = set()
        self._heard: set[str] = set()
        self._watched: int | None = None
        self._again: dict[str, asyncio.TimerHandle] = {}
        self._keeper: asyncio.Task[Any] | None = None
        self._upset: Final = asyncio.Event()
        """Set when the keeper has something to do: no connection, one that must be looked at, or nobody who waits."""
        self._closed = False

    # Requests

    def join(self, performer: object) -> None:
        """Let this performer use the connection until it leaves."""
        self._performers.add(id(performer))

    def stale(self) -> bool:
        """Whether it must not be used any more: it was closed, or belongs to the parent process."""
        return self._closed or self._pid != os.getpid()

    async def perform(self, request: Transaction) -> Reply:
        """Carry out one request, to the end even if the caller is cancelled."""
        reply: Reply = await self._whole(self._perform(request))
        return reply

    async def _perform(self, request: Transaction) -> Reply:
        async with self._busy:
            self._unwatch()
            try:
                return await arun(self._session.do(request), ado)
            finally:
                self._watch()

    async def _whole(self, work: Coroutine[Any, Any, Any]) -> Any:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # The caller may be gone: it is nobody's then.

    # Those who wait

    async def listen(self, sleeper: Sleeper) -> None:
        """Wake this one from now on."""
        self._alarm.sleepers.add(sleeper)
        with contextlib.suppress(CeleriacError):  # Whoever asks the broker hears of it; here it is tried again.
            await self._whole(self._listen())
        if (self._keeper is None or self._keeper.done()) and not self._closed:
            self._keeper = asyncio.get_running_loop().create_task(self._keep())

    async def _listen(self) -> None:
        async with self._busy:
            self._unwatch()
            try:
                await arun(self._listening(), ado)
            finally:
                self._watch()

    def _listening(self) -> Steps:
        session = self._session
        deadline = time.monotonic() + self._location.timeout
        try:
            yield from session.ready(deadline, installs=True)
            if not session.pooled:
                for kind in self._alarm.kinds:
                    if kind not in self._heard:
                        yield Ask(session.raw, f'LISTEN "{channel(self._location.schema, kind)}"', None, deadline)
                        self._heard.add(kind)
        except BaseException:
            session.drop()
            raise

    async def _keep(self) -> None:
        """See to it that there is a connection to listen on for as long as somebody waits."""
        pause = FIRST_RETRY
        while self._alarm.sleepers:
            session = self._session
            if session.raw is None:
                try:
                    await self._listen()
                except (CeleriacError, psycopg.Error, OSError):
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, LONGEST_RETRY)
                    continue
                pause = FIRST_RETRY
            elif session.pooled:
                await self._look()
                await asyncio.sleep(self._alarm.pause)
                continue
            # A connection that breaks again and again is not opened more often than this.
            await asyncio.sleep(FIRST_RETRY)
            self._upset.clear()
            if session.raw is not None and not session.pooled and self._alarm.sleepers:
                await self._upset.wait()

    async def _look(self) -> None:
        """Look for what a notification would have told."""
        sql = within(self._location.schema, query("wake_look"))
        deadline = time.monotonic() + self._location.timeout
        with contextlib.suppress(CeleriacError, psycopg.Error, OSError):
            async with self._busy:
                ((work, result),) = await ado(Ask(self._session.raw, sql, None, deadline))
            for kind in self._alarm.looked((work, result)):
                self._ring(kind, AGAIN_AFTER_LOOK)

    def _opened(self, raw: Any) -> None:
        raw.add_notify_handler(self._notified)
        self._heard = set(self._alarm.kinds)
        self._alarm.ring_all()

    def _channels(self) -> tuple[str, ...]:
        return tuple([channel(self._location.schema, kind) for kind in self._alarm.kinds])

    def _notified(self, notify: Any) -> None:
        self._ring(notify.channel.rpartition(":")[2], AGAIN_AFTER)

    def _ring(self, kind: str, again: float) -> None:
        self._alarm.ring(kind)
        pending = self._again.get(kind)
        if pending is not None:
            pending.cancel()
        self._again[kind] = asyncio.get_running_loop().call_later(again, self._alarm.ring, kind)

    # The socket between requests

    def _watch(self) -> None:
        raw = self._session.raw
        if raw is None or not self._alarm.sleepers or self._session.pooled:
            self._upset.set()
            return
        for kind in notified(raw):  # They may have come in with the last reply.
            self._ring(kind, AGAIN_AFTER)
        if self._watched is None:
            socket: int = raw.pgconn.socket
            self._watched = socket
            asyncio.get_running_loop().add_reader(socket, self._readable)

    def _unwatch(self) -> None:
        watched, self._watched = self._watched, None
        if watched is not None:
            asyncio.get_running_loop().remove_reader(watched)

    def _readable(self) -> None:
        raw = self._session.raw
        try:
            raw.pgconn.consume_input()
            for kind in notified(raw):
                self._ring(kind, AGAIN_AFTER)
        except psycopg.Error:  # The server has gone; the keeper opens another connection.
            self._unwatch()
            self._session.drop()
            self._upset.set()

    # The end

    async def leave(self, user: Any) -> None:
        """Let go of a performer or a waiter; without any the connection is closed."""
        self._performers.discard(id(user))
        self._alarm.sleepers.discard(user)
        self._upset.set()
        if self._performers or self._alarm.sleepers or self._closed:
            return
        self._closed = True
        self._at_end()
        if self._pid != os.getpid():
            Inherited.kept.append(self)
            return
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait([keeper])
        for timer in self._again.values():
            timer.cancel()
        async with self._busy:
            self._unwatch()
            self._session.drop()

    def __del__(self) -> None:
        if self._pid == os.getpid():
            self._session.drop()
        else:
            Inherited.kept.append(self._session)
