"""A waiter of an owner wakes for what that owner may claim, whoever else waits; the store may wake just enough of them.

Here every owner does what a worker does: it waits after a claim that found nothing, and claims after each wake-up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from celeriac.brokers.port import AsyncWaiter
from celeriac.core.message import DEFAULT_QUEUE
from celeriac.testing.conformance.group import Group
from celeriac.testing.conformance.kit import Kit, dead, done, release, retry
from celeriac.testing.conformance.waiter import PATIENCE, settled

group = Group("waiter-owners")


async def idle(kit: Kit, owner: str, queues: Sequence[str] = (DEFAULT_QUEUE,)) -> AsyncWaiter:
    """Return the waiter of an owner whose last claim found nothing."""
    waiter = await settled(kit.waiter(owner=owner))
    assert await kit.claim(owner=owner, queues=queues) == []
    return waiter


def sleep_all(waiters: Sequence[AsyncWaiter]) -> list[asyncio.Task[bool]]:
    """Let waiters sleep."""
    return [asyncio.create_task(waiter.wait(PATIENCE)) for waiter in waiters]


async def woken(kit: Kit, change: Callable[[], Awaitable[object]]) -> None:
    """Check that a change wakes an idle owner, and take away what has become ready."""
    waiter = await idle(kit, "idle")
    (sleeping,) = sleep_all([waiter])
    await asyncio.sleep(0)
    await change()
    assert await sleeping is True
    await waiter.close()
    await kit.settle(*[done(delivery) for delivery in await kit.claim(owner="idle")])


@group
async def one_message_wakes_one_of_many_at_least(kit: Kit) -> None:
    sleeping = sleep_all([await idle(kit, f"w{n}") for n in range(6)])
    await kit.send("first")
    woken, _ = await asyncio.wait(sleeping, return_when=asyncio.FIRST_COMPLETED)
    assert all(one.result() for one in woken)
    await kit.send(*[f"t{n}" for n in range(5)])  # All were idle, so all are awake now.
    assert await asyncio.gather(*sleeping) == [True] * 6


@group
async def as_many_messages_wake_all_of_them(kit: Kit) -> None:
    sleeping = sleep_all([await idle(kit, f"w{n}") for n in range(6)])
    await asyncio.sleep(0)
    await kit.send(*[f"t{n}" for n in range(6)])
    assert await asyncio.gather(*sleeping) == [True] * 6


@group
async def an_owner_that_is_gone_is_not_woken_in_anothers_place(kit: Kit) -> None:
    there = await idle(kit, "there")
    for n in range(3):
        await (await idle(kit, f"closed{n}")).close()
        assert await kit.claim(owner=f"never waited{n}") == []
    (sleeping,) = sleep_all([there])
    await kit.send("a")
    assert await sleeping is True


@group
async def what_an_owner_leaves_wakes_another(kit: Kit) -> None:
    # One that waits for two queues may be woken for each of them, and take from one.
    queues = ("x", "y")
    waiters = {owner: await idle(kit, owner, queues) for owner in ("one", "other")}
    sleeping = dict(zip(waiters, sleep_all(list(waiters.values())), strict=True))
    await kit.send("a", queue="x")
    await kit.send("b", queue="y")
    await asyncio.wait(sleeping.values(), return_when=asyncio.FIRST_COMPLETED)
    woken = next(owner for owner, task in sleeping.items() if task.done())
    assert len(await kit.claim(1, owner=woken, queues=queues)) == 1
    assert await asyncio.gather(*sleeping.values()) == [True, True]


@group
async def an_owner_that_claims_is_not_woken_in_anothers_place(kit: Kit) -> None:
    queues = ("x", "y")
    sleeping = sleep_all([await idle(kit, "asleep", queues[1:])])
    await idle(kit, "busy", queues)
    await kit.send("a", queue="x")
    assert len(await kit.claim(owner="busy", queues=queues)) == 1
    await kit.send("b", queue="y")
    assert await asyncio.gather(*sleeping) == [True]


@group
async def an_idle_owner_wakes_for_all_that_it_may_claim(kit: Kit) -> None:
    await woken(kit, lambda: kit.send("new"))
    given_back = await kit.take("given back")
    await woken(kit, lambda: kit.settle(release(given_back)))
    before = await kit.take("before")
    await woken(kit, lambda: kit.settle(done(before, follow_ups=(kit.message("after"),))))
    again = await kit.take("again")
    await woken(kit, lambda: kit.settle(retry(again, due=kit.now() - 1.0)))
    await kit.take("lost", owner="lost")
    await woken(kit, lambda: kit.reclaim(owner="lost"))
    await kit.settle(dead(await kit.take("dead")))
    await woken(kit, lambda: kit.broker.revive(["dead"]))


@group
async def an_idle_owner_wakes_for_what_is_promoted_and_for_a_new_time_to_keep(kit: Kit) -> None:
    await kit.send("later", eta=kit.now() + kit.lease)
    await woken(kit, lambda: kit.send("sooner", eta=kit.now() + kit.lease / 2))
    waiter = await idle(kit, "idle")
    (sleeping,) = sleep_all([waiter])
    await kit.lapse()
    await kit.broker.promote(10)
    assert await sleeping is True


@group
async def owners_that_look_after_each_wake_up_leave_nothing(kit: Kit) -> None:
    found: list[str] = []

    async def consume(owner: str, waiter: AsyncWaiter) -> None:
        while len(found) < 60:
            batch = await kit.claim(1, owner=owner)
            found.extend(delivery.lease.id for delivery in batch)
            if not batch and len(found) < 60:
                await waiter.wait(1.0)

    async def produce() -> None:
        for n in range(60):
            await kit.broker.enqueue([kit.message(f"t{n}")])
            if n % 7 == 0:
                await asyncio.sleep(0.002)

    owners = [consume(f"w{n}", kit.waiter(owner=f"w{n}")) for n in range(4)]
    await asyncio.wait_for(asyncio.gather(produce(), *owners), PATIENCE)
    assert sorted(found) == sorted(f"t{n}" for n in range(60))
