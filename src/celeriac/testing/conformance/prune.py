"""Pruning forgets what has expired, and nothing else."""

from __future__ import annotations

from celeriac.brokers.port import Command, WorkerRecord
from celeriac.core.message import Start
from celeriac.testing.conformance.group import Group
from celeriac.testing.conformance.kit import Kit, dead, ids, result, retry

group = Group("prune")
results = Group("prune-results", needs=lambda capabilities: capabilities.results)


@group
async def an_empty_store_has_nothing_to_forget(kit: Kit) -> None:
    assert await kit.broker.prune(0.0, 100) == 0
    assert await kit.broker.prune(None, 100) == 0


@group.indexed
async def what_is_alive_stays(kit: Kit) -> None:
    await kit.send("ready")
    await kit.send("later", eta=kit.now() + kit.lease * 9)
    received = await kit.take("received", queue="two", owner="w1")
    started = await kit.take("started", queue="two", owner="w2")
    await kit.broker.start([Start(started.lease)])
    await kit.settle(retry(await kit.take("retry", queue="two", owner="w3"), due=kit.now() + kit.lease * 9))
    await kit.broker.heartbeat(WorkerRecord(name="w@h", owners=("w1",)), kit.lease * 9)
    _, cursor = await kit.broker.commands(None)
    await kit.broker.broadcast(Command(id="c", name="ping", expires_in=kit.lease * 9))
    assert await kit.broker.prune(0.0, 100) == 0
    states = [await kit.state(id) for id in ("ready", "later", "received", "started", "retry")]
    assert states == ["PENDING", "SCHEDULED", "RECEIVED", "STARTED", "RETRY"]
    assert [worker.name for worker in await kit.broker.workers()] == ["w@h"]
    assert [command.id for command in (await kit.broker.commands(cursor))[0]] == ["c"]
    assert await kit.broker.extend(["w1", "w2"], kit.lease) == ()
    assert await kit.broker.settle([dead(received), dead(started)]) == ()


@group
async def what_a_lapsed_owner_holds_is_not_forgotten(kit: Kit) -> None:
    await kit.take("a")
    await kit.advance(kit.lease * 3)
    await kit.broker.prune(0.0, 100)
    assert await kit.state("a") == "RECEIVED"
    assert (await kit.reclaim()).released == ("a",)


@group
async def expired_commands_and_vanished_workers_and_owners_go(kit: Kit) -> None:
    _, cursor = await kit.broker.commands(None)
    await kit.broker.broadcast(Command(id="c", name="ping", expires_in=kit.lease))
    await kit.broker.heartbeat(WorkerRecord(name="w@h"), kit.lease)
    await kit.broker.extend(["w1"], kit.lease)
    await kit.take("a", owner="w2")
    await kit.lapse()
    went = await kit.broker.prune(None, 100)
    assert went == (1 if kit.capabilities.expires else 3), "the owner that holds something stays"
    assert await kit.broker.prune(None, 100) == 0
    assert (await kit.broker.commands(cursor))[0] == ()
    assert await kit.broker.workers() == []


@group
async def it_counts_dead_letters(kit: Kit) -> None:
    for id in ("a", "b", "c"):
        await kit.settle(dead(await kit.take(id)))
    await kit.broker.extend(["w1"], kit.lease * 9)
    await kit.advance(kit.lease * 2)
    assert await kit.broker.prune(kit.lease, 2) == 2
    assert await kit.broker.prune(kit.lease, 2) == 1
    assert await kit.broker.prune(kit.lease, 2) == 0


@group
async def an_owner_hears_of_its_ended_lease_although_the_store_was_pruned(kit: Kit) -> None:
    await kit.take("a", owner="w1")
    await kit.lapse()
    await kit.reclaim()
    await kit.broker.prune(None, 100)
    assert await kit.broker.extend(["w1"], kit.lease) == ("w1",)
    assert ids(await kit.claim()) == ["a"]


@results
async def expired_results_go(kit: Kit) -> None:
    soon = kit.now() + kit.lease
    await kit.broker.store([result("a", expires=soon), result("b", expires=soon), result("c", expires=soon)])
    await kit.broker.store([result("later", expires=kit.now() + kit.lease * 99), result("never")])
    assert await kit.broker.prune(None, 100) == 0
    await kit.lapse()
    if not kit.capabilities.expires:
        assert await kit.broker.prune(None, 2) == 2
        assert await kit.broker.prune(None, 2) == 1
    assert await kit.broker.prune(None, 2) == 0
    found = await kit.broker.fetch(["a", "b", "c", "later", "never"])
    assert sorted(stored.id for stored in found) == ["later", "never"]
