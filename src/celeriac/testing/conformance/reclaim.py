"""What dying owners held comes back: at once, once, counted, and not to those it would kill again."""

from __future__ import annotations

from celeriac.brokers.rules import VERDICT_LEASE
from celeriac.core.message import Start
from celeriac.testing.conformance.group import Group
from celeriac.testing.conformance.kit import Kit, dead, done, ids, release, retry, revoked

group = Group("reclaim")
verdicts = Group("verdicts")


@group
async def nothing_lost_is_nothing_to_do(kit: Kit) -> None:
    reclaimed = await kit.reclaim()
    assert (reclaimed.released, reclaimed.verdicts, reclaimed.owners) == ((), (), ())
    await kit.take("a")
    reclaimed = await kit.reclaim()
    assert (reclaimed.released, reclaimed.verdicts, reclaimed.owners) == ((), (), ())
    assert await kit.state("a") == "RECEIVED"


@group
async def what_a_lapsed_owner_held_goes_back_as_suspect(kit: Kit) -> None:
    await kit.send("a", "b")
    first = await kit.claim(owner="w1")
    await kit.lapse()
    reclaimed = await kit.reclaim()
    assert sorted(reclaimed.released) == ["a", "b"]
    assert (reclaimed.verdicts, reclaimed.owners) == ((), ("w1",))
    record = await kit.record("a")
    assert (record.state, record.owner) == ("PENDING", None)
    again = await kit.claim(owner="w2")
    assert ids(again) == ["a", "b"]
    for before, after in zip(first, again, strict=True):
        assert after.lease.token > before.lease.token
        assert (after.message, after.crashes, after.suspect) == (before.message, 0, True)


@group
async def it_is_done_once(kit: Kit) -> None:
    await kit.take("a")
    await kit.lapse()
    assert (await kit.reclaim()).released == ("a",)
    reclaimed = await kit.reclaim()
    assert (reclaimed.released, reclaimed.verdicts, reclaimed.owners) == ((), (), ())
    assert await kit.drain() == ["a"]


@group
async def a_started_run_counts_as_a_crash(kit: Kit) -> None:
    await kit.send("ran", "waited")
    ran, _waited = await kit.claim()
    await kit.broker.start([Start(ran.lease)])
    await kit.lapse()
    assert sorted((await kit.reclaim(crash_limit=3)).released) == ["ran", "waited"]
    assert [(d.lease.id, d.crashes, d.suspect) for d in await kit.claim()] == [("ran", 1, True), ("waited", 0, True)]


@group
async def a_guilty_run_counts_as_a_crash_though_no_start_was_told(kit: Kit) -> None:
    await kit.send("ran", "waited")
    ran, _waited = await kit.claim(owner="w1")
    reclaimed = await kit.reclaim(owner="w1", guilty=[ran.lease])
    assert sorted(reclaimed.released) == ["ran", "waited"]
    assert [(d.lease.id, d.crashes, d.suspect) for d in await kit.claim()] == [("ran", 1, True), ("waited", 0, True)]


@group
async def a_run_that_was_started_and_is_guilty_counts_once(kit: Kit) -> None:
    ran = await kit.take("ran", owner="w1")
    await kit.broker.start([Start(ran.lease)])
    await kit.reclaim(owner="w1", guilty=[ran.lease])
    assert (await kit.take_next("ran")).crashes == 1


@group
async def with_an_owner_a_started_run_that_is_not_guilty_is_no_crash(kit: Kit) -> None:
    await kit.send("ran", "ended")
    ran, ended = await kit.claim(owner="w1")
    await kit.broker.start([Start(ran.lease), Start(ended.lease)])
    reclaimed = await kit.reclaim(owner="w1", guilty=[ran.lease], crash_limit=2)
    assert sorted(reclaimed.released) == ["ended", "ran"]
    assert {d.lease.id: d.crashes for d in await kit.claim()} == {"ran": 1, "ended": 0}


@group
async def a_superseded_lease_makes_nobody_guilty(kit: Kit) -> None:
    old = await kit.take("a", owner="w1")
    await kit.settle(release(old))
    await kit.take_next("a", owner="w1")
    await kit.reclaim(owner="w1", guilty=[old.lease])
    assert (await kit.take_next("a")).crashes == 0


@group
async def a_start_of_an_earlier_claim_does_not_count_later(kit: Kit) -> None:
    first = await kit.take("a")
    await kit.broker.start([Start(first.lease)])
    await kit.settle(release(first))
    await kit.take_next("a")
    await kit.lapse()
    await kit.reclaim()
    assert (await kit.take_next("a")).crashes == 0


@group
async def crashes_add_up_and_suspicion_stays(kit: Kit) -> None:
    await kit.send("a")
    for crashes in range(4):
        delivery = await kit.take_next("a")
        assert (delivery.crashes, delivery.suspect) == (crashes, crashes > 0)
        await kit.broker.start([Start(delivery.lease)])
        await kit.lapse()
        assert (await kit.reclaim(crash_limit=100)).released == ("a",)
    await kit.settle(release(await kit.take_next("a")))
    delivery = await kit.take_next("a")
    assert (delivery.crashes, delivery.suspect) == (4, True)
    assert (await kit.record("a")).crashes == 4


@group
async def with_an_owner_it_acts_at_once_and_on_that_owner_alone(kit: Kit) -> None:
    await kit.take("a", owner="w1")
    await kit.take("b", owner="w2")
    reclaimed = await kit.reclaim(owner="w1")
    assert (reclaimed.released, reclaimed.owners) == (("a",), ("w1",))
    assert await kit.state("b") == "RECEIVED"


@group
async def with_an_owner_others_that_lapsed_are_left_alone(kit: Kit) -> None:
    await kit.take("a", owner="w1")
    await kit.take("b", owner="w2")
    await kit.lapse()
    assert (await kit.reclaim(owner="w1")).released == ("a",)
    assert await kit.state("b") == "RECEIVED"
    assert (await kit.reclaim()).released == ("b",)


@group
async def an_owner_that_is_unknown_or_holds_nothing_gives_nothing(kit: Kit) -> None:
    await kit.take("a", owner="w1")
    assert (await kit.reclaim(owner="nobody")).released == ()
    await kit.broker.extend(["idle"], kit.lease)
    assert (await kit.reclaim(owner="idle")).released == ()
    assert await kit.state("a") == "RECEIVED"


@group
async def at_most_limit_messages_a_call_until_nothing_is_left(kit: Kit) -> None:
    await kit.send(*(f"t{n}" for n in range(10)))
    deliveries = await kit.claim()
    await kit.broker.start([Start(delivery.lease) for delivery in deliveries[5:]])
    await kit.lapse()
    released: list[str] = []
    condemned: list[str] = []
    for _ in range(10):
        reclaimed = await kit.reclaim(limit=3, crash_limit=1)
        if not (reclaimed.released or reclaimed.verdicts):
            break
        assert len(reclaimed.released) + len(reclaimed.verdicts) <= 3
        released += reclaimed.released
        condemned += ids(reclaimed.verdicts)
    assert sorted(released) == [f"t{n}" for n in range(5)]
    assert sorted(condemned) == [f"t{n}" for n in range(5, 10)]


@group
async def an_owner_reclaimed_in_parts_settles_nothing_that_is_left(kit: Kit) -> None:
    # Its lease has ended. That the rest of what it held is freed by a later call is no licence to settle it.
    await kit.send("a", "b", "c")
    deliveries = await kit.claim(owner="w1")
    assert len((await kit.reclaim(limit=1, owner="w1")).released) == 1
    while (await kit.reclaim(limit=1, owner="w1")).released:
        pass
    assert sorted(await kit.broker.settle([done(delivery) for delivery in deliveries])) == ["a", "b", "c"]
    assert await kit.drain() == ["a", "b", "c"]


@group
async def what_a_limited_reclaim_left_is_freed_although_its_owner_extends(kit: Kit) -> None:
    # The owner is told that it lost everything, so nobody but the reaper looks after the rest.
    await kit.send("a", "b", "c")
    await kit.claim(owner="w1")
    await kit.lapse()
    first = (await kit.reclaim(limit=1)).released
    assert await kit.broker.extend(["w1"], kit.lease) == ("w1",)
    rest = (await kit.reclaim()).released
    assert sorted(first + rest) == ["a", "b", "c"]


@group
async def what_a_limited_reclaim_left_is_freed_although_its_owner_claims(kit: Kit) -> None:
    await kit.send("a", "b", "c")
    await kit.claim(owner="w1")
    await kit.lapse()
    first = (await kit.reclaim(limit=1)).released
    again = await kit.claim(owner="w1")
    assert ids(again) == list(first)
    rest = (await kit.reclaim()).released
    assert sorted(first + rest) == ["a", "b", "c"]
    await kit.settle(done(again[0]))


@group
async def several_lapsed_owners_are_freed_together(kit: Kit) -> None:
    for n in range(4):
        await kit.take(f"t{n}", owner=f"w{n}")
    await kit.lapse()
    reclaimed = await kit.reclaim()
    assert sorted(reclaimed.released) == ["t0", "t1", "t2", "t3"]
    assert sorted(reclaimed.owners) == ["w0", "w1", "w2", "w3"]


@group
async def what_was_settled_before_is_not_freed(kit: Kit) -> None:
    await kit.send("a", "b", "c", "d")
    a, b, c, _d = await kit.claim()
    await kit.settle(done(a), retry(b, due=kit.now() + kit.lease * 5), dead(c))
    await kit.lapse()
    assert (await kit.reclaim()).released == ("d",)
    assert [await kit.state(id) for id in "abcd"] == [None, "RETRY", "DEAD", "PENDING"]


@group
async def it_tells_the_time(kit: Kit) -> None:
    for name in ("a", "b"):
        assert abs((await kit.reclaim()).at - kit.now()) < 5.0
        assert abs((await kit.reclaim(owner="nobody")).at - kit.now()) < 5.0
        await kit.take(name, queue=name)
        await kit.lapse()


@group
async def one_that_comes_too_late_frees_nothing_and_tells_the_time(kit: Kit) -> None:
    # The store stood still. What it finds first is this; behind it wait the renewals of everybody who lives.
    await kit.take("a", owner="w1")
    at = (await kit.reclaim()).at
    await kit.lapse()
    late = await kit.reclaim(before=at + kit.lease / 2)
    assert (late.released, late.verdicts, late.owners) == ((), (), ())
    assert late.at > at + kit.lease / 2
    assert await kit.broker.extend(["w1"], kit.lease) == (), "it is not told that it has lost anything"
    assert await kit.state("a") == "RECEIVED"


@group
async def one_that_comes_in_time_frees(kit: Kit) -> None:
    await kit.take("a", owner="w1")
    await kit.lapse()
    at = (await kit.reclaim(before=0.0)).at
    reclaimed = await kit.reclaim(before=at + kit.lease)
    assert (reclaimed.released, reclaimed.owners) == (("a",), ("w1",))
    assert reclaimed.at >= at


@group
async def with_an_owner_it_is_never_too_late(kit: Kit) -> None:
    await kit.take("a", owner="w1")
    assert (await kit.reclaim(owner="w1", before=0.0)).released == ("a",)


@verdicts
async def a_message_at_the_crash_limit_is_leased_to_the_caller(kit: Kit) -> None:
    await kit.send("a", argsrepr="(7,)")
    for crashes in (1, 2):
        await kit.broker.start([Start((await kit.take_next("a")).lease)])
        await kit.lapse()
        reclaimed = await kit.reclaim(crash_limit=3)
        assert (reclaimed.released, reclaimed.verdicts) == (("a",), ()), f"{crashes} of 3"
    last = await kit.take_next("a")
    await kit.broker.start([Start(last.lease)])
    await kit.lapse()
    reclaimed = await kit.reclaim(by="judge", crash_limit=3)
    assert (reclaimed.released, reclaimed.owners) == ((), ("w1",))
    (verdict,) = reclaimed.verdicts
    assert (verdict.lease.id, verdict.lease.owner, verdict.crashes) == ("a", "judge", 3)
    assert verdict.lease.token > last.lease.token
    assert verdict.message is not None
    assert verdict.message.argsrepr == "(7,)"
    assert await kit.drain() == [], "it must not simply run again"
    assert (await kit.record("a")).owner == "judge"


@verdicts
async def a_caller_whose_reply_was_lost_takes_them_again(kit: Kit) -> None:
    """It asks for what it holds itself: that is still condemned, for the same reasons and with the same counts."""
    once = await kit.take("once")
    await kit.broker.start([Start(once.lease, once=True)])
    await kit.broker.start([Start((await kit.take("crashed")).lease)])
    await kit.broker.start([Start((await kit.take("revoked")).lease)])
    await kit.broker.cancel(revoked("revoked"))
    await kit.lapse()
    lost = {one.lease.id: one for one in (await kit.reclaim(by="judge", crash_limit=1)).verdicts}
    assert set(lost) == {"once", "crashed", "revoked"}
    again = await kit.reclaim(by="judge", crash_limit=1, owner="judge")
    assert again.released == ()
    assert {one.lease.id for one in again.verdicts} == set(lost)
    for one in again.verdicts:
        before = lost[one.lease.id]
        assert one.lease.owner == "judge"
        assert one.lease.token > before.lease.token
        assert (one.crashes, one.cancelled) == (before.crashes, before.cancelled)
    assert (await kit.reclaim(crash_limit=1)).verdicts == (), "the caller's lease holds"
    await kit.settle(*[done(one) for one in again.verdicts])
    assert len(await kit.broker.settle([done(one) for one in lost.values()])) == 3


@verdicts
async def the_caller_settles_them(kit: Kit) -> None:
    await kit.send("a", "b")
    deliveries = await kit.claim()
    await kit.broker.start([Start(delivery.lease) for delivery in deliveries])
    await kit.lapse()
    first, second = (await kit.reclaim(crash_limit=1)).verdicts
    await kit.settle(dead(first, "it crashed"), done(second))
    assert sorted(await kit.broker.settle([done(delivery) for delivery in deliveries])) == ["a", "b"]
    assert (await kit.record(first.lease.id)).reason == "it crashed"
    assert await kit.state(second.lease.id) is None


@verdicts
async def a_message_that_was_only_claimed_is_never_condemned(kit: Kit) -> None:
    await kit.send("a")
    for _ in range(3):
        await kit.claim()
        await kit.lapse()
        assert (await kit.reclaim(crash_limit=1)).released == ("a",)


@verdicts
async def a_started_at_most_once_message_is_condemned_at_its_first_crash(kit: Kit) -> None:
    delivery = await kit.take("a")
    await kit.broker.start([Start(delivery.lease, once=True)])
    await kit.lapse()
    reclaimed = await kit.reclaim(crash_limit=100)
    assert (reclaimed.released, ids(reclaimed.verdicts)) == ((), ["a"])
    assert reclaimed.verdicts[0].crashes == 1


@verdicts
async def an_at_most_once_message_that_had_not_started_goes_back(kit: Kit) -> None:
    delivery = await kit.take("a")
    await kit.broker.start([Start(delivery.lease, once=True)])
    await kit.settle(release(delivery))
    await kit.take_next("a")
    await kit.lapse()
    assert (await kit.reclaim()).released == ("a",)


@verdicts
async def a_cancelled_message_is_condemned(kit: Kit) -> None:
    await kit.send("started", "waiting")
    started, _waiting = await kit.claim()
    await kit.broker.start([Start(started.lease)])
    await kit.broker.cancel(revoked("started", "waiting"))
    await kit.lapse()
    reclaimed = await kit.reclaim(crash_limit=100)
    assert reclaimed.released == ()
    found = {verdict.lease.id: (verdict.cancelled, verdict.crashes) for verdict in reclaimed.verdicts}
    assert found == {"started": (True, 1), "waiting": (True, 0)}
    assert await kit.drain() == []


@verdicts
async def only_the_cancelled_are_marked_so(kit: Kit) -> None:
    delivery = await kit.take("a")
    await kit.broker.start([Start(delivery.lease)])
    await kit.lapse()
    (verdict,) = (await kit.reclaim(crash_limit=1)).verdicts
    assert verdict.cancelled is False


@verdicts
async def a_verdict_is_given_once_while_its_judge_lives(kit: Kit) -> None:
    delivery = await kit.take("a")
    await kit.broker.start([Start(delivery.lease)])
    await kit.broker.extend(["judge"], kit.lease * 10)
    await kit.lapse()
    (verdict,) = (await kit.reclaim(by="judge", crash_limit=1)).verdicts
    reclaimed = await kit.reclaim(by="other", crash_limit=1)
    assert (reclaimed.released, reclaimed.verdicts) == ((), ())
    await kit.settle(dead(verdict))


@verdicts
async def when_the_judge_dies_too_the_next_one_gets_the_verdict(kit: Kit) -> None:
    await kit.send("once", "crashed", "cancelled")
    once, crashed, _cancelled = await kit.claim()
    await kit.broker.start([Start(once.lease, once=True), Start(crashed.lease)])
    await kit.broker.cancel(revoked("cancelled"))
    await kit.lapse()
    first = {verdict.lease.id: verdict for verdict in (await kit.reclaim(by="judge", crash_limit=1)).verdicts}
    assert sorted(first) == ["cancelled", "crashed", "once"]
    reclaimed = await kit.reclaim(by="second judge", owner="judge", crash_limit=1)
    assert reclaimed.released == (), "none of them may run again only because a judge died"
    second = {verdict.lease.id: verdict for verdict in reclaimed.verdicts}
    assert sorted(second) == ["cancelled", "crashed", "once"]
    for id, verdict in second.items():
        assert verdict.lease.owner == "second judge"
        assert verdict.crashes == first[id].crashes, "judging is no crash"
    assert sorted(await kit.broker.settle([dead(verdict) for verdict in first.values()])) == sorted(first)
    await kit.settle(*(dead(verdict) for verdict in second.values()))


@verdicts
async def a_verdict_may_let_the_message_run_again(kit: Kit) -> None:
    delivery = await kit.take("a")
    await kit.broker.start([Start(delivery.lease)])
    await kit.lapse()
    (verdict,) = (await kit.reclaim(crash_limit=1)).verdicts
    await kit.settle(release(verdict))
    again = await kit.take_next("a")
    assert (again.crashes, again.suspect) == (1, True)


@verdicts
async def an_unstarted_second_life_of_a_retried_message_is_judged_by_itself(kit: Kit) -> None:
    delivery = await kit.take("a")
    await kit.broker.start([Start(delivery.lease, once=True)])
    await kit.settle(retry(delivery, due=kit.now() - 1))
    await kit.take_next("a")
    await kit.lapse()
    assert (await kit.reclaim()).released == ("a",), "the task asked to be tried again, and had not begun to"


@verdicts.slow
async def the_verdicts_of_a_judge_that_vanishes_are_not_lost(kit: Kit) -> None:
    never_had_a_lease = await kit.take("a")
    await kit.broker.start([Start(never_had_a_lease.lease, once=True)])
    await kit.lapse()
    assert ids((await kit.reclaim(by="ghost")).verdicts) == ["a"]
    short_of_time = await kit.take("b")
    await kit.broker.start([Start(short_of_time.lease, once=True)])
    await kit.broker.extend(["judge"], kit.lease * 2)
    await kit.lapse()
    assert ids((await kit.reclaim(by="judge")).verdicts) == ["b"]
    await kit.advance(VERDICT_LEASE + kit.lease * 3)
    assert sorted(ids((await kit.reclaim(by="another judge")).verdicts)) == ["a", "b"]
