"""Apps on brokers in memory, and a worker that a test runs by hand."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from celeriac import Celeriac
from celeriac.app import state
from celeriac.app.configuration import BACKEND_VARIABLES, BROKER_VARIABLES
from celeriac.core.message import Message, Settlement
from celeriac.core.workflow import Harvest
from celeriac.execution.call import aexecute, execute, open_call
from celeriac.execution.record import Call
from celeriac.execution.steps import awaits
from celeriac.testing.clock import VirtualClock
from celeriac.worker.given import with_given

_numbers = itertools.count()


@pytest.fixture(autouse=True)
def no_app_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start without a current app and without URLs from the environment, and leave none behind."""
    for name in (*BROKER_VARIABLES, *BACKEND_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    yield
    state.set_current(None)
    state.set_default(None)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def make_app(clock: VirtualClock) -> Iterator[Callable[..., Celeriac]]:
    """Return a function that makes an app on a broker of its own."""
    made: list[Celeriac] = []

    def make(main: str | None = "proj", **options: Any) -> Celeriac:
        url = f"memory://app-{os.getpid()}-{next(_numbers)}"
        options.setdefault("broker", url)
        options.setdefault("backend", url)
        app = Celeriac(main, clock=clock, **options)
        made.append(app)
        return app

    yield make
    for app in made:
        app.close()


@pytest.fixture
def app(make_app: Callable[..., Celeriac]) -> Celeriac:
    return make_app()


class Harvesting:
    """A blocking broker in the shape in which a worker's engine asks for earlier steps' values."""

    def __init__(self, app: Celeriac) -> None:
        self._app = app

    async def harvest(self, workflow: str, join: int, after: int, limit: int) -> Harvest:
        return self._app.broker.harvest(workflow, join, after, limit)


class HandWorker:
    """Runs what is queued, one task after the other, in the calling thread."""

    def __init__(self, app: Celeriac, clock: VirtualClock) -> None:
        self._app = app
        self._clock = clock
        self.settled: list[Settlement] = []

    def run(self, limit: int = 100) -> list[Settlement]:
        """Run until nothing is left; the clock jumps to what is due later."""
        for _ in range(limit):
            if self.step() is not None:
                continue
            promoted = self._app.broker.promote(100)
            if promoted.next_in is not None:
                self._clock.advance(promoted.next_in)
            elif not promoted.count:
                return self.settled
        raise AssertionError(f"{limit} runs were not enough")

    def step(self) -> Settlement | None:
        """Run one task that is ready; return its settlement, or None if there is none."""
        claimed = self._app.broker.claim(self._queues(), 1, "hand", 60.0)
        if not claimed:
            return None
        surroundings = self._app.worker_surroundings("hand@test")
        delivery = claimed[0]
        if awaits(delivery):
            (delivery,) = asyncio.run(with_given(Harvesting(self._app), [delivery]))
        opened = open_call(delivery, surroundings)
        if not isinstance(opened, Call):
            settlement = opened
        elif opened.task.is_async:
            settlement = asyncio.run(aexecute(opened, surroundings))
        else:
            settlement = execute(opened, surroundings)
        assert self._app.broker.settle([settlement]) == ()
        self.settled.append(settlement)
        return settlement

    def _queues(self) -> list[str]:
        return [*self._app.queue_names(), "images"]


@pytest.fixture
def worker(app: Celeriac, clock: VirtualClock) -> HandWorker:
    return HandWorker(app, clock)


def sent(app: Celeriac, task_id: str) -> Message:
    """Return the message that the broker holds for a task."""
    (record,) = app.broker.get([task_id])
    assert record.message is not None
    return record.message
