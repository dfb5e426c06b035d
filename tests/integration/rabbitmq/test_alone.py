"""RabbitMQ without a store under load: each task once as long as no connection is lost, whatever is given back, given
up in the middle, or has to wait for a server that stands still."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from typing import Any

import pytest

from celeriac import Queue
from celeriac.brokers.facade import AsyncBroker
from celeriac.brokers.rabbitmq.driver import AloneDriver
from celeriac.brokers.rabbitmq.link import Link
from celeriac.core.message import Delivery, Message, Settlement
from celeriac.core.queues import QueuePlan
from celeriac.errors import OperationalError
from tests.integration.rabbitmq.conftest import Open
from tests.support.rabbitmq import RabbitNode

LEASE = 30.0
RIVALS = 6
EACH = 150


@pytest.fixture
def open_broker(open_broker: Open) -> Open:
    """Open brokers without a store."""

    def make(query: str = "timeout=20", **more: Any) -> AsyncBroker[Any, Any]:
        return open_broker(query, alone=True, **more)

    return make


def message(queue: str, id: str, **fields: Any) -> Message:
    return Message(id=id, task="proj.add", queue=queue, **fields)


def links_of(broker: AsyncBroker[Any, Any]) -> list[Link]:
    driver = broker._driver
    assert isinstance(driver, AloneDriver)
    client = driver.client()
    return [client.link, client.outward]


def done(delivery: Delivery) -> Settlement:
    return Settlement(lease=delivery.lease, action="done")


class Crowd:
    """Producers and consumers at once on one queue. What they do comes from a seed; how it interleaves does not."""

    def __init__(self, brokers: list[AsyncBroker[Any, Any]], queue: str, seed: int) -> None:
        self.brokers = brokers
        self.queue = queue
        self.seed = seed
        self.total = RIVALS * EACH
        self.finished: Counter[str] = Counter()
        self.held: Counter[str] = Counter()
        self.twice: list[str] = []

    async def run(self) -> None:
        numbered = list(enumerate(self.brokers))
        await asyncio.gather(
            *(self.produce(broker, n) for n, broker in numbered), *(self.consume(broker, n) for n, broker in numbered)
        )

    async def produce(self, broker: AsyncBroker[Any, Any], n: int) -> None:
        rng = random.Random(self.seed * 100 + n)
        sent = 0
        while sent < EACH:
            size = min(EACH - sent, rng.randint(1, 20))
            ids = [f"{n}-{sent + place}" for place in range(size)]
            await broker.enqueue([message(self.queue, id, priority=rng.choice([0, 0, 5])) for id in ids])
            sent += size

    async def consume(self, broker: AsyncBroker[Any, Any], n: int) -> None:
        rng = random.Random(self.seed * 100 + 50 + n)
        waiter = broker.waiter()
        while len(self.finished) < self.total:
            deliveries = await self.claim(broker, n, rng)
            if not deliveries:
                await waiter.wait(0.05)
            ids = [one.lease.id for one in deliveries]
            self.held.update(ids)
            self.twice += [id for id in ids if self.held[id] > 1 or id in self.finished]
            settlements = [self.settlement(one, rng) for one in deliveries]
            rng.shuffle(settlements)
            cut = rng.randint(0, len(settlements))
            await self.settle(broker, settlements[:cut])
            await self.settle(broker, settlements[cut:])
        await waiter.close()

    async def claim(self, broker: AsyncBroker[Any, Any], n: int, rng: random.Random) -> list[Delivery]:
        claiming = asyncio.ensure_future(broker.claim([self.queue], rng.randint(1, 30), f"w{n}", LEASE))
        if rng.random() < 0.3:  # Given up, maybe: what was taken by then must not be stuck.
            await asyncio.wait([claiming], timeout=rng.random() * 0.01)
            claiming.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            return await claiming
        return []

    def settlement(self, delivery: Delivery, rng: random.Random) -> Settlement:
        dice = rng.random()
        if dice < 0.75:
            return done(delivery)
        if dice < 0.95:
            return Settlement(lease=delivery.lease, action="release")
        return Settlement(lease=delivery.lease, action="retry", message=delivery.message)

    async def settle(self, broker: AsyncBroker[Any, Any], settlements: list[Settlement]) -> None:
        self.held.subtract(one.lease.id for one in settlements)  # Others may have it before we are told.
        lost = await broker.settle(settlements)
        self.twice += lost
        self.finished.update(one.lease.id for one in settlements if one.action == "done" and one.lease.id not in lost)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
async def test_of_many_at_once_each_task_is_held_by_one_and_finished_once(
    open_broker: Open, queue: str, queue_type: str, seed: int
) -> None:
    brokers = [open_broker(f"timeout=20&queue_type={queue_type}") for _ in range(RIVALS)]
    links = [link for broker in brokers for link in links_of(broker)]
    crowd = Crowd(brokers, queue, seed)
    for attempt in range(3):
        crowd = Crowd(brokers, f"{queue}{attempt}", seed)
        await asyncio.wait_for(crowd.run(), 18)
        assert len(crowd.finished) == crowd.total, "nothing is lost, whatever happens"
        # RabbitMQ 3.10 closes connections by itself (INTERNAL_ERROR), now and then, while quorum queues are being made.
        if queue_type == "classic" or all(link.generation == 1 for link in links):
            break
        for broker in brokers:
            await broker.close()
        for link in links:
            link.generation = 0
    assert crowd.twice == [], f"seed {seed}"
    assert set(crowd.finished.values()) == {1}
    assert await brokers[0].claim([crowd.queue], 10, "w", LEASE) == []


async def test_a_lease_is_settled_only_where_it_was_given(open_broker: Open, queue: str) -> None:
    first, second = open_broker(), open_broker()
    await first.enqueue([message(queue, "a"), message(queue, "b")])
    (one,) = await first.claim([queue], 1, "w1", LEASE)
    (other,) = await second.claim([queue], 1, "w2", LEASE)
    assert await first.settle([done(other)]) == (other.lease.id,)
    assert await second.settle([Settlement(lease=one.lease, action="release")]) == (one.lease.id,)
    assert await first.settle([done(one)]) == await second.settle([done(other)]) == ()


async def test_what_came_too_early_and_could_not_be_put_off_is_claimed_again(
    open_broker: Open, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = open_broker()
    due = time.time() + 0.3
    await broker.enqueue([message(queue, "late", eta=due), message(queue, "now")])
    driver: Any = broker._driver
    sender = driver.client().sender
    waiter = broker.waiter()
    found: list[Delivery] = []
    while not found:
        found = await broker.claim([queue], 10, "w1", LEASE)
        await waiter.wait(0.1)
    await waiter.close()
    assert [one.lease.id for one in found] == ["now"]
    # A message whose time its queue does not keep: claimed before it is due, it has to be sent on.
    await sender.publish(driver.operations._sent([message(queue, "early")], 0.0), time.monotonic() + 10)

    async def refuse(*_: object) -> None:
        raise OperationalError("not now")

    with monkeypatch.context() as patch:
        patch.setattr(sender, "publish", refuse)
        patch.setattr("celeriac.brokers.rabbitmq.operations.alone.SHORTEST", -1e12)
        patch.setattr("celeriac.brokers.rabbitmq.operations.alone.received", lambda one: message(queue, "early", eta=1))
        with pytest.raises(OperationalError, match="not now"):
            await broker.claim([queue], 10, "w1", LEASE)
    assert [one.lease.id for one in await broker.claim([queue], 10, "w1", LEASE)] == ["early"]


@pytest.mark.slow
async def test_a_server_that_stands_still_makes_nothing_run_twice(
    node: RabbitNode, open_broker: Open, queue: str
) -> None:
    # Long enough for a sender that would send again if confirms take long: a third of the timeout, 5 s at least.
    sender, worker, other = open_broker("timeout=15"), open_broker("timeout=1"), open_broker()
    await sender.enqueue([message(queue, "held")])
    (held,) = await worker.claim([queue], 1, "w1", LEASE)
    node.pause()
    try:
        sending = asyncio.ensure_future(sender.enqueue([message(queue, f"t{n}") for n in range(20)]))
        with pytest.raises(OperationalError, match="did not answer in time"):
            await worker.claim([queue], 1, "w1", LEASE)
        await asyncio.sleep(5.5)
    finally:
        node.resume()
    assert await sending == ()
    assert await worker.settle([done(held)]) == (), "its task ran on, and nobody else got it"
    found: list[Delivery] = []
    while len(found) < 20:
        found += await other.claim([queue], 100, "w2", LEASE)
    assert sorted(one.lease.id for one in found) == sorted(f"t{n}" for n in range(20))
    assert await other.claim([queue], 100, "w2", LEASE) == []


class TestRefused:
    """A queue that takes one message at a time, and refuses the rest."""

    @pytest.fixture
    def narrow(self, queue: str) -> QueuePlan:
        arguments = {"x-queue-type": "classic", "x-max-length": 1, "x-overflow": "reject-publish"}
        return QueuePlan([Queue(queue, queue_arguments=arguments)])

    async def test_what_is_refused_for_a_moment_is_sent_again(
        self, open_broker: Open, queue: str, narrow: QueuePlan
    ) -> None:
        sender, worker = open_broker(plan=narrow), open_broker(plan=narrow)
        sending = asyncio.ensure_future(sender.enqueue([message(queue, id) for id in "abc"]))
        found: list[str] = []
        while len(found) < 3:
            for one in await worker.claim([queue], 1, "w1", LEASE):
                found.append(one.lease.id)
                await worker.settle([done(one)])
        assert await sending == ()
        assert sorted(found) == ["a", "b", "c"]

    async def test_what_is_refused_for_long_is_an_error(self, open_broker: Open, queue: str, narrow: QueuePlan) -> None:
        broker = open_broker(plan=narrow)
        await broker.enqueue([message(queue, "a")])
        with pytest.raises(OperationalError, match="RabbitMQ refused 2 of 2 messages"):
            await broker.enqueue([message(queue, "b"), message(queue, "c")])
