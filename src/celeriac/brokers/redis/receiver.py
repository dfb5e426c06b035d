"""How an owner's event loop hears that there is something for it, and takes what is handed over.

It is a connection of the loop's own. By the process's hub (:mod:`celeriac.brokers.redis.hub`) each wake-up would pass
through another thread first, which is a sixth of the idle latency.

Guarantees, as the hub's: the owner is woken once when the server has begun to listen for it, also after each loss of
the connection, and is told then that something may have been lost; a connection whose other end has vanished is found
out in a few seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Final

from celeriac.brokers.redis.exchange import Lost, TimeUp, Unreached
from celeriac.brokers.redis.failures import translate
from celeriac.brokers.redis.hub import FIRST_REST, LONGEST_REST, PATIENCE, PING_EVERY
from celeriac.brokers.redis.links import AsyncLink
from celeriac.brokers.redis.location import Location
from celeriac.brokers.redis.performers import AsyncRedisPerformer
from celeriac.brokers.redis.requests import Refused
from celeriac.core.chance import SYSTEM_RNG
from celeriac.errors import BrokerError, CeleriacError


class Receiver:
    """The waiter of one owner; made, used and closed in one event loop.

    Args:
        location: The server.
        channels: What to listen to.
        take: Called with what was published, if that is more than a call to look, and with nothing when something may
            have been lost before.
    """

    def __init__(self, location: Location, channels: Sequence[str], take: Callable[[bytes], None]) -> None:
        self._location: Final = location
        self._channels: Final = channels
        self._take: Final = take
        self._woken: Final = asyncio.Event()
        self._failure: CeleriacError | None = None
        self._served = False
        """Whether this connection has been of use: one that is let in, and then refused, is not."""
        self._loop: Final = asyncio.get_running_loop()
        self._listening: Final = self._loop.create_task(self._listen())

    async def wait(self, timeout: float) -> bool:
        """Return True when something may be new, False after ``timeout`` seconds.

        Raises:
            BrokerError: The server does not let us listen; once for each time that it says so.
        """
        if self._listening.done():
            self._listening.result()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._woken.wait()
        if self._woken.is_set():
            self._woken.clear()
            return True
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        return False

    async def close(self) -> None:
        """Listen no more. Safe to call twice."""
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)

    async def _listen(self) -> None:
        rest = FIRST_REST
        while True:
            self._served = False
            try:
                await self._hear_all()
            except BrokerError as exc:
                self._failure = exc
            except (CeleriacError, Unreached, Lost, TimeUp, OSError, EOFError):
                pass  # Who waits looks now and then, and finds the same trouble there.
            if self._served:
                rest = FIRST_REST
            await asyncio.sleep(rest * SYSTEM_RNG.uniform(0.5, 1.0))
            rest = min(rest * 2, LONGEST_REST)

    async def _hear_all(self) -> None:
        """Take what is published until the connection breaks."""
        link = await self._connect()
        watch = _Watch(link)
        try:
            link.say([["SUBSCRIBE", *self._channels]])
            missing = len(self._channels)
            while True:
                message = await link.hear()
                watch.spoken()
                if isinstance(message, Refused):
                    raise translate(message, self._location.name)
                kind = message[0]
                if kind == b"message":
                    if message[2]:
                        self._hand(message[2])
                    else:
                        self._woken.set()
                elif kind == b"subscribe":
                    missing -= 1
                    if not missing:
                        self._served = True
                        self._failure = None
                        self._hand(b"")
                        self._woken.set()
        finally:
            watch.end()
            await link.close()

    def _hand(self, published: bytes) -> None:
        try:
            self._take(published)
        except Exception as exc:  # Ours: we must not be deaf for it. What was handed over is found missing.
            self._loop.call_exception_handler({"message": "what was handed over could not be taken", "exception": exc})

    async def _connect(self) -> AsyncLink:
        finder = AsyncRedisPerformer(self._location)
        try:
            address = await finder.locate()
        finally:
            await finder.close()
        async with asyncio.timeout(self._location.connect_timeout):
            return await AsyncLink.open(self._location, address, self._location.connect_timeout)


class _Watch:
    """Ends a connection whose other end does not answer any more."""

    def __init__(self, link: AsyncLink) -> None:
        self._link: Final = link
        self._loop: Final = asyncio.get_running_loop()
        self._spoken = time.monotonic()
        self._timer = self._loop.call_later(PING_EVERY, self._look)

    def spoken(self) -> None:
        """The server has said something."""
        self._spoken = time.monotonic()

    def end(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _look(self) -> None:
        silent = time.monotonic() - self._spoken
        if silent >= PING_EVERY + PATIENCE:
            self._link.cut()
            return
        wait = PING_EVERY - silent
        if wait <= 0:
            self._link.say([["PING"]])
            wait = PATIENCE
        self._timer = self._loop.call_later(wait, self._look)
