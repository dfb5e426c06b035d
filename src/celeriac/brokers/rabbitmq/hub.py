"""The event loop behind blocking calls: one thread for each process, started with the first call.

So there is one implementation of the connection, and its heartbeats go out while the callers do something else. A
forked child starts a thread of its own; what its parent had belongs to the parent.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

T = TypeVar("T")


class Hub:
    """A thread that runs an event loop."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="celeriac-rabbitmq", daemon=True)
        self.thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run it there and return its result; an exception here (a soft time limit) cancels it."""
        future: Future[T] = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise


_hub: Hub | None = None
_starting = threading.Lock()
_inherited: list[Hub] = []


def hub() -> Hub:
    """Return the process's hub."""
    global _hub
    found = _hub
    if found is None:
        with _starting:
            found = _hub = _hub or Hub()
    return found


def _leave_to_parent() -> None:
    """Start over in a forked child; what the parent had stays unused, lest its end were felt there."""
    global _hub, _starting
    if _hub is not None:
        _inherited.append(_hub)
    _hub = None
    _starting = threading.Lock()


if hasattr(os, "register_at_fork"):  # Where it is missing there is no fork.
    os.register_at_fork(after_in_child=_leave_to_parent)
