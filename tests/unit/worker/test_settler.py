"""The settler: batches, patience with a broker that is away, one bad settlement among good ones, two stores."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from celeriac import Celeriac
from celeriac.core.message import Lease, Settlement, Start, StoredResult
from celeriac.errors import BrokerError, OperationalError
from celeriac.events import LeaseLost, ServiceFailed, ServiceRecovered, TaskDead
from celeriac.execution.runnable import Surroundings
from celeriac.worker.settler import BEHIND, Settler


class Broker:
    """Takes settlements down, and fails as it is told to."""

    def __init__(self) -> None:
        self.log: list[tuple[str, Any]] = []
        self.failures: list[Exception] = []
        self.refused: set[str] = set()
        self.lost: set[str] = set()

    async def start(self, starts: Sequence[Start]) -> tuple[str, ...]:
        self.log.append(("start", [one.lease.id for one in starts]))
        return tuple(one.lease.id for one in starts if one.lease.id in self.lost)

    async def settle(self, settlements: Sequence[Settlement]) -> tuple[str, ...]:
        if self.failures:
            raise self.failures.pop(0)
        if any(one.lease.id in self.refused and one.action != "dead" for one in settlements):
            raise BrokerError("too big")
        self.log.append(("settle", [(one.lease.id, one.action) for one in settlements]))
        return tuple(one.lease.id for one in settlements if one.lease.id in self.lost)

    async def store(self, results: Sequence[StoredResult]) -> None:
        self.log.append(("store", [(one.id, one.state) for one in results]))

    def settled(self) -> list[str]:
        return [id for word, items in self.log if word == "settle" for id, _ in items]


@pytest.fixture
def surroundings() -> Surroundings:
    return Celeriac("settling", broker="memory://settler").worker_surroundings("w@test")


def settlement(id: str, **fields: Any) -> Settlement:
    return Settlement(lease=Lease(id, "w@test#1/1", 1), action=fields.pop("action", "done"), **fields)


@asynccontextmanager
async def running(
    surroundings: Surroundings, broker: Broker, *, own_results: bool = False, busy: Callable[[], bool] = lambda: False
) -> AsyncIterator[Settler]:
    settler = Settler(
        broker=broker,
        results=broker if own_results else None,
        surroundings=surroundings,
        owner="w@test#1/1",
        loop=asyncio.get_running_loop(),
        busy=busy,
        settled=lambda: None,
    )
    task = asyncio.create_task(settler.run())
    try:
        yield settler
    finally:
        task.cancel()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 -- what is awaited is the settler's own state
            await asyncio.sleep(0)


async def test_what_ends_in_the_same_moment_goes_in_one_round_trip(surroundings: Surroundings) -> None:
    broker = Broker()
    async with running(surroundings, broker) as settler:
        for number in range(100):
            settler.add(settlement(str(number)))
        assert not settler.idle
        await until(lambda: settler.idle)
    assert [len(items) for _, items in broker.log] == [100]


async def test_a_broker_that_is_away_is_asked_until_it_answers(surroundings: Surroundings) -> None:
    broker = Broker()
    broker.failures = [OperationalError("away"), OSError("away, too")]
    told: list[Any] = []
    surroundings.bus.subscribe(ServiceFailed, told.append)
    surroundings.bus.subscribe(ServiceRecovered, told.append)
    async with running(surroundings, broker) as settler:
        settler.add(settlement("a"))
        await until(lambda: len(told) == 1)
        settler.add(settlement("b"))
        assert settler.unsettled == (Lease("a", "w@test#1/1", 1), Lease("b", "w@test#1/1", 1))
        await until(lambda: settler.idle)
    assert broker.settled() == ["a", "b"]
    assert [type(event) for event in told] == [ServiceFailed, ServiceFailed, ServiceRecovered]


async def test_one_bad_settlement_becomes_a_dead_letter_and_the_others_are_settled(surroundings: Surroundings) -> None:
    broker = Broker()
    broker.refused = {"bad"}
    dead: list[TaskDead] = []
    surroundings.bus.subscribe(TaskDead, dead.append)
    async with running(surroundings, broker) as settler:
        for id in ("a", "bad", "b"):
            settler.add(settlement(id))
        await until(lambda: settler.idle)
    assert [item for _, items in broker.log for item in items] == [("a", "done"), ("bad", "dead"), ("b", "done")]
    assert [(event.id, event.reason) for event in dead] == [("bad", "the broker refused its settlement: too big")]


async def test_results_of_their_own_are_stored_before_the_message_goes(surroundings: Surroundings) -> None:
    broker = Broker()
    async with running(surroundings, broker, own_results=True) as settler:
        settler.add(settlement("a", result=StoredResult(id="a", state="SUCCESS")))
        await until(lambda: settler.idle)
    assert broker.log == [("start", ["a"]), ("store", [("a", "SUCCESS")]), ("settle", [("a", "done")])]


async def test_a_lost_run_stores_nothing_in_another_store_and_is_reported(surroundings: Surroundings) -> None:
    broker = Broker()
    broker.lost = {"a"}
    lost: list[LeaseLost] = []
    surroundings.bus.subscribe(LeaseLost, lost.append)
    async with running(surroundings, broker, own_results=True) as settler:
        settler.add(settlement("a", result=StoredResult(id="a", state="SUCCESS")))
        await until(lambda: settler.idle)
    assert "store" not in [word for word, _ in broker.log]
    assert [event.ids for event in lost] == [("a",)]


async def test_it_says_when_it_falls_behind(surroundings: Surroundings) -> None:
    broker = Broker()
    async with running(surroundings, broker) as settler:
        for number in range(BEHIND + 1):
            settler.add(settlement(str(number)))
        behind = [settler.behind]
        await until(lambda: settler.idle)
        behind.append(settler.behind)
    assert behind == [True, False]
    assert len(broker.settled()) == BEHIND + 1
