"""Tells the broker how deliveries ended, in batches.

What finishes in the same moment goes in one round trip; while one is under way, the next batch gathers. When more work
waits in this process, the settler lingers a little for a fuller batch; otherwise it settles at once. A broker that
cannot be reached is tried again for ever, with backoff: no settlement is dropped and no task is run again by this
process meanwhile, because :attr:`Settler.behind` stops claiming. A settlement that the broker refuses for good (a
follow-up for a queue with an impossible name, say) makes its task a dead letter and holds up no other. Where results
live in another store they are stored first, so that a crash in between repeats a step and loses none; and only where
the lease still holds, so that a superseded run does not overwrite what its successor stored.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Final, Protocol

import msgspec

from celeriac.app import announcing
from celeriac.core import state
from celeriac.core.message import Lease, Message, Settlement, Start, StoredResult
from celeriac.errors import BrokerError, OperationalError
from celeriac.events import LeaseLost, TaskDead
from celeriac.events.backoff import Backoff
from celeriac.execution import results as stored_results
from celeriac.execution.runnable import Surroundings

BATCH: Final = 500
FEW: Final = 50
"""Settlements that are not enough for a round trip while more work waits here."""
LINGER: Final = 0.002
"""Seconds to wait for more of them then."""
BEHIND: Final = 2000
"""Unsettled outcomes above which nothing more is claimed."""


class SettleBroker(Protocol):
    """What the settler needs of a broker."""

    async def start(self, starts: Sequence[Start]) -> tuple[str, ...]: ...

    async def settle(self, settlements: Sequence[Settlement]) -> tuple[str, ...]: ...


class ResultSink(Protocol):
    """What the settler needs of a result store of its own."""

    async def store(self, results: Sequence[StoredResult]) -> None: ...


def without_results(settlements: Sequence[Settlement]) -> list[Settlement]:
    """Return the settlements for a broker whose results are kept elsewhere; the states stay, for its counts."""
    return [
        one if one.result is None else msgspec.structs.replace(one, result=None, state=one.result.state)
        for one in settlements
    ]


class Settler:
    """Gathers settlements from all slots and carries them out."""

    def __init__(
        self,
        *,
        broker: SettleBroker,
        results: ResultSink | None,
        surroundings: Surroundings,
        owner: str,
        loop: asyncio.AbstractEventLoop,
        busy: Callable[[], bool],
        settled: Callable[[Sequence[Settlement], Collection[str]], None],
    ) -> None:
        """Create a settler.

        Args:
            broker: Where to settle.
            results: A result store other than the broker's; None if the broker keeps results, or nobody does.
            surroundings: What all runs share.
            owner: Who holds the leases.
            loop: The engine's event loop.
            busy: Tells whether more work waits in this process.
            settled: Called with each batch that the broker has answered, and the ids of those that it did not take, in
                the loop.
        """
        self._broker = broker
        self._results = results
        self._surroundings = surroundings
        self._bus = surroundings.bus
        self._owner = owner
        self._loop = loop
        self._busy = busy
        self._settled = settled
        self._refused: set[str] = set()
        self._waiting: deque[Settlement] = deque()
        self._in_flight: list[Settlement] = []
        self._woken = asyncio.Event()
        self._wake_sent = False

    def add(self, settlement: Settlement) -> None:
        """Take a settlement; from any thread."""
        self._waiting.append(settlement)
        if not self._wake_sent:
            self._wake_sent = True
            self._loop.call_soon_threadsafe(self._woken.set)

    @property
    def behind(self) -> bool:
        """Too much is unsettled to claim more."""
        return len(self._waiting) > BEHIND

    @property
    def idle(self) -> bool:
        """Nothing is unsettled."""
        return not self._waiting and not self._in_flight

    @property
    def unsettled(self) -> tuple[Lease, ...]:
        """What has ended and is not known to be settled."""
        return tuple(one.lease for one in [*self._in_flight, *self._waiting])

    async def run(self) -> None:
        """Settle for ever; cancelled at the end, when :attr:`idle`."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            while True:
                # What comes meanwhile is seen by this loop, and need not wake it.
                self._wake_sent = True
                while self._waiting:
                    await self._settle_some()
                # Reset even if nothing was here: a thread may have been slow to wake this loop for what it has settled.
                self._wake_sent = False
                if not self._waiting:  # What came before the flag was down, and woke nobody.
                    break

    async def _settle_some(self) -> None:
        if len(self._waiting) < FEW and self._busy():
            await asyncio.sleep(LINGER)
        batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        self._in_flight = batch
        self._bus.flush()  # What is settled is in the log.
        await self._settle(batch)
        self._in_flight = []
        self._settled(batch, self._refused)
        self._refused.clear()

    async def _settle(self, batch: list[Settlement]) -> None:
        try:
            await self._insist(batch)
        except Exception as exc:  # Also what cannot be packed: an error here would end the process, and so its tasks.
            if len(batch) == 1:
                await self._give_up(batch[0], exc)
                return
            for one in batch:  # One bad settlement must not hold up the others.
                await self._settle([one])

    async def _insist(self, batch: list[Settlement]) -> None:
        """Settle; try again for as long as trying again may help."""
        backoff = Backoff(self._bus, "settler", clock=self._surroundings.clock, rng=self._surroundings.rng)
        while True:
            try:
                lost = await self._attempt(batch)
            except (OperationalError, OSError) as exc:
                await asyncio.sleep(backoff.failed(exc))
            else:
                backoff.worked()
                if lost:
                    self._bus.emit(LeaseLost(lost, self._owner))
                announcing.after_settling(batch, lost)
                self._refused.update(lost)
                return

    async def _attempt(self, batch: list[Settlement]) -> tuple[str, ...]:
        if self._results is None:
            return await self._broker.settle(batch)
        owned = await self._still_owned([one for one in batch if one.result is not None])
        results = [one.result for one in owned if one.result is not None]
        if results:
            await self._results.store(results)
        return await self._broker.settle(without_results(batch))

    async def _still_owned(self, settlements: Sequence[Settlement]) -> list[Settlement]:
        """Return those whose lease still holds.

        A result store of its own cannot compare tokens, and what was taken over must not overwrite how the task ended
        elsewhere, so the broker is asked first.
        """
        newest: dict[str, Settlement] = {}
        for one in settlements:
            known = newest.get(one.lease.id)
            if known is None or known.lease.token < one.lease.token:
                newest[one.lease.id] = one
        if not newest:
            return []
        lost = set(await self._broker.start([Start(one.lease) for one in newest.values()]))
        return [one for id, one in newest.items() if id not in lost]

    async def _give_up(self, settlement: Settlement, exc: Exception) -> None:
        """Make a dead letter of a task whose settlement the broker will never take."""
        lease = settlement.lease
        self._refused.add(lease.id)
        name = (settlement.result.task if settlement.result is not None else None) or "?"
        reason = f"the broker refused its settlement: {exc}"
        self._bus.emit(TaskDead(lease.id, name, reason))
        told = stored_results.failure(
            Message(id=lease.id, task=name), self._surroundings, BrokerError(reason), state_name=state.DEAD
        )
        for result in (told, None):
            try:
                await self._insist([Settlement(lease=lease, action="dead", reason=reason, result=result)])
            except Exception:
                continue
            return
