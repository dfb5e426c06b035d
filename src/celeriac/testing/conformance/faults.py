"""A request or a reply that is lost on the way does no harm: the caller does the same again, or the lease runs out.

Each case loses, one after the other, every request and every reply of an operation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from celeriac.brokers.port import WorkerRecord
from celeriac.core.message import Delivery, Lease, Message, Settlement, Start
from celeriac.errors import OperationalError
from celeriac.testing.conformance.group import Group
from celeriac.testing.conformance.kit import Broker, Kit, dead, done, ids, release, result, retry
from celeriac.testing.faults import Fault, Script

group = Group("faults")
results = Group("faults-results", needs=lambda capabilities: capabilities.results)

T = TypeVar("T")


async def each_fault(
    kit: Kit,
    prepare: Callable[[str], Awaitable[T]],
    act: Callable[[Broker, T], Awaitable[object]],
    check: Callable[[T], Awaitable[None]],
    *,
    again: bool = True,
) -> None:
    """Lose every request and every reply of ``act`` in turn, and check what came of it.

    ``prepare`` is given a name that was not used before. With ``again``, the act is repeated after a fault, as a
    caller would.
    """
    for fault in (Fault.LOSE_REQUEST, Fault.LOSE_REPLY):
        place = 0
        while True:
            script = Script([Fault.NONE] * place + [fault])
            broker = kit.flaky(script)
            subject = await prepare(f"{fault.value} {place}")
            try:
                await act(broker, subject)
            except OperationalError:
                if again:
                    await act(broker, subject)
            await check(subject)
            if script.pending:
                assert place > 0, "no request was made"
                break
            place += 1


@group
async def enqueue(kit: Kit) -> None:
    async def prepare(name: str) -> list[str]:
        return [f"{name} a", f"{name} b"]

    async def act(broker: Broker, names: list[str]) -> None:
        await broker.enqueue([kit.message(id) for id in names])

    async def check(names: list[str]) -> None:
        assert await kit.drain() == names

    await each_fault(kit, prepare, act, check)


@group
async def enqueue_of_one(kit: Kit) -> None:
    async def prepare(name: str) -> str:
        return name

    async def act(broker: Broker, name: str) -> None:
        await broker.enqueue([kit.message(name)])

    async def check(name: str) -> None:
        assert await kit.drain() == [name]

    await each_fault(kit, prepare, act, check)


@group
async def claim(kit: Kit) -> None:
    # What was claimed in a reply that never came is owned by somebody who does not know: its lease runs out.
    async def prepare(name: str) -> str:
        await kit.send(name)
        return name

    async def act(broker: Broker, name: str) -> None:
        await broker.claim(["celery"], 10, f"owner of {name}", kit.lease)

    async def check(name: str) -> None:
        if await kit.state(name) == "RECEIVED":
            await kit.lapse()
            assert (await kit.reclaim()).released == (name,)
        delivery = await kit.take_next(name)
        assert delivery.crashes == 0
        await kit.settle(done(delivery))

    await each_fault(kit, prepare, act, check, again=False)


@group
async def start(kit: Kit) -> None:
    async def prepare(name: str) -> Delivery:
        return await kit.take(name)

    async def act(broker: Broker, delivery: Delivery) -> None:
        assert await broker.start([Start(delivery.lease)]) == ()

    async def check(delivery: Delivery) -> None:
        assert await kit.state(delivery.lease.id) == "STARTED"
        await kit.lapse()
        await kit.reclaim()
        again = await kit.take_next(delivery.lease.id)
        assert again.crashes == 1, "one start, one crash"
        await kit.settle(done(again))

    await each_fault(kit, prepare, act, check)


@group
async def extend(kit: Kit) -> None:
    async def prepare(name: str) -> Delivery:
        delivery = await kit.take(name)
        await kit.advance(kit.lease * 0.75)
        return delivery

    async def act(broker: Broker, delivery: Delivery) -> None:
        assert await broker.extend(["w1"], kit.lease) == ()

    async def check(delivery: Delivery) -> None:
        await kit.advance(kit.lease * 0.75)
        assert (await kit.reclaim()).released == ()
        await kit.settle(done(delivery))

    await each_fault(kit, prepare, act, check)


async def settle_each_way(kit: Kit, make: Callable[[Delivery], Settlement], state: str | None) -> None:
    """Lose parts of a settlement; afterwards its message is in this state, and its follow-up is there once."""

    async def prepare(name: str) -> Settlement:
        return make(await kit.take(name, task=f"proj.{name}"))

    async def act(broker: Broker, settlement: Settlement) -> None:
        assert await broker.settle([settlement]) in ((), (settlement.lease.id,))

    async def check(settlement: Settlement) -> None:
        id = settlement.lease.id
        assert await kit.state(id) == state
        assert await kit.drain("next") == [f"after {id}"]
        counts = {name: count for (name, _), count in (await kit.broker.tallies()).items()}
        assert counts.get(f"proj.{id}", 0) == (0 if settlement.action == "release" else 1)
        assert await kit.broker.settle([settlement]) == (id,)
        await kit.broker.purge("celery")

    await each_fault(kit, prepare, act, check)


@group
async def settle_done(kit: Kit) -> None:
    await settle_each_way(kit, lambda delivery: done(delivery, follow_ups=after(kit, delivery)), None)


@group
async def settle_release(kit: Kit) -> None:
    await settle_each_way(kit, lambda delivery: release(delivery, follow_ups=after(kit, delivery)), "PENDING")


@group
async def settle_dead(kit: Kit) -> None:
    await settle_each_way(kit, lambda delivery: dead(delivery, follow_ups=after(kit, delivery)), "DEAD")


@group
async def settle_retry(kit: Kit) -> None:
    def make(delivery: Delivery) -> Settlement:
        return retry(delivery, due=kit.now() + kit.lease, follow_ups=after(kit, delivery))

    await settle_each_way(kit, make, "RETRY")


def after(kit: Kit, delivery: Delivery) -> tuple[Message]:
    """Return what follows a delivery."""
    return (kit.message(f"after {delivery.lease.id}", queue="next"),)


@group
async def promote(kit: Kit) -> None:
    async def prepare(name: str) -> str:
        await kit.send(name, eta=kit.now() + kit.lease)
        await kit.advance(kit.lease * 1.1)
        return name

    async def act(broker: Broker, name: str) -> None:
        await broker.promote(10)

    async def check(name: str) -> None:
        assert await kit.state(name) == "PENDING"
        assert await kit.drain() == [name]

    await each_fault(kit, prepare, act, check)


@group
async def reclaim(kit: Kit) -> None:
    async def prepare(name: str) -> str:
        await kit.take(name, owner=f"owner of {name}")
        return name

    async def act(broker: Broker, name: str) -> None:
        await broker.reclaim("reaper", 10, crash_limit=3, owner=f"owner of {name}")

    async def check(name: str) -> None:
        assert (await kit.take_next(name)).crashes == 0
        assert await kit.broker.extend([f"owner of {name}"], kit.lease) == (f"owner of {name}",)

    await each_fault(kit, prepare, act, check)


@group
async def reclaim_with_verdicts(kit: Kit) -> None:
    # A verdict in a reply that never came is owned by a judge who does not know of it. It must come up again.
    async def prepare(name: str) -> Lease:
        delivery = await kit.take(name, owner=f"owner of {name}")
        await kit.broker.start([Start(delivery.lease, once=True)])
        return delivery.lease

    async def act(broker: Broker, lease: Lease) -> None:
        await broker.reclaim("judge", 10, crash_limit=3, owner=lease.owner, guilty=[lease])

    async def check(lease: Lease) -> None:
        name = lease.id
        reclaimed = await kit.reclaim(by="second judge", owner="judge")
        assert ids(reclaimed.verdicts) == [name]
        assert reclaimed.verdicts[0].crashes == 1
        await kit.settle(dead(reclaimed.verdicts[0]))

    await each_fault(kit, prepare, act, check)


@group
async def cancel(kit: Kit) -> None:
    async def prepare(name: str) -> tuple[str, Delivery]:
        delivery = await kit.take(f"owned {name}")
        await kit.send(f"waiting {name}")
        return name, delivery

    async def act(broker: Broker, subject: tuple[str, Delivery]) -> None:
        name, _ = subject
        await broker.cancel([result(f"waiting {name}", "REVOKED"), result(f"owned {name}", "REVOKED")])

    async def check(subject: tuple[str, Delivery]) -> None:
        name, delivery = subject
        assert await kit.state(f"waiting {name}") is None
        await kit.settle(release(delivery))
        assert await kit.state(f"owned {name}") is None

    await each_fault(kit, prepare, act, check)


@group
async def revive(kit: Kit) -> None:
    async def prepare(name: str) -> str:
        await kit.settle(dead(await kit.take(name)))
        return name

    async def act(broker: Broker, name: str) -> None:
        await broker.revive([name])

    async def check(name: str) -> None:
        assert await kit.drain() == [name]

    await each_fault(kit, prepare, act, check)


@group
async def heartbeat_elect_resign_and_forget(kit: Kit) -> None:
    async def prepare(name: str) -> str:
        return name

    async def enter(broker: Broker, name: str) -> None:
        await broker.heartbeat(WorkerRecord(name=name), kit.lease)
        assert await broker.elect("beat", name, kit.lease) is True

    async def entered(name: str) -> None:
        assert [worker.name for worker in await kit.broker.workers()] == [name]
        assert await kit.broker.elect("beat", "another", kit.lease) is False
        await leave(kit.broker, name)

    async def leave(broker: Broker, name: str) -> None:
        await broker.forget(name, [])
        await broker.resign("beat", name)

    async def arrive(name: str) -> str:
        await enter(kit.broker, name)
        return name

    async def left(name: str) -> None:
        assert await kit.broker.workers() == []
        assert await kit.broker.elect("beat", "another", kit.lease) is True
        await kit.broker.resign("beat", "another")

    await each_fault(kit, prepare, enter, entered)
    for worker in await kit.broker.workers():
        await leave(kit.broker, worker.name)
    await each_fault(kit, arrive, leave, left)


@group
async def a_request_that_was_lost_changed_nothing(kit: Kit) -> None:
    script = Script()
    broker = kit.flaky(script)
    delivery = await kit.take("a", queue="two")
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: broker.enqueue([kit.message("b")]),
        lambda: broker.settle([done(delivery)]),
        lambda: broker.start([Start(delivery.lease)]),
        lambda: broker.reclaim("reaper", 10, crash_limit=3, owner="w1"),
        lambda: broker.extend(["w1"], kit.lease),
    ]
    for call in calls:
        script.add(Fault.LOSE_REQUEST)
        try:
            await call()
        except OperationalError:
            pass
        else:
            raise AssertionError("the loss was hidden from the caller")
    assert await kit.drain() == []
    assert (await kit.record("a")).token == delivery.lease.token
    assert await kit.state("a") == "RECEIVED"


@results
async def settle_with_result(kit: Kit) -> None:
    async def prepare(name: str) -> Delivery:
        return await kit.take(name)

    async def act(broker: Broker, delivery: Delivery) -> None:
        await broker.settle([done(delivery, result=result(delivery.lease.id, body=b"42"))])

    async def check(delivery: Delivery) -> None:
        assert await kit.result(delivery.lease.id) == result(delivery.lease.id, body=b"42")

    await each_fault(kit, prepare, act, check)


@results
async def store_and_progress(kit: Kit) -> None:
    async def prepare(name: str) -> str:
        return name

    async def act(broker: Broker, name: str) -> None:
        await broker.progress([result(name, "PROGRESS")])
        await broker.store([result(name, body=b"1")])

    async def check(name: str) -> None:
        assert await kit.result(name) == result(name, body=b"1")

    await each_fault(kit, prepare, act, check)
