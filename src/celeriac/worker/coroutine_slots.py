"""Slots for coroutine functions: asyncio tasks on the engine's loop, many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from celeriac.core.message import Delivery, Settlement
from celeriac.errors import TimeLimitExceeded
from celeriac.execution.call import aexecute
from celeriac.execution.conclude import settle_crash
from celeriac.execution.record import Call
from celeriac.worker.appetite import FIRST_MEAN, Room, RunTimes
from celeriac.worker.interrupt import CoroutineInterrupter
from celeriac.worker.runs import FOREVER, Home, Run, admit, given_back, may_begin, must_start_first

HARD_LIMIT_MARGIN: Final = 1.0
"""Seconds that a coroutine has to end after its hard limit before its process is ended: others run in there, too."""


class CoroutineSlots:
    """Runs coroutine functions."""

    def __init__(
        self,
        home: Home,
        *,
        count: int,
        first_row: int,
        start_first: Callable[[Call], Awaitable[bool]],
        freed: Callable[[], None],
    ) -> None:
        """Create the slots.

        Args:
            home: The engine.
            count: How many coroutines run at once.
            first_row: Their first row in the slot table.
            start_first: Records a start with the broker and returns whether the lease still holds.
            freed: Called when a slot is free again.
        """
        self._home = home
        self._start_first = start_first
        self._freed = freed
        self._rows = list(range(first_row + count - 1, first_row - 1, -1))
        self._tasks: set[asyncio.Task[None]] = set()
        self._newest_start = 0.0
        self.count = count
        self.runs = 0
        self.running: dict[int, Run] = {}
        self.times = RunTimes(count * FIRST_MEAN)  # Many run at once, so each guess counts for less time.

    @property
    def free(self) -> int:
        """Slots that run nothing."""
        return len(self._rows)

    @property
    def busy(self) -> int:
        """Slots that run a task."""
        return self.count - len(self._rows)

    def room(self, waiting: int) -> Room:
        """Return what the slots are busy with, while so many deliveries wait for one."""
        since = self.times.long_since(self._home.surroundings.clock.monotonic())
        stuck = 0
        for run in self.running.values():  # In the order of their starts.
            if run.started >= since:
                break
            stuck += 1
        return Room(
            slots=self.count - stuck,
            held=self.busy - stuck + waiting,
            mean=self.times.mean,
            newest_start=None if self._rows else self._newest_start,
        )

    def spawn(self, delivery: Delivery) -> None:
        """Run a delivery in a free slot; the caller has looked at :attr:`free`."""
        taken = self._newest_start = self._home.surroundings.clock.monotonic()
        task = asyncio.get_running_loop().create_task(self._work(self._rows.pop(), delivery, taken))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, row: int, delivery: Delivery, taken: float) -> None:
        home = self._home
        settlement: Settlement | None = None
        try:
            settlement = await self._deliver(row, delivery, taken)
        except BaseException as exc:  # An interrupt that arrived a moment after its run.
            settlement = settle_crash(delivery, home.surroundings, exc)
        finally:
            home.table.free(row)
            self.running.pop(row, None)
            self._rows.append(row)
            if settlement is not None:
                home.finished(settlement)
            self._freed()

    async def _deliver(self, row: int, delivery: Delivery, taken: float) -> Settlement | None:
        home = self._home
        clock, losses = home.surroundings.clock, home.table.losses
        call = admit(home, delivery, clock.monotonic())
        if type(call) is Settlement:
            return call
        assert type(call) is Call
        if must_start_first(call) and not await self._start_first(call):
            return None
        now = clock.monotonic()  # A round trip before is no part of the task's time.
        interrupter = CoroutineInterrupter()
        hard, soft = call.time_limits
        self.running[row] = Run(delivery.lease, now, soft, interrupt=interrupter.interrupt)
        home.table.occupy(row, delivery.lease, now, FOREVER if hard is None else now + hard + HARD_LIMIT_MARGIN)
        # The last step before the task's code: this process may have been stopped in any of those before.
        if not may_begin(home, losses, clock.monotonic()):
            return given_back(delivery)
        timer = None
        if hard is not None:
            exc = TimeLimitExceeded(f"hard time limit of {hard} s exceeded")
            timer = asyncio.get_running_loop().call_later(hard, interrupter.interrupt, exc)
        try:
            settlement = await aexecute(call, home.surroundings, interrupter.guard)
        finally:
            if timer is not None:
                timer.cancel()
        # With the wait for the loop: coroutines that never wait themselves take one turn after the other.
        self.times.learn(clock.monotonic() - taken)
        self.runs += 1
        return settlement
