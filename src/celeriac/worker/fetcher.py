"""Claims deliveries for free slots, and a little ahead.

How far ahead is measured: about ``claim_ahead`` seconds of work at the present mean run time, so that short tasks come
in big batches and long ones one by one. What was claimed ahead is given back, without any mark against it, as soon as
every slot turns out to be busy with something long. Nothing is claimed while outcomes pile up unsettled. The arithmetic
is in :mod:`celeriac.worker.appetite`. While this process has nothing, a broker may hand it what comes without being
asked.

A delivery on its last chance (one more lost run makes it a dead letter) runs alone in its process, so that a task that
kills its process cannot take its neighbours with it. Where it cannot soon be alone, it is parked for another process.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final, Protocol

from celeriac.brokers.port import MAX_BATCH, AsyncWaiter, Promoted
from celeriac.core.message import Delivery, Lease, Settlement
from celeriac.errors import CeleriacError
from celeriac.events import Bus, ServiceFailed, TaskReceived, signals
from celeriac.events.backoff import Backoff
from celeriac.execution import announce, steps
from celeriac.execution.runnable import Surroundings
from celeriac.worker.appetite import Appetite, Load
from celeriac.worker.coroutine_slots import CoroutineSlots
from celeriac.worker.given import HarvestBroker, Known, with_given
from celeriac.worker.holdings import Holdings
from celeriac.worker.options import WorkerOptions
from celeriac.worker.runs import FOREVER
from celeriac.worker.settler import Settler
from celeriac.worker.slots import SlotTable
from celeriac.worker.sync_slots import SyncSlots

IDLE_LOOK: Final = 2.5
"""Longest seconds between two looks at an idle broker; only a lost wake-up ever makes it matter."""
LOOKS: Final = 4
"""Looks at an idle broker within the time after which the watchdog takes this process for a dead one."""
PROMOTE_BATCH: Final = 500
FAREWELL: Final = 1.0
"""Seconds that telling a broker may take that this process waits no more."""
LAST_CHANCE_PATIENCE: Final = 5.0
"""Seconds that a delivery on its last chance waits here for the others to end, claiming nothing more meanwhile."""
LAST_CHANCE_REST: Final = 2.0
"""Seconds for which it is then parked, so that this process can work on and another may take it."""


class FetchBroker(HarvestBroker, Protocol):
    """What the fetcher needs of a broker."""

    async def claim(self, queues: Sequence[str], limit: int, owner: str, lease: float) -> list[Delivery]: ...

    async def promote(self, limit: int) -> Promoted: ...


class Fetcher:
    """The claim loop of one child process."""

    def __init__(
        self,
        *,
        options: WorkerOptions,
        owner: str,
        broker: FetchBroker,
        waiter: AsyncWaiter,
        surroundings: Surroundings,
        table: SlotTable,
        sync_slots: SyncSlots,
        coroutines: CoroutineSlots,
        settler: Settler,
        holdings: Holdings,
    ) -> None:
        self._options = options
        self._owner = owner
        self._broker = broker
        self._waiter = waiter
        self._surroundings = surroundings
        self._table = table
        self._sync = sync_slots
        self._coroutines = coroutines
        self._settler = settler
        self._holdings = holdings
        self._known = Known()
        self._bus: Bus = surroundings.bus
        self._clock = surroundings.clock
        self._overflow: deque[Delivery] = deque()
        self._overflow_since = 0.0
        self._last_chance: deque[Delivery] = deque()
        self._room = asyncio.Event()
        self._stop_asked = asyncio.Event()
        self._news = asyncio.Event()
        self._last_chance_since = 0.0
        self._idle = False
        """The latest claim found nothing, so that the broker may wake this process alone for what comes."""
        self._newest = 0
        """The token of the latest claim that found something."""
        self._alone = False
        """What runs here has its last chance and must stay alone."""
        self._returning: set[Lease] = set()
        """What was given back and is not back yet: until then a claim would bring what comes after it."""
        self.holding = asyncio.Event()
        """Set whenever deliveries have come; whoever waits for that clears it."""
        self.ended = False
        """Claiming is over: what is here will not become more."""
        self.limit: Callable[[], int] = lambda: MAX_BATCH
        """Most deliveries that may still be claimed (recycling sets it)."""
        has_async = any(task.is_async for task in surroundings.tasks.values())
        self._appetite = Appetite(options.claim_ahead, has_async=has_async)

    def notify(self) -> None:
        """Look again: a slot may be free, or settlements have gone."""
        self._dispatch_held()
        self._room.set()

    def settled(self, settlements: Sequence[Settlement], refused: Collection[str]) -> None:
        """Know that the broker has been told of these, and did not take those with these ids."""
        if self._returning:
            self._returning.difference_update([one.lease for one in settlements])
        arrivals = [one.arrival for one in settlements if one.arrival is not None and one.lease.id not in refused]
        if arrivals:
            self._known.arrived(arrivals)

    def expect(self) -> None:
        """Look at once: something may be ready that this process made so."""
        self._news.set()

    def take(self, delivery: Delivery | None) -> None:
        """Take what the broker has handed over; None if something may have been lost on the way."""
        if delivery is None:
            self._holdings.doubt.set()
        elif self._holdings.take_handed(delivery):
            # Still idle for what it knows: this process may be known as that in its other queues.
            if self.stopping or self.limit() <= 0:
                self._release([delivery], "not started")
            elif delivery.lease.token < self._newest:
                # It comes later than what was claimed after it. Perhaps this process stood still, so that it is others'
                # by now, while that claim makes the lease look good.
                self._release([delivery], "it was long on its way")
            elif steps.awaits(delivery):
                self._release([delivery], "what it is given must be read first")
            else:
                self._dispatch([delivery])
            self.expect()

    def stop(self) -> None:
        """Claim no more."""
        self._stop_asked.set()
        self._news.set()
        self._room.set()

    @property
    def queued(self) -> int:
        """Deliveries that wait here for a coroutine's slot."""
        return len(self._overflow)

    @property
    def waiting(self) -> int:
        """Those, and deliveries that wait to be alone."""
        return len(self._overflow) + len(self._last_chance)

    @property
    def stopping(self) -> bool:
        """Whether claiming has been stopped."""
        return self._stop_asked.is_set()

    async def run(self) -> None:
        """Claim until :meth:`stop`; then wait no more, so that nobody is woken here for what others could claim."""
        backoff = Backoff(self._bus, "fetcher", clock=self._clock, rng=self._surroundings.rng)
        while not self.stopping:
            self._room.clear()
            if not self.stopping:
                self._news.clear()
            wanted = self._wanted()
            if wanted <= 0 and not self._idle:
                await self._wait_for_room(self._appetite.retry_in(self._clock.monotonic()))
                continue
            try:
                idle_for = await (self._claim(wanted) if wanted > 0 else self._pass_on())
            except (CeleriacError, OSError) as exc:
                self._holdings.doubt.set()
                await self._pause(backoff.failed(exc))
                continue
            backoff.worked()
            if idle_for > 0 and not self.stopping:
                await self._wait(idle_for)
        if self._idle:  # This process may take long to end, and whoever is known as idle is woken, or handed something.
            with contextlib.suppress(CeleriacError, OSError, TimeoutError):
                await asyncio.wait_for(self._pass_on(), FAREWELL)
        self.ended = True
        await self._waiter.close()

    def give_back(self) -> None:
        """Release everything that was claimed and has not started."""
        held = [*self._sync.take_back(), *self._overflow, *self._last_chance]
        self._overflow.clear()
        self._last_chance.clear()
        self._release(held, "not started")

    def forsake(self, ids: frozenset[str]) -> None:
        """Give back what has not started of these ids, which the broker does not have as ours: it will refuse."""
        waiting = self._sync.take_back()
        self._sync.put([delivery for delivery in waiting if delivery.lease.id not in ids])
        everywhere = (*waiting, *self._overflow, *self._last_chance)
        for held in (self._overflow, self._last_chance):
            kept = [delivery for delivery in held if delivery.lease.id not in ids]
            held.clear()
            held.extend(kept)
        self._release([delivery for delivery in everywhere if delivery.lease.id in ids], "not ours any more")

    def rebalance(self, now: float) -> None:
        """Give back what waits here if every slot is busy with something long, or if it is others' by now."""
        if self._table.take_loss():
            self.give_back()
        newest = self._sync.newest_start()
        if newest is not None and now - newest > self._appetite.patience(self._sync.times.mean) and self._sync.waiting:
            self._release(self._sync.take_back(), "claimed ahead")
        if self._overflow and now - self._overflow_since > 2 * self._options.claim_ahead:
            self._release(self._overflow, "claimed ahead")
            self._overflow.clear()
        if self._last_chance and now - self._last_chance_since > LAST_CHANCE_PATIENCE:
            self._park_last_chances()

    def rebalance_in(self, now: float) -> float:
        """Return the seconds after which :meth:`rebalance` could give back what waits behind what runs now."""
        newest = self._sync.newest_start() if self._sync.waiting else None
        return FOREVER if newest is None else newest + self._appetite.patience(self._sync.times.mean) - now

    def _wanted(self) -> int:
        """Return how many deliveries to claim now."""
        if self._settler.behind or self._returning or self._last_chance or self._alone or self.stopping:
            return 0
        return min(self._appetite.wanted(self._load(), self._clock.monotonic()), MAX_BATCH, self.limit())

    def _load(self) -> Load:
        return Load(plain=self._sync.room(), coroutines=self._coroutines.room(len(self._overflow)))

    async def _wait_for_room(self, at_most: float | None) -> None:
        try:
            await asyncio.wait_for(self._room.wait(), at_most)
        except TimeoutError:
            return

    def _release(self, deliveries: Iterable[Delivery], reason: str) -> None:
        for delivery in deliveries:
            self._returning.add(delivery.lease)
            arrival = steps.if_revoked(delivery.message)
            self._settler.add(Settlement(lease=delivery.lease, action="release", reason=reason, arrival=arrival))

    async def _claim(self, wanted: int) -> float:
        """Claim and dispatch; return the seconds for which nothing can be expected, 0 to go on at once."""
        asked = self._clock.monotonic()
        if self._table.lapsed(asked):
            # This process was stopped, or cut off, for longer than its lease. What it holds unstarted may be others'
            # by now, and a new claim would make the lease look good again.
            self.give_back()
        async with self._holdings.changing:
            deliveries = await self._broker.claim(self._options.queues, wanted, self._owner, self._options.lease)
            self._holdings.take(deliveries)
        self._table.note_poll(self._clock.monotonic())
        self._idle = not deliveries
        if deliveries:
            self._newest = deliveries[-1].lease.token
            self._table.note_claim(asked + self._options.lease)
            whole = len(deliveries) >= wanted
            left = self.limit()  # Less than before, if something was handed over meanwhile.
            self._release(deliveries[left:], "claimed beside what was handed over")
            deliveries = deliveries[:left]
            later = [one for one in deliveries if steps.awaits(one)]
            if later:
                deliveries = [one for one in deliveries if not steps.awaits(one)]
            if deliveries:
                self._dispatch(deliveries)
            if later:
                await self._dispatch_steps(later)
            return 0.0 if whole else 0.001
        promoted = await self._broker.promote(PROMOTE_BATCH)
        if promoted.count:
            return 0.0
        longest = min(IDLE_LOOK, self._options.watchdog / LOOKS)
        return longest if promoted.next_in is None else max(0.001, min(longest, promoted.next_in))

    async def _pass_on(self) -> float:
        """Let the broker wake others: what claimed ahead, found nothing and runs something long is known as idle."""
        await self._broker.claim(self._options.queues, 0, self._owner, self._options.lease)
        self._idle = False
        return 0.0

    async def _dispatch_steps(self, deliveries: Sequence[Delivery]) -> None:
        """Read what steps of workflows are given, and dispatch them; what cannot be read is given back."""
        try:
            given = await with_given(self._broker, deliveries, self._known)
        except BaseException:
            self._release(deliveries, "what it is given could not be read")
            raise
        self._dispatch(given)

    async def _pause(self, seconds: float) -> None:
        """Wait; a stop ends it early."""
        try:
            await asyncio.wait_for(self._stop_asked.wait(), seconds)
        except TimeoutError:
            return

    async def _wait(self, seconds: float) -> None:
        """Wait for something new in the store; a stop, or what this process made ready itself, ends it early."""
        looking = asyncio.ensure_future(self._waiter.wait(seconds))
        stopping = asyncio.ensure_future(self._news.wait())
        try:
            await asyncio.wait((looking, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            if not looking.done():
                looking.cancel()
            elif not looking.cancelled() and (exc := looking.exception()) is not None:
                self._bus.emit(ServiceFailed("waiter", f"{type(exc).__name__}: {exc}", seconds))

    def _dispatch(self, deliveries: Sequence[Delivery]) -> None:
        tasks = self._surroundings.tasks
        now = self._clock.monotonic()
        plain: list[Delivery] = []
        coroutines: list[Delivery] = []
        alone: list[Delivery] = []
        for delivery in deliveries:
            message = delivery.message
            if 0 < delivery.crashes >= self._options.delivery_limit - 1:
                alone.append(delivery)
                continue
            task = tasks.get(message.task) if message is not None else None
            (coroutines if task is not None and task.is_async else plain).append(delivery)
        self._appetite.learn(len(plain), len(coroutines), now)
        if plain:
            # What was given back while these were on their way comes before them.
            kept = 0 if self._returning else self._appetite.keeps(self._sync.room(), now)
            self._release(plain[kept:], "claimed with others")
            del plain[kept:]
        if alone and not self._last_chance:
            self._last_chance_since = now
        self._last_chance.extend(alone)
        if coroutines and not self._overflow:
            self._overflow_since = now
        self._overflow.extend(coroutines)
        if self._bus.wanted(TaskReceived):
            self._tell_received([*plain, *coroutines, *alone])
        if signals.task_received.receivers:
            for delivery in [*plain, *coroutines, *alone]:
                if delivery.message is not None:
                    announce.received(delivery, delivery.message, self._surroundings)
        self._sync.put(plain)
        self._dispatch_held()
        self.holding.set()

    def _tell_received(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            message = delivery.message
            if message is not None:
                self._bus.emit(TaskReceived(message.id, message.task, message.argsrepr, message.kwargsrepr))
        self._bus.flush()

    def _dispatch_held(self) -> None:
        """Start coroutines that wait for a slot, and the next last-chance delivery if nothing else runs here."""
        if self._alone and not (self._sync.held or self._coroutines.busy):
            self._alone = False
            self._last_chance_since = self._clock.monotonic()
        if not self._alone:
            while self._overflow and self._coroutines.free:
                self._coroutines.spawn(self._overflow.popleft())
                self._overflow_since = self._clock.monotonic()
        if self._last_chance and not (self._alone or self._sync.held or self._coroutines.busy):
            self._alone = True
            delivery = self._last_chance.popleft()
            # Others on their last chance need not wait for it: another process may be free.
            self._release(self._last_chance, "not started")
            self._last_chance.clear()
            message = delivery.message
            task = self._surroundings.tasks.get(message.task) if message is not None else None
            if task is not None and task.is_async:
                self._coroutines.spawn(delivery)
            else:
                self._sync.put([delivery])

    def _park_last_chances(self) -> None:
        due = self._surroundings.clock.now() + LAST_CHANCE_REST
        while self._last_chance:
            delivery = self._last_chance.popleft()
            reason, arrival = (
                "its last chance must be alone in a process, and others run here",
                steps.if_revoked(delivery.message),
            )
            self._settler.add(
                Settlement(lease=delivery.lease, action="release", due=due, reason=reason, arrival=arrival)
            )
