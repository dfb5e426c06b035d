"""On Redis a message that is enqueued alone is handed over to an owner that waits for it and holds nothing."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec
import pytest

from celeriac.brokers import connect
from celeriac.brokers.facade import AsyncBroker
from celeriac.brokers.port import AsyncWaiter, Sending
from celeriac.core.message import Delivery, Lease, Message, Settlement
from celeriac.events import Bus
from celeriac.worker.holdings import Auditor, Holdings
from tests.support.servers import RedisServer

LEASE: Final = 30.0
Broker = AsyncBroker[Any, Any]
_numbers: Final = itertools.count()


@pytest.fixture
async def broker(server: RedisServer) -> AsyncIterator[Broker]:
    async with AsyncBroker(connect(f"{server.url}?prefix=hand{next(_numbers)}")) as opened:
        yield opened


def message(id: str, queue: str = "one", **fields: Any) -> Message:
    return Message(id=id, task="t", queue=queue, **fields)


class Owner:
    """An owner that waits, and keeps what it is handed."""

    def __init__(self, broker: Broker, name: str, queues: Sequence[str] = ("one",)) -> None:
        self.broker = broker
        self.name = name
        self.queues = queues
        self.handed: list[Delivery] = []
        self.gaps = 0
        self.told = asyncio.Event()
        self.waiter: AsyncWaiter = broker.receiver(name, self._take)

    def _take(self, delivery: Delivery | None) -> None:
        if delivery is None:
            self.gaps += 1
        else:
            self.handed.append(delivery)
        self.told.set()

    async def claim(self, limit: int = 1) -> list[Delivery]:
        return await self.broker.claim(self.queues, limit, self.name, LEASE)

    async def becomes_idle(self) -> None:
        assert await self.waiter.wait(10), "it is woken when the server listens for it"
        await asyncio.sleep(0)
        assert self.gaps == 1, "and asked to see what it holds"
        await self.broker.extend([self.name], LEASE)
        assert await self.claim() == []

    async def got(self, quiet: float = 0.3) -> list[str]:
        """Return the ids that were handed over, once there are some, or after a moment."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(quiet):
                while not self.handed:
                    self.told.clear()
                    await self.told.wait()
        return [one.lease.id for one in self.handed]


class Audited:
    """What an owner holds, compared with what the broker says, and what is given back."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.holdings = Holdings()
        self.released: list[Settlement] = []
        self.asked = asyncio.Event()
        """The broker has said what it holds."""
        self.auditor = Auditor(
            holdings=self.holdings,
            broker=Asked(self),
            owner="w1",
            every=60.0,
            settle=self.released.append,
            forsake=lambda ids: None,
            bus=Bus(),
        )


class Asked:
    """The broker that is asked, and tells when it was."""

    def __init__(self, audited: Audited) -> None:
        self._audited = audited
        self.get = audited.broker.get

    async def holdings(self, owner: str) -> tuple[Lease, ...]:
        found = await self._audited.broker.holdings(owner)
        self._audited.asked.set()
        return found


async def idle(broker: Broker, name: str, queues: Sequence[str] = ("one",)) -> Owner:
    owner = Owner(broker, name, queues)
    await owner.becomes_idle()
    return owner


def later(delivery: Delivery) -> Delivery:
    """Return a delivery of the same task under a later lease."""
    lease = msgspec.structs.replace(delivery.lease, token=delivery.lease.token + 1)
    return msgspec.structs.replace(delivery, lease=lease)


async def done(broker: Broker, deliveries: Sequence[Delivery], **fields: Any) -> None:
    settlements = [Settlement(lease=one.lease, action="done", **fields) for one in deliveries]
    assert await broker.settle(settlements) == ()


async def test_what_is_handed_over_is_what_a_claim_would_have_brought(broker: Broker) -> None:
    owner = await idle(broker, "w1")
    sent = message("ä-1", body=b"[[1], {}, {}]", priority=7, headers={"h": 1}, argsrepr="(1,)")
    assert await broker.enqueue([sent]) == ()
    assert await owner.got() == ["ä-1"]
    (handed,) = owner.handed
    assert not await owner.waiter.wait(0.1), "it is not told to look besides"
    assert await broker.holdings("w1") == (handed.lease,)
    assert await broker.claim(["one"], 10, "w2", LEASE) == []
    assert (await broker.stats())[0].owned == 1
    await broker.settle([Settlement(lease=handed.lease, action="release")])
    (claimed,) = await broker.claim(["one"], 10, "w2", LEASE)
    assert claimed.message == handed.message == sent
    assert claimed.lease.token > handed.lease.token
    assert await broker.settle([Settlement(lease=handed.lease, action="done")]) == ("ä-1",), "another's by now"
    await done(broker, [claimed])
    assert [one for one in await broker.stats() if one.ready or one.owned] == []


async def test_one_that_holds_something_is_handed_nothing(broker: Broker) -> None:
    owner = await idle(broker, "w1")
    await broker.enqueue([message("a")])
    assert await owner.got() == ["a"]
    assert await owner.claim() == [], "it is known as idle again, and holds one"
    await broker.enqueue([message("b")])
    assert await owner.waiter.wait(5), "it is told to look"
    assert [one.lease.id for one in await owner.claim()] == ["b"]
    assert await owner.got() == ["a"]


async def test_the_one_that_can_take_it_is_found_among_those_that_wait(broker: Broker) -> None:
    free = await idle(broker, "free")
    busy = await idle(broker, "busy")
    await broker.enqueue([message("a")])
    assert await busy.got() == ["a"], "the last to come"
    assert await busy.claim() == []
    await broker.enqueue([message("b")])
    assert await free.got() == ["b"]


async def test_behind_others_nothing_is_handed_over(broker: Broker) -> None:
    owner = await idle(broker, "w1", ("one", "two"))
    await broker.enqueue([message("a"), message("b")])
    assert await owner.waiter.wait(5), "two at once are for a claim"
    await broker.enqueue([message("c")])
    assert await owner.got() == []
    assert [one.lease.id for one in await owner.claim(3)] == ["a", "b", "c"]


async def test_one_without_a_lease_is_handed_nothing(broker: Broker) -> None:
    owner = Owner(broker, "w1")
    assert await owner.waiter.wait(10)
    assert await owner.claim() == []
    await broker.enqueue([message("a")])
    assert await owner.waiter.wait(5)
    assert await owner.got() == []
    await done(broker, await owner.claim())
    await broker.extend(["w1"], 0.05)
    await asyncio.sleep(0.1)
    assert await owner.claim() == []
    await broker.enqueue([message("b")])
    assert await owner.waiter.wait(5), "its lease had run out"
    assert await owner.got() == []


async def test_one_whose_lease_was_ended_is_handed_nothing(broker: Broker) -> None:
    owner = await idle(broker, "w1")
    await broker.reclaim("judge", 100, crash_limit=3, owner="w1")
    await broker.enqueue([message("a")])
    assert await owner.waiter.wait(5)
    assert await owner.got() == []
    assert [one.lease.id for one in await broker.claim(["one"], 1, "w2", LEASE)] == ["a"]


async def test_one_that_listens_no_more_is_handed_nothing(broker: Broker) -> None:
    owner = await idle(broker, "w1")
    other = await idle(broker, "w2")
    await owner.waiter.close()
    await other.waiter.close()
    lasting = await idle(broker, "w3")  # The connection stays, and tells the server who has gone.
    await lasting.broker.claim(["one"], 0, "w3", LEASE)
    await broker.enqueue([message("a")])
    assert await owner.got() == []
    assert [one.lease.id for one in await lasting.claim()] == ["a"]


async def test_what_is_large_is_claimed(broker: Broker) -> None:
    owner = await idle(broker, "w1")
    await broker.enqueue([message("a", body=b"x" * 70_000)])
    assert await owner.waiter.wait(5)
    assert await owner.got() == []
    assert len(await owner.claim()) == 1


async def test_a_repeated_sending_is_handed_over_once(broker: Broker) -> None:
    owner = await idle(broker, "w1")
    for _ in range(3):
        await broker.enqueue([message("a")], Sending("sender", 1))
    assert await owner.got() == ["a"]
    await done(broker, owner.handed)
    await broker.enqueue([message("a")], Sending("sender", 1))
    assert await owner.claim() == []
    assert await owner.got() == ["a"]


async def test_what_was_lost_on_the_way_is_given_back_and_not_taken_when_it_comes_after_all(broker: Broker) -> None:
    owner = await idle(broker, "w1")
    audited = Audited(broker)
    auditor, holdings, released = audited.auditor, audited.holdings, audited.released
    await broker.enqueue([message("a")])
    assert await owner.got() == ["a"]
    await auditor.audit()
    assert [(one.lease, one.action) for one in released] == [(owner.handed[0].lease, "release")]
    assert not holdings.take_handed(owner.handed[0]), "others may have it"
    released.clear()

    audited.asked.clear()
    looking = asyncio.create_task(auditor.audit())
    await audited.asked.wait()
    assert holdings.take_handed(later(owner.handed[0])), "another delivery of the same task is another one"
    await looking
    assert [one.lease.token for one in released] == [owner.handed[0].lease.token]


async def test_what_comes_while_it_is_looked_for_is_kept(broker: Broker) -> None:
    owner = await idle(broker, "w1")
    audited = Audited(broker)
    auditor, holdings, released = audited.auditor, audited.holdings, audited.released
    await broker.enqueue([message("a")])
    assert await owner.got() == ["a"]
    audited.asked.clear()
    looking = asyncio.create_task(auditor.audit())
    await audited.asked.wait()
    assert holdings.take_handed(owner.handed[0])
    holdings.drop([owner.handed[0].lease])  # It has run and was settled at once.
    await looking
    assert released == []


async def test_who_may_not_publish_what_is_handed_over_leaves_it_for_a_claim(
    server: RedisServer, broker: Broker
) -> None:
    owner = await idle(broker, "w1")
    prefix = f"hand{next(_numbers) - 1}"
    server.ask("ACL", "SETUSER", "sender", "on", ">pw", "~*", "+@all", "resetchannels", f"&{{{prefix}}}:wake*")
    url = server.url.replace("://", "://sender:pw@")
    async with AsyncBroker(connect(f"{url}?prefix={prefix}")) as sender:
        await sender.enqueue([message("a")])
    assert await owner.waiter.wait(5)
    assert await broker.holdings("w1") == ()
    assert [one.lease.id for one in await owner.claim()] == ["a"]


async def test_leases_that_are_none_do_not_lose_what_is_sent(server: RedisServer, broker: Broker) -> None:
    await idle(broker, "w1")
    leases = f"{{hand{next(_numbers) - 1}}}:leases"
    server.ask("DEL", leases)
    server.ask("SET", leases, "x")
    assert await broker.enqueue([message("a")]) == ()
    server.ask("DEL", leases)
    assert [one.lease.id for one in await broker.claim(["one"], 1, "w2", LEASE)] == ["a"]


@pytest.mark.parametrize("seed", range(3))
async def test_nothing_is_lost_or_doubled_among_owners_that_are_handed_some_and_claim_others(
    broker: Broker, seed: int
) -> None:
    rng = random.Random(seed)
    ran: Counter[str] = Counter()
    sent: list[str] = []

    async def consume(name: str) -> None:
        owner = Owner(broker, name, rng.choice((("one",), ("one", "two"), ("two", "one"))))
        await broker.extend([name], LEASE)
        while True:
            found, owner.handed[:] = owner.handed[:], []
            found = found or await owner.claim(rng.choice((1, 3)))
            ran.update(one.lease.id for one in found)
            if found:
                await asyncio.sleep(rng.choice((0.0, 0.001, 0.005)))
                await done(broker, found)
                continue
            if owner.handed:
                continue
            owner.told.clear()
            ways = [asyncio.create_task(owner.waiter.wait(60.0)), asyncio.create_task(owner.told.wait())]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for one in ways:
                one.cancel()

    consumers = [asyncio.create_task(consume(f"w{n}")) for n in range(6)]
    for _ in range(300):
        burst = [f"t{len(sent) + n}" for n in range(rng.choice((1, 1, 1, 2, 5)))]
        sent += burst
        await broker.enqueue([message(id, rng.choice(("one", "two"))) for id in burst])
        await asyncio.sleep(rng.choice((0.0, 0.002, 0.01)))
    for _ in range(1000):
        if sum(ran.values()) >= len(sent):
            break
        await asyncio.sleep(0.01)
    for one in consumers:
        one.cancel()
    await asyncio.gather(*consumers, return_exceptions=True)
    assert ran == Counter(sent)
