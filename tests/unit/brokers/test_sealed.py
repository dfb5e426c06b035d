"""What somebody who can write to the broker, and has no key, can and cannot do.

The attacker here has a broker of their own on the same store: everything that is stored, they can read, change, copy,
and put back.
"""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from celeriac.brokers.facade import SyncResultCalls
from celeriac.brokers.port import Capabilities, Command, CommandReply
from celeriac.brokers.sealed import SealedStore
from celeriac.brokers.sealed.operations import COMMAND_PATIENCE, SealedOperations
from celeriac.brokers.sealed.replay import TOLERANCE, mark_id
from celeriac.core import state
from celeriac.core.message import Delivery, Lease, Message, Settlement, Start, StoredResult
from celeriac.core.security import Guard
from celeriac.errors import DecodeError, ImproperlyConfigured, OperationalError, SecurityError
from celeriac.testing.faults import Fault, FaultyDriver, Script
from tests.support.sealed import KEY, OTHER_KEY, WINDOW, Broker, World, refused


@pytest.fixture
def world() -> World:
    return World()


# Changing, moving, stripping.


CHANGES: dict[str, dict[str, Any]] = {
    "arguments": {"body": b"[[1000000],{},null]"},
    "task": {"task": "refund"},
    "retries": {"retries": 5},
    "expiry": {"expires": 1e12},
    "eta": {"eta": 1.0},
    "header": {"headers": {"admin": True}},
    "priority": {"priority": 9},
    "time limit": {"timelimit": (1e9, None)},
    "ignore_result": {"ignore_result": True},
    "encoding": {"content_type": "application/x-python-serialize"},
    "compression": {"compression": "application/x-gzip"},
    "workflow": {"workflow": "w"},
    "root": {"root_id": "r"},
    "parked": {"parked_at": 1.0},
    "reply": {"reply_to": "me"},
    "no seal": {"seal": None},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_message_is_refused(world: World, change: dict[str, Any]) -> None:
    stolen = world.send()
    world.attacker.purge("celery")
    world.put(msgspec.structs.replace(stolen, **change))
    refused(world.one(), "not signed" if "seal" in change else "was changed")


def test_a_message_is_bound_to_its_id(world: World) -> None:
    stolen = world.send()
    world.put(msgspec.structs.replace(stolen, id="2"))
    first, second = world.claim()
    assert first.refusal is None
    refused(second, "was changed")


def test_bodies_cannot_be_exchanged(world: World) -> None:
    one, two = world.send("1", body=b"[[1],{},null]"), world.send("2", body=b"[[2],{},null]")
    world.attacker.purge("celery")
    world.put(msgspec.structs.replace(one, body=two.body))
    world.put(msgspec.structs.replace(two, seal=one.seal))
    for delivery in world.claim():
        refused(delivery, "was changed")


def test_a_message_is_bound_to_its_queue(world: World) -> None:
    world.app.enqueue([Message(id="1", task="pay", queue="trusted")])
    (record,) = world.attacker.get(["1"])
    assert record.message is not None
    world.attacker.purge("trusted")
    world.put(msgspec.structs.replace(record.message, queue="celery"))
    refused(world.one(), "was changed")


def test_a_message_that_lies_in_another_queue_than_it_says_is_refused(world: World) -> None:
    """Where the store keeps the queue beside the message, one can be moved without being touched."""
    sealed = world.send(queue="trusted")
    inner = SealedOperations(world.driver.operations, Guard(signing={"k": KEY}, encryption={}), world.clock)
    delivery = inner._opened(Delivery(sealed, Lease("1", "o", 1)), ["celery"])
    refused(delivery, "was sent to queue 'trusted' and lay in another")
    moved = inner._opened(Delivery(sealed, Lease("other", "o", 1)), ["trusted"])
    refused(moved, "message of task '1', under another id")
    assert inner._opened(Delivery(sealed, Lease("1", "o", 1)), ["trusted"]).refusal is None


def test_a_message_of_another_key_is_refused(world: World) -> None:
    world.with_keys(OTHER_KEY).enqueue([Message(id="1", task="pay")])
    refused(world.one(), "was changed")


def test_while_keys_are_introduced_unsealed_messages_are_accepted_and_changed_ones_refused(world: World) -> None:
    lax = world.with_keys(required=False)
    world.put(Message(id="plain", task="pay"))
    stolen = world.send("sealed")
    world.put(msgspec.structs.replace(stolen, id="copy"))
    plain, sealed, copy = world.claim(lax)
    assert plain.refusal is None
    assert sealed.refusal is None
    refused(copy, "was changed")
    assert lax.settle([Settlement(lease=one.lease, action="done") for one in (plain, sealed)]) == ()


# Playing back.


@pytest.mark.parametrize("another", [False, True], ids=["the same worker", "another worker"])
@pytest.mark.parametrize("how", ["done", "with a result"])
def test_a_message_that_ran_does_not_run_again(world: World, another: bool, how: str) -> None:
    stolen = world.send()
    result = StoredResult(id="1", state=state.SUCCESS) if how == "with a result" else None
    world.run(result=result)
    world.put(stolen)
    refused(world.one(world.with_keys() if another else None), "it was replayed")


def test_an_earlier_try_does_not_run_again(world: World) -> None:
    first = world.send()
    delivery = world.one()
    assert delivery.message is not None
    again = msgspec.structs.replace(delivery.message, retries=1)
    due = world.clock.now() + 60
    world.app.settle([Settlement(lease=delivery.lease, action="retry", message=again, due=due)])
    (record,) = world.attacker.get(["1"])
    assert record.message is not None
    world.attacker.cancel([StoredResult(id="1", state=state.REVOKED)])
    world.put(first)
    earlier = world.one()
    refused(earlier, "it was replayed")
    world.attacker.settle([Settlement(lease=earlier.lease, action="done")])
    # What is due now is no copy of what ran, even if an attacker took it away for a while.
    world.put(record.message)
    assert world.one().refusal is None


def test_a_cancelled_message_does_not_run(world: World) -> None:
    stolen = world.send()
    assert world.app.cancel([StoredResult(id="1", state=state.REVOKED)])[0].outcome == "removed"
    world.put(stolen)
    refused(world.one(), "it was replayed")


def test_a_message_older_than_the_window_is_refused(world: World) -> None:
    world.send()
    world.clock.advance(WINDOW - 1)
    delivery = world.one()
    assert delivery.refusal is None
    world.app.settle([Settlement(lease=delivery.lease, action="release")])
    world.clock.advance(2)
    refused(world.one(), "security_replay_window=1000")


def test_the_window_of_a_delayed_message_begins_when_it_is_due(world: World) -> None:
    stolen = world.send(eta=world.clock.now() + 5 * WINDOW)
    world.clock.advance(5.9 * WINDOW)
    world.run()
    world.put(stolen)
    refused(world.one(), "it was replayed")


@pytest.mark.parametrize("passed", [0.0, 0.5, 0.99, 1.01, 1.5, 10.0])
def test_at_no_time_is_a_copy_accepted(world: World, passed: float) -> None:
    """Marks are kept for longer than messages are accepted, also when they are pruned away."""
    stolen = world.send()
    world.run()
    world.clock.advance(passed * WINDOW)
    world.app.prune(None, 500)
    world.put(stolen)
    assert world.one().refusal is not None


def test_marks_go_when_nobody_needs_them_any_more(world: World) -> None:
    stolen = world.send()
    assert stolen.seal is not None
    mark = mark_id(stolen.seal.nonce)
    world.run()
    world.clock.advance(WINDOW + TOLERANCE - 1)
    world.app.prune(None, 500)
    assert len(world.attacker.fetch([mark])) == 1
    world.clock.advance(2)
    world.app.prune(None, 500)
    assert world.attacker.discard([mark]) == 0


# What is not an attack must pass.


def test_a_redelivery_after_a_lost_worker_passes(world: World) -> None:
    world.send()
    assert world.one().refusal is None
    world.clock.advance(61)
    assert world.app.reclaim("keeper", 10, crash_limit=3).released == ("1",)
    world.run()


def test_a_released_message_passes_again_and_again(world: World) -> None:
    world.send()
    for _ in range(5):
        world.run(action="release")
    world.run()
    assert world.claim() == []


def test_an_id_may_be_used_again(world: World) -> None:
    for _ in range(3):
        world.send()
        world.run()


def test_a_settlement_that_lost_its_lease_leaves_the_message_to_the_next(world: World) -> None:
    """The other worker's delivery may come again after a crash, so nothing may say that it ran."""
    world.send()
    late = world.one()
    world.clock.advance(61)
    world.app.reclaim("keeper", 10, crash_limit=3)
    other = world.with_keys()
    assert world.one(other).refusal is None
    assert world.app.settle([Settlement(lease=late.lease, action="done")]) == ("1",)
    world.clock.advance(61)
    world.app.reclaim("keeper", 10, crash_limit=3)
    world.run(other)


def test_a_settlement_whose_reply_was_lost_is_remembered_all_the_same(world: World) -> None:
    stolen = world.send()
    plan = Script()
    flaky = world.with_keys(driver=FaultyDriver(world.driver, plan))
    delivery = world.one(flaky)
    plan.add(Fault.LOSE_REPLY)
    with pytest.raises(OperationalError):
        flaky.settle([Settlement(lease=delivery.lease, action="done")])
    assert flaky.settle([Settlement(lease=delivery.lease, action="done")]) == ("1",)
    world.put(stolen)
    refused(world.one(), "it was replayed")


@pytest.mark.parametrize("fault", [Fault.LOSE_REQUEST, Fault.LOSE_REPLY])
def test_a_mark_that_cannot_be_written_is_written_with_the_next(world: World, fault: Fault) -> None:
    stolen = world.send()
    plan = Script()
    flaky = world.with_keys(driver=FaultyDriver(world.driver, plan))
    delivery = world.one(flaky)
    plan.add(Fault.NONE, fault)
    assert flaky.settle([Settlement(lease=delivery.lease, action="done")]) == ()
    world.put(stolen)
    copy = world.one(flaky)
    refused(copy, "it was replayed")
    world.attacker.settle([Settlement(lease=copy.lease, action="done")])
    world.send("2")
    world.run(flaky)
    world.put(stolen)
    refused(world.one(), "it was replayed")


def test_what_cannot_be_looked_up_is_neither_run_nor_lost(world: World) -> None:
    """The claim has leased it to this process, so it must come back with a word on what to do."""
    world.send()
    plan = Script([Fault.NONE, Fault.LOSE_REPLY])
    flaky = world.with_keys(driver=FaultyDriver(world.driver, plan))
    delivery = world.one(flaky)
    assert delivery.refusal is not None
    assert not delivery.refusal.final
    flaky.settle([Settlement(lease=delivery.lease, action="release")])
    world.run(flaky)


def test_nonsense_in_the_place_of_a_mark_refuses_its_message_and_no_other(world: World) -> None:
    sealed = [world.send("1"), world.send("2")]
    seal = sealed[0].seal
    assert seal is not None
    inner = world.driver.operations
    mark = mark_id(seal.nonce)

    class Nonsense:
        def __getattr__(self, name: str) -> Any:
            return getattr(inner, name)

        def fetch(self, ids: Any) -> Any:
            if mark in ids:
                raise DecodeError("nonsense")
            return (yield from inner.fetch(ids))

    class Driver:
        operations = Nonsense()

        def __getattr__(self, name: str) -> Any:
            return getattr(world.driver, name)

    first, second = world.claim(world.with_keys(driver=Driver()))
    refused(first, "it was replayed")
    assert second.refusal is None


def test_what_another_process_settles_of_a_dead_childs_is_remembered(world: World) -> None:
    stolen = world.send()
    delivery = world.one()
    keeper = world.with_keys()
    (record,) = keeper.get(["1"])
    assert record.refused is None
    assert keeper.settle([Settlement(lease=delivery.lease, action="done")]) == ()
    world.put(stolen)
    refused(world.one(), "it was replayed")


def test_verdicts_are_opened_too(world: World) -> None:
    world.send()
    delivery = world.one()
    world.app.start([Start(delivery.lease, once=True)])
    world.clock.advance(61)
    (verdict,) = world.app.reclaim("keeper", 10, crash_limit=3).verdicts
    assert verdict.refusal is None
    assert verdict.message == Message(id="1", task="pay")


# Dead letters.


def test_a_dead_letter_runs_again_when_somebody_with_the_keys_puts_it_back_however_late(world: World) -> None:
    stolen = world.send()
    world.run(action="dead", reason="no")
    world.clock.advance(3 * WINDOW)
    assert world.with_keys().revive(["1"]) == ("1",)
    world.run(world.with_keys())
    world.put(stolen)
    refused(world.one(), "it was replayed")


def test_a_dead_letter_does_not_run_when_somebody_without_the_keys_puts_it_back(world: World) -> None:
    world.send()
    world.run(action="dead", reason="no")
    assert world.attacker.revive(["1"]) == ("1",)
    refused(world.one(), "put back by somebody without this app's keys")


def test_a_forged_permission_to_run_again_is_refused(world: World) -> None:
    stolen = world.send()
    world.run()
    world.put(stolen)
    assert stolen.seal is not None
    world.attacker.store([StoredResult(id=mark_id(stolen.seal.nonce), state="RENEWED", body=b"")])
    refused(world.one(), "put back by somebody without this app's keys")


def test_a_permission_to_run_again_is_bound_to_its_message(world: World) -> None:
    one = world.send("1")
    world.run(action="dead", reason="no")
    world.app.revive(["1"])
    assert one.seal is not None
    (permission,) = world.attacker.fetch([mark_id(one.seal.nonce)])
    world.run()
    two = world.send("2")
    world.run()
    world.put(two)
    assert two.seal is not None
    world.attacker.store([msgspec.structs.replace(permission, id=mark_id(two.seal.nonce))])
    refused(world.one(), "put back by somebody without this app's keys")


def test_reviving_a_copy_of_what_ran_does_not_run_it(world: World) -> None:
    stolen = world.send()
    world.run()
    world.put(stolen)
    copy = world.one()
    world.app.settle([Settlement(lease=copy.lease, action="dead", reason="refused")])
    assert world.app.revive(["1"]) == ("1",)
    refused(world.one(), "it was replayed")


def test_a_refused_message_is_kept_as_it_came_and_shown_with_the_reason(world: World) -> None:
    stolen = world.send()
    changed = msgspec.structs.replace(stolen, id="2", task="refund")
    world.put(changed)
    _, copy = world.claim()
    world.app.settle([Settlement(lease=copy.lease, action="dead", reason="refused")])
    (record,) = world.app.page([state.DEAD], None, 0, 10)
    assert record.message == changed
    assert record.refused is not None
    assert "was changed" in record.refused


# Results.


@pytest.fixture
def result(world: World) -> StoredResult:
    world.app.store([StoredResult(id="1", state=state.SUCCESS, body=b"1")])
    return world.attacker.fetch(["1"])[0]


@pytest.mark.parametrize(
    "change",
    [{"body": b"2"}, {"state": state.FAILURE}, {"seal": None}, {"task": "t"}, {"children": ("x",)}, {"expires": 1e12}],
    ids=repr,
)
def test_a_changed_result_is_an_error_for_its_reader(
    world: World, result: StoredResult, change: dict[str, Any]
) -> None:
    assert world.app.fetch(["1"])[0].body == b"1"
    world.attacker.store([msgspec.structs.replace(result, **change)])
    with pytest.raises(SecurityError, match="the result of task 1 is refused"):
        world.app.fetch(["1"])


def test_results_cannot_be_exchanged(world: World, result: StoredResult) -> None:
    world.attacker.store([msgspec.structs.replace(result, id="2")])
    with pytest.raises(SecurityError, match="the result of task 2 is refused"):
        world.app.fetch(["2"])


def test_a_result_that_lies_in_the_place_of_another_is_an_error(world: World, result: StoredResult) -> None:
    inner = SealedOperations(world.driver.operations, Guard(signing={"k": KEY}, encryption={}), world.clock)
    operation = inner.fetch(["2"])
    next(operation)
    with pytest.raises(SecurityError, match="in the place of another's"):
        operation.send([result])


def test_a_forged_success_is_an_error(world: World) -> None:
    world.send()
    world.attacker.store([StoredResult(id="1", state=state.SUCCESS, body=b"true")])
    with pytest.raises(SecurityError, match="not signed"):
        world.app.fetch(["1"])


def test_a_result_store_of_its_own_is_sealed_as_well(world: World) -> None:
    guard = Guard(signing={}, encryption={"k": KEY})
    store: SyncResultCalls[Any] = SyncResultCalls(SealedStore(world.driver, guard, world.clock))
    one = StoredResult(id="1", state=state.SUCCESS, body=b'"hunter2"')
    store.store([one])
    assert store.fetch(["1"]) == [one]
    assert b"hunter2" not in world.attacker.fetch(["1"])[0].body
    store.progress([StoredResult(id="2", state="PROGRESS")])
    assert store.fetch(["2"])[0].state == "PROGRESS"
    assert store.discard(["1"]) == 1


# Remote commands.


def listen(broker: Broker) -> Callable[[], list[Command]]:
    _, start = broker.commands(None)
    cursor = start

    def news() -> list[Command]:
        nonlocal cursor
        found, cursor = broker.commands(cursor)
        return list(found)

    return news


def test_a_command_is_read_by_those_with_the_key(world: World) -> None:
    news = listen(world.app)
    world.with_keys().broadcast(Command(id="c", name="revoke", arguments={"ids": ["1"]}, destination=("w",)))
    (command,) = news()
    assert (command.name, command.arguments, command.refused) == ("revoke", {"ids": ["1"]}, None)


@pytest.mark.parametrize(
    "change",
    [{"seal": None}, {"name": "shutdown"}, {"arguments": {"ids": ["2"]}}, {"destination": None}, {"expires_in": 1e9}],
    ids=repr,
)
def test_a_forged_command_is_refused(world: World, change: dict[str, Any]) -> None:
    stealing, news = listen(world.attacker), listen(world.app)
    world.app.broadcast(Command(id="c", name="revoke", arguments={"ids": ["1"]}, destination=("w",)))
    (stolen,) = stealing()
    assert [one.refused for one in news()] == [None]
    world.attacker.broadcast(msgspec.structs.replace(stolen, id="d", **change))
    world.attacker.broadcast(msgspec.structs.replace(stolen, **change))
    assert all(one.refused for one in news())


def test_a_command_is_carried_out_once(world: World) -> None:
    stealing, news = listen(world.attacker), listen(world.app)
    world.app.broadcast(Command(id="c", name="shutdown"))
    (stolen,) = stealing()
    (first,) = news()
    world.attacker.broadcast(stolen)
    (again,) = news()
    assert first.refused is None
    assert again.refused is not None
    assert "replayed" in again.refused
    world.clock.advance(first.expires_in + COMMAND_PATIENCE + 1)
    late = listen(other := world.with_keys())
    world.attacker.broadcast(stolen)
    assert [bool(one.refused and "older" in one.refused) for one in late()] == [True]
    assert other.commands(None)[0] == ()


def test_a_forged_answer_says_that_it_is_refused(world: World) -> None:
    world.app.reply([CommandReply("c", "a@h", {"ok": 1})])
    world.attacker.reply([CommandReply("c", "b@h", {"ok": 1})])
    good, bad = world.app.replies("c")
    assert good.value == {"ok": 1}
    assert "this answer is refused" in bad.value["error"]


# What cannot be done.


def test_a_broker_that_keeps_no_results_cannot_remember_and_says_so(world: World) -> None:
    class Driver:
        capabilities = Capabilities(name="forgetful", durable=True, shared=True, results=False, push=True)

        def __getattr__(self, name: str) -> Any:
            return getattr(world.driver, name)

    with pytest.raises(ImproperlyConfigured, match=r"forgetful broker cannot remember.*security_replay_window=None"):
        world.with_keys(driver=Driver())
    world.with_keys(driver=Driver(), window=None)


def test_without_a_window_nothing_is_remembered(world: World) -> None:
    free = world.with_keys(window=None)
    stolen = world.send()
    world.run(free)
    world.clock.advance(1e6)
    world.put(stolen)
    world.run(free)
