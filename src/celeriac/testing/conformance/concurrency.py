"""Many at once change the outcome of nothing: each message has one owner, each race one winner, and nothing is lost.

In the modes of asyncio the rivals are tasks on one loop with a connection each; in the mode of threads they are
threads, some of them on one connection.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from celeriac.brokers.port import Command
from celeriac.core.message import Delivery, Start
from celeriac.testing.conformance.group import Group
from celeriac.testing.conformance.kit import Broker, Kit, dead, done, ids, release, result, retry

group = Group("concurrency")
results = Group("concurrency-results", needs=lambda capabilities: capabilities.results)

RIVALS = 6


def rivals(kit: Kit) -> list[Broker]:
    """Return brokers for the rivals: some share a connection, some have their own."""
    return [kit.broker if n % 3 == 0 else kit.another() for n in range(RIVALS)]


async def claim_until_empty(kit: Kit, broker: Broker, owner: str, limit: int) -> list[Delivery]:
    """Claim and claim again until nothing is ready."""
    found: list[Delivery] = []
    while batch := await broker.claim(["celery"], limit, owner, kit.lease):
        found += batch
    return found


@group
async def nobody_gets_the_same_message_twice_and_none_is_left(kit: Kit) -> None:
    names = [f"t{n}" for n in range(300)]
    await kit.send(*names)
    brokers = rivals(kit)
    shares = await asyncio.gather(*(claim_until_empty(kit, broker, f"w{n}", 1 + n) for n, broker in enumerate(brokers)))
    assert sorted(id for share in shares for id in ids(share)) == sorted(names)
    for n, share in enumerate(shares):
        assert {delivery.lease.owner for delivery in share} <= {f"w{n}"}
    for share, broker in zip(shares, brokers, strict=True):
        # Where a lease is a connection, only the one that claimed can settle.
        settling = kit.broker if kit.capabilities.stored else broker
        assert await settling.settle([done(delivery) for delivery in share]) == ()


@group
async def producers_and_consumers_at_once_lose_nothing(kit: Kit) -> None:
    per_producer = 80
    total = per_producer * RIVALS
    finished: Counter[str] = Counter()

    async def produce(broker: Broker, n: int) -> None:
        for start in range(0, per_producer, 10):
            await broker.enqueue([kit.message(f"{n}-{place}") for place in range(start, start + 10)])

    async def consume(broker: Broker, owner: str) -> None:
        while finished.total() < total:
            deliveries = await broker.claim(["celery"], 7, owner, kit.lease * 50)
            assert await broker.settle([done(delivery) for delivery in deliveries]) == ()
            finished.update(ids(deliveries))
            await asyncio.sleep(0)

    brokers = rivals(kit)
    await asyncio.wait_for(
        asyncio.gather(
            *(produce(broker, n) for n, broker in enumerate(brokers)),
            *(consume(broker, f"w{n}") for n, broker in enumerate(brokers)),
        ),
        50,
    )
    assert set(finished.values()) == {1}
    assert len(finished) == total
    assert await kit.broker.stats() == []


@group.indexed
async def of_many_who_send_one_id_one_is_heard(kit: Kit) -> None:
    for round in range(10):
        known = await asyncio.gather(*(broker.enqueue([kit.message(f"t{round}")]) for broker in rivals(kit)))
        assert sorted(known) == [()] + [(f"t{round}",)] * (RIVALS - 1)
    assert len(await kit.drain()) == 10


@group
async def of_many_settlements_of_one_lease_one_counts(kit: Kit) -> None:
    brokers = rivals(kit)
    for round in range(10):
        id = f"t{round}"
        delivery = await kit.take(id)
        settlements = [done, release, dead, done, release, dead]
        lost = await asyncio.gather(
            *(broker.settle([settle(delivery)]) for broker, settle in zip(brokers, settlements, strict=True))
        )
        assert sorted(lost) == [()] + [(id,)] * (RIVALS - 1)
        await kit.broker.purge("celery")


@group
async def of_many_candidates_one_is_elected(kit: Kit) -> None:
    for round in range(10):
        won = await asyncio.gather(
            *(broker.elect(f"role{round}", f"w{n}", kit.lease * 50) for n, broker in enumerate(rivals(kit)))
        )
        assert sorted(won) == [False] * (RIVALS - 1) + [True]


@group
async def many_who_reclaim_free_each_message_once(kit: Kit) -> None:
    names = [f"t{n}" for n in range(60)]
    await kit.send(*names)
    deliveries = await kit.claim()
    await kit.broker.start([Start(delivery.lease, once=True) for delivery in deliveries[30:]])
    await kit.lapse()
    brokers = rivals(kit)
    await kit.broker.extend([f"judge{n}" for n in range(RIVALS)], kit.lease * 50)
    rounds = await asyncio.gather(
        *(broker.reclaim(f"judge{n}", 100, crash_limit=3) for n, broker in enumerate(brokers))
    )
    assert sorted(id for one in rounds for id in one.released) == sorted(names[:30])
    verdicts = [verdict for one in rounds for verdict in one.verdicts]
    assert sorted(ids(verdicts)) == sorted(names[30:])
    assert await kit.broker.settle([dead(verdict) for verdict in verdicts]) == ()


@group
async def a_race_between_owner_and_reaper_has_one_winner(kit: Kit) -> None:
    other = kit.another()
    for round in range(15):
        id = f"t{round}"
        delivery = await kit.take(id, owner="w1")
        lost, reclaimed = await asyncio.gather(
            kit.broker.settle([done(delivery, follow_ups=(kit.message(f"next-{id}", queue="next"),))]),
            other.reclaim("reaper", 10, crash_limit=3, owner="w1"),
        )
        if lost:
            assert reclaimed.released == (id,)
            await kit.settle(done(await kit.take_next(id)))
            assert await kit.state(f"next-{id}") is None
        else:
            assert reclaimed.released == ()
            assert await kit.state(f"next-{id}") == "PENDING"
        assert await kit.state(id) is None


@group
async def a_race_between_cancel_and_claim_has_one_winner(kit: Kit) -> None:
    other = kit.another()
    for round in range(15):
        id = f"t{round}"
        await kit.send(id)
        deliveries, (cancelled,) = await asyncio.gather(kit.claim(owner="w1"), other.cancel([result(id, "REVOKED")]))
        if deliveries:
            assert cancelled.outcome == "running"
            await kit.settle(retry(deliveries[0], due=kit.now() - 1))
        else:
            assert cancelled.outcome == "removed"
        assert await kit.state(id) is None


@group
async def many_promoters_make_each_message_ready_once(kit: Kit) -> None:
    await kit.broker.enqueue([kit.message(eta=kit.now() + kit.lease) for _ in range(200)])
    await kit.lapse()
    promoted = await asyncio.gather(*(broker.promote(60) for broker in rivals(kit)))
    assert sum(one.count for one in promoted) == 200
    assert len(await kit.drain()) == 200


@group
async def many_listeners_hear_the_same(kit: Kit) -> None:
    _, cursor = await kit.broker.commands(None)
    brokers = rivals(kit)
    await asyncio.gather(*(broker.broadcast(Command(id=f"c{n}", name="ping")) for n, broker in enumerate(brokers)))
    heard = await asyncio.gather(*(broker.commands(cursor) for broker in brokers))
    assert len(set(map(repr, heard))) == 1
    assert sorted(command.id for command in heard[0][0]) == [f"c{n}" for n in range(RIVALS)]


@results
async def a_final_result_wins_over_progress_that_comes_late(kit: Kit) -> None:
    brokers = rivals(kit)

    async def report(broker: Broker, id: str) -> Sequence[str]:
        return await broker.progress([result(id, "PROGRESS")])

    for round in range(10):
        id = f"t{round}"
        await asyncio.gather(*(report(broker, id) for broker in brokers[1:]), brokers[0].store([result(id, "SUCCESS")]))
        found = await kit.result(id)
        assert found is not None
        assert found.state == "SUCCESS"
