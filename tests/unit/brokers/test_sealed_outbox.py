"""Messages that were sealed when they were written to an outbox, and are published later."""

from __future__ import annotations

import pytest

from celeriac.brokers.facade import SyncBroker
from celeriac.brokers.sealed import ForwardingDriver
from celeriac.brokers.sealed.replay import mark_id
from celeriac.core.message import Message
from celeriac.core.security import MESSAGE, Guard
from celeriac.errors import OperationalError
from celeriac.testing.faults import Fault, FaultyDriver, Script
from tests.support.sealed import KEY, OTHER_KEY, WINDOW, Broker, World, refused


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def forward(world: World) -> Broker:
    guard = Guard(signing={"k": KEY}, encryption={}, window=WINDOW)
    return SyncBroker(ForwardingDriver(world.driver, guard, world.clock))


def written(world: World, key: bytes = KEY) -> Message:
    guard = Guard(signing={"k": key}, encryption={}, window=WINDOW)
    return guard.seal(MESSAGE, Message(id="1", task="pay"), world.clock.now())


@pytest.mark.parametrize("waited", [0.0, 0.05, 0.5, 0.99, 1.5, 100.0])
def test_the_window_begins_when_it_is_published(world: World, forward: Broker, waited: float) -> None:
    message = written(world)
    world.clock.advance(waited * WINDOW)
    forward.enqueue([message])
    world.clock.advance(0.89 * WINDOW)
    world.run()
    world.put(message)
    refused(world.one(), "it was replayed")


def test_it_is_refused_when_the_window_after_that_is_over(world: World, forward: Broker) -> None:
    message = written(world)
    world.clock.advance(5 * WINDOW)
    forward.enqueue([message])
    world.clock.advance(1.01 * WINDOW)
    refused(world.one(), "security_replay_window=1000")


@pytest.mark.parametrize("passed", [0.0, 0.5, 1.0, 1.2, 5.0])
def test_a_copy_in_the_broker_is_refused_at_any_time(world: World, forward: Broker, passed: float) -> None:
    message = written(world)
    world.clock.advance(5 * WINDOW)
    forward.enqueue([message])
    world.run()
    world.clock.advance(passed * WINDOW)
    world.app.prune(None, 500)
    world.put(message)
    assert world.one().refusal is not None


def test_one_that_is_published_again_after_it_ran_does_not_run(world: World, forward: Broker) -> None:
    message = written(world)
    world.clock.advance(5 * WINDOW)
    forward.enqueue([message])
    world.run()
    forward.enqueue([message])
    refused(world.one(), "it was replayed")


def test_one_that_is_published_again_as_a_dead_letter_stays_one(world: World, forward: Broker) -> None:
    message = written(world)
    world.clock.advance(5 * WINDOW)
    forward.enqueue([message])
    world.run(action="dead")
    forward.enqueue([message])
    world.attacker.revive(["1"])
    refused(world.one(), "put back by somebody without this app's keys")


def test_a_forged_one_is_not_made_younger(world: World, forward: Broker) -> None:
    message = written(world, OTHER_KEY)
    world.clock.advance(5 * WINDOW)
    forward.enqueue([message])
    assert message.seal is not None
    assert world.attacker.fetch([mark_id(message.seal.nonce)]) == []
    refused(world.one(), "is not what key 'k' signed")


def test_nothing_is_published_whose_mark_cannot_be_kept(world: World) -> None:
    message = written(world)
    world.clock.advance(5 * WINDOW)
    script = Script([Fault.NONE, Fault.LOSE_REQUEST])
    guard = Guard(signing={"k": KEY}, encryption={}, window=WINDOW)
    forward = SyncBroker(ForwardingDriver(FaultyDriver(world.driver, script), guard, world.clock))
    with pytest.raises(OperationalError):
        forward.enqueue([message])
    assert world.claim() == []
