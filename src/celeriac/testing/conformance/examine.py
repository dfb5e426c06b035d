"""A store says what is wrong with it, and is left as it was."""

from __future__ import annotations

import asyncio

import msgspec

from celeriac.brokers.port import LEVELS, Finding
from celeriac.core import state
from celeriac.testing.conformance.group import Group
from celeriac.testing.conformance.kit import Kit

group = Group("examine")


@group
async def findings_say_what_was_looked_at_and_what_to_change(kit: Kit) -> None:
    found = await kit.broker.examine()
    assert found
    for finding in found:
        assert isinstance(finding, Finding)
        assert finding.level in LEVELS
        assert finding.subject.strip()
        assert finding.text.strip()
        assert bool(finding.remedy.strip()) == (finding.level != "ok"), finding
        assert (finding.subject + finding.text + finding.remedy).isprintable(), finding


@group
async def one_who_does_not_keep_what_is_accepted_says_so(kit: Kit) -> None:
    if not kit.capabilities.durable:
        levels = {finding.subject: finding.level for finding in await kit.broker.examine()}
        assert levels["durability"] != "ok"


@group
async def findings_are_plain_values(kit: Kit) -> None:
    found = await kit.broker.examine()
    assert msgspec.json.decode(msgspec.json.encode(found), type=list[Finding]) == found


@group
async def subjects_do_not_change_with_what_the_store_holds(kit: Kit) -> None:
    before = [finding.subject for finding in await kit.broker.examine()]
    await kit.send("a", "b")
    await kit.take("c", queue="other")
    assert [finding.subject for finding in await kit.broker.examine()] == before


@group.indexed
async def examining_changes_nothing_and_wakes_nobody(kit: Kit) -> None:
    await kit.send("ready")
    await kit.send("later", eta=kit.now() + kit.lease * 100)
    await kit.take("owned", queue="other")
    before = [await kit.record(id) for id in ("ready", "later", "owned")]
    waiter = kit.waiter()
    while await waiter.wait(0.05):  # Until it has seen what was done before.
        pass
    await kit.broker.examine()
    await kit.broker.now()
    assert not await waiter.wait(0.05)
    assert [await kit.record(id) for id in ("ready", "later", "owned")] == before
    assert [record.state for record in before] == [state.PENDING, state.SCHEDULED, state.RECEIVED]


@group
async def many_may_examine_at_once(kit: Kit) -> None:
    brokers = [kit.another() for _ in range(4)]
    found = await asyncio.gather(*(broker.examine() for broker in brokers))
    assert len({tuple(finding.subject for finding in one) for one in found}) == 1


@group
async def now_is_the_time_that_the_store_works_by(kit: Kit) -> None:
    before = kit.now()
    told = await kit.broker.now()
    assert abs(told - before) < kit.lease
    await kit.advance(kit.lease)
    assert await kit.broker.now() >= told + kit.lease * 0.9
