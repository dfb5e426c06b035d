"""The threads of a worker, and what they wait on: one seam, so that a simulation can run the same code without any.

Everything in the worker that starts a thread, or blocks in one, asks a :class:`Threads` for the means. Those of the
machine are :data:`SYSTEM_THREADS`; ``celeriac.testing.simulation`` has others, which take turns on a virtual clock.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, Protocol, TypeVar

from celeriac.worker.interrupt import Interrupter, MainThreadInterrupter, ThreadInterrupter

T = TypeVar("T")

WAKE_UP: Final = 50e-6
"""Seconds that a sleeping thread needs until it asks for the interpreter's lock."""


class Wakeup(Protocol):
    """A flag that a thread can wait for; :class:`threading.Event` is one."""

    def set(self) -> None: ...

    def clear(self) -> None: ...

    def wait(self, timeout: float) -> bool:
        """Return True if the flag is set, at the latest after ``timeout`` seconds."""
        ...


class Backlog(Protocol, Generic[T]):
    """A queue without an end; :class:`queue.SimpleQueue` is one."""

    def put(self, item: T) -> None: ...

    def get(self) -> T:
        """Return the next item, as soon as there is one."""
        ...

    def get_nowait(self) -> T:
        """Return the next item.

        Raises:
            queue.Empty: There is none.
        """
        ...

    def qsize(self) -> int: ...


class Thread(Protocol):
    """A thread that has been made; :class:`threading.Thread` is one."""

    def start(self) -> None: ...

    def join(self, timeout: float | None = None) -> None: ...

    def is_alive(self) -> bool: ...


class Threads(Protocol):
    """Where a worker's threads come from."""

    def thread(self, target: Callable[[], None], name: str) -> Thread:
        """Return a new thread, not started; it does not keep its process alive."""
        ...

    def wakeup(self) -> Wakeup:
        """Return a new flag."""
        ...

    def backlog(self) -> Backlog[Any]:
        """Return a new queue."""
        ...

    def interrupters(self, threads: int) -> list[Interrupter]:
        """Return what interrupts tasks in so many threads; for 0, in the main thread."""
        ...

    def give_way(self) -> None:
        """Let a thread begin that was woken just now, instead of after whatever this one still has to do."""
        ...

    def result(self, coroutine: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop, timeout: float) -> T:
        """Run a coroutine in another thread's loop, block until it is done, and return its result.

        Raises:
            TimeoutError: It took over ``timeout`` seconds.
        """
        ...


class SystemThreads:
    """The machine's own."""

    def thread(self, target: Callable[[], None], name: str) -> threading.Thread:
        return threading.Thread(target=target, name=name, daemon=True)

    def wakeup(self) -> threading.Event:
        return threading.Event()

    def backlog(self) -> queue.SimpleQueue[Any]:
        return queue.SimpleQueue()

    def interrupters(self, threads: int) -> list[Interrupter]:
        return [ThreadInterrupter() for _ in range(threads)] if threads else [MainThreadInterrupter()]

    def give_way(self) -> None:
        # The interpreter's lock is let go of for as long as a thread needs to wake up; without, it waits for it up to
        # sys.getswitchinterval(), five milliseconds.
        time.sleep(WAKE_UP)

    def result(self, coroutine: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop, timeout: float) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(timeout)


SYSTEM_THREADS = SystemThreads()
