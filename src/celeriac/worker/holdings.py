"""What a child process has been given and has not settled, and whether the broker agrees.

The two can differ while everybody lives. The reply to a claim may be lost after the broker carried it out; a server may
come back from a crash a moment older than it was, so that it does not know of the latest claims and settlements. What
the broker holds for this process and the process does not know would wait for the end of the process, because the
supervisor renews its lease; what the process holds and the broker gives to others would run twice. So the auditor
compares: once per lease, and at once when a claim has failed. It never does so beside a claim of the same process,
whose deliveries are on their way. What the broker hands over by itself may be on its way at any time: so what is not
here is waited for before it is given back, and not taken any more after that.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from celeriac.brokers.port import Record
from celeriac.core.message import Delivery, Lease, Settlement
from celeriac.errors import CeleriacError
from celeriac.events import Bus, StraysFound
from celeriac.execution.steps import if_revoked

RETRY: Final = 0.5
"""Seconds between two tries while the broker cannot be asked."""
ON_ITS_WAY: Final = 0.25
"""Seconds for which something handed over may be on its way."""
MOST_FORSWORN: Final = 1000
"""Most leases of which it is remembered that they were given back before they came."""


class AuditBroker(Protocol):
    """What the auditor needs of a broker."""

    async def holdings(self, owner: str) -> tuple[Lease, ...]: ...

    async def get(self, ids: Sequence[str]) -> list[Record]: ...


class Holdings:
    """What this process has been given and has not settled.

    Attributes:
        changing: Held while a claim is under way, and while the broker is asked what it holds for this process.
        doubt: Set when a claim has failed, so that what it came to is not known, or what was handed over may be lost.
    """

    def __init__(self) -> None:
        self.changing: Final = asyncio.Lock()
        self.doubt: Final = asyncio.Event()
        self._tokens: dict[str, int] = {}
        self._late: set[tuple[str, int]] = set()
        self._forsworn: dict[tuple[str, int], None] = {}

    def take(self, deliveries: Iterable[Delivery]) -> None:
        """Note deliveries that a claim has brought."""
        self._tokens.update([(delivery.lease.id, delivery.lease.token) for delivery in deliveries])

    def take_handed(self, delivery: Delivery) -> bool:
        """Note a delivery that was handed over; return whether it is ours still, not given back as a stray."""
        name = delivery.lease.id, delivery.lease.token
        if name in self._forsworn:
            return False
        self._tokens[delivery.lease.id] = delivery.lease.token
        self._late.add(name)
        return True

    def begin(self) -> dict[str, int]:
        """Begin a comparison: return the token of each id that is here."""
        self._late.clear()
        return dict(self._tokens)

    def came(self, lease: Lease) -> bool:
        """Return whether this was handed over since the comparison began."""
        return (lease.id, lease.token) in self._late

    def forswear(self, lease: Lease) -> None:
        """Take this no more if it should still come."""
        if len(self._forsworn) >= MOST_FORSWORN:
            del self._forsworn[next(iter(self._forsworn))]
        self._forsworn[lease.id, lease.token] = None

    def drop(self, leases: Iterable[Lease]) -> None:
        """Note that these are settled, or were found to be others'."""
        tokens = self._tokens
        for lease in leases:
            if tokens.get(lease.id) == lease.token:
                del tokens[lease.id]


class Auditor:
    """Compares the holdings with what the broker has.

    Args:
        holdings: What is here.
        broker: The broker.
        owner: Under which name this process claims.
        every: Seconds between two comparisons.
        settle: Takes the settlements that give strays back.
        forsake: Drops what has not started of these ids, because the broker has it for others.
        bus: Hears of strays.
    """

    def __init__(
        self,
        *,
        holdings: Holdings,
        broker: AuditBroker,
        owner: str,
        every: float,
        settle: Callable[[Settlement], None],
        forsake: Callable[[frozenset[str]], None],
        bus: Bus,
    ) -> None:
        self._holdings = holdings
        self._broker = broker
        self._owner = owner
        self._every = every
        self._settle = settle
        self._forsake = forsake
        self._bus = bus

    async def run(self) -> None:
        """Compare for ever."""
        doubt = self._holdings.doubt
        while True:
            # Even without doubt: a request that was given up may have been carried out much later.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(doubt.wait(), self._every)
            doubt.clear()
            while True:
                try:
                    await self.audit()
                    break
                except (CeleriacError, OSError):  # Whoever claims and settles tells of it.
                    await asyncio.sleep(RETRY)

    async def audit(self) -> None:
        """Compare once; give back what nobody here knows of, and drop what is not ours."""
        async with self._holdings.changing:
            here = self._holdings.begin()
            there = await self._broker.holdings(self._owner)
        held = {(lease.id, lease.token) for lease in there}
        # Much of this has been settled meanwhile; what has not started cannot have been.
        if gone := frozenset([id for id, token in here.items() if (id, token) not in held]):
            self._forsake(gone)
        strays = [lease for lease in there if here.get(lease.id) != lease.token]
        if not all(map(self._holdings.came, strays)):
            await asyncio.sleep(ON_ITS_WAY)
        strays = [lease for lease in strays if not self._holdings.came(lease)]
        if strays:
            for lease in strays:
                self._holdings.forswear(lease)
            await self._give_back(strays)

    async def _give_back(self, strays: Sequence[Lease]) -> None:
        # One that was revoked meanwhile goes instead, and its workflow must hear of that: nobody else has its message.
        records = {one.id: one for one in await self._broker.get([lease.id for lease in strays])}
        for lease in strays:
            record = records.get(lease.id)
            arrival = None if record is None else if_revoked(record.message)
            reason = "leased to this process, which never got it"
            self._settle(Settlement(lease=lease, action="release", reason=reason, arrival=arrival))
        self._bus.emit(StraysFound(tuple([lease.id for lease in strays]), self._owner))
