"""Takes that follow each other at once leave their consumer of RabbitMQ's open, and keep nothing from others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from celeriac.brokers.facade import AsyncBroker
from celeriac.brokers.rabbitmq.client import Client
from celeriac.brokers.rabbitmq.operations.messages import received
from celeriac.brokers.rabbitmq.reader import Reader
from celeriac.brokers.rabbitmq.receiver import ABANDONED
from celeriac.brokers.rabbitmq.requests import Ack, Take, Taken
from celeriac.brokers.rabbitmq.waiters import AsyncRabbitWaiter
from tests.integration.rabbitmq.conftest import Open
from tests.integration.rabbitmq.test_broker import LEASE, claimed, client_of, done, eventually, message


class TestStaying:
    """Takes that follow each other at once leave their consumer open."""

    @pytest.fixture
    async def client(self, open_broker: Open) -> AsyncIterator[Client]:
        """What one process asks RabbitMQ by."""
        client = client_of(open_broker())
        yield client
        await client.close()

    async def take(self, client: Client, queue: str, limit: int = 1) -> list[str]:
        """Take and acknowledge, and stay; return the ids."""
        taken: list[Taken] = await client.perform(Take((queue,), limit, "w1", hurry=True, stay=True))
        await client.perform(Ack([one.ref for one in taken]))
        return [received(one).id for one in taken]

    async def come(self, client: Client, count: int) -> None:
        """Wait until so many lie here."""

        async def here() -> bool:
            return sum(len(reader.inbox) for reader in client.receiver._readers.values()) == count

        await eventually(here)

    async def test_the_next_take_finds_what_has_come(
        self, open_broker: Open, client: Client, queue: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("celeriac.brokers.rabbitmq.receiver.ABANDONED", 60.0)
        broker = open_broker()
        await broker.enqueue([message(queue, id=f"{queue}{n}") for n in range(3)])
        assert await self.take(client, queue) == [f"{queue}0"]
        await self.come(client, 1)
        with monkeypatch.context() as patch:
            patch.setattr(Reader, "count", lambda _: pytest.fail("RabbitMQ was asked"))
            assert await self.take(client, queue) == [f"{queue}1"]
            await self.come(client, 1)
            assert await self.take(client, queue) == [f"{queue}2"]
        assert await self.take(client, queue) == []

    async def test_what_came_and_nobody_takes_goes_back(self, open_broker: Open, client: Client, queue: str) -> None:
        broker, other = open_broker(), open_broker()
        await broker.enqueue([message(queue, id=f"{queue}{n}") for n in range(3)])
        assert await self.take(client, queue) == [f"{queue}0"]
        assert {one.lease.id for one in await claimed(other, queue, 2)} == {f"{queue}1", f"{queue}2"}
        assert not any(reader.room or reader.inbox for reader in client.receiver._readers.values())

    async def test_a_sleeper_keeps_it_open(self, open_broker: Open, client: Client, queue: str) -> None:
        broker = open_broker()
        waiter = AsyncRabbitWaiter(lambda: client, None)
        assert await self.take(client, queue) == []
        sleeping = asyncio.ensure_future(waiter.wait(20.0))
        await asyncio.sleep(3 * ABANDONED)
        await broker.enqueue([message(queue, id=queue)])
        assert await sleeping
        assert await self.take(client, queue) == [queue]
        await waiter.close()

    async def test_what_is_urgent_comes_before_what_lies_here(
        self, open_broker: Open, client: Client, queue: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("celeriac.brokers.rabbitmq.receiver.ABANDONED", 60.0)
        broker = open_broker()
        await broker.enqueue([message(queue) for _ in range(6)])
        await self.take(client, queue, 2)
        await self.come(client, 2)
        await broker.enqueue([message(queue, id=f"{queue}{n}", priority=5 + n) for n in range(2)])
        found: list[str] = []

        async def urgent_taken() -> bool:
            heard = [reader.level for reader in client.receiver._readers.values()]
            if not {5, 6} <= {*heard}:
                await client.receiver._reading(await client.link.get(time.monotonic() + 10), (queue,))
                return False
            found.extend(await self.take(client, queue, 2))
            return True

        await eventually(urgent_taken)
        assert found == [f"{queue}1", f"{queue}0"]
        while len(found) < 6:
            found += await self.take(client, queue, 10)

    async def test_a_greater_take_does_not_wait_for_what_its_consumer_may_not_bring(
        self, open_broker: Open, client: Client, queue: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Beside a queue that is empty, so that there is no consumer on it and the other one is asked each time."""
        monkeypatch.setattr("celeriac.brokers.rabbitmq.receiver.ABANDONED", 60.0)
        await open_broker().enqueue([message(queue) for _ in range(20)])
        asked = 0
        count = Reader.count

        async def counting(reader: Reader) -> int:
            nonlocal asked
            asked += 1
            return await count(reader)

        monkeypatch.setattr(Reader, "count", counting)
        found = 0
        for limit in (1, 2, 4, 7, 6):
            taken = await client.perform(Take((queue, f"{queue}-other"), limit, "w1", hurry=True, stay=True))
            await client.perform(Ack([one.ref for one in taken]))
            found += len(taken)
            await asyncio.sleep(0.05)
        assert found == 20
        assert asked < 100

    async def test_what_lies_here_beyond_the_next_look_goes_back(
        self, open_broker: Open, client: Client, queue: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("celeriac.brokers.rabbitmq.receiver.ABANDONED", 60.0)
        broker, other = open_broker(), open_broker()
        await broker.enqueue([message(queue) for _ in range(40)])
        assert len(await self.take(client, queue, 20)) == 20
        await self.come(client, 20)
        assert len(await self.take(client, queue)) == 1
        assert len(await claimed(other, queue, 19)) == 19

    async def test_the_consumers_of_other_queues_are_closed(
        self, open_broker: Open, client: Client, queue: str
    ) -> None:
        broker = open_broker()
        await broker.enqueue([message(queue) for _ in range(3)])
        await self.take(client, queue)
        await self.take(client, f"{queue}-other")
        assert [reader.room for reader in client.receiver._readers.values() if reader.name == queue] == [0]
        assert len(await claimed(broker, queue, 2)) == 2

    async def test_claims_one_after_the_other_stay_and_lose_nothing(self, open_broker: Open, queue: str) -> None:
        """Two processes, each message once."""
        brokers = [open_broker(), open_broker()]
        ids = [f"{queue}{n:04}" for n in range(3000)]
        await open_broker().enqueue([message(queue, id=id) for id in ids])
        found: list[str] = []
        stayed = 0

        async def work(broker: AsyncBroker[Any, Any]) -> None:
            nonlocal stayed
            while len(found) < len(ids):
                deliveries = await broker.claim([queue], 60, "w1", LEASE)
                found.extend(one.lease.id for one in deliveries)
                assert await broker.settle([done(one) for one in deliveries]) == ()
                stayed += any(reader.room for reader in client_of(broker).receiver._readers.values())

        async with asyncio.timeout(60):
            await asyncio.gather(*map(work, brokers))
        assert sorted(found) == ids
        assert stayed
