"""Reads what steps of workflows are given, once they are claimed.

What this process has told the store itself it need not ask for: :class:`Known`. A step of a chain mostly runs where the
one before it ran.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import msgspec

from celeriac.core.message import Arrival, Delivery, StoredResult
from celeriac.core.workflow import Harvest
from celeriac.execution import steps

PAGE: Final = 500
"""Slots of a join that are read in one round trip."""


KEPT: Final = 200
"""Values that a process remembers, the latest."""
LARGEST: Final = 16_384
"""Bytes of the largest of these."""


class HarvestBroker(Protocol):
    """What this needs of a broker."""

    async def harvest(self, workflow: str, join: int, after: int, limit: int) -> Harvest: ...


class Known:
    """What steps that ended here came to, by workflow and join. A value that has arrived never changes."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, int], dict[int, StoredResult]] = {}

    def arrived(self, arrivals: Iterable[Arrival]) -> None:
        """Remember what the store has accepted."""
        for one in arrivals:
            if not one.failed and len(one.result.body) <= LARGEST:
                self._values[one.workflow, one.join] = {one.slot: one.result}
        while len(self._values) > KEPT:
            del self._values[next(iter(self._values))]

    def given(self, delivery: Delivery) -> dict[int, StoredResult] | None:
        """Return what a delivery is given, if it awaits a single step and that ended here."""
        place = None if delivery.message is None else delivery.message.place
        if place is None or place.gathers or place.takes not in (None, 0):
            return None
        return self._values.get(steps.awaited(delivery))


async def with_given(
    broker: HarvestBroker, deliveries: Sequence[Delivery], known: Known | None = None
) -> list[Delivery]:
    """Return the deliveries with what they await; each join is read once.

    Raises:
        CeleriacError, OSError: The broker could not be asked.
    """
    here = [None if known is None else known.given(one) for one in deliveries]
    keys = list(dict.fromkeys(steps.awaited(one) for one, has in zip(deliveries, here, strict=True) if has is None))
    if len(keys) == 1:
        found = {keys[0]: await _read(broker, *keys[0])}
    else:
        found = dict(zip(keys, await asyncio.gather(*[_read(broker, *key) for key in keys]), strict=True))
    return [
        msgspec.structs.replace(one, given=found[steps.awaited(one)] if has is None else has)
        for one, has in zip(deliveries, here, strict=True)
    ]


async def _read(broker: HarvestBroker, workflow: str, join: int) -> dict[int, StoredResult]:
    """Return what lies in a join: all of it, or the first failure."""
    values: dict[int, StoredResult] = {}
    after = -1
    while True:
        page = await broker.harvest(workflow, join, after, PAGE)
        if page.failed is not None:
            page = await broker.harvest(workflow, join, page.failed - 1, 1)
            return {one.slot: one.result for one in page.arrived}
        values.update({one.slot: one.result for one in page.arrived})
        if len(page.arrived) < PAGE:
            return values if len(values) == page.size else {0: steps.gone(workflow)}
        after = page.arrived[-1].slot
