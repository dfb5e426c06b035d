"""Waiting until the server tells that something is new; see :mod:`celeriac.brokers.redis.hub`.

A new waiter is woken once when the server listens for it: so what happened before that is looked for, and nothing is
missed.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterable
from typing import Final

from celeriac.brokers.redis.hub import Ear, Hub
from celeriac.errors import CeleriacError


class _Waiter:
    """What both waiters have in common."""

    def __init__(self, hub: Hub, channels: Iterable[str]) -> None:
        self._hub: Final = hub
        self._told: CeleriacError | None = None
        self._closed = False
        self._ear: Final = Ear(channels, self._wake)
        self._life = hub.life
        hub.join(self._ear)

    def _wake(self) -> None:
        raise NotImplementedError

    def _joined(self) -> bool:
        """Join again in a forked child; return whether that was needed."""
        if self._life is self._hub.life:
            return False
        self._life = self._hub.life
        self._hub.join(self._ear)
        return True

    def _complain(self) -> None:
        """Raise the server's refusal to let us listen, once for each."""
        failure = self._hub.failure
        if failure is not None and failure is not self._told:
            self._told = failure
            raise failure

    def _leave(self) -> None:
        if not self._closed:
            self._closed = True
            self._hub.leave(self._ear)

    def __del__(self) -> None:
        if hasattr(self, "_ear"):
            self._leave()


class RedisWaiter(_Waiter):
    """Waits in the calling thread."""

    def __init__(self, hub: Hub, channels: Iterable[str]) -> None:
        self._event = threading.Event()
        super().__init__(hub, channels)

    def wait(self, timeout: float) -> bool:
        if self._life is not self._hub.life:
            self._event = threading.Event()  # The other's lock may have been held at the fork.
            self._joined()
        if self._event.wait(timeout):
            self._event.clear()
            return True
        self._complain()
        return False

    def close(self) -> None:
        self._leave()

    def _wake(self) -> None:
        self._event.set()


class AsyncRedisWaiter(_Waiter):
    """The awaiting twin of :class:`RedisWaiter`; the hub's thread hands over to the event loop that waits."""

    def __init__(self, hub: Hub, channels: Iterable[str]) -> None:
        self._woken = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._event = asyncio.Event()
        super().__init__(hub, channels)

    async def wait(self, timeout: float) -> bool:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._event = asyncio.Event()
            self._loop = loop
        self._joined()
        if not self._woken:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._event.wait()
        self._event.clear()
        if self._woken:
            self._woken = False
            return True
        self._complain()
        return False

    async def close(self) -> None:
        self._leave()

    def _wake(self) -> None:
        if not self._woken:
            self._woken = True
            loop = self._loop
            if loop is not None:
                with contextlib.suppress(RuntimeError):  # The loop has ended, so nobody waits.
                    loop.call_soon_threadsafe(self._hand_over)

    def _hand_over(self) -> None:
        if self._woken:
            self._event.set()
