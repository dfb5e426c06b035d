"""Reads what steps of workflows are given, once they are claimed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from celeriac.core.message import Delivery, StoredResult
from celeriac.core.workflow import Harvest
from celeriac.execution import steps

PAGE: Final = 500
"""Slots of a join that are read in one round trip."""


class HarvestBroker(Protocol):
    """What this needs of a broker."""

    async def harvest(self, workflow: str, join: int, after: int, limit: int) -> Harvest: ...


async def with_given(broker: HarvestBroker, deliveries: Sequence[Delivery]) -> list[Delivery]:
    """Return the deliveries with what they await; each join is read once.

    Raises:
        CeleriacError, OSError: The broker could not be asked.
    """
    keys = list(dict.fromkeys(steps.awaited(one) for one in deliveries))
    if len(keys) == 1:
        found = {keys[0]: await _read(broker, *keys[0])}
    else:
        found = dict(zip(keys, await asyncio.gather(*[_read(broker, *key) for key in keys]), strict=True))
    return [msgspec.structs.replace(one, given=found[steps.awaited(one)]) for one in deliveries]


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
