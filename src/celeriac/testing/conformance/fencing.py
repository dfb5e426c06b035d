"""A superseded attempt settles nothing, whatever it tries and however often its message changed hands."""

from __future__ import annotations

import msgspec

from celeriac.core.message import Delivery, Settlement, Start
from celeriac.testing.conformance.group import Group
from celeriac.testing.conformance.kit import Kit, dead, done, release, result, retry, revoked

group = Group("fencing")


def attempts(kit: Kit, lost: Delivery) -> list[Settlement]:
    """Return everything that a worker that lost its lease may still try, each with something to send and to store."""
    plain = [
        done(lost),
        retry(lost, due=None, argsrepr="changed"),
        retry(lost, due=kit.now() + kit.lease),
        release(lost),
        release(lost, crashed=True),
        release(lost, message=kit.message(lost.lease.id, argsrepr="changed"), due=kit.now() + kit.lease),
        dead(lost),
    ]
    more = {"follow_ups": (kit.message("ghost"),), "result": result("ghost", body=b'"of a lost run"')}
    return [msgspec.structs.replace(settlement, **more) for settlement in plain]


async def refuse_all(kit: Kit, lost: Delivery) -> None:
    """Try everything with a lost lease; nothing may change."""
    id = lost.lease.id
    before = await kit.broker.get([id])
    tallies = await kit.broker.tallies()
    assert await kit.broker.start([Start(lost.lease, once=True)]) == (id,)
    for settlement in attempts(kit, lost):
        assert await kit.broker.settle([settlement]) == (id,), settlement.action
    assert await kit.broker.get([id, "ghost"]) == before
    assert await kit.broker.tallies() == tallies
    if kit.capabilities.results:
        assert await kit.broker.fetch(["ghost"]) == []


@group
async def a_reclaimed_message_is_no_longer_its_owners(kit: Kit) -> None:
    lost = await kit.take("a")
    await kit.lapse()
    await kit.reclaim()
    await refuse_all(kit, lost)
    assert await kit.drain() == ["a"]


@group
async def the_next_owner_is_safe_from_the_one_before(kit: Kit) -> None:
    lost = await kit.take("a", owner="w1")
    await kit.lapse()
    await kit.reclaim()
    current = await kit.take_next("a", owner="w2")
    await refuse_all(kit, lost)
    assert await kit.broker.start([Start(current.lease)]) == ()
    await refuse_all(kit, lost)
    await kit.settle(done(current))


@group
async def an_owner_that_claims_again_must_use_its_new_lease(kit: Kit) -> None:
    lost = await kit.take("a", owner="w1")
    await kit.reclaim(owner="w1")
    current = await kit.take_next("a", owner="w1")
    await refuse_all(kit, lost)
    await kit.settle(done(current))


@group
async def a_lost_lease_does_not_end_a_cancelled_task(kit: Kit) -> None:
    lost = await kit.take("a", owner="w1")
    await kit.reclaim(owner="w1")
    current = await kit.take_next("a", owner="w1")
    await kit.broker.cancel(revoked("a"))
    await refuse_all(kit, lost)
    if kit.capabilities.results:
        assert await kit.result("a") is None
    await kit.settle(done(current))


@group
async def a_lease_of_before_a_release_is_over(kit: Kit) -> None:
    lost = await kit.take("a")
    await kit.settle(release(lost))
    await refuse_all(kit, lost)
    current = await kit.take_next("a")
    await refuse_all(kit, lost)
    await kit.settle(done(current))


@group
async def a_lease_of_before_a_retry_is_over(kit: Kit) -> None:
    lost = await kit.take("a")
    await kit.settle(retry(lost, due=kit.now() - 1))
    await refuse_all(kit, lost)
    current = await kit.take_next("a")
    await refuse_all(kit, lost)
    await kit.settle(done(current))


@group
async def a_lease_of_before_death_and_revival_is_over(kit: Kit) -> None:
    lost = await kit.take("a")
    await kit.settle(dead(lost))
    await refuse_all(kit, lost)
    assert await kit.broker.revive(["a"]) == ("a",)
    await refuse_all(kit, lost)
    current = await kit.take_next("a")
    assert current.lease.token > lost.lease.token
    await refuse_all(kit, lost)
    await kit.settle(done(current))


@group
async def a_lease_on_a_message_that_is_over_settles_no_namesake(kit: Kit) -> None:
    # The id is sent again after it was over: an owner of the first life must not settle the second.
    first = await kit.take("a", owner="w1")
    await kit.lapse()
    await kit.reclaim()
    await kit.settle(done(await kit.take_next("a", owner="w2")))
    await kit.send("a")
    await refuse_all(kit, first)
    current = await kit.take_next("a", owner="w3")
    await refuse_all(kit, first)
    await kit.settle(done(current))


@group
async def a_finished_lease_settles_no_namesake(kit: Kit) -> None:
    first = await kit.take("a", owner="w1")
    await kit.settle(done(first))
    current = await kit.take("a", owner="w1")
    await refuse_all(kit, first)
    await kit.settle(done(current))


@group
async def a_lease_of_before_the_verdict_is_over(kit: Kit) -> None:
    lost = await kit.take("a")
    await kit.broker.start([Start(lost.lease)])
    await kit.lapse()
    (verdict,) = (await kit.reclaim(crash_limit=1)).verdicts
    await refuse_all(kit, lost)
    await kit.settle(dead(verdict))
    await refuse_all(kit, lost)


@group
async def extending_the_owner_does_not_bring_lost_leases_back(kit: Kit) -> None:
    lost = await kit.take("a", owner="w1")
    await kit.lapse()
    await kit.reclaim()
    assert await kit.broker.extend(["w1"], kit.lease) == ("w1",)
    await refuse_all(kit, lost)
    assert await kit.drain() == ["a"]


@group
async def tokens_grow_through_everything_that_may_happen(kit: Kit) -> None:
    delivery = await kit.take("a")
    tokens = [delivery.lease.token]
    for step in (release, retry, dead, "lost"):
        if step is release:
            await kit.settle(release(delivery, crashed=True))
        elif step is retry:
            await kit.settle(retry(delivery, due=kit.now() - 1))
        elif step is dead:
            await kit.settle(dead(delivery))
            await kit.broker.revive(["a"])
        else:
            await kit.reclaim(owner="w1")
        delivery = await kit.take_next("a")
        tokens.append(delivery.lease.token)
    assert tokens == sorted(set(tokens))


@group
async def tokens_grow_with_claims_over_several_queues_too(kit: Kit) -> None:
    await kit.send("a", queue="one")
    first = await kit.take_next("a", queues=("one", "two"))
    await kit.settle(release(first))
    second = await kit.take_next("a", queues=("two", "one"))
    assert second.lease.token > first.lease.token
    await refuse_all(kit, first)
    await kit.settle(done(second))
