"""An asyncio event loop of a simulated process: it has no selector, and its time is the world's."""

from __future__ import annotations

import asyncio
from asyncio import events
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVarTuple, Unpack

from celeriac.testing.simulation.world import Life

if TYPE_CHECKING:
    from contextvars import Context

Ts = TypeVarTuple("Ts")


class VirtualLoop(asyncio.AbstractEventLoop):
    """What the engine of a child process needs of a loop.

    Args:
        process: Whose loop it is.
    """

    def __init__(self, process: Life) -> None:
        self._process = process
        self.tasks: list[asyncio.Task[Any]] = []

    def time(self) -> float:
        return self._process.world.now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return self._process.alive

    def is_closed(self) -> bool:
        return not self._process.alive

    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._process.post(lambda: self._run(handle))
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self, delay: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)

        def due() -> None:
            if not handle.cancelled():
                self._process.post(lambda: self._run(handle))

        self._process.world.at(when, due)
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Asked for by asyncio; a cancelled timer is skipped when it is due."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Coroutine[Any, Any, Any] | Any,
        *,
        name: str | None = None,
        context: Context | None = None,
        **options: Any,
    ) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name, context=context)
        self.tasks.append(task)
        if len(self.tasks) > 64:
            self.tasks = [one for one in self.tasks if not one.done()]
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self._process.alive and (exc := context.get("exception")) is not None:
            self._process.failed(str(context.get("message")), exc)

    def _run(self, handle: asyncio.Handle) -> None:
        if not handle.cancelled():
            events._set_running_loop(self)  # pyright: ignore[reportPrivateUsage]
            try:
                handle._run()  # pyright: ignore
            finally:
                events._set_running_loop(None)  # pyright: ignore[reportPrivateUsage]

    def enter(self, act: Callable[[], Any]) -> Any:
        """Return ``act()``, called as code of this loop."""
        events._set_running_loop(self)  # pyright: ignore[reportPrivateUsage]
        try:
            return act()
        finally:
            events._set_running_loop(None)  # pyright: ignore[reportPrivateUsage]

    def abandon(self) -> None:
        """Close every coroutine, now that the process is dead."""
        for task in self.tasks:
            if not task.done():
                coroutine = task.get_coro()
                if not getattr(coroutine, "cr_running", False):
                    try:
                        self.enter(coroutine.close)
                    except (RuntimeError, ValueError):
                        continue  # Code that goes on after the end; nobody hears of it.
        self.tasks.clear()
