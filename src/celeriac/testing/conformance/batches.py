"""Batches of every size do the same as their items one by one, whether they fit one operation or not."""

from __future__ import annotations

from celeriac.brokers.port import MAX_BATCH, CommandReply
from celeriac.core.message import Delivery, Message, Settlement, Start
from celeriac.testing.conformance.group import Group
from celeriac.testing.conformance.kit import Kit, dead, done, ids, release, result, retry

group = Group("batches")
results = Group("batches-results", needs=lambda capabilities: capabilities.results)

SIZES = (0, 1, MAX_BATCH, 1200)


def batch(kit: Kit, size: int) -> list[Message]:
    """Return this many new messages."""
    return [kit.message() for _ in range(size)]


async def claim_all(kit: Kit, *, owner: str = "w1") -> list[Delivery]:
    """Claim whatever is ready, in as many calls as that takes."""
    found: list[Delivery] = []
    while part := await kit.claim(1200, owner=owner):
        found += part
    return found


@group.indexed
async def enqueue_claim_and_settle(kit: Kit) -> None:
    for size in SIZES:
        messages = batch(kit, size)
        assert await kit.broker.enqueue(messages) == ()
        assert sorted(await kit.broker.enqueue(messages)) == sorted(message.id for message in messages)
        deliveries = await claim_all(kit)
        assert ids(deliveries) == [message.id for message in messages]
        assert await kit.broker.settle([done(delivery) for delivery in deliveries]) == ()
        assert sorted(await kit.broker.settle([done(delivery) for delivery in deliveries])) == sorted(ids(deliveries))
        assert await kit.broker.stats() == []


@group
async def a_claim_gives_what_it_can_in_one_step(kit: Kit) -> None:
    await kit.broker.enqueue(batch(kit, MAX_BATCH + 1))
    assert len(await kit.claim(MAX_BATCH)) == MAX_BATCH
    assert len(await kit.claim(MAX_BATCH)) == 1


@group
async def start_and_reclaim(kit: Kit) -> None:
    for size in SIZES:
        await kit.broker.enqueue(batch(kit, size))
        deliveries = await claim_all(kit)
        assert await kit.broker.start([Start(delivery.lease) for delivery in deliveries]) == ()
        await kit.lapse()
        judged: list[Delivery] = []
        await kit.broker.extend(["reaper"], kit.lease * 100)
        while verdicts := (await kit.reclaim(limit=1200, crash_limit=1)).verdicts:
            judged += verdicts
        assert sorted(ids(judged)) == sorted(ids(deliveries))
        assert await kit.broker.settle([done(delivery) for delivery in judged]) == ()


@group
async def guilty_leases(kit: Kit) -> None:
    for size in SIZES:
        await kit.broker.enqueue(batch(kit, size))
        deliveries = await claim_all(kit, owner="w1")
        guilty = [delivery.lease for delivery in deliveries]
        released: list[str] = []
        while part := (await kit.reclaim(limit=1200, owner="w1", guilty=guilty)).released:
            released += part
        assert sorted(released) == sorted(ids(deliveries))
        again = await claim_all(kit)
        assert {delivery.crashes for delivery in again} <= {1}
        await kit.broker.settle([done(delivery) for delivery in again])


@group
async def extend(kit: Kit) -> None:
    for size in SIZES:
        owners = [f"{size}-{n}" for n in range(size)]
        assert await kit.broker.extend(owners, kit.lease) == ()
        assert await kit.broker.extend(owners, kit.lease) == ()


@group
async def promote(kit: Kit) -> None:
    for size in SIZES:
        due = kit.now() + kit.lease
        await kit.broker.enqueue([kit.message(eta=due) for _ in range(size)])
        await kit.advance(kit.lease * 1.1)
        promoted = 0
        while count := (await kit.broker.promote(1200)).count:
            promoted += count
        assert promoted == size
        assert len(await claim_all(kit)) == size


@group.indexed
async def cancel(kit: Kit) -> None:
    for size in SIZES:
        messages = batch(kit, size)
        await kit.broker.enqueue(messages)
        found = await kit.broker.cancel([result(message.id, "REVOKED") for message in messages])
        assert [(one.id, one.outcome) for one in found] == [(message.id, "removed") for message in messages]
        assert await kit.broker.stats() == []


@group
async def bury_page_and_revive(kit: Kit) -> None:
    for size in SIZES:
        await kit.broker.enqueue(batch(kit, size))
        deliveries = await claim_all(kit)
        assert await kit.broker.settle([dead(delivery) for delivery in deliveries]) == ()
        assert [record.id for record in await kit.pages(["DEAD"], limit=1200)] == ids(deliveries)
        assert len(await kit.broker.get(ids(deliveries))) == size
        assert sorted(await kit.broker.revive(ids(deliveries))) == sorted(ids(deliveries))
        assert await kit.broker.purge("celery") == size


@group
async def mixed_settlements(kit: Kit) -> None:
    await kit.broker.enqueue(batch(kit, 1200))
    deliveries = await claim_all(kit)
    later = kit.now() + kit.lease
    settlements: list[Settlement] = []
    for n, delivery in enumerate(deliveries):
        kinds = (done(delivery), retry(delivery, due=later), release(delivery), dead(delivery))
        settlements.append(kinds[n % 4])
    assert await kit.broker.settle(settlements) == ()
    (stats,) = await kit.broker.stats()
    assert (stats.ready, stats.scheduled, stats.owned, stats.dead) == (300, 300, 0, 300)


@group
async def replies(kit: Kit) -> None:
    for size in SIZES:
        await kit.broker.reply([CommandReply(f"c{size}", f"w{n}@h") for n in range(size)])
        assert len(await kit.broker.replies(f"c{size}")) == size


@results
async def store_fetch_and_discard(kit: Kit) -> None:
    for size in SIZES:
        stored = [result(f"{size}-{n}", body=b"%d" % n) for n in range(size)]
        await kit.broker.store(stored)
        names = [one.id for one in stored]
        assert sorted(await kit.broker.fetch(names), key=lambda one: one.id) == sorted(stored, key=lambda one: one.id)
        assert sorted(await kit.broker.progress([result(id, "PROGRESS") for id in names])) == sorted(names)
        assert await kit.broker.discard(names) == size


@results
async def results_with_settlements(kit: Kit) -> None:
    await kit.broker.enqueue(batch(kit, 1200))
    deliveries = await claim_all(kit)
    settlements = [done(delivery, result=result(delivery.lease.id)) for delivery in deliveries]
    assert await kit.broker.settle(settlements) == ()
    assert len(await kit.broker.fetch(ids(deliveries))) == 1200
