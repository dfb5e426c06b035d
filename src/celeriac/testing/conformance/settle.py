"""Settling does all that a settlement says in one step, or nothing of it."""

from __future__ import annotations

from celeriac.core.message import Lease, Settlement
from celeriac.testing.conformance.group import Group
from celeriac.testing.conformance.kit import Kit, dead, done, ids, release, result, retry

group = Group("settle")
follow_ups = Group("follow-ups")
results = Group("settle-results", needs=lambda capabilities: capabilities.results)


@group
async def done_lets_the_message_go(kit: Kit) -> None:
    await kit.settle(done(await kit.take("a")))
    assert await kit.state("a") is None
    assert await kit.drain() == []
    assert await kit.broker.stats() == []


@group
async def retry_puts_the_changed_message_in_its_place(kit: Kit) -> None:
    delivery = await kit.take("a", argsrepr="old")
    due = kit.now() + kit.lease
    settlement = retry(delivery, due=due, argsrepr="new", headers={"x": 1})
    await kit.settle(settlement)
    assert (await kit.record("a")).message == settlement.message
    await kit.advance(kit.lease * 1.1)
    again = await kit.take_next("a")
    assert again.message == settlement.message
    assert again.message is not None
    assert again.message.retries == 1
    assert again.lease.token > delivery.lease.token
    assert (again.crashes, again.suspect) == (0, False)


@group
async def a_retry_may_move_to_another_queue_and_priority(kit: Kit) -> None:
    delivery = await kit.take("a", queue="one", priority=1)
    await kit.send("b", queue="two", priority=5)
    await kit.settle(retry(delivery, due=kit.now() - 1, queue="two", priority=9))
    assert await kit.drain("one") == []
    assert await kit.drain("two") == ["a", "b"]


@group
async def a_retry_that_is_due_already_runs_at_once(kit: Kit) -> None:
    await kit.settle(retry(await kit.take("a"), due=kit.now() - 1))
    assert await kit.drain() == ["a"]
    await kit.settle(retry(await kit.take("b"), due=None))
    assert await kit.drain() == ["b"]


@group
async def release_gives_the_message_back_as_if_never_claimed(kit: Kit) -> None:
    delivery = await kit.take("a")
    await kit.settle(release(delivery))
    record = await kit.record("a")
    assert (record.state, record.owner, record.crashes) == ("PENDING", None, 0)
    again = await kit.take_next("a", owner="w2")
    assert again.message == delivery.message
    assert (again.crashes, again.suspect) == (0, False)


@group
async def a_parked_release_changes_the_message_and_waits(kit: Kit) -> None:
    delivery = await kit.take("a")
    changed = kit.message("a", parked_at=kit.now())
    await kit.settle(release(delivery, message=changed, due=kit.now() + kit.lease, reason="task unknown"))
    record = await kit.record("a")
    assert (record.state, record.message) == ("SCHEDULED", changed)
    await kit.advance(kit.lease * 1.1)
    again = await kit.take_next("a")
    assert again.message == changed
    assert (again.crashes, again.suspect) == (0, False)


@group
async def a_release_after_a_crash_counts_it(kit: Kit) -> None:
    for crashes in (1, 2):
        delivery = await kit.take_next("a") if crashes > 1 else await kit.take("a")
        await kit.settle(release(delivery, crashed=True))
        assert (await kit.record("a")).crashes == crashes
    again = await kit.take_next("a")
    assert (again.crashes, again.suspect) == (2, True)


@group
async def a_release_without_a_crash_keeps_the_count(kit: Kit) -> None:
    await kit.settle(release(await kit.take("a"), crashed=True))
    await kit.settle(release(await kit.take_next("a")))
    assert (await kit.take_next("a")).crashes == 1


@group
async def dead_keeps_the_message_with_its_reason(kit: Kit) -> None:
    delivery = await kit.take("a")
    await kit.settle(dead(delivery, "it ate three workers"))
    record = await kit.record("a")
    assert (record.state, record.reason, record.owner) == ("DEAD", "it ate three workers", None)
    assert record.message == delivery.message
    assert await kit.drain() == []


@group
async def an_unknown_lease_is_returned(kit: Kit) -> None:
    for action in ("done", "retry", "release", "dead"):
        settlement = Settlement(lease=Lease("nobody", "w1", 1), action=action, message=kit.message("nobody"))
        assert await kit.broker.settle([settlement]) == ("nobody",)
    assert await kit.broker.stats() == []


@group
async def a_lease_never_given_is_returned(kit: Kit) -> None:
    await kit.send("a")
    assert await kit.broker.settle([Settlement(lease=Lease("a", "w1", 0), action="done")]) == ("a",)
    assert await kit.broker.settle([Settlement(lease=Lease("a", "w1", 1), action="done")]) == ("a",)
    assert await kit.drain() == ["a"]


@group
async def a_repeated_settlement_is_returned_and_does_nothing(kit: Kit) -> None:
    for action in (done, release, dead):
        id = action.__name__
        settlement = action(await kit.take(id), follow_ups=(kit.message(f"after-{id}"),))
        assert await kit.broker.settle([settlement]) == ()
        state = await kit.state(id)
        assert await kit.broker.settle([settlement]) == (id,)
        assert await kit.state(id) == state
        await kit.broker.purge("celery")
    settlement = retry(await kit.take("retry"), due=kit.now() + kit.lease)
    assert await kit.broker.settle([settlement]) == ()
    assert await kit.broker.settle([settlement]) == ("retry",)
    assert await kit.state("retry") == "RETRY"


@group
async def a_batch_carries_out_the_good_and_returns_the_others(kit: Kit) -> None:
    await kit.send("a", "b", "c", "d", "e", "f")
    a, b, c, d, e, f = await kit.claim()
    await kit.settle(done(c), release(f))
    batch = [dead(e), done(a), done(c), retry(b, due=kit.now() + kit.lease), release(d), done(f)]
    assert sorted(await kit.broker.settle(batch)) == ["c", "f"]
    states = {record.id: record.state for record in await kit.broker.get(list("abcdef"))}
    assert states == {"b": "RETRY", "d": "PENDING", "e": "DEAD", "f": "PENDING"}


@group
async def a_batch_may_hold_leases_of_several_owners(kit: Kit) -> None:
    deliveries = [await kit.take(f"t{n}", owner=f"w{n}") for n in range(4)]
    await kit.settle(*map(done, deliveries))
    assert await kit.broker.stats() == []


@group
async def settling_nothing_is_no_work(kit: Kit) -> None:
    assert await kit.broker.settle([]) == ()


@group
async def a_lease_that_ran_out_but_was_not_reclaimed_still_settles(kit: Kit) -> None:
    delivery = await kit.take("a")
    await kit.lapse()
    await kit.settle(done(delivery))
    assert (await kit.reclaim()).released == ()


@follow_ups
async def they_are_enqueued_as_by_enqueue(kit: Kit) -> None:
    delivery = await kit.take("a")
    messages = (
        kit.message("next", argsrepr="(1,)"),
        kit.message("urgent", priority=9),
        kit.message("later", eta=kit.now() + kit.lease),
        kit.message("elsewhere", queue="two"),
    )
    await kit.settle(done(delivery, follow_ups=messages))
    urgent, following = await kit.claim()
    assert (urgent.message, following.message) == (messages[1], messages[0])
    assert await kit.drain("two") == ["elsewhere"]
    assert await kit.state("later") == "SCHEDULED"


@follow_ups
async def they_keep_their_order(kit: Kit) -> None:
    delivery = await kit.take("a")
    await kit.settle(done(delivery, follow_ups=tuple(kit.message(id) for id in "zyx")))
    assert await kit.drain() == ["z", "y", "x"]


@follow_ups
async def they_belong_to_every_action(kit: Kit) -> None:
    await kit.send("a", "b", "c", "d", queue="one")
    a, b, c, d = await kit.claim(queues=["one"])
    await kit.settle(
        done(a, follow_ups=(kit.message("after-a"),)),
        retry(b, due=kit.now() + kit.lease, follow_ups=(kit.message("after-b"),)),
        release(c, follow_ups=(kit.message("after-c"),)),
        dead(d, follow_ups=(kit.message("after-d"),)),
    )
    assert sorted(await kit.drain()) == ["after-a", "after-b", "after-c", "after-d"]


@follow_ups.indexed
async def one_whose_id_exists_is_dropped(kit: Kit) -> None:
    await kit.send("known", argsrepr="first")
    delivery = await kit.take("a", queue="one")
    await kit.settle(done(delivery, follow_ups=(kit.message("known", argsrepr="second"), kit.message("new"))))
    known, new = await kit.claim()
    assert known.message is not None
    assert (known.message.argsrepr, new.lease.id) == ("first", "new")


@follow_ups
async def two_parents_with_the_same_follow_up_send_it_once(kit: Kit) -> None:
    await kit.send("a", "b", queue="one")
    a, b = await kit.claim(queues=["one"])
    await kit.settle(done(a, follow_ups=(kit.message("body"),)), done(b, follow_ups=(kit.message("body"),)))
    assert await kit.drain() == ["body"]


@follow_ups
async def a_superseded_settlement_sends_none(kit: Kit) -> None:
    lost = await kit.take("a", queue="one")
    await kit.lapse()
    await kit.reclaim()
    for action in (done, release, dead):
        assert await kit.broker.settle([action(lost, follow_ups=(kit.message("next"),))]) == ("a",)
    assert await kit.broker.settle([retry(lost, due=None, follow_ups=(kit.message("next"),))]) == ("a",)
    assert await kit.drain() == []
    assert await kit.drain("one") == ["a"]


@follow_ups
async def a_repeated_settlement_sends_them_once_even_after_they_ran(kit: Kit) -> None:
    settlement = done(await kit.take("a"), follow_ups=(kit.message("next"),))
    await kit.settle(settlement)
    await kit.settle(done(await kit.take_next("next")))
    assert await kit.broker.settle([settlement]) == ("a",)
    assert await kit.drain() == []


@follow_ups
async def one_settlement_may_have_more_than_a_batch_of_them(kit: Kit) -> None:
    delivery = await kit.take("a")
    await kit.settle(done(delivery, follow_ups=tuple(kit.message(f"n{n}") for n in range(1200))))
    found: list[str] = []
    while batch := await kit.claim(400):
        found += ids(batch)
    assert found == [f"n{n}" for n in range(1200)]


@results
async def the_result_is_stored_with_every_action(kit: Kit) -> None:
    await kit.send("a", "b", "c", "d")
    a, b, c, d = await kit.claim()
    stored = {
        "a": result("a", body=b"42", task="proj.add", runtime=0.5),
        "b": result("b", "RETRY"),
        "c": result("c", "PENDING"),
        "d": result("d", "DEAD"),
    }
    await kit.settle(
        done(a, result=stored["a"]),
        retry(b, due=kit.now() + kit.lease, result=stored["b"]),
        release(c, result=stored["c"]),
        dead(d, result=stored["d"]),
    )
    assert {found.id: found for found in await kit.broker.fetch(list("abcd"))} == stored


@results
async def no_result_leaves_what_is_stored(kit: Kit) -> None:
    await kit.broker.store([result("a", "PROGRESS", body=b"1")])
    await kit.settle(done(await kit.take("a")))
    assert await kit.result("a") == result("a", "PROGRESS", body=b"1")


@results
async def a_superseded_settlement_stores_nothing(kit: Kit) -> None:
    lost = await kit.take("a")
    await kit.lapse()
    await kit.reclaim()
    current = await kit.take_next("a", owner="w2")
    for action in (done, release, dead):
        assert await kit.broker.settle([action(lost, result=result("a", body=b"lost"))]) == ("a",)
    assert await kit.result("a") is None
    await kit.settle(done(current, result=result("a", body=b"current")))
    assert await kit.broker.settle([done(lost, result=result("a", body=b"lost"))]) == ("a",)
    assert await kit.result("a") == result("a", body=b"current")


@results
async def the_last_of_a_tasks_results_stays(kit: Kit) -> None:
    await kit.settle(retry(await kit.take("a"), due=None, result=result("a", "RETRY")))
    await kit.settle(done(await kit.take_next("a"), result=result("a", "SUCCESS", body=b"1")))
    assert await kit.result("a") == result("a", "SUCCESS", body=b"1")


@results
async def results_in_a_batch_with_lost_leases_are_those_of_the_good(kit: Kit) -> None:
    await kit.send("a", "b")
    a, b = await kit.claim()
    await kit.settle(release(a))
    assert await kit.broker.settle([done(a, result=result("a")), done(b, result=result("b"))]) == ("a",)
    assert [found.id for found in await kit.broker.fetch(["a", "b"])] == ["b"]
