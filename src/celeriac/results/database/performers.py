"""Has requests carried out, and waits for the reply: blocking, or on an event loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from collections.abc import Callable
from typing import Any

from celeriac.results.database.desk import Desk
from celeriac.results.database.requests import Request


class DatabasePerformer:
    """Does requests in the process's threads for the database. Safe to share between threads, and across forks.

    Args:
        desk: Returns the process's desk.
    """

    def __init__(self, desk: Callable[[], Desk]) -> None:
        self._desk = desk

    def perform(self, request: Request) -> Any:
        desk = self._desk()
        future, deadline = desk.ask(self, request)
        try:
            return future.result(deadline - time.monotonic())
        except concurrent.futures.TimeoutError:
            if future.done():
                raise
        raise desk.give_up(future)

    def close(self) -> None:
        """Close the connections unless others use them; the next request opens them again."""
        self._desk().leave(self)


class AsyncDatabasePerformer:
    """The awaiting twin: the same threads work, and the event loop goes on meanwhile.

    A call that is cancelled leaves nothing half done: what has begun is carried out to the end.
    """

    def __init__(self, desk: Callable[[], Desk]) -> None:
        self._desk = desk

    async def perform(self, request: Request) -> Any:
        desk = self._desk()
        future, deadline = desk.ask(self, request)
        waiting = asyncio.wrap_future(future)
        done, _ = await asyncio.wait([waiting], timeout=deadline - time.monotonic())
        if done:
            return waiting.result()
        waiting.cancel()
        raise desk.give_up(future)

    async def close(self) -> None:
        """Close the connections unless others use them; the next request opens them again."""
        self._desk().leave(self)
