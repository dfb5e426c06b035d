"""Starting and extending: a lease holds as long as its owner says so, and its end is told."""

from __future__ import annotations

from celeriac.core.message import Lease, Start
from celeriac.testing.conformance.group import Group
from celeriac.testing.conformance.kit import Kit, dead, done, release, retry

start = Group("start")
extend = Group("extend")


@start
async def a_started_run_is_seen_as_started(kit: Kit) -> None:
    delivery = await kit.take("a")
    assert await kit.state("a") == "RECEIVED"
    assert await kit.broker.start([Start(delivery.lease)]) == ()
    record = await kit.record("a")
    assert (record.state, record.owner) == ("STARTED", "w1")


@start
async def starting_twice_is_harmless(kit: Kit) -> None:
    delivery = await kit.take("a")
    assert await kit.broker.start([Start(delivery.lease)]) == ()
    assert await kit.broker.start([Start(delivery.lease)]) == ()
    await kit.lapse()
    await kit.reclaim()
    assert (await kit.take_next("a", owner="w2")).crashes == 1, "one run was lost, however often its start was told"


@start
async def what_is_no_longer_owned_is_returned_and_not_started(kit: Kit) -> None:
    for action in (done, release, dead):
        id = action.__name__
        delivery = await kit.take(id)
        await kit.settle(action(delivery))
        assert await kit.broker.start([Start(delivery.lease)]) == (id,)
        assert await kit.state(id) != "STARTED"
        await kit.broker.purge("celery")
    delivery = await kit.take("retry")
    await kit.settle(retry(delivery, due=kit.now() + kit.lease))
    assert await kit.broker.start([Start(delivery.lease)]) == ("retry",)
    assert await kit.state("retry") == "RETRY"


@start
async def an_unknown_id_is_returned(kit: Kit) -> None:
    assert await kit.broker.start([Start(Lease("nobody", "w1", 1))]) == ("nobody",)


@start
async def only_the_lost_ones_of_a_batch_are_returned(kit: Kit) -> None:
    await kit.send("a", "b", "c")
    a, b, c = await kit.claim()
    await kit.settle(done(b))
    assert await kit.broker.start([Start(a.lease), Start(b.lease), Start(c.lease)]) == ("b",)
    assert [await kit.state(id) for id in ("a", "b", "c")] == ["STARTED", None, "STARTED"]


@start
async def starting_nothing_is_no_work(kit: Kit) -> None:
    assert await kit.broker.start([]) == ()


@start
async def a_started_message_settles_like_any_other(kit: Kit) -> None:
    await kit.send("a", "b", "c", "d")
    a, b, c, d = await kit.claim()
    assert await kit.broker.start([Start(delivery.lease) for delivery in (a, b, c, d)]) == ()
    await kit.settle(done(a), release(b), retry(c, due=kit.now() + kit.lease), dead(d))
    assert [await kit.state(id) for id in ("a", "b", "c", "d")] == [None, "PENDING", "RETRY", "DEAD"]


@extend
async def an_extended_lease_holds(kit: Kit) -> None:
    delivery = await kit.take("a")
    for _ in range(4):
        await kit.advance(kit.lease * 0.75)
        assert await kit.broker.extend(["w1"], kit.lease) == ()
        assert (await kit.reclaim()).owners == ()
    await kit.settle(done(delivery))


@extend
async def one_extension_covers_everything_the_owner_holds(kit: Kit) -> None:
    await kit.send("a", "b", "c")
    deliveries = await kit.claim(2) + await kit.claim(1)
    await kit.advance(kit.lease * 0.75)
    assert await kit.broker.extend(["w1"], kit.lease) == ()
    await kit.advance(kit.lease * 0.75)
    assert (await kit.reclaim()).released == ()
    await kit.settle(*map(done, deliveries))


@extend
async def only_the_owners_named_are_extended(kit: Kit) -> None:
    for n in (1, 2, 3):
        await kit.take(f"t{n}", owner=f"w{n}")
    await kit.advance(kit.lease * 0.75)
    assert await kit.broker.extend(["w1", "w3"], kit.lease) == ()
    await kit.advance(kit.lease * 0.5)
    assert (await kit.reclaim()).released == ("t2",)


@extend
async def a_shorter_lease_replaces_a_longer_one(kit: Kit) -> None:
    await kit.send("a")
    await kit.claim(lease=kit.lease * 10)
    assert await kit.broker.extend(["w1"], kit.lease) == ()
    await kit.lapse()
    assert (await kit.reclaim()).released == ("a",)


@extend
async def an_unknown_owner_is_added(kit: Kit) -> None:
    assert await kit.broker.extend(["new"], kit.lease) == ()
    assert await kit.broker.extend(["new"], kit.lease) == ()
    assert (await kit.reclaim()).owners == ()


@extend
async def no_owners_are_no_work(kit: Kit) -> None:
    assert await kit.broker.extend([], kit.lease) == ()


@extend
async def an_ended_lease_is_told_once(kit: Kit) -> None:
    await kit.take("a", owner="w1")
    await kit.take("b", owner="w2")
    await kit.advance(kit.lease * 0.75)
    await kit.broker.extend(["w2"], kit.lease)
    await kit.advance(kit.lease * 0.5)
    assert (await kit.reclaim()).owners == ("w1",)
    assert await kit.broker.extend(["w1", "w2"], kit.lease) == ("w1",)
    assert await kit.broker.extend(["w1", "w2"], kit.lease) == ()


@extend
async def a_lease_ended_by_name_is_told_too(kit: Kit) -> None:
    await kit.take("a", owner="w1")
    assert (await kit.reclaim(owner="w1")).owners == ("w1",)
    assert await kit.broker.extend(["w1"], kit.lease) == ("w1",)


@extend
async def a_new_claim_ends_the_story_of_the_old_lease(kit: Kit) -> None:
    await kit.take("a", owner="w1")
    await kit.lapse()
    assert (await kit.reclaim()).released == ("a",)
    await kit.take_next("a", owner="w1")
    assert await kit.broker.extend(["w1"], kit.lease) == ()


@extend
async def a_lease_that_ran_out_but_was_not_reclaimed_goes_on(kit: Kit) -> None:
    delivery = await kit.take("a")
    await kit.lapse()
    assert await kit.broker.extend(["w1"], kit.lease) == ()
    assert (await kit.reclaim()).released == ()
    await kit.settle(done(delivery))


@extend
async def after_the_news_the_owner_can_claim_and_settle_again(kit: Kit) -> None:
    lost = await kit.take("a", owner="w1")
    await kit.lapse()
    await kit.reclaim()
    assert await kit.broker.extend(["w1"], kit.lease) == ("w1",)
    again = await kit.take_next("a", owner="w1")
    assert await kit.broker.settle([done(lost)]) == ("a",)
    await kit.settle(done(again))
