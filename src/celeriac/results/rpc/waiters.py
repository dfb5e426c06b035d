"""Waits for results that come to this process."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable

from celeriac.results.rpc.mailbox import Mailbox


class RpcWaiter:
    """Waits in the calling thread."""

    def __init__(self, mailbox: Callable[[], Mailbox]) -> None:
        self._listeners = mailbox().listeners
        self._news = threading.Event()
        self._listeners.add(self._news.set)
        self._tell = self._news.set

    def wait(self, timeout: float) -> bool:
        found = self._news.wait(max(0.0, timeout))
        self._news.clear()
        return found

    def close(self) -> None:
        self._listeners.discard(self._tell)


class AsyncRpcWaiter:
    """The awaiting twin of :class:`RpcWaiter`."""

    def __init__(self, mailbox: Callable[[], Mailbox]) -> None:
        self._listeners = mailbox().listeners
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._tell = self._told
        self._listeners.add(self._tell)

    def _told(self) -> None:
        with contextlib.suppress(RuntimeError):  # The loop has ended, so nobody waits.
            self._loop.call_soon_threadsafe(self._news.set)

    async def wait(self, timeout: float) -> bool:
        try:
            async with asyncio.timeout(max(0.0, timeout)):
                await self._news.wait()
        except TimeoutError:
            return False
        self._news.clear()
        return True

    async def close(self) -> None:
        self._listeners.discard(self._tell)
