"""Enqueueing keeps every message once, whole, and in order."""

from __future__ import annotations

import pytest

from celeriac.core.message import Message
from celeriac.errors import InvalidTaskError
from celeriac.testing.conformance.group import Group
from celeriac.testing.conformance.kit import Kit, dead, done

group = Group("enqueue")


def full(id: str, *, now: float) -> Message:
    """Return a message with no field at its default."""
    return Message(
        id=id,
        task="proj.add",
        queue="fast",
        body=b"\x93\x00\xff",
        content_type="application/x-msgpack",
        content_encoding="binary",
        compression="application/zstd",
        priority=7,
        eta=now - 1.25,
        expires=now + 1e6,
        retries=3,
        timelimit=(10.0, None),
        ignore_result=True,
        lang="go",
        shadow="shown",
        root_id="root",
        parent_id="parent",
        group="group",
        group_index=4,
        argsrepr="(2, 'ö')",
        kwargsrepr="{}",
        origin="gen1@host",
        replaced_task_nesting=2,
        stamped_headers=("mid",),
        stamps={"mid": ["abc", 1]},
        headers={"x-custom": {"deep": [1, 2.5, None, True, b"\x00"]}},
        correlation_id="corr",
        reply_to="ae3efaef",
        delivery_mode=1,
        exchange="news",
        routing_key="sport",
        sent_at=now - 2.5,
        workflow="wf",
        node="n/1",
        parked_at=now - 3.5,
    )


@group
async def every_field_of_a_message_comes_out_as_it_went_in(kit: Kit) -> None:
    message = full("x", now=kit.now())
    assert await kit.broker.enqueue([message]) == ()
    (delivery,) = await kit.claim(queues=["fast"])
    assert delivery.message == message
    assert delivery.raw == b""


@group
async def nothing_is_returned_for_new_messages(kit: Kit) -> None:
    assert await kit.broker.enqueue([kit.message("a"), kit.message("b")]) == ()
    assert await kit.drain() == ["a", "b"]


@group
async def no_messages_are_no_work(kit: Kit) -> None:
    assert await kit.broker.enqueue([]) == ()
    assert await kit.broker.stats() == []


@group.indexed
async def an_id_that_waits_is_dropped_and_returned(kit: Kit) -> None:
    await kit.send("a", argsrepr="first")
    assert await kit.broker.enqueue([kit.message("a", argsrepr="second"), kit.message("b")]) == ("a",)
    first, second = await kit.claim()
    assert first.message is not None
    assert first.message.argsrepr == "first"
    assert second.lease.id == "b"
    assert await kit.drain() == []


@group.indexed
async def an_id_that_waits_for_its_time_is_dropped_and_returned(kit: Kit) -> None:
    await kit.send("a", eta=kit.now() + kit.lease)
    assert await kit.broker.enqueue([kit.message("a")]) == ("a",)
    assert await kit.drain() == []


@group.indexed
async def an_id_that_waits_in_another_queue_is_dropped_and_returned(kit: Kit) -> None:
    await kit.send("a", queue="one")
    assert await kit.broker.enqueue([kit.message("a", queue="two")]) == ("a",)
    assert await kit.drain("one", "two") == ["a"]


@group.indexed
async def an_id_that_is_owned_is_dropped_and_returned(kit: Kit) -> None:
    delivery = await kit.take("a")
    assert await kit.broker.enqueue([kit.message("a")]) == ("a",)
    assert await kit.drain() == []
    await kit.settle(done(delivery))
    assert await kit.drain() == []


@group.indexed
async def an_id_among_the_dead_letters_is_dropped_and_returned(kit: Kit) -> None:
    await kit.settle(dead(await kit.take("a")))
    assert await kit.broker.enqueue([kit.message("a")]) == ("a",)
    assert await kit.state("a") == "DEAD"
    assert await kit.drain() == []


@group.indexed
async def an_id_twice_in_one_batch_is_kept_once(kit: Kit) -> None:
    batch = [kit.message("a", argsrepr="first"), kit.message("b"), kit.message("a", argsrepr="second")]
    assert await kit.broker.enqueue(batch) == ("a",)
    deliveries = await kit.claim()
    assert [delivery.message and delivery.message.argsrepr for delivery in deliveries] == ["first", None]


@group.indexed
async def repeating_a_whole_batch_changes_nothing(kit: Kit) -> None:
    batch = [kit.message("a"), kit.message("b", eta=kit.now() + kit.lease), kit.message("c", priority=9)]
    assert await kit.broker.enqueue(batch) == ()
    assert sorted(await kit.broker.enqueue(batch)) == ["a", "b", "c"]
    assert await kit.drain() == ["c", "a"]
    await kit.lapse()
    assert await kit.drain() == ["b"]


@group
async def an_id_can_be_sent_again_when_it_is_over(kit: Kit) -> None:
    await kit.settle(done(await kit.take("a")))
    await kit.send("a", argsrepr="second")
    (delivery,) = await kit.claim()
    assert delivery.message is not None
    assert delivery.message.argsrepr == "second"
    assert (delivery.crashes, delivery.suspect, delivery.cancelled) == (0, False, False)


@group
async def order_is_that_of_the_batch_and_of_the_batches(kit: Kit) -> None:
    await kit.send("e", "d")
    await kit.send("c")
    await kit.send("b", "a")
    assert await kit.drain() == ["e", "d", "c", "b", "a"]


@group
async def one_bad_message_keeps_the_whole_batch_out(kit: Kit) -> None:
    with pytest.raises(InvalidTaskError, match="must not be empty"):
        await kit.broker.enqueue([kit.message("a"), Message(id="", task="proj.add"), kit.message("b")])
    assert await kit.drain() == []
    assert await kit.broker.stats() == []


@group
async def what_no_broker_can_keep_is_refused_with_its_reason(kit: Kit) -> None:
    for bad, reason in (
        (kit.message("x" * 201), "task_id"),
        (kit.message(queue=""), "queue"),
        (kit.message(queue="q" * 201), "queue"),
        (kit.message(priority=10), "priority"),
        (kit.message(priority=-1), "priority"),
        (kit.message(eta=float("nan")), "eta"),
    ):
        with pytest.raises(InvalidTaskError, match=reason):
            await kit.broker.enqueue([bad])
    assert await kit.broker.stats() == []


@group
async def a_message_past_its_expiry_is_still_delivered(kit: Kit) -> None:
    # The worker tells the world that it expired. A broker that dropped it would lose it in silence.
    await kit.send("late", expires=kit.now() - 1)
    assert await kit.drain() == ["late"]


@group
async def a_large_body_comes_out_as_it_went_in(kit: Kit) -> None:
    body = bytes(range(256)) * 8192
    await kit.send("large", body=body)
    (delivery,) = await kit.claim()
    assert delivery.message is not None
    assert delivery.message.body == body
