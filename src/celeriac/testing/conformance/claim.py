"""Claiming leases ready messages to one owner, most urgent first, and to nobody else."""

from __future__ import annotations

import random

from celeriac.testing.conformance.group import Group
from celeriac.testing.conformance.kit import Kit, done, ids, release

group = Group("claim")
order = Group("order")


@group
async def a_delivery_names_its_message_and_its_owner(kit: Kit) -> None:
    await kit.send("a")
    (delivery,) = await kit.claim(owner="w1")
    assert delivery.message is not None
    assert delivery.message.id == delivery.lease.id == "a"
    assert delivery.lease.owner == "w1"
    assert delivery.lease.token > 0


@group
async def a_fresh_delivery_has_no_past(kit: Kit) -> None:
    delivery = await kit.take("a")
    assert (delivery.crashes, delivery.suspect, delivery.cancelled, delivery.raw) == (0, False, False, b"")


@group
async def an_empty_store_gives_nothing(kit: Kit) -> None:
    assert await kit.claim() == []
    assert await kit.claim(queues=["no such queue"]) == []


@group
async def no_queues_and_no_room_give_nothing(kit: Kit) -> None:
    await kit.send("a")
    assert await kit.claim(queues=[], owner="w1") == []
    assert await kit.claim(0, owner="w2") == []
    await kit.lapse()
    assert (await kit.reclaim()).owners == (), "nobody was given a lease"
    assert await kit.drain() == ["a"]


@group
async def at_most_limit_messages_are_claimed_and_the_rest_stays(kit: Kit) -> None:
    await kit.send("a", "b", "c")
    assert ids(await kit.claim(2)) == ["a", "b"]
    assert ids(await kit.claim(2)) == ["c"]
    assert await kit.claim(2) == []


@group
async def what_is_claimed_is_not_claimed_again(kit: Kit) -> None:
    await kit.send("a")
    assert ids(await kit.claim(owner="w1")) == ["a"]
    assert await kit.claim(owner="w1") == []
    assert await kit.claim(owner="w2") == []


@group
async def only_the_queues_asked_for_are_looked_at(kit: Kit) -> None:
    await kit.send("a", queue="one")
    await kit.send("b", queue="two")
    await kit.send("c", queue="three")
    assert await kit.drain("two", "four") == ["b"]
    assert sorted(await kit.drain("one", "three")) == ["a", "c"]


@group
async def a_queue_named_twice_gives_its_messages_once(kit: Kit) -> None:
    await kit.send("a", "b", queue="one")
    assert await kit.drain("one", "one") == ["a", "b"]


@group
async def each_token_is_greater_than_those_before(kit: Kit) -> None:
    await kit.send("a")
    tokens: list[int] = []
    for _ in range(4):
        delivery = await kit.take_next("a")
        tokens.append(delivery.lease.token)
        await kit.settle(release(delivery))
    await kit.take_next("a", owner="w1")
    for _ in range(3):
        await kit.lapse()
        assert (await kit.reclaim()).released == ("a",)
        tokens.append((await kit.take_next("a")).lease.token)
    assert tokens == sorted(set(tokens))


@group
async def a_message_that_became_due_is_included_without_promotion(kit: Kit) -> None:
    await kit.send("later", eta=kit.now() + kit.lease)
    assert await kit.drain() == []
    await kit.advance(kit.lease * 1.1)
    assert await kit.drain() == ["later"]


@group
async def a_message_that_became_due_takes_its_place_by_priority(kit: Kit) -> None:
    await kit.send("urgent", eta=kit.now() + kit.lease, priority=9)
    await kit.send("idle", eta=kit.now() + kit.lease, priority=0)
    await kit.send("normal", priority=5)
    await kit.advance(kit.lease * 1.1)
    assert await kit.drain() == ["urgent", "normal", "idle"]


@group
async def a_claim_sets_the_lease_of_all_that_its_owner_holds(kit: Kit) -> None:
    await kit.send("a", "b")
    await kit.take_next("a")
    await kit.advance(kit.lease * 0.75)
    await kit.take_next("b")
    await kit.advance(kit.lease * 0.75)
    assert (await kit.reclaim()).owners == (), "the second claim's lease holds for both messages"
    await kit.advance(kit.lease * 0.75)
    assert sorted((await kit.reclaim()).released) == ["a", "b"]


@group
async def a_claim_that_finds_nothing_changes_nothing(kit: Kit) -> None:
    await kit.take("a", owner="w1")
    await kit.advance(kit.lease * 0.75)
    assert await kit.claim(owner="w1") == []
    assert await kit.claim(owner="idle") == []
    await kit.advance(kit.lease * 0.5)
    reclaimed = await kit.reclaim()
    assert (reclaimed.released, reclaimed.owners) == (("a",), ("w1",)), "the lease is the one of the first claim"


@group
async def a_claim_that_finds_nothing_keeps_the_news_of_an_ended_lease(kit: Kit) -> None:
    await kit.take("a", owner="w1")
    await kit.reclaim(owner="w1")
    await kit.drain(owner="w2")
    assert await kit.claim(owner="w1") == []
    assert await kit.broker.extend(["w1"], kit.lease) == ("w1",)


@group
async def owners_have_separate_leases(kit: Kit) -> None:
    await kit.take("a", owner="w1")
    await kit.advance(kit.lease * 0.75)
    await kit.take("b", owner="w2")
    await kit.advance(kit.lease * 0.75)
    assert (await kit.reclaim()).released == ("a",)


@order
async def a_higher_number_is_more_urgent(kit: Kit) -> None:
    shuffled = random.Random(2).sample(range(10), 10)
    for priority in shuffled:
        await kit.send(f"p{priority}", priority=priority)
    assert await kit.drain() == [f"p{priority}" for priority in range(9, -1, -1)]


@order
async def equal_priorities_come_first_in_first_out(kit: Kit) -> None:
    await kit.broker.enqueue([kit.message(f"{n % 3}-{n}", priority=n % 3) for n in range(30)])
    expected = [f"{n % 3}-{n}" for n in sorted(range(30), key=lambda n: (-(n % 3), n))]
    found: list[str] = []
    while batch := await kit.claim(7):
        found += ids(batch)
    assert found == expected


@order.indexed
async def several_queues_are_one_line_by_priority_then_age(kit: Kit) -> None:
    await kit.send("old", queue="one", priority=3)
    await kit.send("urgent", queue="two", priority=8)
    await kit.send("young", queue="two", priority=3)
    await kit.send("youngest", queue="one", priority=3)
    await kit.send("idle", queue="one", priority=0)
    found = [ids(await kit.claim(1, queues=["one", "two"])) for _ in range(5)]
    assert found == [["urgent"], ["old"], ["young"], ["youngest"], ["idle"]]


@order.indexed
async def a_batch_over_several_queues_has_the_same_order(kit: Kit) -> None:
    await kit.send("a", queue="one", priority=3)
    await kit.send("b", queue="two", priority=8)
    await kit.send("c", queue="two", priority=3)
    await kit.send("d", queue="three", priority=3)
    await kit.send("e", queue="one", priority=4)
    assert await kit.drain("three", "one", "two") == ["b", "e", "a", "c", "d"]


@order
async def what_is_given_back_keeps_its_place(kit: Kit) -> None:
    await kit.send("a", "b", "c", "d")
    first, second, _third = await kit.claim(3)
    await kit.settle(release(second))
    await kit.settle(release(first))
    assert await kit.drain() == ["a", "b", "d"]


@order
async def what_was_lost_keeps_its_place(kit: Kit) -> None:
    await kit.send("a", "b", "c")
    await kit.claim(2, owner="w1")
    await kit.lapse()
    await kit.reclaim()
    assert await kit.drain() == ["a", "b", "c"]


@order
async def finished_work_leaves_the_order_of_the_rest(kit: Kit) -> None:
    await kit.send("a", "b", "c", "d")
    first, second = await kit.claim(2)
    await kit.settle(done(first))
    await kit.send("e")
    await kit.settle(release(second))
    assert await kit.drain() == ["b", "c", "d", "e"]
