"""Starts that the broker must know of before a task's code runs, recorded by the engine's loop or by the slot."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import pytest

from celeriac.brokers import connect
from celeriac.brokers.facade import AsyncBroker
from celeriac.core import state
from celeriac.core.message import Start
from celeriac.errors import OperationalError
from celeriac.worker.engine import Direct
from tests.support.house import House, at_work, until

Answer: TypeAlias = Callable[[Sequence[Start]], tuple[str, ...]]


class Answering(AsyncBroker[Any, Any]):
    """A broker whose answer to starts a test gives."""

    answer: Answer

    async def start(self, starts: Sequence[Start]) -> tuple[str, ...]:
        return self.answer(starts)


class Recorder:
    """The same for the threads of slots."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def start(self, starts: Sequence[Start]) -> tuple[str, ...]:
        return self._answer(starts)


class Way(NamedTuple):
    """By which starts are recorded."""

    direct: bool

    def answering(self, house: House, answer: Answer | None = None) -> tuple[Answering, Direct | None]:
        """Return the engine's broker and its slots' own way, of which the one that is used answers."""
        broker = Answering(connect(house.url))
        if self.direct:
            broker.answer = lambda starts: pytest.fail("the loop was asked to record a start")
            return broker, Direct(Recorder(answer or house.app.broker.start), house.app.backend)
        broker.answer = answer or house.app.broker.start
        return broker, None


@pytest.fixture(params=[False, True], ids=["loop", "slot"])
def way(request: pytest.FixtureRequest) -> Way:
    return Way(request.param)


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = House(tmp_path, shape={}, settings={})
    plain: Any = house.app.tasks["plain"].run
    house.app.task(name="once", bind=True, acks_late=False)(plain.__func__)
    house.app.task(name="told", bind=True, track_started=True)(plain.__func__)
    return house


async def test_a_suspect_that_was_taken_over_does_not_run_and_the_engine_goes_on(house: House, way: Way) -> None:
    (suspect,) = house.send("plain")
    house.crash(suspect, 1)
    others = house.send("plain", 10)
    async with at_work(house, *way.answering(house, lambda starts: tuple(one.lease.id for one in starts))) as engine:
        assert set((await house.over(others)).values()) == {state.SUCCESS}
        assert suspect not in house.runs
        await until(lambda: not engine.holdings._tokens, "nothing held any more")


@pytest.mark.parametrize("name", ["plain", "once", "told"])
async def test_a_start_is_known_before_the_task_runs(house: House, way: Way, name: str) -> None:
    (task,) = house.send(name, waits=True)
    if name == "plain":
        house.crash(task, 1)
    async with at_work(house, *way.answering(house)):
        await until(lambda: house.running, "the run")
        record = house.record(task)
        assert record is not None
        assert record.state == state.STARTED
        assert house.states([task]) == ({task: state.STARTED} if name == "told" else {})


async def test_a_start_that_cannot_be_recorded_is_given_back_and_runs_later(house: House, way: Way) -> None:
    failures = iter(range(3))

    def answer(starts: Sequence[Start]) -> tuple[str, ...]:
        if next(failures, None) is not None:
            raise OperationalError("the broker is away")
        return house.app.broker.start(starts)

    ids = house.send("once", 5)
    async with at_work(house, *way.answering(house, answer)):
        assert set((await house.over(ids)).values()) == {state.SUCCESS}
    assert next(failures, None) is None
    assert house.runs == dict.fromkeys(ids, 1)


async def test_a_slot_records_its_starts_in_its_own_thread(house: House) -> None:
    threads: set[str] = set()

    def answer(starts: Sequence[Start]) -> tuple[str, ...]:
        threads.add(threading.current_thread().name)
        return house.app.broker.start(starts)

    ids = house.send("once", 5)
    async with at_work(house, *Way(direct=True).answering(house, answer)):
        await house.over(ids)
    assert threads == {"celeriac-slot-0"}
