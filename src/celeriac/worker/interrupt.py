"""Stopping a running task from outside: soft time limits and revocation.

The main thread is interrupted by a signal, whose Python handler raises there, so that even a blocking system call ends;
other threads get an asynchronous exception, which arrives when they next run Python code; coroutines are cancelled, and
the cancellation is replaced by the exception meant. In all three an interrupt reaches the run it was meant for or
nothing: each run has a number, and only code inside the guard is interrupted.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib
import os
import signal
import threading
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Final, Protocol

from celeriac.worker import forks

INTERRUPT_SIGNAL: Final = signal.SIGUSR1
_NUMBER: Final = int(INTERRUPT_SIGNAL)
_handler_of: Final[Callable[[int], object]] = importlib.import_module("_signal").getsignal
"""What signal.getsignal is made of. That tries first whether a handler is a number, by an exception for each task."""


class Interrupter(Protocol):
    """Guards the task's code of one slot and interrupts it."""

    def install(self) -> None:
        """Get ready; called once, in the slot's own thread, before anything runs in it."""
        ...

    def guard(self, invoke: Callable[[], Any]) -> Any:
        """Return ``invoke()``; only inside it do interrupts arrive."""
        ...

    def interrupt(self, run: int, exc: BaseException) -> None:
        """Raise ``exc`` in run number ``run`` if that still runs; from any thread."""
        ...

    def nudge(self) -> None:
        """Send an interrupt again that has not arrived yet; called now and then while one is due."""
        ...

    def begin(self) -> int:
        """Start the next run and return its number."""
        ...


class MainThreadInterrupter:
    """For the slot that is a process's main thread."""

    def __init__(self) -> None:
        self._run = 0
        self._guarded = False
        self._pending: tuple[int, BaseException] | None = None
        self._thread = threading.main_thread().ident or 0

    def install(self) -> None:
        """Install the signal handler; only the main thread may."""
        signal.signal(INTERRUPT_SIGNAL, self._handle)

    def begin(self) -> int:
        if _handler_of(_NUMBER) != self._handle:
            self.install()  # An earlier task has put a handler of its own in place, or none, which would be deadly.
        self._run += 1
        return self._run

    def guard(self, invoke: Callable[[], Any]) -> Any:
        self._guarded = True
        try:
            value = forks.call(invoke)
            self._guarded = False
        except BaseException:
            # Also where the interrupt came after the last line of the task's code and before the line above.
            self._guarded = False
            raise
        return value

    def interrupt(self, run: int, exc: BaseException) -> None:
        self._pending = (run, exc)
        signal.pthread_kill(self._thread, INTERRUPT_SIGNAL)

    def nudge(self) -> None:
        # A signal that comes a moment before a blocking call begins does not end it; the next one does.
        pending = self._pending
        if pending is not None and pending[0] == self._run and self._guarded:
            signal.pthread_kill(self._thread, INTERRUPT_SIGNAL)

    def _handle(self, _signal: int, _frame: types.FrameType | None) -> None:
        pending, self._pending = self._pending, None
        if self._guarded and pending is not None and pending[0] == self._run:
            raise pending[1]


class ThreadInterrupter:
    """For a slot that is another thread."""

    def __init__(self) -> None:
        self._run = 0
        self._thread: int | None = None
        self._sent = False
        self._lock = threading.Lock()

    def install(self) -> None:
        """Nothing is needed."""

    def begin(self) -> int:
        self._run += 1
        return self._run

    def guard(self, invoke: Callable[[], Any]) -> Any:
        with self._lock:
            self._thread = threading.get_ident()
            self._sent = False
        try:
            value = forks.call(invoke)
            self._close()
        except BaseException:
            self._close()  # Again, where the interrupt arrived inside the first.
            raise
        return value

    def _close(self) -> None:
        with self._lock:
            if self._sent and self._thread is not None:
                # It may not have arrived yet, and must not arrive in what comes next.
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), None)
            self._thread = None

    def interrupt(self, run: int, exc: BaseException) -> None:
        with self._lock:
            if self._thread is not None and run == self._run:
                self._sent = True
                kind = ctypes.py_object(_ready_made(exc))
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), kind)

    def nudge(self) -> None:
        """Nothing is needed: the exception waits for the thread."""


def _ready_made(exc: BaseException) -> type[BaseException]:
    """Return a class like the exception's whose instances say what it says: CPython takes no instance for a thread."""
    kind = type(exc)
    arguments = exc.args

    def init(self: BaseException) -> None:
        kind.__init__(self, *arguments)

    names = {"__init__": init, "__module__": kind.__module__, "__qualname__": kind.__qualname__}
    return type(kind.__name__, (kind,), names)


class CoroutineInterrupter:
    """For one coroutine run: wraps the coroutine so that a cancellation can carry an exception of ours."""

    def __init__(self) -> None:
        self._task: asyncio.Task[Any] | None = None
        self._exc: BaseException | None = None

    def guard(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Return an awaitable that runs the coroutine in the current asyncio task."""
        self._task = asyncio.current_task()
        return self._drive(coroutine)

    def interrupt(self, exc: BaseException) -> None:
        """Raise ``exc`` where the coroutine awaits; from the loop's own thread."""
        if self._task is not None and not self._task.done():
            self._exc = exc
            self._task.cancel()

    @types.coroutine
    def _drive(self, coroutine: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
        pid = os.getpid()
        try:
            awaited = coroutine.send(None)
            while True:
                if os.getpid() != pid:
                    forks.leave(None)
                try:
                    value = yield awaited
                except BaseException as exc:
                    awaited = coroutine.throw(self._replace(exc))
                else:
                    awaited = coroutine.send(value)
        except StopIteration as stop:
            if os.getpid() != pid:
                forks.leave(None)
            return stop.value
        except BaseException as exc:
            if os.getpid() != pid:
                forks.leave(exc)
            raise
        finally:
            self._task = None
            coroutine.close()

    def _replace(self, exc: BaseException) -> BaseException:
        if isinstance(exc, asyncio.CancelledError) and self._exc is not None:
            meant, self._exc = self._exc, None
            if self._task is not None:
                self._task.uncancel()
            return meant
        return exc
