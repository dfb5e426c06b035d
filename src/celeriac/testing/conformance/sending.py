"""A call of enqueue that is repeated is known as one, also when its tasks are over."""

from __future__ import annotations

import pytest

from celeriac.brokers.port import MAX_BATCH, Sending
from celeriac.core.message import DEFAULT_QUEUE
from celeriac.errors import InvalidTaskError, OperationalError
from celeriac.testing.conformance.group import Group
from celeriac.testing.conformance.kit import Kit, done, ids
from celeriac.testing.faults import Fault, Script

group = Group("sending", needs=lambda capabilities: capabilities.indexed)


async def ran(kit: Kit, *queues: str) -> list[str]:
    """Claim and settle whatever is ready, and return the ids: now the broker holds them no longer."""
    deliveries = await kit.claim(queues=queues or (DEFAULT_QUEUE,))
    await kit.settle(*map(done, deliveries))
    return ids(deliveries)


@group
async def a_repetition_keeps_nothing_after_the_tasks_have_run(kit: Kit) -> None:
    first = Sending("sender", 1)
    messages = [kit.message("a"), kit.message("b")]
    assert await kit.broker.enqueue(messages, first) == ()
    assert await ran(kit) == ["a", "b"]
    assert await kit.broker.enqueue(messages, first) == ("a", "b")
    assert await ran(kit) == []


@group
async def so_it_is_with_one_message(kit: Kit) -> None:
    first = Sending("sender", 1)
    assert await kit.broker.enqueue([kit.message("a")], first) == ()
    assert await ran(kit) == ["a"]
    assert await kit.broker.enqueue([kit.message("a")], first) == ("a",)
    assert await ran(kit) == []


@group
async def a_repetition_keeps_nothing_while_they_wait(kit: Kit) -> None:
    first = Sending("sender", 1)
    await kit.broker.enqueue([kit.message("a")], first)
    assert await kit.broker.enqueue([kit.message("a")], first) == ("a",)
    assert await ran(kit) == ["a"]


@group
async def the_next_call_of_the_sender_is_another(kit: Kit) -> None:
    await kit.broker.enqueue([kit.message("a")], Sending("sender", 1))
    assert await kit.broker.enqueue([kit.message("b")], Sending("sender", 2)) == ()
    assert await kit.broker.enqueue([kit.message("c")], Sending("sender", 7)) == ()
    assert await ran(kit) == ["a", "b", "c"]


@group
async def what_arrives_after_a_later_call_is_dropped(kit: Kit) -> None:
    # It hung on a connection that its sender has given up.
    await kit.broker.enqueue([kit.message("a")], Sending("sender", 1))
    await kit.broker.enqueue([kit.message("b")], Sending("sender", 2))
    assert await ran(kit) == ["a", "b"]
    assert await kit.broker.enqueue([kit.message("a")], Sending("sender", 1)) == ("a",)
    assert await kit.broker.enqueue([kit.message("b")], Sending("sender", 2)) == ("b",)
    assert await kit.broker.enqueue([kit.message("c")], Sending("sender", 3)) == ()
    assert await ran(kit) == ["c"]


@group
async def senders_do_not_know_of_each_other(kit: Kit) -> None:
    await kit.broker.enqueue([kit.message("a")], Sending("sender", 5))
    assert await kit.broker.enqueue([kit.message("b")], Sending("other", 5)) == ()
    assert await kit.broker.enqueue([kit.message("c")], Sending("third", 1)) == ()
    assert await ran(kit) == ["a", "b", "c"]


@group
async def ids_that_are_known_are_returned_as_without(kit: Kit) -> None:
    await kit.send("a")
    messages = [kit.message("a"), kit.message("b"), kit.message("b")]
    assert await kit.broker.enqueue(messages, Sending("sender", 1)) == ("a", "b")
    assert await ran(kit) == ["a", "b"]


@group
async def a_long_call_is_known_in_all_its_parts(kit: Kit) -> None:
    names = [f"t{n:04d}" for n in range(2 * MAX_BATCH + 1)]
    messages = [kit.message(name, queue=f"q{n % 3}") for n, name in enumerate(names)]
    first = Sending("sender", 1)
    assert await kit.broker.enqueue(messages, first) == ()
    while await ran(kit, "q0", "q1", "q2"):
        pass
    assert await kit.broker.enqueue(messages, first) == tuple(names)
    assert await kit.broker.stats() == []


@group
async def a_message_with_a_time_is_kept_once(kit: Kit) -> None:
    first = Sending("sender", 1)
    later = kit.message("later", eta=kit.now() + kit.lease)
    await kit.broker.enqueue([later], first)
    await kit.advance(kit.lease * 1.1)
    assert await ran(kit) == ["later"]
    assert await kit.broker.enqueue([later], first) == ("later",)
    await kit.advance(kit.lease * 1.1)
    assert await ran(kit) == []


@group
async def a_refused_call_is_not_remembered(kit: Kit) -> None:
    first = Sending("sender", 1)
    with pytest.raises(InvalidTaskError):
        await kit.broker.enqueue([kit.message("a"), kit.message("b", priority=99)], first)
    assert await kit.broker.enqueue([kit.message("a")], first) == ()
    assert await ran(kit) == ["a"]


@group
async def a_sender_is_forgotten_when_its_memory_is_over(kit: Kit) -> None:
    first = Sending("sender", 3, memory=kit.lease)
    await kit.broker.enqueue([kit.message("a")], first)
    assert await ran(kit) == ["a"]
    await kit.advance(kit.lease * 1.5)
    assert await kit.broker.enqueue([kit.message("a")], first) == ()
    assert await ran(kit) == ["a"]
    await kit.advance(kit.lease * 1.5)
    assert await kit.broker.enqueue([kit.message("b")], Sending("sender", 1, memory=kit.lease)) == ()
    assert await ran(kit) == ["b"]
    await kit.advance(kit.lease * 1.5)
    gone = await kit.broker.prune(None, 100)
    assert gone >= (0 if kit.capabilities.expires else 1)
    assert await kit.broker.enqueue([kit.message("b")], Sending("sender", 1)) == ()


@group
async def no_reply_that_is_lost_makes_a_task_run_twice(kit: Kit) -> None:
    # Whatever is lost on the way, the task runs in between, and the call is repeated until it is answered.
    for place, fault in enumerate((Fault.LOSE_REQUEST, Fault.LOSE_REPLY, Fault.LOSE_REPLY)):
        broker = kit.flaky(Script([fault]))
        messages = [kit.message(f"{place} {name}") for name in "abc"][: place + 1]
        sending = Sending("sender", place + 1)
        seen: list[str] = []
        try:
            await broker.enqueue(messages, sending)
        except OperationalError:
            seen += await ran(kit)
            await broker.enqueue(messages, sending)
        seen += await ran(kit)
        assert seen == [message.id for message in messages]
