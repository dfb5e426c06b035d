"""What is not due waits in the broker, and becomes ready when its time has come."""

from __future__ import annotations

from celeriac.testing.conformance.group import Group
from celeriac.testing.conformance.kit import Kit, ids, release, retry

group = Group("delay")


@group
async def nothing_is_claimed_before_its_time(kit: Kit) -> None:
    await kit.send("later", eta=kit.now() + kit.lease * 2)
    await kit.send("now", eta=kit.now() - 1)
    assert await kit.drain() == ["now"]
    await kit.advance(kit.lease)
    assert (await kit.broker.promote(100)).count == 0
    assert await kit.drain() == []
    await kit.advance(kit.lease * 1.1)
    assert await kit.drain() == ["later"]


@group
async def a_waiting_message_is_scheduled_and_says_when_it_is_due(kit: Kit) -> None:
    due = kit.now() + kit.lease
    await kit.send("later", eta=due)
    record = await kit.record("later")
    assert record.state == "SCHEDULED"
    assert record.due is not None
    assert abs(record.due - due) < 0.001
    assert record.owner is None


@group
async def promotion_of_nothing_says_that_nothing_waits(kit: Kit) -> None:
    promoted = await kit.broker.promote(100)
    assert (promoted.count, promoted.next_in) == (0, None)
    await kit.send("ready")
    promoted = await kit.broker.promote(100)
    assert (promoted.count, promoted.next_in) == (0, None)


@group
async def promotion_tells_when_to_come_back(kit: Kit) -> None:
    await kit.send("second", eta=kit.now() + kit.lease * 4)
    await kit.send("first", eta=kit.now() + kit.lease * 2)
    promoted = await kit.broker.promote(100)
    assert promoted.count == 0
    assert promoted.next_in is not None
    assert kit.lease < promoted.next_in <= kit.lease * 2
    await kit.advance(kit.lease * 2.1)
    promoted = await kit.broker.promote(100)
    assert promoted.count == 1
    assert promoted.next_in is not None
    assert 0 < promoted.next_in < kit.lease * 2


@group
async def promoted_messages_are_pending_and_ready(kit: Kit) -> None:
    await kit.send("a", "b", eta=kit.now() + kit.lease)
    await kit.advance(kit.lease * 1.1)
    promoted = await kit.broker.promote(100)
    assert (promoted.count, promoted.next_in) == (2, None)
    assert await kit.state("a") == "PENDING"
    (stats,) = await kit.broker.stats()
    assert (stats.ready, stats.scheduled) == (2, 0)
    assert sorted(await kit.drain()) == ["a", "b"]


@group
async def promotion_is_idempotent(kit: Kit) -> None:
    await kit.send("a", eta=kit.now() + kit.lease)
    await kit.advance(kit.lease * 1.1)
    assert (await kit.broker.promote(100)).count == 1
    assert (await kit.broker.promote(100)).count == 0
    assert await kit.drain() == ["a"]
    assert (await kit.broker.promote(100)).count == 0


@group
async def at_most_limit_messages_are_promoted_and_the_rest_is_overdue(kit: Kit) -> None:
    await kit.send("a", "b", "c", eta=kit.now() + kit.lease)
    await kit.advance(kit.lease * 1.1)
    promoted = await kit.broker.promote(2)
    assert promoted.count == 2
    assert promoted.next_in is not None
    assert promoted.next_in <= 0, "one is still overdue"
    promoted = await kit.broker.promote(2)
    assert (promoted.count, promoted.next_in) == (1, None)
    assert sorted(await kit.drain()) == ["a", "b", "c"]


@group
async def the_earliest_are_promoted_first(kit: Kit) -> None:
    await kit.send("late", eta=kit.now() + kit.lease * 3)
    await kit.send("early", eta=kit.now() + kit.lease)
    await kit.send("middle", eta=kit.now() + kit.lease * 2)
    await kit.advance(kit.lease * 3.1)
    for id in ("early", "middle", "late"):
        assert (await kit.broker.promote(1)).count == 1
        assert await kit.state(id) == "PENDING"


@group
async def a_retry_waits_in_the_broker_until_it_is_due(kit: Kit) -> None:
    delivery = await kit.take("a")
    due = kit.now() + kit.lease
    await kit.settle(retry(delivery, due=due))
    record = await kit.record("a")
    assert record.state == "RETRY"
    assert record.due is not None
    assert abs(record.due - due) < 0.001
    assert await kit.drain() == []
    await kit.advance(kit.lease * 1.1)
    assert (await kit.broker.promote(100)).count == 1
    assert await kit.drain() == ["a"]


@group
async def a_parked_message_waits_in_the_broker_until_it_is_due(kit: Kit) -> None:
    delivery = await kit.take("a")
    await kit.settle(release(delivery, message=delivery.message, due=kit.now() + kit.lease))
    assert await kit.state("a") == "SCHEDULED"
    assert await kit.drain() == []
    await kit.advance(kit.lease * 1.1)
    assert await kit.drain() == ["a"]


@group
async def a_far_time_is_kept(kit: Kit) -> None:
    due = kit.now() + 50 * 365 * 86400.0
    await kit.send("far", eta=due)
    record = await kit.record("far")
    assert record.due is not None
    assert abs(record.due - due) < 0.001


@group
async def a_claim_takes_many_that_became_due_at_once(kit: Kit) -> None:
    await kit.broker.enqueue([kit.message(f"t{n}", eta=kit.now() + kit.lease) for n in range(40)])
    await kit.advance(kit.lease * 1.1)
    found: list[str] = []
    while batch := await kit.claim(7):
        found += ids(batch)
    assert sorted(found) == sorted(f"t{n}" for n in range(40))
