"""Slots for plain functions: the process's main thread, or a number of threads.

Deliveries wait in one backlog, from which each slot takes the next when it is free. Until a slot takes it, a delivery
can be taken back.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from functools import partial

from celeriac.core.message import Delivery, Settlement
from celeriac.execution.call import execute
from celeriac.execution.conclude import settle_crash
from celeriac.execution.record import Call
from celeriac.worker.appetite import FIRST_MEAN, Room, RunTimes
from celeriac.worker.runs import FOREVER, Home, Run, admit, given_back, may_begin, must_start_first
from celeriac.worker.threads import SYSTEM_THREADS, Backlog, Threads


class SyncSlots:
    """Runs plain functions."""

    def __init__(
        self,
        home: Home,
        *,
        threads: int,
        start_first: Callable[[Call], bool],
        machine: Threads = SYSTEM_THREADS,
    ) -> None:
        """Create the slots.

        Args:
            home: The engine.
            threads: Number of threads; 0 means the main thread, which must then call :meth:`run_main`.
            start_first: Records a start with the broker and returns whether the lease still holds; blocking.
            machine: Where threads come from.
        """
        self._home = home
        self._start_first = start_first
        self._backlog: Backlog[Delivery | None] = machine.backlog()
        self._give_way = machine.give_way
        self._clock = home.surroundings.clock
        self._stopped = False
        self.count = max(1, threads)
        self._given = 0
        # One counter for each slot, so that no two threads write the same one.
        self._done = [0] * self.count
        self._handed_over = [0] * self.count
        self.runs = 0
        self.times = RunTimes(self.count * FIRST_MEAN)  # Several run at once, so each guess counts for less time.
        self.running: list[Run | None] = [None] * self.count
        self._interrupters = machine.interrupters(threads)
        self._threads = [
            machine.thread(partial(self._work, index), f"celeriac-slot-{index}") for index in range(threads)
        ]

    def run_main(self) -> None:
        """Be the slot of the main thread, or start the threads and wait for them, until :meth:`stop`."""
        if not self._threads:
            self._work(0)
        for thread in self._threads:
            thread.start()
        for thread in self._threads:
            thread.join()

    def stop(self) -> None:
        """Let each slot end after what it runs now."""
        self._stopped = True
        for _ in range(self.count):
            self._backlog.put(None)

    def put(self, deliveries: Sequence[Delivery]) -> None:
        """Add deliveries, in order."""
        idle = not self.held
        self._given += len(deliveries)
        for delivery in deliveries:
            self._backlog.put(delivery)
        if idle and deliveries:
            self._give_way()

    def take_back(self) -> list[Delivery]:
        """Remove and return every delivery that no slot has taken yet."""
        taken: list[Delivery] = []
        while True:
            try:
                delivery = self._backlog.get_nowait()
            except queue.Empty:
                break
            if delivery is not None:
                taken.append(delivery)
        if self._stopped:
            self.stop()
        self._given -= len(taken)
        return taken

    @property
    def waiting(self) -> int:
        """Deliveries that no slot has taken yet."""
        return self._backlog.qsize()

    @property
    def held(self) -> int:
        """Deliveries that are here, running or not."""
        return self._given - sum(self._done)

    @property
    def idle(self) -> bool:
        """Nothing is here, and the settlement of everything that was has been handed over."""
        return self._given == sum(self._handed_over)

    def newest_start(self) -> float | None:
        """Return when the most recent run began, if every slot is busy."""
        starts = [run.started for run in self.running if run is not None]
        return max(starts) if len(starts) == self.count else None

    def room(self) -> Room:
        """Return what the slots are busy with."""
        since = self.times.long_since(self._clock.monotonic())
        stuck = sum(run is not None and run.started < since for run in self.running)
        return Room(
            slots=self.count - stuck,
            held=self.held - stuck,
            mean=self.times.mean,
            newest_start=self.newest_start(),
        )

    def _work(self, index: int) -> None:
        self._interrupters[index].install()
        take = self._backlog.get
        while (delivery := take()) is not None:
            try:
                settlement = self._deliver(index, delivery)
            except BaseException as exc:  # An interrupt that arrived a moment after its run.
                settlement = settle_crash(delivery, self._home.surroundings, exc)
            self._home.table.free(index)
            self.running[index] = None
            # Done first: whoever is woken by what comes next must find room here.
            self._done[index] += 1
            self._home.finished(settlement)
            self._handed_over[index] += 1

    def _deliver(self, index: int, delivery: Delivery) -> Settlement | None:
        home = self._home
        losses = home.table.losses
        call = admit(home, delivery, self._clock.monotonic())
        if type(call) is Settlement:
            return call
        assert type(call) is Call
        if must_start_first(call) and not self._start_first(call):
            return None
        now = self._clock.monotonic()  # A round trip before is no part of the task's time.
        interrupter = self._interrupters[index]
        number = interrupter.begin()
        hard, soft = call.time_limits
        self.running[index] = Run(
            delivery.lease,
            now,
            soft,
            interrupt=lambda exc: interrupter.interrupt(number, exc),
            nudge=interrupter.nudge,
        )
        home.table.occupy(index, delivery.lease, now, FOREVER if hard is None else now + hard)
        # The last step before the task's code: this process may have been stopped in any of those before.
        if not may_begin(home, losses, self._clock.monotonic()):
            return given_back(delivery)
        settlement = execute(call, home.surroundings, interrupter.guard)
        self.times.learn(self._clock.monotonic() - now)
        self.runs += 1
        return settlement
