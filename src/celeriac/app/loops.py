"""The few things that are needed of asyncio, which is imported with the first use of one of them.

Importing asyncio takes as long as importing half of Celeriac, and a program that only sends tasks from blocking code
does not need it.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    import asyncio

P = ParamSpec("P")
T = TypeVar("T")


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the running event loop.

    Raises:
        RuntimeError: None is running in this thread.
    """
    import asyncio

    return asyncio.get_running_loop()


async def sleep(seconds: float) -> None:
    """Let the event loop do other things for so long."""
    import asyncio

    await asyncio.sleep(seconds)


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking function in a thread, in the caller's context, without blocking the event loop."""
    import asyncio

    return await asyncio.to_thread(function, *args, **kwargs)


def finish(start: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end for a blocking caller, who may himself be inside an event loop.

    Args:
        start: Returns the coroutine.
    """
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(start())
    found: list[T] = []
    failed: list[BaseException] = []
    context = contextvars.copy_context()

    def run() -> None:
        try:
            found.append(context.run(asyncio.run, start()))
        except BaseException as exc:
            failed.append(exc)

    thread = threading.Thread(target=run, name="celeriac-eager")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return found[0]
