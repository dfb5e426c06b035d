"""Threads that do a database's work, so that whoever asks can stop waiting.

Most client libraries block, and cannot be told to give up. Here a caller, blocking or on an event loop, waits for the
answer until its deadline and no longer; the thread that still waits for the server is left behind, and another takes
its place. Threads start when there is work for them, and end when there is none for a while.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, TypeAlias

IDLE: Final = 30.0
"""Seconds without work after which a thread ends."""

_Job: TypeAlias = "tuple[Future[Any], Callable[[], Any]]"


class Crew:
    """Does work in threads of its own.

    Args:
        size: Most threads at once.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._threads = 0
        self._idle = 0
        self._dismissed = False

    def submit(self, work: Callable[[], Any]) -> Future[Any]:
        """Have this done by the next thread that is free."""
        future: Future[Any] = Future()
        with self._changed:
            self._jobs.append((future, work))
            if self._idle >= len(self._jobs):
                self._changed.notify()
            elif self._threads < self._size:
                self._threads += 1
                threading.Thread(target=self._work, name="celeriac-database", daemon=True).start()
        return future

    def dismiss(self) -> None:
        """Let the threads end when they have done what they were given."""
        with self._changed:
            self._dismissed = True
            self._changed.notify_all()

    def _next(self) -> _Job | None:
        with self._changed:
            self._idle += 1
            while not self._jobs and not self._dismissed and self._changed.wait(IDLE):
                continue
            self._idle -= 1
            if self._jobs:
                return self._jobs.popleft()
            self._threads -= 1
            return None

    def _work(self) -> None:
        while (job := self._next()) is not None:
            future, work = job
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(work())
                except BaseException as exc:
                    future.set_exception(exc)
            del job, future, work  # Not to be kept alive until the next job comes.
