"""Workers are seen while they live, a role has one holder, and commands reach all who listen."""

from __future__ import annotations

from celeriac.brokers.port import Command, CommandReply, WorkerRecord
from celeriac.brokers.rules import REPLY_TTL
from celeriac.testing.conformance.group import Group
from celeriac.testing.conformance.kit import Kit, done, ids

workers = Group("workers")
roles = Group("roles")
commands = Group("commands")


@workers
async def a_heartbeat_makes_a_worker_visible(kit: Kit) -> None:
    info = {"pid": 7, "host": "h", "queues": ["a", "b"], "counts": {"proj.add": 3}, "load": 0.5, "up": True, "x": None}
    await kit.broker.heartbeat(WorkerRecord(name="w@h", owners=("w1", "w2"), info=info), kit.lease)
    (worker,) = await kit.broker.workers()
    assert (worker.name, worker.owners, worker.info) == ("w@h", ("w1", "w2"), info)


@workers
async def age_is_the_time_since_the_last_heartbeat(kit: Kit) -> None:
    await kit.broker.heartbeat(WorkerRecord(name="w@h", age=99.0), kit.lease * 3)
    await kit.advance(kit.lease)
    (worker,) = await kit.broker.workers()
    assert kit.lease * 0.9 <= worker.age <= kit.lease * 2
    await kit.broker.heartbeat(WorkerRecord(name="w@h"), kit.lease * 3)
    (worker,) = await kit.broker.workers()
    assert worker.age <= kit.lease * 0.9


@workers
async def a_later_heartbeat_replaces_the_earlier(kit: Kit) -> None:
    await kit.broker.heartbeat(WorkerRecord(name="w@h", owners=("w1",), info={"n": 1}), kit.lease)
    await kit.broker.heartbeat(WorkerRecord(name="w@h", owners=("w2",), info={"n": 2}), kit.lease)
    (worker,) = await kit.broker.workers()
    assert (worker.owners, worker.info) == (("w2",), {"n": 2})


@workers
async def workers_are_sorted_by_name(kit: Kit) -> None:
    for name in ("c@h", "a@h", "b@h"):
        await kit.broker.heartbeat(WorkerRecord(name=name), kit.lease)
    assert [worker.name for worker in await kit.broker.workers()] == ["a@h", "b@h", "c@h"]


@workers
async def a_silent_worker_vanishes(kit: Kit) -> None:
    await kit.broker.heartbeat(WorkerRecord(name="silent@h"), kit.lease)
    await kit.broker.heartbeat(WorkerRecord(name="lively@h"), kit.lease * 3)
    await kit.lapse()
    assert [worker.name for worker in await kit.broker.workers()] == ["lively@h"]
    await kit.broker.heartbeat(WorkerRecord(name="silent@h"), kit.lease)
    assert [worker.name for worker in await kit.broker.workers()] == ["lively@h", "silent@h"]


@workers
async def a_worker_that_leaves_is_forgotten(kit: Kit) -> None:
    await kit.broker.heartbeat(WorkerRecord(name="a@h", owners=("w1",)), kit.lease)
    await kit.broker.heartbeat(WorkerRecord(name="b@h"), kit.lease)
    for _ in range(2):
        await kit.broker.forget("a@h", ["w1"])
        assert [worker.name for worker in await kit.broker.workers()] == ["b@h"]
    await kit.broker.forget("nobody@h", ["w9"])


@workers
async def forgetting_drops_the_leases_of_owners_that_hold_nothing(kit: Kit) -> None:
    await kit.take("a", owner="w3")
    await kit.broker.extend(["w1", "w2"], kit.lease)
    await kit.broker.forget("a@h", ["w1", "w2"])
    await kit.lapse()
    assert (await kit.reclaim()).owners == ("w3",)


@workers
async def forgetting_keeps_the_leases_of_owners_that_hold_messages(kit: Kit) -> None:
    delivery = await kit.take("a", owner="w1")
    await kit.take("b", owner="w2")
    await kit.broker.forget("a@h", ["w1", "w2"])
    assert (await kit.reclaim()).released == ()
    await kit.settle(done(delivery))
    await kit.lapse()
    assert (await kit.reclaim()).released == ("b",), "what a leaver left behind is freed when its lease runs out"


@roles
async def the_first_who_asks_has_it(kit: Kit) -> None:
    assert await kit.broker.elect("beat", "a", kit.lease) is True
    assert await kit.broker.elect("beat", "b", kit.lease) is False
    assert await kit.broker.elect("beat", "a", kit.lease) is True


@roles
async def roles_are_separate(kit: Kit) -> None:
    assert await kit.broker.elect("beat", "a", kit.lease) is True
    assert await kit.broker.elect("janitor", "b", kit.lease) is True


@roles
async def asking_again_keeps_it(kit: Kit) -> None:
    for _ in range(4):
        assert await kit.broker.elect("beat", "a", kit.lease) is True
        await kit.advance(kit.lease * 0.75)
        assert await kit.broker.elect("beat", "b", kit.lease) is False


@roles
async def a_silent_holder_loses_it(kit: Kit) -> None:
    assert await kit.broker.elect("beat", "a", kit.lease) is True
    await kit.lapse()
    assert await kit.broker.elect("beat", "b", kit.lease) is True
    assert await kit.broker.elect("beat", "a", kit.lease) is False


@roles
async def asking_in_vain_does_not_prolong_it(kit: Kit) -> None:
    assert await kit.broker.elect("beat", "a", kit.lease) is True
    await kit.advance(kit.lease * 0.75)
    assert await kit.broker.elect("beat", "b", kit.lease * 9) is False
    await kit.advance(kit.lease * 0.75)
    assert await kit.broker.elect("beat", "b", kit.lease) is True


@roles
async def only_its_holder_can_resign(kit: Kit) -> None:
    assert await kit.broker.elect("beat", "a", kit.lease) is True
    await kit.broker.resign("beat", "b")
    assert await kit.broker.elect("beat", "b", kit.lease) is False
    for _ in range(2):
        await kit.broker.resign("beat", "a")
    assert await kit.broker.elect("beat", "b", kit.lease) is True


@roles
async def resigning_what_nobody_holds_is_harmless(kit: Kit) -> None:
    await kit.broker.resign("beat", "a")
    assert await kit.broker.elect("beat", "b", kit.lease) is True


@commands
async def a_new_listener_starts_at_the_end(kit: Kit) -> None:
    await kit.broker.broadcast(Command(id="before", name="ping"))
    found, cursor = await kit.broker.commands(None)
    assert found == ()
    assert await kit.broker.commands(cursor) == ((), cursor)
    await kit.broker.broadcast(Command(id="after", name="ping"))
    found, _ = await kit.broker.commands(cursor)
    assert [command.id for command in found] == ["after"]


@commands
async def a_command_comes_out_as_it_went_in_with_its_place(kit: Kit) -> None:
    _, cursor = await kit.broker.commands(None)
    sent = Command(
        id="c1",
        name="revoke",
        arguments={"ids": ["a", "b"], "terminate": True, "signal": None, "n": 2, "f": 0.5},
        destination=("w1@h", "w2@h"),
        expires_in=kit.lease * 2,
    )
    await kit.broker.broadcast(sent)
    (found,), after = await kit.broker.commands(cursor)
    assert (found.id, found.name, found.arguments, found.destination) == (
        sent.id,
        sent.name,
        sent.arguments,
        sent.destination,
    )
    assert cursor < found.cursor <= after
    assert 0 < found.expires_in <= sent.expires_in


@commands
async def every_listener_gets_every_command_once_in_order(kit: Kit) -> None:
    _, first = await kit.broker.commands(None)
    second = first
    seen: list[str] = []
    heard: list[str] = []
    for n in range(5):
        await kit.broker.broadcast(Command(id=f"c{n}", name="ping"))
        found, first = await kit.broker.commands(first)
        seen += [command.id for command in found]
        if n % 2:
            more, second = await kit.broker.commands(second)
            heard += [command.id for command in more]
    more, second = await kit.broker.commands(second)
    assert seen == heard + [command.id for command in more] == [f"c{n}" for n in range(5)]
    assert await kit.broker.commands(second) == ((), second)


@commands
async def the_cursor_of_a_command_is_a_place_to_go_on_from(kit: Kit) -> None:
    _, cursor = await kit.broker.commands(None)
    for n in range(3):
        await kit.broker.broadcast(Command(id=f"c{n}", name="ping"))
    found, _ = await kit.broker.commands(cursor)
    more, _ = await kit.broker.commands(found[0].cursor)
    assert [command.id for command in more] == ["c1", "c2"]


@commands
async def an_expired_command_is_not_read(kit: Kit) -> None:
    _, cursor = await kit.broker.commands(None)
    await kit.broker.broadcast(Command(id="short", name="ping", expires_in=kit.lease))
    await kit.broker.broadcast(Command(id="long", name="ping", expires_in=kit.lease * 9))
    await kit.lapse()
    found, _ = await kit.broker.commands(cursor)
    assert [command.id for command in found] == ["long"]


@commands
async def a_place_is_not_given_twice(kit: Kit) -> None:
    # A listener that read everything must hear of what comes after all commands were forgotten.
    _, cursor = await kit.broker.commands(None)
    await kit.broker.broadcast(Command(id="old", name="ping", expires_in=kit.lease))
    _, cursor = await kit.broker.commands(cursor)
    await kit.lapse()
    await kit.broker.prune(None, 100)
    await kit.broker.broadcast(Command(id="new", name="ping"))
    found, after = await kit.broker.commands(cursor)
    assert [command.id for command in found] == ["new"]
    assert after > cursor


@commands
async def answers_are_kept_for_who_asked(kit: Kit) -> None:
    assert await kit.broker.replies("c1") == ()
    first = CommandReply("c1", "w1@h", {"ok": ["pong", 1, None]})
    second = CommandReply("c1", "w2@h", "pong")
    await kit.broker.reply([first, CommandReply("other", "w1@h")])
    await kit.broker.reply([second])
    for _ in range(2):
        assert sorted(await kit.broker.replies("c1"), key=lambda reply: reply.node) == [first, second]
    assert await kit.broker.replies("other") == (CommandReply("other", "w1@h", None),)
    assert await kit.broker.replies("nobody") == ()


@commands.slow
async def answers_expire(kit: Kit) -> None:
    await kit.broker.reply([CommandReply("c1", "w1@h", 1)])
    await kit.advance(REPLY_TTL * 0.9)
    assert len(await kit.broker.replies("c1")) == 1
    await kit.advance(REPLY_TTL * 0.2)
    assert await kit.broker.replies("c1") == ()
    assert await kit.broker.prune(None, 100) == (0 if kit.capabilities.expires else 1)
    assert await kit.broker.prune(None, 100) == 0


@commands
async def no_answers_are_no_work(kit: Kit) -> None:
    await kit.broker.reply([])


@workers
async def a_worker_that_comes_back_after_being_forgotten_works_on(kit: Kit) -> None:
    await kit.take("a", owner="w1")
    await kit.broker.forget("a@h", ["w1"])
    await kit.broker.heartbeat(WorkerRecord(name="a@h", owners=("w1",)), kit.lease)
    assert await kit.broker.extend(["w1"], kit.lease) == ()
    await kit.send("b")
    assert ids(await kit.claim(owner="w1")) == ["b"]
