"""The means of a simulated process: its threads, flags, queues and interrupts, all on the world's time."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from celeriac.testing.simulation.process import Process
from celeriac.testing.simulation.strands import Strand
from celeriac.worker.interrupt import Interrupter

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")


class Flag:
    """:class:`celeriac.worker.threads.Wakeup` for strands."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._set = False
        self._waiting: list[Strand] = []

    def set(self) -> None:
        self._set = True
        for strand in self._waiting:
            strand.wake()

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float) -> bool:
        strand = self._process.here()
        if not self._set:
            self._waiting.append(strand)
            try:
                strand.pause(timeout)
            finally:
                self._waiting.remove(strand)
        return self._set


class Line:
    """:class:`celeriac.worker.threads.Backlog` for strands."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._items: deque[Any] = deque()
        self._waiting: deque[Strand] = deque()

    def put(self, item: Any) -> None:
        self._items.append(item)
        if self._waiting:
            self._waiting.popleft().wake()

    def get(self) -> Any:
        strand = self._process.here()
        while not self._items:
            self._waiting.append(strand)
            strand.pause(None)
            if strand in self._waiting:
                self._waiting.remove(strand)
        return self._items.popleft()

    def get_nowait(self) -> Any:
        if not self._items:
            raise queue.Empty
        return self._items.popleft()

    def qsize(self) -> int:
        return len(self._items)


class StrandInterrupter:
    """Interrupts a run in a strand where it blocks, as a signal does in a main thread."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._strand: Strand | None = None
        self._run = 0
        self._guarded = False

    def install(self) -> None:
        self._strand = self._process.here()

    def begin(self) -> int:
        self._run += 1
        return self._run

    def guard(self, invoke: Callable[[], Any]) -> Any:
        self._guarded = True
        try:
            return invoke()
        finally:
            self._guarded = False

    def interrupt(self, run: int, exc: BaseException) -> None:
        if self._guarded and run == self._run and self._strand is not None:
            self._strand.throw(exc)

    def nudge(self) -> None:
        """Nothing is needed: what blocks is interrupted."""


class SimulatedThreads:
    """:class:`celeriac.worker.threads.Threads` of one process."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def thread(self, target: Callable[[], None], name: str) -> Strand:
        return Strand(self._process, target, name)

    def wakeup(self) -> Flag:
        return Flag(self._process)

    def backlog(self) -> Line:
        return Line(self._process)

    def interrupters(self, threads: int) -> list[Interrupter]:
        return [StrandInterrupter(self._process) for _ in range(max(1, threads))]

    def give_way(self) -> None:
        """Strands take turns at their own points."""

    def result(self, coroutine: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop, timeout: float) -> T:
        strand = self._process.here()
        done: list[asyncio.Task[T]] = []

        def begin() -> None:
            loop.create_task(coroutine).add_done_callback(finished)

        def finished(task: asyncio.Task[T]) -> None:
            done.append(task)
            strand.wake()

        loop.call_soon_threadsafe(begin)
        until = self._process.world.now + timeout
        try:
            while not done:
                left = until - self._process.world.now
                if left <= 0:
                    raise TimeoutError
                strand.pause(left)
        except BaseException:
            coroutine.close()
            raise
        return done[0].result()
