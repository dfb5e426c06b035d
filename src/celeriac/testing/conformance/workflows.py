"""Workflows: what is planted, what arrives, and that what waits for a join becomes ready once, in the same step."""

from __future__ import annotations

import asyncio

from celeriac.brokers.port import MAX_BATCH
from celeriac.core.message import Arrival, Delivery, Message, Place, Settlement, StoredResult
from celeriac.core.workflow import Arrived, Join, Workflow
from celeriac.errors import OperationalError
from celeriac.events import Bus
from celeriac.testing.conformance.group import Group
from celeriac.testing.conformance.kit import Kit, dead, done, ids, release, result, retry, revoked
from celeriac.testing.faults import Fault, Script
from celeriac.worker.holdings import Auditor, Holdings

group = Group("workflows", needs=lambda capabilities: capabilities.stored and capabilities.messages)


def planted(id: str = "flow", *, size: int = 1, keep: float | None = 60.0) -> Workflow:
    """Return a workflow whose root has so many slots."""
    return Workflow(id=id, size=size, record=b"the graph", keep=keep)


def arrival(
    slot: int = 0, *, join: int = 1, id: str = "flow", failed: bool = False, message: Message | None = None
) -> Arrival:
    """Return what a step came to."""
    told = result(f"step-{slot}", "FAILURE" if failed else "SUCCESS", body=b"%d" % slot)
    return Arrival(workflow=id, join=join, slot=slot, result=told, failed=failed, message=message)


async def plant(kit: Kit, *names: str, size: int, id: str = "flow", **fields: object) -> None:
    """Plant a workflow with one join of so many slots, for which messages with these ids wait."""
    messages = tuple([kit.message(name, **fields) for name in names])
    await kit.broker.plant(planted(id), [Join(number=1, size=size, messages=messages)])


@group
async def nothing_is_ready_before_the_last_slot_is_filled(kit: Kit) -> None:
    await plant(kit, "body", size=3)
    await kit.broker.arrive([arrival(0), arrival(2)])
    assert await kit.drain() == []
    await kit.broker.arrive([arrival(1)])
    assert await kit.drain() == ["body"]


@group
async def the_last_settlement_makes_ready_what_waits(kit: Kit) -> None:
    await plant(kit, "body", size=2)
    await kit.send("a", "b")
    first, second = await kit.claim()
    await kit.settle(done(first, arrival=arrival(0)))
    assert await kit.drain() == []
    await kit.settle(done(second, arrival=arrival(1)))
    assert await kit.drain() == ["body"]


@group
async def numbers_of_joins_are_exact_up_to_2_to_the_53rd(kit: Kit) -> None:
    low, high = 2**53 - 2, 2**53 - 1
    joins = [Join(number=number, size=1, messages=(kit.message(f"after-{number}"),)) for number in (low, high)]
    await kit.broker.plant(planted(), joins)
    await kit.broker.arrive([arrival(join=high)])
    assert await kit.drain() == [f"after-{high}"]
    assert [one.slot for one in (await kit.broker.harvest("flow", high, -1, 10)).arrived] == [0]
    await kit.send("a")
    await kit.settle(done(await kit.take_next("a"), arrival=arrival(join=low)))
    assert await kit.drain() == [f"after-{low}"]


@group
async def all_arrivals_of_one_batch_count(kit: Kit) -> None:
    await plant(kit, "body", "other", size=5)
    await kit.broker.plant(planted("flow-2"), [Join(number=1, size=1, messages=(kit.message("third"),))])
    await kit.send(*"abcde")
    await kit.settle(*[done(one, arrival=arrival(slot)) for slot, one in enumerate(await kit.claim(5))])
    assert sorted(await kit.drain()) == ["body", "other"]
    await kit.broker.arrive([arrival(0, id="flow-2")])
    assert await kit.drain() == ["third"]


@group
async def what_arrives_twice_counts_once(kit: Kit) -> None:
    await plant(kit, "body", size=2)
    await kit.broker.arrive([arrival(0), arrival(0)])
    await kit.broker.arrive([arrival(0)])
    assert await kit.drain() == []
    await kit.broker.arrive([arrival(1)])
    delivery = await kit.take_next("body")
    await kit.settle(done(delivery))
    await kit.broker.arrive([arrival(0), arrival(1)])
    assert await kit.drain() == []


@group
async def a_superseded_owner_s_outcome_does_not_arrive(kit: Kit) -> None:
    await plant(kit, "body", size=1)
    old = await kit.take("a")
    await kit.lapse()
    await kit.reclaim()
    new = await kit.take_next("a", owner="w2")
    assert await kit.broker.settle([done(old, arrival=arrival(0, failed=True))]) == ("a",)
    assert await kit.drain() == []
    await kit.settle(done(new, arrival=arrival(0)))
    assert await kit.drain() == ["body"]
    harvest = await kit.broker.harvest("flow", 1, -1, 10)
    assert harvest.failed is None


@group
async def a_failure_closes_the_join_at_once_and_only_once(kit: Kit) -> None:
    await plant(kit, "body", size=3)
    await kit.broker.arrive([arrival(1, failed=True)])
    body = await kit.take_next("body")
    await kit.settle(done(body))
    await kit.broker.arrive([arrival(0), arrival(2, failed=True)])
    assert await kit.drain() == []
    assert (await kit.broker.harvest("flow", 1, -1, 10)).failed == 1


@group
async def a_dead_letter_arrives(kit: Kit) -> None:
    await plant(kit, "body", size=1)
    await kit.settle(dead(await kit.take("a"), arrival=arrival(0, failed=True)))
    assert await kit.drain() == ["body"]


@group
async def what_goes_on_does_not_arrive(kit: Kit) -> None:
    await plant(kit, "body", size=1)
    delivery = await kit.take("a")
    gone = arrival(0, failed=True)
    again = retry(delivery, due=None)
    await kit.settle(Settlement(lease=again.lease, action="retry", message=again.message, due=again.due, arrival=gone))
    await kit.broker.promote(10)
    await kit.settle(release(await kit.take_next("a"), arrival=gone))
    assert await kit.drain() == ["a"]
    assert (await kit.broker.harvest("flow", 1, -1, 10)).arrived == []


@group
async def what_a_revocation_ends_arrives(kit: Kit) -> None:
    await plant(kit, "body", size=1)
    delivery = await kit.take("a")
    await kit.broker.cancel(revoked("a"))
    await kit.settle(release(delivery, arrival=arrival(0, failed=True)))
    assert await kit.drain() == ["body"]
    assert await kit.state("a") is None


@group
async def a_revoked_step_whose_claim_was_never_heard_of_arrives(kit: Kit) -> None:
    audited = 0
    for place in range(30):
        flow, step, queue = f"flow-{place}", f"step-{place}", f"queue-{place}"
        script = Script([Fault.NONE] * place + [Fault.LOSE_REPLY])
        await plant(kit, f"body-{place}", size=1, id=flow, queue=queue)
        await kit.send(step, queue=queue, workflow=flow, place=Place(join=1, slot=0))
        try:
            deliveries = await kit.flaky(script).claim([queue], 1, "deaf", kit.lease)
        except OperationalError:
            (cancelled,) = await kit.broker.cancel(revoked(step))
            if cancelled.outcome == "removed":  # That request was not the one that claims.
                continue
            await kit.settle(*await audit(kit, "deaf"))
            audited += 1
        else:
            await kit.settle(done(deliveries[0], arrival=arrival(id=flow)))
        assert await kit.drain(queue) == [f"body-{place}"], f"with the reply to request {place} lost"
        if script.pending:
            assert audited
            return
    raise AssertionError("a claim took more requests than one can believe")


async def audit(kit: Kit, owner: str) -> list[Settlement]:
    """Return what the auditor of a process that knows of nothing settles."""
    settlements: list[Settlement] = []
    auditor = Auditor(
        holdings=Holdings(),
        broker=kit.broker,
        owner=owner,
        every=60.0,
        settle=settlements.append,
        forsake=lambda ids: None,
        bus=Bus(),
    )
    await auditor.audit()
    return settlements


@group
async def messages_wait_for_their_delay_and_go_by_priority(kit: Kit) -> None:
    place = Place(join=0, slot=0, awaits=1, delay=kit.lease * 5)
    late = kit.message("late", place=place)
    low, high = kit.message("low", priority=1), kit.message("high", priority=9)
    await kit.broker.plant(planted(), [Join(number=1, size=1, messages=(late, low, high))])
    await kit.advance(kit.lease * 6)
    await kit.broker.arrive([arrival(0)])
    assert await kit.drain() == ["high", "low"]
    assert await kit.state("late") == "SCHEDULED"
    await kit.advance(kit.lease * 5.5)
    delivery = (await kit.claim(owner="w2"))[0]
    assert delivery.message == late


@group
async def messages_go_to_their_own_queues(kit: Kit) -> None:
    first, second = kit.message("first", queue="one"), kit.message("second", queue="two")
    await kit.broker.plant(planted(), [Join(number=1, size=1, messages=(first, second))])
    await kit.settle(done(await kit.take("a"), arrival=arrival(0)))
    assert await kit.drain("one") == ["first"]
    assert await kit.drain("two") == ["second"]


@group
async def a_harvest_shows_what_arrived_page_by_page(kit: Kit) -> None:
    await plant(kit, "body", size=1200)
    again = kit.message("step-7")
    await kit.broker.arrive([arrival(slot) for slot in range(1200) if slot != 7])
    await kit.broker.arrive([arrival(7, failed=True, message=again)])
    found: list[Arrived] = []
    while page := (await kit.broker.harvest("flow", 1, found[-1].slot if found else -1, 500)).arrived:
        assert len(page) <= 500
        found += page
    assert [one.slot for one in found] == list(range(1200))
    assert [one.slot for one in found if one.failed] == [7]
    assert found[7].message == again
    assert [one.result for one in found[:2]] == [arrival(0).result, arrival(1).result]
    assert (await kit.broker.harvest("flow", 1, 5, 3)).arrived == found[6:9]
    assert (await kit.broker.harvest("flow", 1, 5, 9, 8)).arrived == found[6:9]


@group
async def a_harvest_of_one_slot_shows_no_other(kit: Kit) -> None:
    await plant(kit, "body", size=1200)
    await kit.broker.arrive([arrival(5), arrival(9, failed=True)])
    looks = [await kit.broker.harvest("flow", 1, slot - 1, 1, slot) for slot in (4, 5, 6, 9)]
    assert [[one.slot for one in look.arrived] for look in looks] == [[], [5], [], [9]]
    assert {(look.size, look.failed) for look in looks} == {(1200, 9)}


@group
async def a_join_that_is_not_there_takes_nothing_and_shows_nothing(kit: Kit) -> None:
    await plant(kit, "body", size=1)
    await kit.broker.arrive([arrival(0, join=2), arrival(0, id="other")])
    await kit.settle(done(await kit.take("a"), arrival=arrival(0, join=2)))
    assert (await kit.broker.harvest("flow", 2, -1, 10)).size == -1
    assert (await kit.broker.harvest("other", 1, -1, 10)).size == -1
    assert (await kit.broker.harvest("flow", 1, -1, 10)).size == 1
    assert await kit.drain() == []


@group
async def a_join_can_be_planted_in_parts_and_again(kit: Kit) -> None:
    names = [f"body-{nth}" for nth in range(600)]
    messages = [kit.message(name) for name in names]
    parts = [Join(number=1, size=1, messages=tuple(messages[first : first + 300]), first=first) for first in (0, 300)]
    for part in (*parts, *parts):
        await kit.broker.plant(planted(), [part])
    await kit.broker.arrive([arrival(0)])
    ready = [id for _ in range(3) for id in await kit.drain()]
    assert ready == names


@group
async def a_workflow_that_is_under_way_takes_further_joins(kit: Kit) -> None:
    await plant(kit, "body", size=2)
    await kit.broker.arrive([arrival(1)])
    between = kit.message("between", workflow="flow", place=Place(join=1, slot=0, awaits=7))
    further = Workflow(id="flow", size=0, record=b"")
    for _ in range(2):
        await kit.broker.plant(further, [Join(number=7, size=2, messages=(between,))])
    (known,) = await kit.broker.workflows(["flow"], 0, 1)
    assert (known.size, known.remaining, known.record) == (1, 1, b"the graph")
    await kit.settle(done(await kit.take("a"), arrival=arrival(0, join=7), follow_ups=(kit.message("member"),)))
    await kit.settle(done(await kit.take_next("member"), arrival=arrival(1, join=7)))
    await kit.settle(done(await kit.take_next("between"), arrival=arrival(0)))
    assert await kit.drain() == ["body"]


@group
async def a_workflow_is_over_when_the_last_of_its_last_steps_arrived(kit: Kit) -> None:
    await kit.broker.plant(planted(size=2), [])
    (new,) = await kit.broker.workflows(["flow"], 0, 10)
    assert (new.size, new.remaining, new.failed, new.ended, new.record) == (2, 2, False, None, b"the graph")
    await kit.broker.arrive([arrival(0, join=0, failed=True)])
    (half,) = await kit.broker.workflows([], 0, 10)
    assert (half.remaining, half.failed, half.ended) == (1, True, None)
    await kit.settle(done(await kit.take("a"), arrival=arrival(1, join=0)))
    (over,) = await kit.broker.workflows([], 0, 10)
    assert over.remaining == 0
    assert over.ended is not None
    assert abs(over.ended - kit.now()) < kit.lease


@group
async def workflows_are_listed_in_pages_the_oldest_first(kit: Kit) -> None:
    for nth in range(5):
        await kit.broker.plant(planted(f"flow-{nth}"), [])
    first = await kit.broker.workflows([], 0, 3)
    rest = await kit.broker.workflows([], first[-1].cursor, 3)
    if first[0].id == "flow-0" and first[1].id == "flow-1":  # Parts of a store that count apart have no common order.
        assert [one.id for one in (*first, *rest)] == [f"flow-{nth}" for nth in range(5)]
    assert [one.id for one in await kit.broker.workflows(["flow-3", "none"], 0, 3)] == ["flow-3"]


@group
async def a_workflow_is_forgotten_some_time_after_its_end_and_not_before(kit: Kit) -> None:
    keep = kit.lease * 3
    await kit.broker.plant(planted("short", keep=keep), [Join(number=1, size=1, messages=(kit.message(),))])
    await kit.broker.plant(planted("endless", keep=None), [])
    await kit.broker.plant(planted("open", keep=keep), [])
    await kit.broker.arrive([arrival(0, id="short"), arrival(0, id="short", join=0), arrival(0, id="endless", join=0)])
    await kit.broker.prune(None, 100)
    assert len(await kit.broker.workflows([], 0, 10)) == 3
    await kit.advance(keep * 1.5)
    await kit.broker.prune(None, 100)
    assert {one.id for one in await kit.broker.workflows([], 0, 10)} == {"endless", "open"}
    assert (await kit.broker.harvest("short", 1, -1, 10)).size == -1


@group
async def a_reopened_slot_takes_another_outcome(kit: Kit) -> None:
    await plant(kit, "body", size=2)
    await kit.broker.arrive([arrival(0), arrival(1, failed=True)])
    await kit.settle(done(await kit.take_next("body"), arrival=arrival(0, join=0, failed=True)))
    assert await kit.broker.reopen("flow", [(1, 1), (0, 0), (1, 0)]) == 2
    assert await kit.broker.reopen("flow", [(1, 1), (0, 0)], [kit.message("again")]) == 0
    assert await kit.drain() == ["again"]
    (again,) = await kit.broker.workflows(["flow"], 0, 1)
    assert (again.remaining, again.failed, again.ended) == (1, False, None)
    assert await kit.drain() == []
    await kit.broker.arrive([arrival(1)])
    await kit.settle(done(await kit.take_next("body"), arrival=arrival(0, join=0)))
    (over,) = await kit.broker.workflows(["flow"], 0, 1)
    assert (over.remaining, over.failed) == (0, False)


@group
async def a_join_with_another_failure_stays_closed_when_one_is_reopened(kit: Kit) -> None:
    await plant(kit, "body", size=3)
    await kit.broker.arrive([arrival(0, failed=True), arrival(2, failed=True)])
    await kit.settle(done(await kit.take_next("body")))
    assert await kit.broker.reopen("flow", [(1, 0)]) == 1
    assert (await kit.broker.harvest("flow", 1, -1, 10)).failed == 2
    await kit.broker.arrive([arrival(0), arrival(1)])
    assert await kit.drain() == []


@group
async def nothing_comes_of_an_uprooted_workflow(kit: Kit) -> None:
    await plant(kit, "body", size=1)
    assert await kit.broker.uproot(["flow", "none"]) == 1
    assert await kit.broker.workflows(["flow"], 0, 10) == []
    await kit.broker.arrive([arrival(0)])
    assert await kit.drain() == []


@group
async def of_many_at_once_the_last_one_counts(kit: Kit) -> None:
    count = 60
    await plant(kit, "body", size=count)
    await kit.send(*[f"step-{nth}" for nth in range(count)])
    deliveries = await kit.claim()
    assert len(deliveries) == count

    async def settle(slot: int, delivery: Delivery) -> None:
        await kit.settle(done(delivery, arrival=arrival(slot)))

    await asyncio.gather(*[settle(slot, one) for slot, one in enumerate(deliveries)])
    assert await kit.drain() == ["body"]
    assert len((await kit.broker.harvest("flow", 1, -1, MAX_BATCH)).arrived) == count


@group
async def a_closed_join_wakes_who_waits(kit: Kit) -> None:
    await plant(kit, "body", size=1)
    delivery = await kit.take("a")
    waiter = kit.waiter()
    await waiter.wait(0.01)
    waiting = asyncio.ensure_future(waiter.wait(10.0))
    await kit.settle(done(delivery, arrival=arrival(0), result=StoredResult(id="a", state="SUCCESS")))
    assert await waiting
    assert ids(await kit.claim()) == ["body"]


@group
async def parts_of_a_workflow_are_remembered_once_and_read_in_pages(kit: Kit) -> None:
    await plant(kit, "body", size=1)
    await plant(kit, "other", size=1, id="flow-2")
    noted = {2**53 - 1 - 97 * number: b"part %d" % number for number in range(7)}
    for number, record in noted.items():
        await kit.broker.note("flow", number, record)
        await kit.broker.note("flow", number, b"again")
    await kit.broker.note("flow-2", 5, b"of another")
    found: list[bytes] = []
    after = -1
    while page := await kit.broker.parts("flow", after, 3):
        assert len(page) <= 3
        found += [record for _, record in page]
        after = page[-1][0]
    assert sorted(found) == sorted(noted.values())
    assert [record for _, record in await kit.broker.parts("flow-2", -1, 10)] == [b"of another"]


@group
async def parts_go_with_their_workflow_and_do_not_come_without_it(kit: Kit) -> None:
    await kit.broker.note("flow", 1, b"too early")
    assert await kit.broker.parts("flow", -1, 10) == []
    await plant(kit, "body", size=1)
    await kit.broker.note("flow", 1, b"part")
    await kit.broker.uproot(["flow"])
    assert await kit.broker.parts("flow", -1, 10) == []
    keep = kit.lease * 3
    await kit.broker.plant(planted(keep=keep), [])
    assert await kit.broker.parts("flow", -1, 10) == []
    await kit.broker.note("flow", 2, b"new")
    await kit.broker.arrive([arrival(0, join=0)])
    await kit.advance(keep * 1.5)
    await kit.broker.prune(None, 100)
    assert await kit.broker.workflows(["flow"], 0.0, 10) == []
    await kit.broker.note("flow", 3, b"too late")
    assert await kit.broker.parts("flow", -1, 10) == []
