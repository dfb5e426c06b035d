"""The engine of a child process to which a broker hands something over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from celeriac.brokers import connect
from celeriac.brokers.facade import AsyncBroker
from celeriac.core.message import Delivery
from tests.support.house import OWNER, Counted, House, at_work, hand_over, until

Make = Callable[..., House]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def make(**shape: Any) -> House:
        return House(tmp_path, shape=shape, settings={})

    return make


async def test_what_was_handed_something_long_says_that_it_is_not_idle_for_its_other_queues(make: Make) -> None:
    house = make(coroutines=0)
    broker = Counted(house)
    async with at_work(house, broker) as engine:
        engine.sync_slots.times.mean = 60.0  # So nothing is claimed ahead.
        await until(lambda: broker.claims, "a claim that finds nothing")
        await asyncio.sleep(0.05)
        count = len(broker.claims)
        (long,) = hand_over(house, engine, "plain", waits=True)
        await until(lambda: long in house.running, "the long one")
        await until(lambda: broker.claims[count:] == [(0, False)], "the claim of nothing")
        house.go.set()
        await house.over([long])
    await broker.close()


async def test_an_idle_process_that_ends_says_that_it_waits_no_more(make: Make) -> None:
    house = make()
    broker = Counted(house)
    async with at_work(house, broker):
        await until(lambda: broker.claims, "a claim that finds nothing")
        await asyncio.sleep(0.05)
    assert broker.claims[-1] == (0, False)
    await broker.close()


class Handed(AsyncBroker[Any, Any]):
    """A broker that hands something over while a claim is on its way, once."""

    def __init__(self, house: House) -> None:
        super().__init__(connect(house.url))
        self.house = house
        self.handed: list[str] = []

    async def claim(self, queues: Sequence[str], limit: int, owner: str, lease: float) -> list[Delivery]:
        engine = self.house.engine
        if engine is not None and limit > 0 and not self.handed:
            self.handed = hand_over(self.house, engine, "plain", waits=True)
            self.house.send("plain")
        return await super().claim(queues, limit, owner, lease)


async def test_what_is_handed_over_beside_a_claim_counts_for_its_share(make: Make) -> None:
    house = make(coroutines=0, threads=2, max_tasks_per_child=1)
    broker = Handed(house)
    async with at_work(house, broker):
        await until(lambda: house.running, "what was handed over")
        await asyncio.sleep(0.1)
        house.go.set()
        await until(lambda: house.retired, "the wish to be replaced")
    assert list(house.runs) == broker.handed
    assert [stats.ready for stats in house.app.broker.stats()] == [1]
    await broker.close()


async def test_what_comes_later_than_a_claim_after_it_is_given_back_and_runs_once(make: Make) -> None:
    house = make(coroutines=0)
    broker = Counted(house)
    async with at_work(house, broker) as engine:
        (late,) = house.send("plain")
        (delivery,) = house.app.broker.claim(["celery"], 1, OWNER, 60.0)
        (other,) = house.send("plain")
        house.crash(other, 1)  # In memory each message counts for itself: this one's next token is greater.
        await house.over([other])
        engine.fetcher.take(delivery)
        assert await house.over([late]) == {late: "SUCCESS"}
        assert house.runs[late] == 1
    assert [found for _, found in broker.claims].count(True) == 2, "it was claimed anew"
    await broker.close()
