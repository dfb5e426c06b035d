"""The engine of one child process: claims, runs coroutines, settles, listens to the supervisor.

It lives on an event loop in its own thread; the main thread (or ``threads`` threads) runs plain functions beside it.
The engine never blocks on a task, so claiming, settling and giving back go on whatever tasks do, short of holding the
GIL; and the lease is renewed by the supervisor even then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any, Final, NamedTuple, Protocol

from celeriac.brokers.deadline import Until
from celeriac.brokers.facade import AsyncBroker
from celeriac.core.message import Settlement, Start, StoredResult
from celeriac.errors import CeleriacError
from celeriac.execution import results as stored_results
from celeriac.execution.record import Call
from celeriac.execution.runnable import Surroundings
from celeriac.execution.steps import if_revoked
from celeriac.worker.coroutine_slots import CoroutineSlots
from celeriac.worker.fetcher import Fetcher
from celeriac.worker.holdings import Auditor, Holdings
from celeriac.worker.memory import resident_kib
from celeriac.worker.options import WorkerOptions
from celeriac.worker.settler import Settler
from celeriac.worker.slots import SlotTable
from celeriac.worker.sync_slots import SyncSlots
from celeriac.worker.threads import SYSTEM_THREADS, Threads

WATCH: Final = 0.01
"""Seconds between two looks at running tasks while any run."""
SOONEST_WATCH: Final = 0.001
IDLE_WATCH: Final = 1.0
"""Seconds between two looks at the memory of a process that does nothing, where it has a limit."""
REVOKED_FOR: Final = 5.0
"""Seconds for which a claimed task that was revoked does not start, beyond twice the work that is claimed ahead."""
START_PATIENCE: Final = 30.0
"""Seconds a slot waits for the broker to record a start before it gives the task up for another worker."""


class ProgressSink(Protocol):
    """Where interim states go."""

    async def progress(self, results: Sequence[StoredResult]) -> tuple[str, ...]: ...


class BlockingProgressSink(Protocol):
    """The same, for threads without an event loop."""

    def progress(self, results: Sequence[StoredResult]) -> tuple[str, ...]: ...


class StartBroker(Protocol):
    """Where the start of a task is recorded by the thread that runs it."""

    def start(self, starts: Sequence[Start]) -> tuple[str, ...]: ...


class Direct(NamedTuple):
    """The blocking way of this process to its stores.

    Attributes:
        broker: The broker.
        progress: Where interim states go.
    """

    broker: StartBroker
    progress: BlockingProgressSink


class ResultStore(ProgressSink, Protocol):
    """A result store apart from the broker."""

    async def store(self, results: Sequence[StoredResult]) -> None: ...


class Stores(NamedTuple):
    """What an engine speaks to.

    Attributes:
        broker: The broker.
        results: The result store, where it is not the broker's.
        direct: By which the threads of sync slots record a start themselves, which takes a third of the time that it
            takes to have the engine's loop do it; None where only that loop's connection knows the delivery.
    """

    broker: AsyncBroker[Any, Any]
    results: ResultStore | None = None
    direct: Direct | None = None


class Engine:
    """Builds and runs the services of one child process."""

    watch_every = WATCH

    def __init__(
        self,
        *,
        options: WorkerOptions,
        owner: str,
        surroundings: Surroundings,
        stores: Stores,
        table: SlotTable,
        threads: Threads = SYSTEM_THREADS,
    ) -> None:
        """Create the engine in the running event loop.

        Args:
            options: The worker's shape.
            owner: Under which name this process claims.
            surroundings: What all runs share.
            stores: The broker, and what else is not its own.
            table: This process's slot table.
            threads: Where the threads of sync slots come from.
        """
        self.surroundings = surroundings
        self.table = table
        self.owner = owner
        self.revoked: dict[str, float] = {}
        self._options = options
        broker, own_results, self._direct = stores
        self._broker = broker
        self._threads = threads
        self._progress: ProgressSink = own_results if own_results is not None else broker
        self._loop = asyncio.get_running_loop()
        self._retire: Callable[[str], None] = lambda reason: None
        self._retiring = False
        self._drained = asyncio.Event()
        self._waiter = broker.receiver(owner, lambda delivery: self.fetcher.take(delivery))
        self.holdings = Holdings()
        self.sync_slots = SyncSlots(
            self,
            threads=options.threads,
            start_first=self._start_first_blocking,
            machine=threads,
        )
        self.settler = Settler(
            broker=broker,
            results=own_results,
            surroundings=surroundings,
            owner=owner,
            loop=self._loop,
            busy=lambda: self.sync_slots.waiting > 0 or self.fetcher.queued > 0,
            settled=self._batch_settled,
        )
        self.coroutines = CoroutineSlots(
            self,
            count=options.coroutines,
            first_row=options.sync_slots,
            start_first=self._start_first,
            freed=self._settled,
        )
        self.fetcher = self._make_fetcher()
        self.auditor = Auditor(
            holdings=self.holdings,
            broker=broker,
            owner=owner,
            every=options.lease,
            settle=self.settler.add,
            forsake=self.fetcher.forsake,
            bus=surroundings.bus,
        )

    def _make_fetcher(self) -> Fetcher:
        fetcher = Fetcher(
            options=self._options,
            owner=self.owner,
            broker=self._broker,
            waiter=self._waiter,
            surroundings=self.surroundings,
            table=self.table,
            sync_slots=self.sync_slots,
            coroutines=self.coroutines,
            settler=self.settler,
            holdings=self.holdings,
        )
        if self._options.max_tasks_per_child is not None:
            fetcher.limit = self._left_to_run
        return fetcher

    # What slots need of their home.

    def finished(self, settlement: Settlement | None) -> None:
        """Take the settlement of a delivery, None if it is no longer ours to settle; from any thread."""
        if settlement is not None:
            self.settler.add(settlement)
        else:
            self._loop.call_soon_threadsafe(self._settled)

    # Life.

    async def run(self, retire: Callable[[str], None]) -> None:
        """Work until :meth:`drain` is done.

        Args:
            retire: Called once when this process has run its share or grown too big, with the reason; whoever gets
                that is to call :meth:`drain`.
        """
        self._retire = retire
        services = [asyncio.create_task(one) for one in self._services()]
        ended = asyncio.create_task(self._drained.wait())
        try:
            waiting: set[asyncio.Task[Any]] = {*services, ended}
            while not ended.done():
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    # A loop that ends by an error is a bug; it must end the process, not leave it looking alive.
                    task.result()
        finally:
            for task in (*services, ended):
                task.cancel()
            await self._waiter.close()

    async def drain(self) -> None:
        """Stop claiming, give back what has not started, wait for what runs, settle everything."""
        self.fetcher.stop()
        while True:
            self.fetcher.give_back()
            if self.fetcher.ended and self.sync_slots.idle and not self.coroutines.busy and self.settler.idle:
                break
            await asyncio.sleep(WATCH)
        self.sync_slots.stop()
        self._drained.set()

    def revoke(self, ids: Sequence[str], terminate: bool) -> None:
        """Drop these tasks if they wait here; with ``terminate``, interrupt them if they run here."""
        now = self.surroundings.clock.monotonic()
        everywhere = [*self.sync_slots.running, *self.coroutines.running.values()]
        running = {run.lease.id: run for run in everywhere if run is not None}
        # What is claimed from now on comes with the broker's mark. Only what waits here already needs ours, and not for
        # long: ids may be used again, and those of tasks that never come here must not gather.
        until = now + REVOKED_FOR + 2 * self._options.claim_ahead
        kept = {one: end for one, end in self.revoked.items() if end > now}
        self.revoked = kept | {one: until for one in ids if one not in running}
        if terminate:
            for one in ids:
                if one in running:
                    running[one].revoke()

    # Inner parts.

    def _services(self) -> tuple[Coroutine[Any, Any, None], ...]:
        return self.settler.run(), self._watch(), self.fetcher.run(), self.auditor.run()

    def _batch_settled(self, batch: Sequence[Settlement], refused: Collection[str]) -> None:
        self.holdings.drop([settlement.lease for settlement in batch])
        self.fetcher.settled(batch, refused)
        if any(settlement.arrival is not None or settlement.follow_ups for settlement in batch):
            self.fetcher.expect()
        self._settled()

    def _settled(self) -> None:
        runs = self.sync_slots.runs + self.coroutines.runs
        self.table.note_runs(runs)
        limit = self._options.max_tasks_per_child
        if limit is not None and runs >= limit:
            self._retire_once(f"ran {runs} tasks (max_tasks_per_child={limit})")
        self.fetcher.notify()

    def _left_to_run(self) -> int:
        limit = self._options.max_tasks_per_child or 0
        begun = self.sync_slots.runs + self.coroutines.runs + self.sync_slots.held + self.coroutines.busy
        return max(0, limit - begun - self.fetcher.waiting)

    def _retire_once(self, reason: str) -> None:
        if not self._retiring:
            self._retiring = True
            self._retire(reason)

    async def _watch(self) -> None:
        while True:
            await self._until_next_look()
            now = self.surroundings.clock.monotonic()
            for run in [*self.sync_slots.running, *self.coroutines.running.values()]:
                if run is not None:
                    run.watch(now)
            self.fetcher.rebalance(now)
            limit = self._options.max_memory_per_child
            if limit is not None and not self._retiring and (size := resident_kib()) > limit:
                self._retire_once(f"holds {size} KiB (max_memory_per_child={limit})")

    async def _until_next_look(self) -> None:
        """Wait while nothing is here, or until what runs may have turned out long; that is looked at when it is so."""
        holding = self.fetcher.holding
        holding.clear()
        if self.sync_slots.held or self.coroutines.busy or self.fetcher.waiting:
            now = self.surroundings.clock.monotonic()
            await asyncio.sleep(min(self.watch_every, max(SOONEST_WATCH, self.fetcher.rebalance_in(now))))
            return
        try:
            await asyncio.wait_for(holding.wait(), IDLE_WATCH if self._options.max_memory_per_child else None)
        except TimeoutError:
            return

    async def _start_first(self, call: Call) -> bool:
        """Record a start; return whether the task may run here. Without an answer it is given back."""
        try:
            lost = await asyncio.wait_for(self._record_start(call), START_PATIENCE)
        except (CeleriacError, OSError, TimeoutError):
            self._give_up(call)
            return False
        if lost:
            self.holdings.drop([call.delivery.lease])
        return not lost

    async def _record_start(self, call: Call) -> tuple[str, ...]:
        lost = await self._broker.start([Start(call.delivery.lease, call.task.at_most_once)])
        if self._tells_start(call) and not lost:
            await self._progress.progress([stored_results.started(call.message, self.surroundings)])
        return lost

    def _start_first_blocking(self, call: Call) -> bool:
        """The twin of :meth:`_start_first` in the thread of a slot."""
        direct = self._direct
        if direct is None:
            # The longer patience is for an engine that has failed and will never answer.
            return self._threads.result(self._start_first(call), self._loop, 2 * START_PATIENCE)
        lease = call.delivery.lease
        try:
            with Until(time.monotonic() + START_PATIENCE):
                lost = direct.broker.start([Start(lease, call.task.at_most_once)])
                if self._tells_start(call) and not lost:
                    direct.progress.progress([stored_results.started(call.message, self.surroundings)])
        except (CeleriacError, OSError):
            self._give_up(call)
            return False
        if lost:
            self._loop.call_soon_threadsafe(self.holdings.drop, [lease])
        return not lost

    def _tells_start(self, call: Call) -> bool:
        return call.task.track_started and self.surroundings.stores_results

    def _give_up(self, call: Call) -> None:
        """Give a task back whose start could not be recorded; from any thread."""
        reason, arrival = "its start could not be recorded", if_revoked(call.message)
        self.settler.add(Settlement(lease=call.delivery.lease, action="release", reason=reason, arrival=arrival))
