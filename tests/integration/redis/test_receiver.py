"""The connection by which an owner's event loop hears: it comes back, and says what it cannot do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from celeriac.brokers import connect
from celeriac.brokers.facade import AsyncBroker
from celeriac.brokers.redis import receiver
from celeriac.core.message import Delivery, Message
from celeriac.errors import BrokerError
from tests.support.servers import RedisServer

PATIENCE: Final = 20.0
Broker = AsyncBroker[Any, Any]


@pytest.fixture
async def broker(own_server: RedisServer) -> AsyncIterator[Broker]:
    async with AsyncBroker(connect(own_server.url)) as opened:
        yield opened


async def test_after_a_cut_connection_it_is_woken_and_told_of_the_gap(broker: Broker, own_server: RedisServer) -> None:
    told: list[Delivery | None] = []
    waiter = broker.receiver("w1", told.append)
    for times in range(1, 4):
        assert await waiter.wait(PATIENCE)
        assert told == [None] * times
        assert not await waiter.wait(0.05)
        assert own_server.ask("CLIENT", "KILL", "TYPE", "pubsub") == 1
    await waiter.close()
    await waiter.close()


async def test_a_server_that_does_not_answer_any_more_is_left(
    broker: Broker, own_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver, "PING_EVERY", 0.2)
    monkeypatch.setattr(receiver, "PATIENCE", 0.2)
    told: list[Delivery | None] = []
    waiter = broker.receiver("w1", told.append)
    assert await waiter.wait(PATIENCE)
    assert not await waiter.wait(1.0), "silence that is answered when asked about is none"
    own_server.pause()
    await asyncio.sleep(1.0)
    own_server.resume()
    assert await waiter.wait(PATIENCE)
    assert told == [None, None]
    await broker.extend(["w1"], 30.0)
    assert await broker.claim(["q"], 1, "w1", 30.0) == []
    await broker.enqueue([Message(id="a", task="t", queue="q")])
    async with asyncio.timeout(PATIENCE):
        while len(told) < 3:  # noqa: ASYNC110 - what is handed over comes by a callback
            await asyncio.sleep(0.01)
    assert told[-1] is not None
    assert told[-1].lease.id == "a"
    await waiter.close()


async def test_whoever_may_not_listen_is_told_so(broker: Broker, own_server: RedisServer) -> None:
    own_server.ask("ACL", "SETUSER", "deaf", "on", ">word", "+@all", "-subscribe", "~*", "&*")
    url = own_server.url.replace("redis://", "redis://deaf:word@")
    async with AsyncBroker(connect(url)) as refused:
        waiter = refused.receiver("w1", lambda delivery: None)
        with pytest.raises(BrokerError, match="subscribe"):
            for _ in range(100):
                await waiter.wait(0.1)
        await waiter.close()


async def test_what_cannot_be_taken_does_not_make_it_deaf(broker: Broker) -> None:
    problems: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: problems.append(context))

    def take(delivery: Delivery | None) -> None:
        if delivery is not None:
            raise RuntimeError("full")

    waiter = broker.receiver("w1", take)
    assert await waiter.wait(PATIENCE)
    await broker.extend(["w1"], 30.0)
    for id in ("a", "b"):
        assert await broker.claim(["q"], 1, "w1", 30.0) == []
        await broker.enqueue([Message(id=id, task="t", queue="q")])
        (lease,) = await broker.holdings("w1")
        await asyncio.sleep(0.2)
        await broker.reclaim("judge", 10, crash_limit=3, owner="w1")
        await broker.extend(["w1"], 30.0)
        await broker.claim(["q"], 10, "other", 30.0)
        assert lease.id == id
    assert [str(one["exception"]) for one in problems] == ["full", "full"]
    await waiter.close()
