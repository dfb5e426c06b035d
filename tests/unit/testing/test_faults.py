"""Faults happen as planned: a lost request is not carried out, a lost reply is, and the caller cannot tell."""

import asyncio
import time

import pytest

from celeriac.brokers import connect
from celeriac.brokers.facade import AsyncBroker, SyncBroker
from celeriac.core.message import Message
from celeriac.errors import OperationalError
from celeriac.testing.faults import Chance, Fault, FaultyDriver, Plan, Script


class Broken:
    """A memory store behind a driver that fails as planned, driven either way, and a look past the faults."""

    def __init__(self, plan: Plan, mode: str, name: str) -> None:
        inner = connect(f"memory://{name}")
        self.driver = FaultyDriver(inner, plan, delay=0.02)
        self.sound = SyncBroker(inner)
        self.mode = mode

    def enqueue(self, id: str) -> None:
        message = Message(id=id, task="t")
        if self.mode == "sync":
            with SyncBroker(self.driver) as broker:
                broker.enqueue([message])
            return

        async def scenario() -> None:
            async with AsyncBroker(self.driver) as broker:
                await broker.enqueue([message])

        asyncio.run(scenario())

    def kept(self) -> list[str]:
        return [record.id for record in self.sound.page(["PENDING"], None, 0, 1000)]


@pytest.fixture(params=["sync", "async"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_without_a_fault_nothing_is_different(mode: str, request: pytest.FixtureRequest) -> None:
    broken = Broken(Script(), mode, request.node.name)
    broken.enqueue("a")
    assert broken.kept() == ["a"]
    assert broken.driver.capabilities == connect("memory://").capabilities


def test_a_lost_request_is_not_carried_out(mode: str, request: pytest.FixtureRequest) -> None:
    broken = Broken(Script([Fault.LOSE_REQUEST]), mode, request.node.name)
    with pytest.raises(OperationalError, match="request was lost"):
        broken.enqueue("a")
    assert broken.kept() == []
    broken.enqueue("b")
    assert broken.kept() == ["b"]


def test_a_lost_reply_belongs_to_a_request_that_was_carried_out(mode: str, request: pytest.FixtureRequest) -> None:
    broken = Broken(Script([Fault.NONE, Fault.LOSE_REPLY]), mode, request.node.name)
    broken.enqueue("a")
    with pytest.raises(OperationalError, match="reply was lost"):
        broken.enqueue("b")
    assert broken.kept() == ["a", "b"]


def test_a_delayed_request_is_carried_out_later(mode: str, request: pytest.FixtureRequest) -> None:
    broken = Broken(Script([Fault.DELAY]), mode, request.node.name)
    started = time.monotonic()
    broken.enqueue("a")
    assert time.monotonic() - started >= 0.02
    assert broken.kept() == ["a"]


def test_a_script_can_go_on_and_says_what_is_left() -> None:
    script = Script([Fault.DELAY])
    assert script.pending == 1
    assert [script.next(), script.next()] == [Fault.DELAY, Fault.NONE]
    script.add(Fault.LOSE_REPLY, Fault.LOSE_REQUEST)
    assert script.pending == 2
    assert [script.next(), script.next(), script.next()] == [Fault.LOSE_REPLY, Fault.LOSE_REQUEST, Fault.NONE]


def test_chance_is_the_same_for_the_same_seed_and_keeps_its_rate() -> None:
    def draw(seed: int) -> list[Fault]:
        chance = Chance(seed, 0.25)
        return [chance.next() for _ in range(4000)]

    faults = draw(7)
    assert faults == draw(7)
    assert faults != draw(8)
    happened = [fault for fault in faults if fault is not Fault.NONE]
    assert 0.2 < len(happened) / len(faults) < 0.3
    assert set(happened) == {Fault.LOSE_REQUEST, Fault.LOSE_REPLY}
    assert {Chance(1, 1.0, faults=[Fault.DELAY]).next() for _ in range(20)} == {Fault.DELAY}


def test_nothing_is_lost_or_doubled_by_a_producer_that_repeats_what_failed(request: pytest.FixtureRequest) -> None:
    broken = Broken(Chance(seed=11, rate=0.5), "sync", request.node.name)
    failures = 0
    for n in range(200):
        while True:
            try:
                broken.enqueue(f"t{n}")
            except OperationalError:
                failures += 1
            else:
                break
    assert failures > 50
    assert broken.kept() == [f"t{n}" for n in range(200)]
