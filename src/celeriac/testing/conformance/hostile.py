"""Stored bytes that are no message are handed on whole, and harm nothing else."""

from __future__ import annotations

from typing import Any

from celeriac.core.message import Message, Start, pack, unpack
from celeriac.errors import DecodeError
from celeriac.testing.conformance.group import Group
from celeriac.testing.conformance.kit import Kit, dead, done, ids, release, revoked

group = Group("hostile-bytes")


def broken(kit: Kit, id: str, **fields: Any) -> tuple[Message, bytes]:
    """Return a message whose bytes nobody can read, as a newer or a faulty sender may make it, and those bytes."""
    message = kit.message(id, headers=["not", "a", "mapping"], **fields)
    data = pack(message)
    try:
        unpack(data)
    except DecodeError:
        return message, data
    raise AssertionError("the bytes can be read after all")


@group
async def what_cannot_be_read_is_delivered_as_bytes(kit: Kit) -> None:
    message, data = broken(kit, "bad")
    await kit.broker.enqueue([kit.message("a"), message, kit.message("b")])
    first, bad, last = await kit.claim()
    assert (first.lease.id, bad.lease.id, last.lease.id) == ("a", "bad", "b")
    assert bad.message is None
    assert bad.raw == data
    assert first.message is not None
    assert last.message is not None
    await kit.settle(done(first), done(last))


@group
async def it_can_be_buried_with_its_bytes_and_revived(kit: Kit) -> None:
    message, data = broken(kit, "bad")
    await kit.broker.enqueue([message])
    (delivery,) = await kit.claim()
    await kit.settle(dead(delivery, "cannot be read"))
    record = await kit.record("bad")
    assert (record.state, record.message, record.raw, record.reason) == ("DEAD", None, data, "cannot be read")
    assert [found.raw for found in await kit.pages(["DEAD"])] == [data]
    assert await kit.broker.revive(["bad"]) == ("bad",)
    (again,) = await kit.claim()
    assert again.raw == data


@group
async def it_can_be_released_finished_and_cancelled(kit: Kit) -> None:
    message, data = broken(kit, "bad", priority=3)
    await kit.broker.enqueue([message])
    (delivery,) = await kit.claim()
    await kit.settle(release(delivery))
    (delivery,) = await kit.claim()
    assert delivery.raw == data
    await kit.settle(done(delivery))
    assert await kit.state("bad") is None
    await kit.broker.enqueue([message])
    (cancelled,) = await kit.broker.cancel(revoked("bad"))
    assert cancelled.outcome == "removed"
    assert await kit.state("bad") is None


@group
async def it_can_be_lost_and_judged(kit: Kit) -> None:
    message, data = broken(kit, "bad")
    await kit.broker.enqueue([message])
    await kit.claim()
    await kit.lapse()
    assert (await kit.reclaim()).released == ("bad",)
    (delivery,) = await kit.claim()
    await kit.broker.start([Start(delivery.lease)])
    await kit.lapse()
    (verdict,) = (await kit.reclaim(crash_limit=1)).verdicts
    assert (verdict.message, verdict.raw, verdict.crashes) == (None, data, 1)
    await kit.settle(dead(verdict))


@group
async def it_waits_for_its_time_like_any_other(kit: Kit) -> None:
    message, data = broken(kit, "bad", eta=kit.now() + kit.lease)
    await kit.broker.enqueue([message])
    assert (await kit.record("bad")).raw == data
    assert await kit.drain() == []
    await kit.advance(kit.lease * 1.1)
    assert await kit.drain() == ["bad"]


@group.indexed
async def looking_at_it_is_safe(kit: Kit) -> None:
    message, data = broken(kit, "bad")
    await kit.broker.enqueue([message, kit.message("good")])
    (stats,) = await kit.broker.stats()
    assert stats.ready == 2
    found = await kit.pages(["PENDING"])
    assert [(record.id, record.message is None, record.raw) for record in found] == [
        ("bad", True, data),
        ("good", False, b""),
    ]
    assert await kit.broker.purge("celery") == 2
    assert ids(await kit.claim()) == []
