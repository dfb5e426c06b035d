"""A cancelled task does not run: not if it waits, and not again if somebody owns it."""

from __future__ import annotations

from celeriac.core.message import StoredResult
from celeriac.testing.conformance.group import Group
from celeriac.testing.conformance.kit import Kit, dead, done, release, result, retry, revoked

group = Group("cancel")
results = Group("cancel-results", needs=lambda capabilities: capabilities.results)


async def outcome(kit: Kit, id: str) -> tuple[str, str | None]:
    """Cancel one task and return what came of it."""
    (cancelled,) = await kit.broker.cancel(revoked(id))
    assert cancelled.id == id
    return cancelled.outcome, cancelled.owner


async def gone(kit: Kit, id: str) -> None:
    """Check that the broker holds the id no longer, and nobody gets it."""
    assert await kit.state(id) is None
    await kit.advance(kit.lease * 3)
    assert id not in await kit.drain()
    assert (await kit.broker.promote(100)).count == 0


@group
async def a_ready_task_is_removed(kit: Kit) -> None:
    await kit.send("a", "b")
    assert await outcome(kit, "a") == ("removed", None)
    await gone(kit, "a")
    assert await kit.state("b") == "RECEIVED"


@group
async def a_task_that_waits_for_its_time_is_removed(kit: Kit) -> None:
    await kit.send("a", eta=kit.now() + kit.lease)
    assert await outcome(kit, "a") == ("removed", None)
    await gone(kit, "a")


@group
async def a_task_that_waits_for_its_retry_is_removed(kit: Kit) -> None:
    await kit.settle(retry(await kit.take("a"), due=kit.now() + kit.lease))
    assert await outcome(kit, "a") == ("removed", None)
    await gone(kit, "a")


@group
async def a_parked_task_is_removed(kit: Kit) -> None:
    delivery = await kit.take("a")
    await kit.settle(release(delivery, message=delivery.message, due=kit.now() + kit.lease))
    assert await outcome(kit, "a") == ("removed", None)
    await gone(kit, "a")


@group
async def an_owned_task_is_left_to_its_owner(kit: Kit) -> None:
    delivery = await kit.take("a", owner="w7")
    assert await outcome(kit, "a") == ("running", "w7")
    assert await kit.state("a") == "RECEIVED"
    await kit.settle(done(delivery))
    assert await kit.state("a") is None


@group.indexed
async def an_unknown_task_is_unknown(kit: Kit) -> None:
    assert await outcome(kit, "nobody") == ("unknown", None)
    await kit.send("nobody")
    assert await kit.drain() == ["nobody"], "cancelling says nothing about tasks that are sent later"


@group.indexed
async def a_finished_task_is_unknown(kit: Kit) -> None:
    await kit.settle(done(await kit.take("a")))
    assert await outcome(kit, "a") == ("unknown", None)


@group
async def a_dead_letter_stays_dead(kit: Kit) -> None:
    # It is over already, and a person is meant to see why.
    await kit.settle(dead(await kit.take("a"), "it crashed"))
    assert await outcome(kit, "a") == ("unknown", None)
    record = await kit.record("a")
    assert (record.state, record.reason) == ("DEAD", "it crashed")


@group.indexed
async def cancelling_again_is_harmless(kit: Kit) -> None:
    await kit.send("a")
    await kit.take("b", queue="two")
    assert await outcome(kit, "a") == ("removed", None)
    assert await outcome(kit, "a") == ("unknown", None)
    assert await outcome(kit, "b") == ("running", "w1")
    assert await outcome(kit, "b") == ("running", "w1")


@group.indexed
async def a_batch_says_of_each_what_came_of_it(kit: Kit) -> None:
    await kit.take("owned", queue="two")
    await kit.send("ready")
    await kit.send("later", eta=kit.now() + kit.lease)
    found = await kit.broker.cancel(revoked("ready", "nobody", "owned", "later"))
    assert {one.id: one.outcome for one in found} == {
        "ready": "removed",
        "nobody": "unknown",
        "owned": "running",
        "later": "removed",
    }
    assert len(found) == 4


@group
async def cancelling_nothing_is_no_work(kit: Kit) -> None:
    assert await kit.broker.cancel([]) == []


@group
async def a_cancelled_task_is_not_retried(kit: Kit) -> None:
    delivery = await kit.take("a")
    await outcome(kit, "a")
    await kit.settle(retry(delivery, due=kit.now() + kit.lease))
    await gone(kit, "a")


@group
async def a_cancelled_task_is_not_released_to_run_again(kit: Kit) -> None:
    delivery = await kit.take("a")
    await outcome(kit, "a")
    await kit.settle(release(delivery))
    await gone(kit, "a")


@group
async def a_cancelled_task_is_not_parked(kit: Kit) -> None:
    delivery = await kit.take("a")
    await outcome(kit, "a")
    await kit.settle(release(delivery, message=delivery.message, due=kit.now() + kit.lease))
    await gone(kit, "a")


@group
async def a_cancelled_task_can_still_be_buried(kit: Kit) -> None:
    delivery = await kit.take("a")
    await outcome(kit, "a")
    await kit.settle(dead(delivery, "unreadable"))
    assert (await kit.record("a")).reason == "unreadable"


@group
async def a_person_may_revive_what_was_cancelled_and_buried(kit: Kit) -> None:
    delivery = await kit.take("a")
    await outcome(kit, "a")
    await kit.settle(dead(delivery))
    await kit.broker.revive(["a"])
    again = await kit.take_next("a")
    assert again.cancelled is False
    await kit.settle(release(again))
    assert await kit.drain() == ["a"]


@group
async def a_new_task_of_that_name_is_not_cancelled(kit: Kit) -> None:
    delivery = await kit.take("a")
    await outcome(kit, "a")
    await kit.settle(done(delivery))
    again = await kit.take("a")
    assert again.cancelled is False
    await kit.settle(release(again))
    assert await kit.drain() == ["a"]


@results
async def the_given_result_is_stored_for_what_was_removed(kit: Kit) -> None:
    await kit.send("a")
    await kit.send("b", eta=kit.now() + kit.lease)
    given = [StoredResult(id="a", state="REVOKED", body=b'"why"', date_done=5.0), *revoked("b")]
    await kit.broker.cancel(given)
    assert sorted(await kit.broker.fetch(["a", "b"]), key=lambda found: found.id) == given


@results.indexed
async def nothing_is_stored_for_what_is_owned_dead_or_unknown(kit: Kit) -> None:
    await kit.take("owned")
    await kit.settle(dead(await kit.take("dead", queue="two"), result=result("dead", "DEAD")))
    await kit.broker.cancel(revoked("owned", "dead", "nobody"))
    assert await kit.broker.fetch(["owned", "dead", "nobody"]) == [result("dead", "DEAD")]


@results
async def a_finished_tasks_result_stays(kit: Kit) -> None:
    await kit.settle(done(await kit.take("a"), result=result("a", body=b"1")))
    await kit.broker.cancel(revoked("a"))
    assert await kit.result("a") == result("a", body=b"1")


@results
async def the_owner_of_a_cancelled_task_decides_its_result(kit: Kit) -> None:
    delivery = await kit.take("a")
    await kit.broker.cancel(revoked("a"))
    await kit.settle(done(delivery, result=result("a", "SUCCESS", body=b"1")))
    assert await kit.result("a") == result("a", "SUCCESS", body=b"1")


@results
async def revoked_is_stored_when_a_cancelled_task_asks_to_run_again(kit: Kit) -> None:
    await kit.send("retried", "released", "parked")
    retried, released, parked = await kit.claim()
    await kit.broker.cancel(revoked("retried", "released", "parked"))
    later = kit.now() + kit.lease
    await kit.settle(
        retry(retried, due=later, result=result("retried", "RETRY", body=b'"again"')),
        release(released),
        release(parked, message=parked.message, due=later),
    )
    for id in ("retried", "released", "parked"):
        found = await kit.result(id)
        assert found is not None
        assert found.state == "REVOKED", id
