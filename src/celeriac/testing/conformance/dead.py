"""Dead letters are kept with their reason until a person revives or purges them, or they grow too old."""

from __future__ import annotations

from celeriac.core.message import Start
from celeriac.testing.conformance.group import Group
from celeriac.testing.conformance.kit import Kit, dead, done, ids, release, result

group = Group("dead-letters")
results = Group("dead-letters-results", needs=lambda capabilities: capabilities.results)


async def bury(kit: Kit, *names: str, queue: str = "celery") -> None:
    """Make a dead letter of each name, in this order."""
    for name in names:
        await kit.settle(dead(await kit.take(name, queue=queue), f"because {name}"))


@group
async def they_are_paged_oldest_first_with_their_reasons(kit: Kit) -> None:
    await bury(kit, "c", "a", "b")
    found = await kit.pages(["DEAD"])
    assert [(record.id, record.reason) for record in found] == [
        ("c", "because c"),
        ("a", "because a"),
        ("b", "because b"),
    ]


@group
async def they_carry_message_crashes_and_time(kit: Kit) -> None:
    delivery = await kit.take("a", argsrepr="(7,)")
    await kit.settle(release(delivery, crashed=True))
    before = kit.now()
    await kit.settle(dead(await kit.take_next("a"), crashed=True))
    record = await kit.record("a")
    assert record.message is not None
    assert (record.message.argsrepr, record.crashes, record.queue) == ("(7,)", 2, "celery")
    assert record.changed is not None
    assert before - 1 <= record.changed <= kit.now() + 1


@group
async def revival_puts_them_back_with_a_clean_record(kit: Kit) -> None:
    await kit.settle(release(await kit.take("a", argsrepr="(7,)"), crashed=True))
    await kit.settle(dead(await kit.take_next("a")))
    assert await kit.broker.revive(["a"]) == ("a",)
    record = await kit.record("a")
    assert (record.state, record.crashes, record.owner) == ("PENDING", 0, None)
    again = await kit.take_next("a")
    assert again.crashes == 0
    assert again.message is not None
    assert again.message.argsrepr == "(7,)"


@group
async def a_revived_message_may_crash_as_often_as_a_new_one(kit: Kit) -> None:
    delivery = await kit.take("a")
    await kit.broker.start([Start(delivery.lease)])
    await kit.lapse()
    (verdict,) = (await kit.reclaim(crash_limit=1)).verdicts
    await kit.settle(dead(verdict))
    await kit.broker.revive(["a"])
    again = await kit.take_next("a")
    await kit.broker.start([Start(again.lease)])
    await kit.lapse()
    assert (await kit.reclaim(crash_limit=2)).released == ("a",)


@group
async def an_at_most_once_message_that_is_revived_may_be_lost_unstarted(kit: Kit) -> None:
    delivery = await kit.take("a")
    await kit.broker.start([Start(delivery.lease, once=True)])
    await kit.settle(dead(delivery))
    await kit.broker.revive(["a"])
    await kit.take_next("a")
    await kit.lapse()
    assert (await kit.reclaim()).released == ("a",)


@group
async def only_dead_letters_are_revived_and_returned(kit: Kit) -> None:
    await bury(kit, "dead", "other")
    await kit.take("owned", queue="two")
    await kit.send("ready")
    await kit.send("later", eta=kit.now() + kit.lease)
    assert await kit.broker.revive(["ready", "dead", "nobody", "owned", "later"]) == ("dead",)
    assert [await kit.state(id) for id in ("owned", "later", "other")] == ["RECEIVED", "SCHEDULED", "DEAD"]
    assert await kit.broker.revive(["dead"]) == ()
    assert sorted(await kit.drain()) == ["dead", "ready"]


@group
async def they_return_to_their_own_queues(kit: Kit) -> None:
    await bury(kit, "a", queue="one")
    await bury(kit, "b", queue="two")
    assert sorted(await kit.broker.revive(["a", "b"])) == ["a", "b"]
    assert await kit.drain("one") == ["a"]
    assert await kit.drain("two") == ["b"]


@group
async def reviving_nothing_is_no_work(kit: Kit) -> None:
    assert await kit.broker.revive([]) == ()


@group.indexed
async def purging_them_leaves_everything_else(kit: Kit) -> None:
    await bury(kit, "a", "b")
    await bury(kit, "c", queue="two")
    await kit.take("owned")
    await kit.send("ready")
    assert await kit.broker.purge("celery", dead=True) == 2
    assert await kit.broker.purge("celery", dead=True) == 0
    assert [await kit.state(id) for id in ("a", "b", "c", "owned", "ready")] == [
        None,
        None,
        "DEAD",
        "RECEIVED",
        "PENDING",
    ]


@group
async def they_are_pruned_by_age_alone(kit: Kit) -> None:
    await bury(kit, "old")
    await kit.advance(kit.lease * 2)
    await bury(kit, "young")
    await kit.broker.prune(None, 100)
    assert await kit.state("old") == "DEAD"
    await kit.broker.prune(kit.lease * 5, 100)
    assert await kit.state("old") == "DEAD"
    await kit.broker.prune(kit.lease, 100)
    assert await kit.state("old") is None
    assert await kit.state("young") == "DEAD"


@group
async def pruning_takes_at_most_limit_of_them(kit: Kit) -> None:
    await bury(kit, "a", "b", "c")
    await kit.advance(kit.lease * 2)
    await kit.broker.prune(kit.lease, 2)
    assert len(await kit.pages(["DEAD"])) == 1
    await kit.broker.prune(kit.lease, 2)
    assert await kit.pages(["DEAD"]) == []


@group
async def a_dead_letter_is_never_promoted_reclaimed_or_claimed(kit: Kit) -> None:
    await kit.settle(dead(await kit.take("a", eta=kit.now() - 1)))
    await kit.advance(kit.lease * 3)
    assert (await kit.broker.promote(100)).count == 0
    assert (await kit.reclaim()).released == ()
    assert ids(await kit.claim()) == []
    assert await kit.broker.purge("celery") == 0
    assert await kit.state("a") == "DEAD"


@group
async def a_revived_message_can_be_finished(kit: Kit) -> None:
    await bury(kit, "a")
    await kit.broker.revive(["a"])
    await kit.settle(done(await kit.take_next("a")))
    assert await kit.broker.stats() == []


@results
async def revival_forgets_how_it_ended(kit: Kit) -> None:
    await kit.settle(dead(await kit.take("a"), result=result("a", "DEAD")))
    await kit.send("waiting")
    await kit.broker.store([result("b", "DEAD"), result("waiting", "PROGRESS")])
    assert [one.state for one in await kit.broker.fetch(["a"])] == ["DEAD"]
    await kit.broker.revive(["a", "b", "waiting"])
    found = await kit.broker.fetch(["a", "b", "waiting"])
    assert sorted(one.id for one in found) == ["b", "waiting"], "only what was revived is forgotten"
