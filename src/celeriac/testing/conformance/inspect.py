"""Looking shows what is there, in pages, without touching it; purging clears what waits."""

from __future__ import annotations

from celeriac.core.message import Settlement, Start
from celeriac.testing.conformance.group import Group
from celeriac.testing.conformance.kit import Kit, dead, done, release, result, retry

group = Group("inspect")
purge = Group("purge")
tallies = Group("tallies")


async def one_of_each(kit: Kit) -> None:
    """Bring one message into each state; the id is the state."""
    later = kit.now() + kit.lease * 5
    await kit.settle(dead(await kit.take("DEAD")))
    await kit.settle(retry(await kit.take("RETRY"), due=later))
    started = await kit.take("STARTED")
    await kit.broker.start([Start(started.lease)])
    await kit.take("RECEIVED")
    await kit.send("PENDING")
    await kit.send("SCHEDULED", eta=later)


STATES = ("PENDING", "SCHEDULED", "RETRY", "RECEIVED", "STARTED", "DEAD")


@group
async def stats_count_each_queue_by_state(kit: Kit) -> None:
    assert await kit.broker.stats() == []
    await one_of_each(kit)
    await kit.send("x", "y", queue="another")
    another, celery = await kit.broker.stats()
    assert (another.queue, celery.queue) == ("another", "celery")
    assert (another.ready, another.scheduled, another.owned, another.dead) == (2, 0, 0, 0)
    assert (celery.ready, celery.scheduled, celery.owned, celery.dead) == (1, 2, 2, 1)


@group.indexed
async def stats_tell_how_long_the_oldest_has_been_ready(kit: Kit) -> None:
    await kit.send("owned")
    await kit.claim()
    (stats,) = await kit.broker.stats()
    assert stats.oldest is None, "nothing is ready"
    await kit.send("old")
    await kit.advance(kit.lease)
    await kit.send("young")
    await kit.send("later", eta=kit.now() + kit.lease)
    (stats,) = await kit.broker.stats()
    assert stats.oldest is not None
    assert kit.lease * 0.9 <= stats.oldest <= kit.lease * 2


@group.indexed
async def get_tells_the_state_of_each_id_it_knows(kit: Kit) -> None:
    await one_of_each(kit)
    records = {record.id: record for record in await kit.broker.get([*STATES, "nobody"])}
    assert {id: record.state for id, record in records.items()} == {state: state for state in STATES}
    assert {id for id, record in records.items() if record.owner is not None} == {"RECEIVED", "STARTED"}
    assert {id for id, record in records.items() if record.due is not None} == {"SCHEDULED", "RETRY"}
    for id, record in records.items():
        assert record.message is not None
        assert (record.message.id, record.raw, record.queue) == (id, b"", "celery")
        assert record.changed is not None
        assert kit.now() - kit.lease * 3 <= record.changed <= kit.now() + 1


@group
async def get_of_nothing_or_nobody_is_empty(kit: Kit) -> None:
    assert await kit.broker.get([]) == []
    assert await kit.broker.get(["nobody"]) == []


@group
async def a_record_of_an_owned_message_names_its_owner_and_token(kit: Kit) -> None:
    delivery = await kit.take("a", owner="w7")
    record = await kit.record("a")
    assert (record.owner, record.token) == ("w7", delivery.lease.token)


@group
async def a_record_tells_when_its_state_was_reached(kit: Kit) -> None:
    async def reached(state: str) -> None:
        record = await kit.record("a")
        assert record.state == state
        assert record.changed is not None
        assert abs(kit.now() - record.changed) < kit.lease * 0.5, f"{state} is new"
        await kit.advance(kit.lease)

    await kit.send("a", eta=kit.now() + kit.lease * 0.5)
    await reached("SCHEDULED")
    await kit.broker.promote(10)
    await reached("PENDING")
    delivery = await kit.take_next("a")
    await reached("RECEIVED")
    await kit.broker.start([Start(delivery.lease)])
    await reached("STARTED")
    await kit.broker.start([Start(delivery.lease)])
    record = await kit.record("a")
    assert record.changed is not None
    assert record.changed < kit.now() - kit.lease * 0.5, "it started a while ago, however often that is told"
    await kit.reclaim(owner="w1")
    await reached("PENDING")
    await kit.settle(dead(await kit.take_next("a")))
    await reached("DEAD")
    await kit.broker.revive(["a"])
    await reached("PENDING")
    await kit.settle(retry(await kit.take_next("a"), due=kit.now() + kit.lease * 5))
    await reached("RETRY")


@group
async def looking_changes_nothing(kit: Kit) -> None:
    await one_of_each(kit)
    before = await kit.broker.get(STATES)
    await kit.broker.stats()
    await kit.pages(STATES, limit=2)
    await kit.broker.tallies()
    await kit.broker.workers()
    assert await kit.broker.get(STATES) == before


@group.indexed
async def a_page_shows_only_the_states_asked_for(kit: Kit) -> None:
    await one_of_each(kit)
    for state in STATES:
        assert [record.id for record in await kit.broker.page([state], None, 0, 100)] == [state]
    found = await kit.broker.page(["PENDING", "DEAD"], None, 0, 100)
    assert sorted(record.id for record in found) == ["DEAD", "PENDING"]
    assert await kit.broker.page([], None, 0, 100) == []
    assert await kit.broker.page(["SUCCESS"], None, 0, 100) == []


@group.indexed
async def a_page_shows_only_the_queue_asked_for(kit: Kit) -> None:
    await kit.send("a", "c", queue="one")
    await kit.send("b", queue="two")
    assert [record.id for record in await kit.pages(["PENDING"], queue="one")] == ["a", "c"]
    assert [record.id for record in await kit.pages(["PENDING"], queue="two")] == ["b"]
    assert await kit.pages(["PENDING"], queue="three") == []
    assert [record.id for record in await kit.pages(["PENDING"])] == ["a", "c", "b"]


@group.indexed
async def pages_follow_each_other_without_gap_or_repetition(kit: Kit) -> None:
    names = [f"t{n}" for n in range(23)]
    await kit.send(*names)
    for limit in (1, 5, 23, 100):
        assert [record.id for record in await kit.pages(["PENDING"], limit=limit)] == names


@group.indexed
async def pages_go_on_while_messages_come_and_go(kit: Kit) -> None:
    await kit.send(*(f"t{n}" for n in range(6)))
    first = await kit.broker.page(["PENDING"], None, 0, 3)
    await kit.broker.cancel([result("t0", "REVOKED"), result("t4", "REVOKED")])
    await kit.send("t6")
    rest = await kit.broker.page(["PENDING"], None, first[-1].cursor, 100)
    assert [record.id for record in first + rest] == ["t0", "t1", "t2", "t3", "t5", "t6"]


@group
async def a_page_has_everything_that_get_has(kit: Kit) -> None:
    await one_of_each(kit)
    paged = {record.id: record for record in await kit.pages(STATES)}
    assert paged == {record.id: record for record in await kit.broker.get(STATES)}


@group
async def an_empty_page_has_no_room(kit: Kit) -> None:
    await kit.send("a")
    assert await kit.broker.page(["PENDING"], None, 0, 0) == []


@purge.indexed
async def what_waits_in_the_queue_goes(kit: Kit) -> None:
    await one_of_each(kit)
    await kit.send("elsewhere", queue="two")
    await kit.send("elsewhere, later", queue="two", eta=kit.now() + kit.lease * 9)
    assert await kit.broker.purge("celery") == 3
    left = sorted(record.id for record in await kit.pages(STATES))
    assert left == ["DEAD", "RECEIVED", "STARTED", "elsewhere", "elsewhere, later"]
    assert await kit.broker.purge("celery") == 0
    await kit.advance(kit.lease * 6)
    assert await kit.drain() == []


@purge
async def an_unknown_queue_has_nothing_to_purge(kit: Kit) -> None:
    assert await kit.broker.purge("nobody") == 0
    assert await kit.broker.purge("nobody", dead=True) == 0


@purge
async def an_owner_settles_as_if_nothing_was_purged(kit: Kit) -> None:
    await kit.send("a", "b")
    a, b = await kit.claim()
    assert await kit.broker.purge("celery") == 0
    await kit.settle(done(a), release(b))
    assert await kit.drain() == ["b"]


@purge
async def a_purged_id_can_be_sent_again(kit: Kit) -> None:
    await kit.send("a")
    await kit.broker.purge("celery")
    await kit.send("a")
    assert await kit.drain() == ["a"]


@purge
async def a_large_queue_goes_whole(kit: Kit) -> None:
    await kit.send(*(f"t{n}" for n in range(1200)))
    assert await kit.broker.purge("celery") == 1200
    assert await kit.broker.stats() == []


@tallies
async def settlements_are_counted_by_task_and_state(kit: Kit) -> None:
    assert await kit.broker.tallies() == {}
    for n, state in enumerate(["SUCCESS", "SUCCESS", "FAILURE"]):
        await kit.settle(done(await kit.take(f"t{n}", task="proj.add"), result=result(f"t{n}", state)))
    await kit.settle(done(await kit.take("other", task="proj.mul"), result=result("other", "SUCCESS")))
    assert await kit.broker.tallies() == {
        ("proj.add", "SUCCESS"): 2,
        ("proj.add", "FAILURE"): 1,
        ("proj.mul", "SUCCESS"): 1,
    }


@tallies
async def retries_and_burials_are_counted(kit: Kit) -> None:
    await kit.settle(retry(await kit.take("a"), due=kit.now() - 1))
    await kit.settle(retry(await kit.take_next("a"), due=kit.now() - 1))
    await kit.settle(dead(await kit.take_next("a")))
    assert await kit.broker.tallies() == {("proj.add", "RETRY"): 2, ("proj.add", "DEAD"): 1}


@tallies
async def a_settlement_without_result_counts_as_success(kit: Kit) -> None:
    await kit.settle(done(await kit.take("a")))
    assert await kit.broker.tallies() == {("proj.add", "SUCCESS"): 1}


@tallies
async def a_settlement_without_result_may_say_what_it_counts_as(kit: Kit) -> None:
    await kit.settle(done(await kit.take("a"), state="IGNORED"))
    await kit.settle(done(await kit.take("b"), state="IGNORED", result=result("b", "FAILURE")))
    assert await kit.broker.tallies() == {("proj.add", "IGNORED"): 1, ("proj.add", "FAILURE"): 1}


@tallies
async def what_is_given_back_or_refused_is_not_counted(kit: Kit) -> None:
    first = await kit.take("a")
    await kit.settle(release(first))
    await kit.broker.settle([done(first), dead(first)])
    await kit.take_next("a")
    await kit.lapse()
    await kit.reclaim()
    assert await kit.broker.tallies() == {}


@tallies
async def a_cancelled_task_that_asks_to_run_again_counts_as_revoked(kit: Kit) -> None:
    delivery = await kit.take("a")
    await kit.broker.cancel([result("a", "REVOKED")])
    await kit.settle(retry(delivery, due=kit.now() + kit.lease))
    assert await kit.broker.tallies() == {("proj.add", "REVOKED"): 1}


@tallies
async def a_message_that_stays_in_place_of_an_ended_task_counts_as_told(kit: Kit) -> None:
    """Its id stays known, in another queue, while the result is kept as that of any other."""
    delivery = await kit.take("a")
    note = kit.message("a", queue="notes", task="note", eta=kit.now() + 50)
    kept = Settlement(
        lease=delivery.lease,
        action="retry",
        message=note,
        due=note.eta,
        result=result("a", "FAILURE"),
        counted="FAILURE",
    )
    assert await kit.broker.settle([kept]) == ()
    assert await kit.broker.tallies() == {("proj.add", "FAILURE"): 1}
    assert [one.state for one in await kit.broker.fetch(["a"])] == ["FAILURE"]
    assert [one.queue for one in await kit.broker.get(["a"])] == ["notes"]
