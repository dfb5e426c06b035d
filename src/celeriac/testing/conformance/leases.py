"""Starting and extending: a lease holds as long as its owner says so, and its end is told."""

from __future__ import annotations

from celeriac.core.message import Lease, Settlement, Start
from celeriac.errors import OperationalError
from celeriac.testing.conformance.group import Group
from celeriac.testing.conformance.kit import Kit, dead, done, release, retry
from celeriac.testing.faults import Fault, Script

start = Group("start")
extend = Group("extend")
holdings = Group("holdings")


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


@holdings
async def who_holds_nothing_has_no_holdings(kit: Kit) -> None:
    assert await kit.broker.holdings("w1") == ()
    await kit.take("a", owner="w1")
    assert await kit.broker.holdings("w2") == ()


@holdings
async def what_was_claimed_is_held_under_the_lease_of_its_delivery(kit: Kit) -> None:
    await kit.send("a", "b", "c", "waits")
    claimed = await kit.claim(3, owner="w1")
    await kit.take("other", owner="w2", queue="second")
    assert set(await kit.broker.holdings("w1")) == {delivery.lease for delivery in claimed}
    await kit.broker.start([Start(claimed[0].lease)])
    assert set(await kit.broker.holdings("w1")) == {delivery.lease for delivery in claimed}


@holdings
async def what_is_settled_is_not_held(kit: Kit) -> None:
    await kit.send("a", "b", "c", "d", "e")
    a, b, c, d, e = await kit.claim()
    await kit.settle(done(a), release(b), retry(c, due=kit.now() + kit.lease), dead(d))
    assert await kit.broker.holdings("w1") == (e.lease,)


@holdings
async def what_is_claimed_again_is_held_under_the_new_token_only(kit: Kit) -> None:
    first = await kit.take("a", owner="w1")
    await kit.settle(release(first))
    second = await kit.take_next("a", owner="w1")
    assert await kit.broker.holdings("w1") == (second.lease,)
    assert second.lease.token > first.lease.token


@holdings
async def what_was_reclaimed_is_held_no_more(kit: Kit) -> None:
    await kit.take("a", owner="w1")
    await kit.lapse()
    assert [lease.id for lease in await kit.broker.holdings("w1")] == ["a"], "nobody has taken it yet"
    await kit.reclaim()
    assert await kit.broker.holdings("w1") == ()


@holdings
async def a_claim_whose_reply_was_lost_is_found_and_can_be_given_back(kit: Kit) -> None:
    """The owner lives, so its lease never runs out: without this the message would wait for the owner's end."""
    await kit.send("a", "b")
    (found, *more) = sorted(await _claimed_unheard(kit), key=lambda lease: lease.id)
    assert [lease.id for lease in more] == ["b"]
    assert await kit.broker.settle([Settlement(lease=one, action="release") for one in (found, *more)]) == ()
    assert await kit.broker.holdings("w1") == ()
    again = await kit.claim(owner="w2")
    assert [(one.lease.id, one.crashes, one.suspect) for one in again] == [("a", 0, False), ("b", 0, False)]


async def _claimed_unheard(kit: Kit) -> tuple[Lease, ...]:
    for place in range(10):  # A claim may look before it takes: the reply to the first need not be the one lost.
        broker = kit.flaky(Script([Fault.NONE] * place + [Fault.LOSE_REPLY]))
        try:
            claimed = await broker.claim(("celery",), 10, "w1", kit.lease)
        except OperationalError:
            if held := await kit.broker.holdings("w1"):
                return held
        else:
            return tuple([delivery.lease for delivery in claimed])
    raise AssertionError("no claim was carried out")
