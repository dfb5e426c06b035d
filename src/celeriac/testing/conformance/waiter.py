"""A waiter wakes for everything that somebody may wait for, and never sleeps through it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from celeriac.brokers.port import AsyncWaiter, Command, CommandReply
from celeriac.testing.conformance.group import Group
from celeriac.testing.conformance.kit import Kit, dead, done, release, result, retry

group = Group("waiter")
results = Group("waiter-results", needs=lambda capabilities: capabilities.results)

PATIENCE = 20.0
"""Seconds after which a wake-up counts as missed. None of these cases waits that long unless it fails."""


async def settled(waiter: AsyncWaiter, quiet: float = 0.02) -> AsyncWaiter:
    """Let the waiter see all that was there before; it may wake for nothing, but not for ever.

    Args:
        waiter: A new one.
        quiet: Seconds without a wake-up after which it has. A waiter that hears from a server may hear late, so a case
            that fails on a wake-up for nothing asks for more.
    """
    deadline = time.monotonic() + PATIENCE
    while await waiter.wait(quiet):
        assert time.monotonic() < deadline, "the waiter wakes again and again, and nothing happens"
    return waiter


async def woken(kit: Kit, change: Callable[[], Awaitable[object]], *ids: str) -> None:
    """Check that a change wakes a waiter (on these results) that sleeps, and one that is about to."""
    sleeper = await settled(kit.waiter(*ids))
    latecomer = await settled(kit.waiter(*ids))
    sleeping = asyncio.create_task(sleeper.wait(PATIENCE))
    await asyncio.sleep(0)
    await change()
    assert await sleeping is True
    assert await latecomer.wait(PATIENCE) is True, "a change before the call must end it at once"


@group
async def it_gives_up_after_its_time(kit: Kit) -> None:
    waiter = await settled(kit.waiter(), 1.0)
    started = time.monotonic()
    assert await waiter.wait(0.05) is False
    assert 0.04 <= time.monotonic() - started < PATIENCE


@group
async def a_look_without_patience_returns_at_once(kit: Kit) -> None:
    waiter = await settled(kit.waiter(), 1.0)
    started = time.monotonic()
    assert await waiter.wait(0) is False
    assert time.monotonic() - started < PATIENCE


@group
async def it_wakes_for_a_new_message(kit: Kit) -> None:
    await woken(kit, lambda: kit.send("a"))


@group
async def it_wakes_for_a_message_given_back(kit: Kit) -> None:
    delivery = await kit.take("a")
    await woken(kit, lambda: kit.settle(release(delivery)))


@group
async def it_wakes_for_a_follow_up(kit: Kit) -> None:
    delivery = await kit.take("a")
    await woken(kit, lambda: kit.settle(done(delivery, follow_ups=(kit.message("next"),))))


@group
async def it_wakes_for_what_was_lost(kit: Kit) -> None:
    await kit.take("a", owner="w1")
    await woken(kit, lambda: kit.reclaim(owner="w1"))


@group
async def it_wakes_for_a_promotion(kit: Kit) -> None:
    await kit.send("a", eta=kit.now() + kit.lease)
    await kit.lapse()
    await woken(kit, lambda: kit.broker.promote(10))


@group
async def it_wakes_for_a_new_time_to_keep(kit: Kit) -> None:
    # Whoever promotes sleeps until the next due time that it knows of: it must hear of an earlier one.
    delivery = await kit.take("a")
    await woken(kit, lambda: kit.settle(retry(delivery, due=kit.now() + kit.lease)))
    await woken(kit, lambda: kit.send("b", eta=kit.now() + kit.lease / 2))


@group
async def it_wakes_for_a_revival(kit: Kit) -> None:
    await kit.settle(dead(await kit.take("a")))
    await woken(kit, lambda: kit.broker.revive(["a"]))


@group
async def it_wakes_for_a_command_and_its_answers(kit: Kit) -> None:
    await woken(kit, lambda: kit.broker.broadcast(Command(id="c", name="ping")))
    await woken(kit, lambda: kit.broker.reply([CommandReply("c", "w@h")]))


@group
async def it_wakes_for_a_cancellation_of_what_runs(kit: Kit) -> None:
    await kit.take("a")
    await woken(kit, lambda: kit.broker.cancel([result("a", "REVOKED")]))


@group
async def it_wakes_for_what_another_connection_does(kit: Kit) -> None:
    other = kit.another()
    assert await kit.claim() == []  # A driver may have to be told of a queue before it can watch it.
    await woken(kit, lambda: other.enqueue([kit.message("a")]))


@group
async def it_sleeps_through_a_claim_that_finds_nothing(kit: Kit) -> None:
    # Idle workers must not wake each other.
    waiter = await settled(kit.waiter(), 1.0)
    assert await kit.claim() == []
    assert (await kit.broker.promote(10)).count == 0
    assert await waiter.wait(0.05) is False


@group
async def each_of_many_waiters_wakes(kit: Kit) -> None:
    waiters = [await settled(kit.waiter()) for _ in range(8)]
    sleeping = [asyncio.create_task(waiter.wait(PATIENCE)) for waiter in waiters]
    await asyncio.sleep(0)
    await kit.send("a")
    assert await asyncio.gather(*sleeping) == [True] * 8


@group
async def a_consumer_that_looks_after_each_return_misses_nothing(kit: Kit) -> None:
    waiter = kit.waiter()
    found: list[str] = []

    async def consume() -> None:
        while len(found) < 60:
            batch = await kit.claim(owner="consumer")
            found.extend(delivery.lease.id for delivery in batch)
            if not batch:
                assert await waiter.wait(PATIENCE), f"slept through a message after {len(found)}"

    async def produce() -> None:
        for n in range(60):
            await kit.broker.enqueue([kit.message(f"t{n}")])
            if n % 7 == 0:
                await asyncio.sleep(0.002)

    await asyncio.wait_for(asyncio.gather(consume(), produce()), PATIENCE)
    assert sorted(found) == sorted(f"t{n}" for n in range(60))


@group
async def a_wait_that_is_given_up_leaves_the_waiter_whole(kit: Kit) -> None:
    if kit.mode == "sync":
        return  # A thread cannot be told to give up.
    waiter = await settled(kit.waiter())
    sleeping = asyncio.create_task(waiter.wait(PATIENCE))
    await asyncio.sleep(0.01)
    sleeping.cancel()
    await asyncio.wait([sleeping])
    assert sleeping.cancelled()
    await kit.send("a")
    assert await waiter.wait(PATIENCE) is True


@results
async def it_wakes_for_a_result(kit: Kit) -> None:
    await woken(kit, lambda: kit.broker.store([result("a")]), "a")
    await woken(kit, lambda: kit.broker.progress([result("b", "PROGRESS")]), "b")
    await woken(kit, lambda: kit.broker.progress([result("b", "HALFWAY")]), "b")


@results
async def it_wakes_for_the_result_of_a_settlement(kit: Kit) -> None:
    delivery = await kit.take("c")
    await woken(kit, lambda: kit.settle(done(delivery, result=result("c"))), "c")


@results
async def it_wakes_for_one_result_of_thousands(kit: Kit) -> None:
    waited_for = [f"t{n}" for n in range(3000)]
    await woken(kit, lambda: kit.broker.store([result(waited_for[-1])]), *waited_for)


@results
async def it_wakes_for_a_revocation(kit: Kit) -> None:
    await kit.send("a")
    await woken(kit, lambda: kit.broker.cancel([result("a", "REVOKED")]), "a")
