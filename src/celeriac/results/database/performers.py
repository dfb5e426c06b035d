"""Has requests carried out, and waits for the reply: blocking, or on an event loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
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
        ticket = desk.ask(self, request)
        done, _ = concurrent.futures.wait((ticket.future,), ticket.left)
        if done:
            return ticket.future.result()
        raise desk.give_up(ticket)

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
        ticket = desk.ask(self, request)
        waiting = asyncio.wrap_future(ticket.future)
        done, _ = await asyncio.wait([waiting], timeout=ticket.left)
        if done:
            return waiting.result()
        waiting.cancel()
        raise desk.give_up(ticket)

    async def close(self) -> None:
        """Close the connections unless others use them; the next request opens them again."""
        self._desk().leave(self)
