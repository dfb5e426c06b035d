"""Both facades have the port's operations, in the same words, and cut long batches."""

import asyncio
import inspect
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from celeriac.brokers import connect, open_async_broker, open_broker
from celeriac.brokers.batches import parts
from celeriac.brokers.facade import AsyncBroker, SyncBroker
from celeriac.brokers.memory.driver import MemoryDriver, MemoryPerformer, shared_store
from celeriac.brokers.port import MAX_BATCH, Operations
from celeriac.core.clock import SYSTEM
from celeriac.core.message import Message, Settlement, Start, StoredResult

OPERATIONS = sorted(name for name in dir(Operations) if not name.startswith("_"))


def messages(count: int) -> list[Message]:
    return [Message(id=f"task-{number}", task="proj.add") for number in range(count)]


def parameters(function: object) -> list[inspect.Parameter]:
    assert callable(function)
    return list(inspect.signature(function).parameters.values())


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_facades_take_what_the_port_takes(name: str) -> None:
    expected = parameters(getattr(Operations, name))
    assert parameters(getattr(SyncBroker, name)) == expected
    assert parameters(getattr(AsyncBroker, name)) == expected


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_facades_return_what_the_operation_returns(name: str) -> None:
    said = str(inspect.signature(getattr(Operations, name)).return_annotation)
    returned = said.removeprefix("Operation[ReqOut, RepIn, ").removesuffix("]")
    assert inspect.signature(getattr(SyncBroker, name)).return_annotation == returned
    assert inspect.signature(getattr(AsyncBroker, name)).return_annotation == returned
    assert inspect.iscoroutinefunction(getattr(AsyncBroker, name))


def public(cls: type) -> set[str]:
    return {name for name in dir(cls) if not name.startswith("_")}


def test_the_two_have_the_same_methods_and_nothing_but_the_port_and_their_life() -> None:
    # Who awaits has other work to do anyway; who blocks needs a way to do some. What is handed over needs a loop.
    assert public(SyncBroker) == public(AsyncBroker) - {"receiver"} | {"begin_enqueue", "begin_fire_entries"}
    assert public(AsyncBroker) - set(OPERATIONS) == {"carry", "close", "receiver", "waiter"}


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, []), (1, [1]), (500, [500]), (501, [500, 1]), (1200, [500, 500, 200])]
)
def test_batches_are_cut_in_order(count: int, sizes: list[int]) -> None:
    items = list(range(count))
    cut = list(parts(items))
    assert [len(part) for part in cut] == sizes
    assert [item for part in cut for item in part] == items


class Counting(MemoryDriver):
    """A memory driver that counts requests and performers."""

    def __init__(self, name: str) -> None:
        super().__init__(shared_store(name, SYSTEM))
        self.requests = 0
        self.performers = 0
        self.closed = 0

    def performer(self) -> MemoryPerformer:
        self.performers += 1
        return CountingPerformer(self)


class CountingPerformer(MemoryPerformer):
    def __init__(self, driver: Counting) -> None:
        super().__init__(driver._shared)
        self._driver = driver

    def perform(self, request: Any) -> Any:
        self._driver.requests += 1
        return super().perform(request)

    def close(self) -> None:
        self._driver.closed += 1


@pytest.fixture
def driver(request: pytest.FixtureRequest) -> Counting:
    return Counting(request.node.name)


def test_a_long_batch_becomes_several_operations_and_one_answer(driver: Counting) -> None:
    broker = SyncBroker(driver)
    sent = messages(1100)
    assert broker.enqueue(sent) == ()
    assert driver.requests == 3
    assert broker.enqueue(sent) == tuple(message.id for message in sent)
    assert len(broker.claim(["celery"], 2000, "w", 30.0)) == MAX_BATCH
    assert len(broker.page(["PENDING", "RECEIVED"], None, 0, 1100)) == 1100
    assert len(broker.get([message.id for message in sent])) == 1100


def test_nothing_to_do_asks_nothing(driver: Counting) -> None:
    broker = SyncBroker(driver)
    nothing: Sequence[Any] = ()
    assert broker.enqueue(nothing) == broker.settle(nothing) == broker.start(nothing) == ()
    assert broker.extend(nothing, 1.0) == broker.revive(nothing) == broker.progress(nothing) == ()
    assert [*broker.cancel(nothing), *broker.get(nothing), *broker.fetch(nothing)] == []
    assert broker.discard(nothing) == 0
    broker.store(nothing)
    broker.reply(nothing)
    assert (driver.requests, driver.performers) == (0, 0)


def test_the_connection_is_opened_with_the_first_call_and_again_after_closing(driver: Counting) -> None:
    broker = SyncBroker(driver)
    assert driver.performers == 0
    with broker:
        broker.stats()
        broker.stats()
        assert driver.performers == 1
    assert driver.closed == 1
    broker.close()
    assert driver.closed == 1
    broker.stats()
    assert driver.performers == 2


def test_threads_share_one_connection(driver: Counting) -> None:
    broker = SyncBroker(driver)
    barrier = threading.Barrier(8)
    found = []

    def look() -> None:
        barrier.wait()
        broker.stats()
        found.append(vars(broker)["_performer"])

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1


async def test_the_async_facade_cuts_batches_too() -> None:
    async with open_async_broker("memory://facade-async") as broker:
        sent = messages(1001)
        assert await broker.enqueue(sent) == ()
        claimed = [*await broker.claim(["celery"], 900, "w", 30.0), *await broker.claim(["celery"], 600, "w", 30.0)]
        assert [delivery.lease.id for delivery in claimed] == [message.id for message in sent[:1000]]
        assert await broker.start([Start(delivery.lease) for delivery in claimed]) == ()
        results = [StoredResult(id=delivery.lease.id, state="SUCCESS") for delivery in claimed]
        settlements = [
            Settlement(lease=delivery.lease, action="done", result=result)
            for delivery, result in zip(claimed, results, strict=True)
        ]
        assert await broker.settle(settlements) == ()
        assert await broker.settle(settlements) == tuple(result.id for result in results)
        assert await broker.fetch([result.id for result in results]) == results
        assert await broker.discard([result.id for result in results]) == 1000
        assert len(await broker.page(["PENDING"], None, 0, 10)) == 1


async def test_waiters_of_both_facades_wake() -> None:
    with open_broker("memory://facade-wake") as broker:
        waiter = broker.waiter()
        async_waiter = AsyncBroker(connect("memory://facade-wake")).waiter()
        assert waiter.wait(0) is False
        assert await async_waiter.wait(0) is False
        waiting = asyncio.create_task(async_waiter.wait(10))
        await asyncio.sleep(0)
        await asyncio.to_thread(broker.enqueue, messages(1))
        assert await waiting is True
        assert waiter.wait(10) is True
