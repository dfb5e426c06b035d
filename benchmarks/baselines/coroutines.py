"""Calling a library of coroutines as the producer does: from blocking code, and from coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final


class Loop:
    """The event loop of a sending process, made with the first blocking call, and what it opens first."""

    def __init__(self, open: Callable[[], Awaitable[Any]] | None = None) -> None:
        self._open: Final = open
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, awaitable: Awaitable[Any]) -> Any:
        """Wait for it, from blocking code."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            if self._open is not None:
                self._loop.run_until_complete(_awaited(self._open()))
        return self._loop.run_until_complete(_awaited(awaitable))

    def together(self, send: Callable[[], Awaitable[Any]], count: int, at_once: int = 1_000) -> Any:
        """Send many, so many at once; return what the last one gave."""

        async def part(size: int) -> Any:
            return (await asyncio.gather(*(send() for _ in range(size))))[-1]

        last = None
        for begin in range(0, count, at_once):
            last = self.run(part(min(at_once, count - begin)))
        return last


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


class Task:
    """A task that is sent by a coroutine.

    Args:
        loop: For blocking calls.
        send: Sends it with the given arguments.
        open: Opens what a coroutine of another event loop needs, once.
    """

    def __init__(
        self, loop: Loop, send: Callable[..., Awaitable[Any]], open: Callable[[], Awaitable[Any]] | None = None
    ) -> None:
        self._loop = loop
        self.send = send
        self._open = open
        self._opened: asyncio.Future[Any] | None = None

    def delay(self, *args: Any) -> Any:
        """Send it, blocking."""
        return self._loop.run(self.send(*args))

    async def adelay(self, *args: Any) -> Any:
        """Send it."""
        if self._open is not None:
            if self._opened is None:
                self._opened = asyncio.ensure_future(_awaited(self._open()))
            await self._opened
        return await self.send(*args)
