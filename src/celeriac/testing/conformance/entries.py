"""Schedule entries: found when they are due, fired once for each due time, changed one by one."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from celeriac.brokers.port import Capabilities
from celeriac.core.message import Message
from celeriac.core.scheduled import ENTRIES, Firing, StoredEntry, Turn, Writing
from celeriac.errors import InvalidTaskError, OperationalError
from celeriac.testing.conformance.group import Group
from celeriac.testing.conformance.kit import Kit
from celeriac.testing.faults import Fault, Script


def _kept(capabilities: Capabilities) -> bool:
    return capabilities.stored and capabilities.messages


group = Group("entries", needs=_kept)


def entry(name: str = "report", **fields: object) -> StoredEntry:
    """Return an entry of edition 1, unless told otherwise."""
    given: dict[str, object] = {"name": name, "body": b"\x00body\xff", "edition": 1, **fields}
    return msgspec.convert(given, StoredEntry)


async def put(kit: Kit, *entries: StoredEntry) -> None:
    """Write entries, whatever is there."""
    assert await kit.broker.put_entries([Writing(one) for one in entries]) == ()


def firing(turn: Turn, next_due: float | None, *messages: Message, state: bytes = b"fired") -> Firing:
    """Return what fires an entry as it was seen."""
    return Firing(turn.name, turn.edition, turn.due, next_due, state, messages)


async def due(kit: Kit, limit: int = 100) -> list[Turn]:
    """Return what is due."""
    return list((await kit.broker.due_entries(limit)).turns)


@group
async def what_is_written_comes_back_as_it_was(kit: Kit) -> None:
    one = entry("täglich", due=kit.now() + 10.125, state=b"\x00\xffstate")
    await put(kit, one, entry("other"))
    (found,) = await kit.broker.get_entries(["täglich", "absent"])
    assert (found.name, found.body, found.edition) == (one.name, one.body, one.edition)
    assert (found.due, found.state, found.refused) == (one.due, one.state, None)


@group
async def nothing_there_is_nothing(kit: Kit) -> None:
    assert await kit.broker.get_entries([]) == []
    assert await kit.broker.page_entries("", 10) == []
    assert await kit.broker.drop_entries(["absent"]) == ()
    assert await kit.broker.put_entries([]) == ()
    assert await kit.broker.fire_entries([]) == ()
    turns = await kit.broker.due_entries(10)
    assert (turns.turns, turns.next_in) == ((), None)


@group
async def an_entry_is_due_at_its_time_and_not_before(kit: Kit) -> None:
    at = kit.now() + kit.lease
    await put(kit, entry(due=at, state=b"s"), entry("never"))
    turns = await kit.broker.due_entries(10)
    assert turns.turns == ()
    assert turns.next_in is not None
    assert 0 < turns.next_in <= kit.lease
    assert turns.now == pytest.approx(kit.now(), abs=1.0)
    await kit.advance(kit.lease)
    turns = await kit.broker.due_entries(10)
    assert turns.turns == (Turn("report", 1, at, b"s"),)
    assert turns.next_in is None
    assert turns.now >= at


@group
async def the_longest_due_come_first_and_the_rest_is_told_of(kit: Kit) -> None:
    now = kit.now()
    await put(kit, *[entry(f"e{number}", due=now - number) for number in range(5)])
    turns = await kit.broker.due_entries(3)
    assert [turn.name for turn in turns.turns] == ["e4", "e3", "e2"]
    assert turns.next_in == 0.0
    turns = await kit.broker.due_entries(5)
    assert len(turns.turns) == 5
    assert turns.next_in is None


@group
async def firing_enqueues_and_advances_in_one_step(kit: Kit) -> None:
    now = kit.now()
    await put(kit, entry(due=now - 1, state=b"old"))
    (turn,) = await due(kit)
    one, two = kit.message("one"), kit.message("two", eta=now + 3 * kit.lease)
    assert await kit.broker.fire_entries([firing(turn, now + kit.lease, one, two, state=b"\x00new")]) == ()
    (found,) = await kit.broker.get_entries(["report"])
    assert (found.due, found.state, found.edition) == (now + kit.lease, b"\x00new", 1)
    assert await due(kit) == []
    assert await kit.drain() == ["one"]
    await kit.advance(4 * kit.lease)
    assert await kit.drain(owner="later") == ["two"]
    assert [turn.due for turn in await due(kit)] == [now + kit.lease]


@group
async def a_due_time_is_fired_once(kit: Kit) -> None:
    now = kit.now()
    await put(kit, entry(due=now - 1))
    (turn,) = await due(kit)
    assert await kit.broker.fire_entries([firing(turn, now + 60, kit.message("first"))]) == ()
    assert await kit.broker.fire_entries([firing(turn, now + 60, kit.message("second"))]) == ("report",)
    assert await kit.drain() == ["first"]


@group
async def of_many_who_fire_one_due_time_one_succeeds(kit: Kit) -> None:
    now = kit.now()
    names = [f"e{number}" for number in range(20)]
    await put(kit, *[entry(name, due=now - 1) for name in names])
    turns = await due(kit)

    async def fire(who: int) -> int:
        fired = [firing(turn, now + 60, kit.message(f"{turn.name}-{who}")) for turn in turns]
        return len(fired) - len(await kit.another().fire_entries(fired))

    counts = await asyncio.gather(*[fire(who) for who in range(4)])
    assert sum(counts) == len(names)
    sent = await kit.drain()
    assert sorted([id.split("-")[0] for id in sent]) == sorted(names)


@group
async def what_moved_on_is_refused_and_holds_up_no_other(kit: Kit) -> None:
    now = kit.now()
    await put(kit, *[entry(name, due=now - 1) for name in ("changed", "dropped", "good", "stopped")])
    turns = {turn.name: turn for turn in await due(kit)}
    await put(kit, entry("changed", edition=2, due=now - 1), entry("stopped"))
    await kit.broker.drop_entries(["dropped"])
    fired = [firing(turn, now + 60, kit.message(name)) for name, turn in turns.items()]
    assert sorted(await kit.broker.fire_entries(fired)) == ["changed", "dropped", "stopped"]
    assert await kit.drain() == ["good"]


@group
async def an_entry_that_ends_or_waits_for_nothing_can_be_fired(kit: Kit) -> None:
    now = kit.now()
    await put(kit, entry("ends", due=now - 1), entry("by-hand"))
    (turn,) = await due(kit)
    by_hand = Firing("by-hand", 1, None, None, b"s", (kit.message("hand"),))
    assert await kit.broker.fire_entries([firing(turn, None, kit.message("last")), by_hand]) == ()
    assert sorted(await kit.drain()) == ["hand", "last"]
    assert (await kit.broker.due_entries(10)).next_in is None
    assert [one.due for one in await kit.broker.get_entries(["ends", "by-hand"])] == [None, None]


@group
async def of_two_firings_of_one_entry_in_a_batch_the_first_counts(kit: Kit) -> None:
    now = kit.now()
    await put(kit, entry(due=now - 1))
    (turn,) = await due(kit)
    both = [firing(turn, now + 60, kit.message("first")), firing(turn, now + 70, kit.message("second"))]
    assert await kit.broker.fire_entries(both) == ("report",)
    assert await kit.drain() == ["first"]
    assert [one.due for one in await kit.broker.get_entries(["report"])] == [now + 60]


@group
async def a_message_that_no_broker_can_keep_fires_nothing(kit: Kit) -> None:
    now = kit.now()
    await put(kit, entry("a", due=now - 2), entry("b", due=now - 1))
    turns = await due(kit)
    fired = [firing(turns[0], now + 60, kit.message("good")), firing(turns[1], now + 60, kit.message("bad", queue=""))]
    with pytest.raises(InvalidTaskError):
        await kit.broker.fire_entries(fired)
    assert await due(kit) == turns
    assert await kit.drain() == []


@group
async def a_message_that_is_there_is_dropped_and_the_entry_advances(kit: Kit) -> None:
    now = kit.now()
    await kit.send("same")
    await put(kit, entry(due=now - 1))
    (turn,) = await due(kit)
    assert await kit.broker.fire_entries([firing(turn, now + 60, kit.message("same"))]) == ()
    assert await kit.drain() == ["same"]
    assert await due(kit) == []


@group
async def an_entry_is_replaced_only_in_the_edition_that_was_read(kit: Kit) -> None:
    now = kit.now()
    new = Writing(entry(edition=7, due=now + 60), replaces=0)
    assert await kit.broker.put_entries([new]) == ()
    assert await kit.broker.put_entries([new]) == ()  # As after a lost reply.
    assert await kit.broker.put_entries([Writing(entry(edition=8), replaces=0)]) == ("report",)
    assert await kit.broker.put_entries([Writing(entry(edition=9, body=b"b"), replaces=8)]) == ("report",)
    changed = Writing(entry(edition=9, body=b"b", due=now + 70), replaces=7)
    assert await kit.broker.put_entries([changed]) == ()
    assert await kit.broker.put_entries([changed]) == ()
    assert await kit.broker.put_entries([Writing(entry("absent", edition=3), replaces=2)]) == ("absent",)
    (found,) = await kit.broker.get_entries(["report", "absent"])
    assert (found.edition, found.body, found.due) == (9, b"b", now + 70)


@group
async def writing_keeps_what_became_of_the_entry(kit: Kit) -> None:
    now = kit.now()
    await put(kit, entry(due=now + 60, state=b"first"))
    await put(kit, entry(edition=2, due=now + 70, state=b"ignored"))
    (found,) = await kit.broker.get_entries(["report"])
    assert (found.due, found.state) == (now + 70, b"first")
    kept = Writing(entry(edition=3, due=now + 80), keeps_due=True)
    assert await kit.broker.put_entries([kept]) == ()
    (found,) = await kit.broker.get_entries(["report"])
    assert (found.due, found.state, found.edition) == (now + 70, b"first", 3)
    fresh = Writing(entry("new", due=now + 80), keeps_due=True)
    assert await kit.broker.put_entries([fresh]) == ()
    assert [one.due for one in await kit.broker.get_entries(["new"])] == [now + 80]


@group
async def an_entry_that_is_stopped_is_due_no_more(kit: Kit) -> None:
    now = kit.now()
    await put(kit, entry(due=now - 1))
    await put(kit, entry(edition=2))
    assert await due(kit) == []
    await put(kit, entry(edition=3, due=now - 1))
    assert [turn.edition for turn in await due(kit)] == [3]


@group
async def a_dropped_entry_is_gone_and_may_come_again(kit: Kit) -> None:
    now = kit.now()
    await put(kit, entry("a", due=now - 1, state=b"old"), entry("b", due=now - 1))
    assert await kit.broker.drop_entries(["a", "absent"]) == ("a",)
    assert await kit.broker.drop_entries(["a"]) == ()
    assert [turn.name for turn in await due(kit)] == ["b"]
    assert [one.name for one in await kit.broker.page_entries("", 10)] == ["b"]
    again = Writing(entry("a", edition=2, due=now - 1, state=b"new"), replaces=0)
    assert await kit.broker.put_entries([again]) == ()
    assert [one.state for one in await kit.broker.get_entries(["a"])] == [b"new"]


@group
async def pages_are_in_the_order_of_the_names(kit: Kit) -> None:
    names = sorted([f"n{number:02d}" for number in range(12)] + ["Z", "ä", "\U0001f955", "a b"], key=str.encode)
    await put(kit, *[entry(name) for name in reversed(names)])
    found: list[str] = []
    while page := await kit.broker.page_entries(found[-1] if found else "", 5):
        assert len(page) <= 5
        found += [one.name for one in page]
    assert found == names


@group
async def more_than_a_batch_is_written_found_and_fired(kit: Kit) -> None:
    now = kit.now()
    names = [f"e{number:04d}" for number in range(1100)]
    await put(kit, *[entry(name, due=now - 1) for name in names])
    fired = 0
    while turns := await due(kit, 1000):
        messages = [firing(turn, now + 60, kit.message(f"m-{turn.name}", queue="many")) for turn in turns]
        assert await kit.broker.fire_entries(messages) == ()
        fired += len(turns)
    assert fired == len(names)
    assert sum([one.ready for one in await kit.broker.stats()]) == len(names)
    assert len(await kit.broker.get_entries(names)) == len(names)
    assert len(await kit.broker.drop_entries(names)) == len(names)


@group
async def who_waits_for_entries_is_woken_by_a_change(kit: Kit) -> None:
    waiter = kit.waiter(ENTRIES)
    while await waiter.wait(0.3):
        continue
    await put(kit, entry(due=kit.now() + 60))
    assert await waiter.wait(10)
    while await waiter.wait(0.3):
        continue
    await kit.broker.drop_entries(["report"])
    assert await waiter.wait(10)


@group
async def what_no_store_can_keep_is_refused(kit: Kit) -> None:
    bad = [
        entry(""),
        entry("x" * 201),
        entry("nul\0"),
        entry(edition=0),
        msgspec.structs.replace(entry(), due=float("nan")),
    ]
    for one in bad:
        with pytest.raises(InvalidTaskError, match="schedule entry"):
            await kit.broker.put_entries([Writing(entry("good")), Writing(one)])
    assert await kit.broker.page_entries("", 10) == []


@group
async def a_lost_reply_to_a_firing_sends_nothing_twice(kit: Kit) -> None:
    now = kit.now()
    await put(kit, entry(due=now - 1))
    (turn,) = await due(kit)
    lossy = kit.flaky(Script([Fault.LOSE_REPLY]))
    fired = [firing(turn, now + 60, kit.message("only"))]
    with pytest.raises(OperationalError):
        await lossy.fire_entries(fired)
    await kit.broker.fire_entries(fired)  # Refused, or for another slot the second half of it.
    assert await kit.drain() == ["only"]
    assert [one.due for one in await kit.broker.get_entries(["report"])] == [now + 60]
