"""Waiting: in a coroutine on the event loop's own connection, in a thread on one connection for all threads."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import psycopg

from celeriac.brokers.postgres.alarm import AGAIN_AFTER, AGAIN_AFTER_LOOK, Alarm, kind_of
from celeriac.brokers.postgres.links import FIRST_RETRY, LONGEST_RETRY, LoopLink
from celeriac.brokers.postgres.performers import Inherited, do
from celeriac.brokers.postgres.queries import query
from celeriac.brokers.postgres.schema import channel, within
from celeriac.brokers.postgres.session import Ask, Session, Steps, notified
from celeriac.brokers.postgres.url import Location
from celeriac.core.operation import run
from celeriac.errors import CeleriacError

LINGER: Final = 5.0
"""Seconds for which the listening connection is kept when nobody waits any more: somebody may soon."""


class AsyncPostgresWaiter:
    """Waits on the event loop.

    Args:
        find: Returns the link of the running event loop.
        kind: What it waits for.
    """

    def __init__(self, find: Callable[[], LoopLink], kind: str) -> None:
        self.kind: Final = kind
        self._find: Final = find
        self._link: LoopLink | None = None
        self._woken: Final = asyncio.Event()

    def wake(self) -> None:
        self._woken.set()

    async def wait(self, timeout: float) -> bool:
        if self._link is None or self._link.stale():
            self._link = self._find()
            await self._link.listen(self)
            self._woken.clear()
            return True  # What came before is not known.
        try:
            async with asyncio.timeout(timeout):
                await self._woken.wait()
        except TimeoutError:
            return False
        self._woken.clear()
        return True

    async def close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.leave(self)


class Hub:
    """The thread that listens for all threads of this process.

    Args:
        location: Where the database is.
    """

    def __init__(self, location: Location) -> None:
        self.pid: Final = os.getpid()
        self._location: Final = location
        self._lock: Final = threading.Lock()
        self._alarm: Final = Alarm()
        self._session: Final = Session(location, on_open=self._opened)
        self._heard: set[str] = set()
        self._again: dict[str, float] = {}
        self._listening: Final = threading.Condition(self._lock)
        self._bell: tuple[int, int] | None = None
        self._thread: threading.Thread | None = None
        self._idle_since = time.monotonic()
        self._hurried = False

    def join(self, waiter: PostgresWaiter, timeout: float) -> None:
        """Wake this one from now on; return when that is sure, or the time is over."""
        with self._listening:
            self._alarm.sleepers.add(waiter)
            self._hurried = False
            if self._thread is None:
                self._bell = os.pipe()
                for end in self._bell:
                    os.set_blocking(end, False)
                self._thread = threading.Thread(target=self._listen, name="celeriac-postgres-listen", daemon=True)
                self._thread.start()
            else:
                self._ring_bell()
            self._listening.wait_for(lambda: waiter.kind in self._heard or self._session.pooled, timeout)

    def leave(self, waiter: PostgresWaiter) -> None:
        """Do not wake this one any more."""
        with self._lock:
            self._alarm.sleepers.discard(waiter)
            self._idle_since = time.monotonic()

    def close_if_idle(self) -> None:
        """End the connection and the thread, if nobody waits."""
        with self._lock:
            thread = self._thread
            if thread is None or self._alarm.sleepers:
                return
            self._hurried = True
            self._ring_bell()
        if thread is not threading.current_thread():
            thread.join()

    def _ring_bell(self) -> None:
        if self._bell is not None:
            with contextlib.suppress(BlockingIOError):  # It is rung already.
                os.write(self._bell[1], b"!")

    # In the thread

    def _listen(self) -> None:
        pause = FIRST_RETRY
        while not self._over():
            try:
                run(self._ready(), do)
                pause = FIRST_RETRY
                self._rest()
            except (CeleriacError, psycopg.Error, OSError):
                self._session.drop()
                with self._lock:
                    self._heard = set()
                self._sleep(pause)
                pause = min(pause * 2, LONGEST_RETRY)

    def _over(self) -> bool:
        with self._lock:
            if self._alarm.sleepers or not (self._hurried or time.monotonic() > self._idle_since + LINGER):
                return False
            self._session.drop()
            self._heard = set()
            self._thread = None
            bell, self._bell = self._bell, None
            for end in bell or ():
                os.close(end)
            return True

    def _ready(self) -> Steps:
        session = self._session
        deadline = time.monotonic() + self._location.timeout
        yield from session.ready(deadline, installs=True)
        kinds = self._alarm.kinds
        for kind in kinds:
            if not session.pooled and kind not in self._heard:
                yield Ask(session.raw, f'LISTEN "{channel(self._location.schema, kind)}"', None, deadline)
        with self._listening:
            self._heard |= set(kinds)
            self._listening.notify_all()
        if not session.pooled:
            for kind in notified(session.raw):
                self._ring(kind, AGAIN_AFTER)

    def _rest(self) -> None:
        """Wait for what comes next: a notification, a second wake-up, a newcomer, the end."""
        session = self._session
        if session.pooled:
            self._look()
            self._sleep(self._alarm.pause)
        else:
            self._sleep(LINGER, session.raw.pgconn.socket)
            session.raw.pgconn.consume_input()
            for kind in notified(session.raw):
                self._ring(kind, AGAIN_AFTER)
        now = time.monotonic()
        for kind, at in list(self._again.items()):
            if at <= now:
                del self._again[kind]
                self._alarm.ring(kind)

    def _look(self) -> None:
        sql = within(self._location.schema, query("wake_look"))
        ((work, result),) = do(Ask(self._session.raw, sql, None, time.monotonic() + self._location.timeout))
        for kind in self._alarm.looked((work, result)):
            self._ring(kind, AGAIN_AFTER_LOOK)

    def _ring(self, kind: str, again: float) -> None:
        self._alarm.ring(kind)
        self._again[kind] = time.monotonic() + again

    def _sleep(self, seconds: float, socket: int | None = None) -> None:
        bell = self._bell
        assert bell is not None
        if self._again:
            seconds = max(0.0, min(seconds, min(self._again.values()) - time.monotonic()))
        poll = select.poll()
        poll.register(bell[0], select.POLLIN)
        if socket is not None:
            poll.register(socket, select.POLLIN)
        if any(fd == bell[0] for fd, _ in poll.poll(seconds * 1000 + 0.5)):
            os.read(bell[0], 4096)

    def _opened(self, raw: Any) -> None:
        raw.add_notify_handler(self._notified)
        with self._lock:
            self._heard = set()
        self._alarm.ring_all()

    def _notified(self, notify: Any) -> None:
        self._ring(notify.channel.rpartition(":")[2], AGAIN_AFTER)


class PostgresWaiter:
    """Waits in the calling thread.

    Args:
        find: Returns the hub of this process.
        kind: What it waits for.
    """

    def __init__(self, find: Callable[[], Hub], kind: str) -> None:
        self.kind: Final = kind
        self._find: Final = find
        self._hub: Hub | None = None
        self._woken = threading.Event()

    def wake(self) -> None:
        self._woken.set()

    def wait(self, timeout: float) -> bool:
        hub = self._find()
        if hub is not self._hub:  # The first time, or the first in a forked child.
            if self._hub is not None:
                Inherited.kept.append(self._hub)
                self._woken = threading.Event()
            self._hub = hub
            hub.join(self, max(timeout, 0.1))
            self._woken.clear()
            return True  # What came before is not known.
        if not self._woken.wait(timeout):
            return False
        self._woken.clear()
        return True

    def close(self) -> None:
        hub, self._hub = self._hub, None
        if hub is not None and hub.pid == os.getpid():
            hub.leave(self)


__all__ = ["AsyncPostgresWaiter", "Hub", "PostgresWaiter", "kind_of"]
