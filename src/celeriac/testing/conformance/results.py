"""A result store keeps the last word on each task until it expires."""

from __future__ import annotations

import pytest

from celeriac.core.message import StoredResult
from celeriac.core.state import READY_STATES
from celeriac.errors import DecodeError
from celeriac.testing.conformance.group import Group
from celeriac.testing.conformance.kit import Kit, result

group = Group("results", needs=lambda capabilities: capabilities.results)
hostile = Group("results-hostile-bytes", needs=lambda capabilities: capabilities.results and capabilities.durable)


def full(id: str, *, now: float) -> StoredResult:
    """Return a result with no field at its default."""
    return StoredResult(
        id=id,
        state="FAILURE",
        body=b"\x93\x00\xff",
        content_type="application/x-msgpack",
        content_encoding="binary",
        traceback="Traceback (most recent call last): ö",
        children=("child", "kind"),
        date_done=now - 1.25,
        task="proj.add",
        args="(1, 'ö')",
        kwargs="{}",
        worker="w@h",
        queue="fast",
        retries=3,
        parent_id="parent",
        root_id="root",
        group="group",
        runtime=0.125,
        expires=now + 1e6,
        reply_to="letterbox",
    )


@group
async def every_field_of_a_result_comes_out_as_it_went_in(kit: Kit) -> None:
    stored = full("a", now=kit.now())
    await kit.broker.store([stored])
    assert await kit.broker.fetch(["a"]) == [stored]


@group
async def fetch_returns_those_that_are_there(kit: Kit) -> None:
    assert await kit.broker.fetch(["a"]) == []
    assert await kit.broker.fetch([]) == []
    await kit.broker.store([result("a"), result("b")])
    found = await kit.broker.fetch(["b", "nobody", "a"])
    assert sorted(stored.id for stored in found) == ["a", "b"]


@group
async def a_later_result_replaces_the_earlier(kit: Kit) -> None:
    await kit.broker.store([result("a", body=b"1", traceback="x")])
    await kit.broker.store([result("a", "FAILURE", body=b"2")])
    assert await kit.broker.fetch(["a"]) == [result("a", "FAILURE", body=b"2")]


@group
async def storing_again_is_harmless(kit: Kit) -> None:
    for _ in range(2):
        await kit.broker.store([result("a", body=b"1")])
    assert await kit.broker.fetch(["a"]) == [result("a", body=b"1")]


@group
async def no_results_are_no_work(kit: Kit) -> None:
    await kit.broker.store([])
    assert await kit.broker.progress([]) == ()
    assert await kit.broker.discard([]) == 0


@group
async def progress_is_kept_while_the_task_goes_on(kit: Kit) -> None:
    for state in ("STARTED", "PROGRESS", "RETRY", "HALFWAY"):
        assert await kit.broker.progress([result("a", state, body=b'{"done": 3}')]) == ()
        assert await kit.broker.fetch(["a"]) == [result("a", state, body=b'{"done": 3}')]
    await kit.broker.store([result("a")])
    assert await kit.broker.fetch(["a"]) == [result("a")]


@group
async def progress_of_a_task_that_is_over_is_dropped_and_returned(kit: Kit) -> None:
    for state in sorted(READY_STATES):
        await kit.broker.store([result(state, state, body=b"final")])
    dropped = await kit.broker.progress([result(id, "PROGRESS") for id in (*sorted(READY_STATES), "other")])
    assert sorted(dropped) == sorted(READY_STATES)
    found = {stored.id: stored.state for stored in await kit.broker.fetch([*READY_STATES, "other"])}
    assert found == {state: state for state in READY_STATES} | {"other": "PROGRESS"}


@group
async def a_task_that_was_over_can_be_made_to_run_again(kit: Kit) -> None:
    # The worker stores that a message which was revived or sent again runs; only progress() is refused.
    await kit.broker.store([result("a", "FAILURE")])
    await kit.broker.store([result("a", "STARTED")])
    assert await kit.broker.progress([result("a", "PROGRESS")]) == ()


@group
async def a_result_expires(kit: Kit) -> None:
    await kit.broker.store([result("short", expires=kit.now() + kit.lease), result("long")])
    assert len(await kit.broker.fetch(["short", "long"])) == 2
    await kit.lapse()
    assert [stored.id for stored in await kit.broker.fetch(["short", "long"])] == ["long"]


@group
async def an_expired_result_stands_in_nobodys_way(kit: Kit) -> None:
    await kit.broker.store([result("a", expires=kit.now() + kit.lease)])
    await kit.lapse()
    assert await kit.broker.progress([result("a", "PROGRESS")]) == ()
    assert [stored.state for stored in await kit.broker.fetch(["a"])] == ["PROGRESS"]


@group
async def a_new_result_has_its_own_expiry(kit: Kit) -> None:
    await kit.broker.store([result("a", expires=kit.now() + kit.lease)])
    await kit.broker.store([result("a", expires=kit.now() + kit.lease * 5)])
    await kit.lapse()
    assert len(await kit.broker.fetch(["a"])) == 1


@group
async def discard_forgets_and_counts(kit: Kit) -> None:
    await kit.broker.store([result("a"), result("b"), result("c")])
    assert await kit.broker.discard(["a", "nobody", "c"]) == 2
    assert await kit.broker.discard(["a", "c"]) == 0
    assert [stored.id for stored in await kit.broker.fetch(["a", "b", "c"])] == ["b"]


@group
async def an_expired_result_is_not_counted_as_discarded(kit: Kit) -> None:
    await kit.broker.store([result("a", expires=kit.now() + kit.lease)])
    await kit.lapse()
    assert await kit.broker.discard(["a"]) == 0


@group
async def installing_again_keeps_results(kit: Kit) -> None:
    version = await kit.broker.verify()
    await kit.broker.store([result("a")])
    assert await kit.broker.install() == version
    assert await kit.broker.fetch(["a"]) == [result("a")]


@group
async def every_connection_sees_the_same_results(kit: Kit) -> None:
    if kit.capabilities.shared:
        other = kit.another()
        await other.store([result("a", body=b"1")])
        assert await kit.broker.fetch(["a"]) == [result("a", body=b"1")]
        await kit.broker.discard(["a"])
        assert await other.fetch(["a"]) == []


@group
async def a_closed_store_opens_again_with_the_next_call(kit: Kit) -> None:
    if kit.capabilities.durable:
        other = kit.another()
        await other.store([result("a", body=b"1")])
        await other.close()
        await other.close()
        await kit.broker.close()
        assert await other.fetch(["a"]) == [result("a", body=b"1")]


@group
async def the_last_result_of_a_batch_counts(kit: Kit) -> None:
    await kit.broker.store([result("a", body=b"1"), result("b"), result("a", body=b"2")])
    assert [one.body for one in await kit.broker.fetch(["a"])] == [b"2"]


@group
async def results_and_messages_have_nothing_to_do_with_each_other(kit: Kit) -> None:
    await kit.broker.store([result("a")])
    await kit.send("a")
    assert await kit.drain() == ["a"]
    assert await kit.broker.fetch(["a"]) == [result("a")]


@group
async def a_large_result_comes_out_as_it_went_in(kit: Kit) -> None:
    body = bytes(range(256)) * 8192
    await kit.broker.store([result("large", body=body)])
    (found,) = await kit.broker.fetch(["large"])
    assert found.body == body


@hostile
async def a_result_that_cannot_be_read_is_named(kit: Kit) -> None:
    await kit.broker.store([result("broken", body="these should be bytes")])
    with pytest.raises(DecodeError, match="broken"):
        await kit.broker.fetch(["broken"])
    await kit.broker.store([result("broken", body=b"mended")])
    assert [stored.body for stored in await kit.broker.fetch(["broken"])] == [b"mended"]
