"""On Redis an enqueue wakes as many idle owners as it has messages, and nobody sleeps beside what waits."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import pytest

from celeriac.brokers import connect
from celeriac.brokers.facade import AsyncBroker
from celeriac.brokers.port import AsyncWaiter
from celeriac.core.message import Delivery, Message, Settlement
from tests.support.servers import RedisServer

LEASE: Final = 30.0
LOOK: Final = 1.0
"""Seconds after which an idle worker looks by itself."""
LONG: Final = 4.0
"""Seconds that some tasks run: who was woken, and then waits for one of these, has waited for the wrong owner."""

Broker = AsyncBroker[Any, Any]

_numbers: Final = itertools.count()


@pytest.fixture
def prefix() -> str:
    """One that was not used before, so that nobody listens yet."""
    return f"wake{next(_numbers)}"


@pytest.fixture
async def broker(server: RedisServer, prefix: str) -> AsyncIterator[Broker]:
    async with AsyncBroker(connect(f"{server.url}?prefix={prefix}")) as opened:
        yield opened


def message(id: str, queue: str = "one", **fields: Any) -> Message:
    return Message(id=id, task="t", queue=queue, **fields)


async def idle(broker: Broker, owner: str, queues: Sequence[str] = ("one",)) -> AsyncWaiter:
    """Return the waiter of an owner that has found nothing."""
    waiter = broker.waiter(owner=owner)
    assert await waiter.wait(10), "it is woken when the server listens for it"
    assert await broker.claim(queues, 1, owner, LEASE) == []
    return waiter


async def idlers(broker: Broker, count: int, queues: Sequence[str] = ("one",)) -> list[AsyncWaiter]:
    return [await idle(broker, f"w{n}", queues) for n in range(count)]


async def awake(waiters: Sequence[AsyncWaiter], quiet: float = 0.3) -> list[int]:
    """Return which are woken, once nothing has been heard for a moment."""
    woken = await asyncio.gather(*[waiter.wait(quiet) for waiter in waiters])
    return [place for place, one in enumerate(woken) if one]


async def done(broker: Broker, deliveries: Sequence[Delivery], **fields: Any) -> None:
    settlements = [Settlement(lease=one.lease, action="done", **fields) for one in deliveries]
    assert await broker.settle(settlements) == ()


async def test_as_many_are_woken_as_there_are_messages_the_last_to_come_first(broker: Broker) -> None:
    waiters = await idlers(broker, 8)
    await broker.enqueue([message("a")])
    assert await awake(waiters) == [7]
    await broker.enqueue([message("b")])
    assert await awake(waiters) == [6], "one that is awake is not told again"
    await broker.enqueue([message(f"t{n}") for n in range(3)])
    assert await awake(waiters) == [3, 4, 5]
    await broker.enqueue([message(f"more{n}") for n in range(500)])
    assert await awake(waiters) == [0, 1, 2]


async def test_who_waits_for_another_queue_sleeps(broker: Broker) -> None:
    waiters = [await idle(broker, "w0", ("one",)), await idle(broker, "w1", ("two",))]
    await broker.enqueue([message("a", "two")])
    await broker.enqueue([message("b", "three")])
    assert await awake(waiters) == [1]


async def test_each_way_to_become_ready_wakes_one(broker: Broker) -> None:
    waiters = await idlers(broker, 9)
    await broker.enqueue([message(id) for id in ("a", "b", "c")])
    assert await awake(waiters) == [6, 7, 8]
    a, b, c = await broker.claim(["one"], 3, "busy", LEASE)
    await broker.settle([Settlement(lease=a.lease, action="release")])
    assert await awake(waiters) == [5]
    assert b.message is not None
    await broker.settle([Settlement(lease=b.lease, action="retry", message=b.message, due=time.time() - 1)])
    assert await awake(waiters) == [4]
    await done(broker, [c], follow_ups=(message("next"),))
    assert await awake(waiters) == [3]
    assert len(await broker.claim(["one"], 3, "lost", LEASE)) == 3
    await broker.reclaim("judge", 1, crash_limit=3, owner="lost")
    assert await awake(waiters) == [2]
    poison, *_ = await broker.claim(["one"], 3, "busy", LEASE)
    await broker.settle([Settlement(lease=poison.lease, action="dead", reason="why")])
    await broker.revive([poison.lease.id])
    assert await awake(waiters) == [1]


async def test_a_claim_that_makes_messages_ready_wakes_others_for_what_it_leaves(broker: Broker) -> None:
    waiters = await idlers(broker, 6)
    now = await broker.now()
    await broker.enqueue([message(f"t{n}", eta=now + 0.3) for n in range(4)])
    assert await awake(waiters, 0.2) == list(range(6)), "a new time to keep is told to all"
    await asyncio.sleep(0.4)
    assert len(await broker.claim(["one"], 2, "busy", LEASE)) == 2
    assert await awake(waiters) == [4, 5]


async def test_a_claim_that_takes_all_wakes_nobody(broker: Broker) -> None:
    waiters = await idlers(broker, 3)
    await broker.enqueue([message("a"), message("b")])
    assert await awake(waiters) == [1, 2]
    assert len(await broker.claim(["one"], 2, "w2", LEASE)) == 2
    assert await awake(waiters) == []


async def test_an_owner_that_turns_out_busy_passes_its_wake_up_on(broker: Broker) -> None:
    waiters = await idlers(broker, 4)
    await broker.enqueue([message("a")])
    assert await awake(waiters) == [3]
    assert await broker.claim(["one"], 0, "w3", LEASE) == []
    assert await awake(waiters) == [2]
    assert await broker.holdings("w3") == ()
    assert [one.lease.id for one in await broker.claim(["one"], 1, "w2", LEASE)] == ["a"]
    assert await broker.claim(["one"], 0, "w1", LEASE) == []
    await broker.enqueue([message("b")])
    assert await awake(waiters) == [0], "w1 has said that it is not idle"


async def test_an_owner_whose_process_is_gone_keeps_no_wake_up(
    broker: Broker, server: RedisServer, prefix: str
) -> None:
    waiters = await idlers(broker, 1)
    for n in range(5):
        assert await broker.claim(["one"], 1, f"gone{n}", LEASE) == []
    await broker.enqueue([message("a")])
    assert await awake(waiters) == [0]
    assert server.ask("EXISTS", f"{{{prefix}}}:idle:one") == 0


async def test_after_a_lost_connection_an_owner_looks_again(broker: Broker, server: RedisServer) -> None:
    waiters = await idlers(broker, 1)
    server.ask("CLIENT", "KILL", "TYPE", "pubsub")
    assert await waiters[0].wait(10), "it is woken when the server listens again"
    assert await broker.claim(["one"], 1, "w0", LEASE) == []
    await broker.enqueue([message("a")])
    assert await waiters[0].wait(10)


async def test_who_is_nobodys_hears_of_all_that_is_new(broker: Broker) -> None:
    await idlers(broker, 2)
    anybody = broker.waiter()
    assert await anybody.wait(10)
    await broker.enqueue([message("a")])
    assert await anybody.wait(10)


async def test_what_is_known_of_idle_owners_expires(broker: Broker, server: RedisServer, prefix: str) -> None:
    await idlers(broker, 1, ("one", "two"))
    for queue in ("one", "two"):
        assert 0 < server.ask("PTTL", f"{{{prefix}}}:idle:{queue}") <= 60_000
    before = server.ask("INFO", "persistence")["rdb_changes_since_last_save"]
    for _ in range(10):
        assert await broker.claim(["one", "two"], 1, "w0", LEASE) == []
    after = server.ask("INFO", "persistence")["rdb_changes_since_last_save"]
    assert after == before, "looking again writes nothing"


async def test_a_full_server_lets_owners_be_idle(broker: Broker, own_server: RedisServer) -> None:
    async with AsyncBroker(connect(own_server.url)) as full:
        await full.install()
        own_server.ask("CONFIG", "SET", "maxmemory", "1")
        waiters = await idlers(full, 1)
        own_server.ask("CONFIG", "SET", "maxmemory", "0")
        await full.enqueue([message("a")])
        assert await awake(waiters) == [0]


class Consumers:
    """Workers in small: each claims as often as it is woken, and once in a while by itself."""

    def __init__(self, broker: Broker, seed: int, look: float, slow: Sequence[str] = ()) -> None:
        self.broker = broker
        self.rng = random.Random(seed)
        self.look = look
        self.slow = slow
        self.sent: dict[str, float] = {}
        self.late: dict[str, float] = {}
        self.running: dict[str, asyncio.Task[None]] = {}
        self.going: dict[str, asyncio.Event] = {}

    def start(self, owner: str, queues: Sequence[str]) -> None:
        self.going[owner] = asyncio.Event()
        self.going[owner].set()
        self.running[owner] = asyncio.create_task(self._consume(owner, queues))

    def pause_or_go_on(self, owner: str) -> None:
        going = self.going[owner]
        if going.is_set():
            going.clear()
        else:
            going.set()

    async def _consume(self, owner: str, queues: Sequence[str]) -> None:
        broker, waiter = self.broker, self.broker.waiter(owner=owner)
        try:
            while True:
                await self.going[owner].wait()
                size = 1 if owner in self.slow else self.rng.choice((1, 1, 2, 10))
                found = await broker.claim(queues, size, owner, LEASE)
                now = time.monotonic()
                for one in found:
                    self.late[one.lease.id] = now - self.sent[one.lease.id]
                if found:
                    long = owner in self.slow and self.rng.random() < 0.3
                    await asyncio.sleep(LONG if long else self.rng.choice((0.0, 0.0, 0.002, 0.01)))
                    await done(broker, found)
                else:
                    await waiter.wait(self.look)
        finally:
            await waiter.close()

    async def send(self, count: int) -> None:
        """Enqueue messages in bursts until there were so many."""
        while len(self.sent) < count:
            size = self.rng.choice((1, 1, 2, 7))
            burst = [message(f"t{len(self.sent) + n}", self.rng.choice(("one", "two"))) for n in range(size)]
            now = time.monotonic()
            self.sent.update({one.id: now for one in burst})
            await self.broker.enqueue(burst)
            await asyncio.sleep(self.rng.choice((0.0, 0.0, 0.001, 0.01)))

    async def all_taken(self, patience: float) -> None:
        deadline = time.monotonic() + patience
        while len(self.late) < len(self.sent):
            assert time.monotonic() < deadline, f"asleep beside {sorted(set(self.sent) - set(self.late))}"
            await asyncio.sleep(0.005)

    async def end(self) -> None:
        for task in self.running.values():
            task.cancel()
        await asyncio.gather(*self.running.values(), return_exceptions=True)


QUEUES = (("one",), ("two",), ("one", "two"), ("two", "one"))


@pytest.mark.parametrize("seed", range(3))
async def test_no_wake_up_is_lost_among_owners_that_live(broker: Broker, seed: int) -> None:
    # Nobody looks by itself, so one lost wake-up is for ever, or until a long task ends.
    consumers = Consumers(broker, seed, look=60.0, slow=("w5", "w6", "w7"))
    for n in range(8):
        consumers.start(f"w{n}", QUEUES[n % 4])
    for _ in range(100):  # Few at a time, so that nothing that comes later wakes whoever should be awake.
        await consumers.send(len(consumers.sent) + consumers.rng.choice((1, 1, 3, 20)))
        await consumers.all_taken(10)
    await consumers.end()
    assert max(consumers.late.values()) < LONG / 2


@pytest.mark.parametrize("seed", range(2))
async def test_nothing_is_left_for_longer_than_a_look_where_owners_stop_and_vanish(broker: Broker, seed: int) -> None:
    consumers = Consumers(broker, seed, look=LOOK)
    for n in range(2):
        consumers.start(f"lives{n}", ("one", "two"))
    for n in range(6):
        consumers.start(f"w{n}", QUEUES[n % 4])
    for part in range(1, 31):
        for owner in consumers.rng.sample([one for one in consumers.running if one.startswith("w")], 2):
            if consumers.rng.random() < 0.5:
                consumers.pause_or_go_on(owner)
            else:
                consumers.running.pop(owner).cancel()
                consumers.start(f"w{part}-{owner}", QUEUES[consumers.rng.randrange(4)])
        await consumers.send(part * 20)
        await consumers.all_taken(10)
    await consumers.end()
    assert max(consumers.late.values()) < LOOK + 1.0, "a look, and what a loaded machine adds"
