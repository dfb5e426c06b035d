"""Every connection to a store sees the same, and a durable store keeps it when the last connection is gone."""

from __future__ import annotations

from celeriac.brokers.port import Command, CommandReply, WorkerRecord
from celeriac.testing.conformance.group import Group
from celeriac.testing.conformance.kit import Kit, dead, done, ids, result, retry

shared = Group("sharing")
durable = Group("durability", needs=lambda capabilities: capabilities.durable)


@shared.indexed
async def what_one_connection_does_another_sees(kit: Kit) -> None:
    other = kit.another()
    await kit.send("a", "b", "c")
    first, second = await other.claim(["celery"], 2, "w1", kit.lease)
    assert ids([first, second]) == ["a", "b"]
    assert await kit.state("a") == "RECEIVED"
    assert await kit.broker.settle([done(first)]) == ()
    assert await other.settle([done(first)]) == ("a",)
    assert await other.enqueue([kit.message("c")]) == ("c",)
    await other.broadcast(Command(id="c", name="ping"))
    assert await other.elect("beat", "me", kit.lease) is True
    assert await kit.broker.elect("beat", "you", kit.lease) is False


@shared.indexed
async def a_closed_broker_opens_again_with_the_next_call(kit: Kit) -> None:
    other = kit.another()
    await kit.send("a")
    await other.close()
    assert [record.id for record in await other.get(["a"])] == ["a"]
    await other.close()
    await other.close()
    assert await kit.drain() == ["a"]


@durable
async def what_was_enqueued_survives_the_end_of_every_connection(kit: Kit) -> None:
    await kit.send("ready", priority=3)
    await kit.send("urgent", priority=5)
    await kit.send("later", eta=kit.now() + kit.lease * 5)
    owned = await kit.take("owned", queue="two")
    await kit.settle(dead(await kit.take("dead", queue="two"), "why"))
    await kit.settle(retry(await kit.take("retry", queue="two"), due=kit.now() + kit.lease * 5))
    await kit.broker.store([result("done", body=b"1")])
    await kit.broker.heartbeat(WorkerRecord(name="w@h"), kit.lease * 5)
    _, cursor = await kit.broker.commands(None)
    await kit.broker.broadcast(Command(id="c", name="ping", expires_in=kit.lease * 50))
    await kit.broker.reply([CommandReply("c", "w@h", 1)])
    await kit.close()
    later = kit.another()
    assert await later.verify() >= 1
    states = {record.id: record.state for record in await later.get(["later", "owned", "dead", "retry"])}
    assert states == {"later": "SCHEDULED", "owned": "RECEIVED", "dead": "DEAD", "retry": "RETRY"}
    assert ids(await later.claim(["celery"], 10, "w2", kit.lease)) == ["urgent", "ready"]
    assert await later.settle([done(owned)]) == ()
    assert [stored.body for stored in await later.fetch(["done"])] == [b"1"]
    assert [worker.name for worker in await later.workers()] == ["w@h"]
    assert [command.id for command in (await later.commands(cursor))[0]] == ["c"]
    assert len(await later.replies("c")) == 1
