"""Any text may be an id, a queue, a task or an owner; nothing in it means anything to the store."""

from __future__ import annotations

from celeriac.brokers.port import Command, CommandReply, WorkerRecord
from celeriac.core.ids import MAX_ID_BYTES
from celeriac.core.message import MAX_QUEUE_BYTES, Start
from celeriac.testing.conformance.group import Group
from celeriac.testing.conformance.kit import Kit, dead, done, ids, result, revoked

group = Group("names")
results = Group("names-results", needs=lambda capabilities: capabilities.results)

NAMES = (
    "a b/c",
    "naïve ☃ 任务 🎉",
    "שלום",
    "e\u0301 is not \u00e9",
    "\u00e9 is not e\u0301",
    "quote ' and \" and `",
    "'; DROP TABLE messages; --",
    "100%s %d {0} {x} ${y} \\n \\",
    "*?[a-z]",
    "{curly}:colon|pipe,comma;semi",
    "line\nbreak\ttab\rreturn",
    "UPPER",
    "upper",
    " leading and trailing ",
    "1",
    "01",
    "1.0",
    "null",
    "0x10",
    "é" * (MAX_ID_BYTES // 2),
    "z" * MAX_ID_BYTES,
)


@group.indexed
async def ids_are_told_apart_exactly(kit: Kit) -> None:
    await kit.send(*NAMES)
    assert sorted(await kit.broker.enqueue([kit.message(id) for id in NAMES])) == sorted(NAMES)
    deliveries = await kit.claim()
    assert ids(deliveries) == list(NAMES)
    assert await kit.broker.start([Start(delivery.lease) for delivery in deliveries]) == ()
    found = await kit.broker.get(NAMES)
    assert {record.id: record.state for record in found} == dict.fromkeys(NAMES, "STARTED")
    await kit.settle(*(dead(delivery, delivery.lease.id) for delivery in deliveries))
    assert [(record.id, record.reason) for record in await kit.pages(["DEAD"])] == [(id, id) for id in NAMES]
    assert sorted(await kit.broker.revive(NAMES)) == sorted(NAMES)
    found_by_cancel = await kit.broker.cancel(revoked(*NAMES))
    assert {one.id: one.outcome for one in found_by_cancel} == dict.fromkeys(NAMES, "removed")


@group.indexed
async def queues_are_told_apart_exactly(kit: Kit) -> None:
    names = [name for name in NAMES if len(name.encode()) <= MAX_QUEUE_BYTES]
    assert len(names) == len(NAMES)
    for n, name in enumerate(names):
        await kit.send(f"t{n}", queue=name)
    stats = await kit.broker.stats()
    assert [one.queue for one in stats] == sorted(names)
    for n, name in enumerate(names):
        assert [record.id for record in await kit.pages(["PENDING"], queue=name)] == [f"t{n}"]
        assert await kit.drain(name) == [f"t{n}"]
    assert len(await kit.broker.get([f"t{n}" for n in range(len(names))])) == len(names)


@group
async def owners_are_told_apart_exactly(kit: Kit) -> None:
    deliveries = [await kit.take(f"t{n}", owner=name) for n, name in enumerate(NAMES)]
    assert [delivery.lease.owner for delivery in deliveries] == list(NAMES)
    assert await kit.broker.extend(NAMES, kit.lease) == ()
    for n, name in enumerate(NAMES):
        reclaimed = await kit.reclaim(owner=name)
        assert (reclaimed.released, reclaimed.owners) == ((f"t{n}",), (name,))
    assert sorted(await kit.broker.extend(NAMES, kit.lease)) == sorted(NAMES)


@group
async def tasks_are_counted_apart_exactly(kit: Kit) -> None:
    for n, name in enumerate(NAMES):
        await kit.settle(done(await kit.take(f"t{n}", task=name)))
    assert await kit.broker.tallies() == {(name, "SUCCESS"): 1 for name in NAMES}


@group
async def workers_roles_and_commands_are_told_apart_exactly(kit: Kit) -> None:
    _, cursor = await kit.broker.commands(None)
    for name in NAMES:
        await kit.broker.heartbeat(WorkerRecord(name=name, owners=(name,), info={name: name}), kit.lease)
        assert await kit.broker.elect(name, name, kit.lease) is True
        await kit.broker.broadcast(Command(id=name, name=name, arguments={name: name}, destination=(name,)))
        await kit.broker.reply([CommandReply(name, name, name)])
    workers = await kit.broker.workers()
    assert [(worker.name, worker.owners, worker.info) for worker in workers] == [
        (name, (name,), {name: name}) for name in sorted(NAMES)
    ]
    found, _ = await kit.broker.commands(cursor)
    assert [(command.id, command.arguments, command.destination) for command in found] == [
        (name, {name: name}, (name,)) for name in NAMES
    ]
    for name in NAMES:
        assert await kit.broker.replies(name) == (CommandReply(name, name, name),)
        assert await kit.broker.elect(name, "another", kit.lease) is False


@results
async def results_are_told_apart_exactly(kit: Kit) -> None:
    stored = [result(name, body=name.encode()) for name in NAMES]
    await kit.broker.store(stored)
    assert sorted(await kit.broker.fetch(NAMES), key=lambda one: NAMES.index(one.id)) == stored
    assert await kit.broker.discard(NAMES[:5]) == 5
    assert len(await kit.broker.fetch(NAMES)) == len(NAMES) - 5
