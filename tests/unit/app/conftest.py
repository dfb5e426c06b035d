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
from celeriac.execution.call import aexecute, execute, open_call
from celeriac.execution.record import Call
from celeriac.testing.clock import VirtualClock

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


class HandWorker:
    """Runs what is queued, one task after the other, in the calling thread."""

    def __init__(self, app: Celeriac, clock: VirtualClock) -> None:
        self._app = app
        self._clock = clock
        self.settled: list[Settlement] = []

    def run(self, limit: int = 100, *, wait: bool = True) -> list[Settlement]:
        """Run until nothing is ready; with ``wait`` the clock jumps to what is due later."""
        surroundings = self._app.worker_surroundings("hand@test")
        queues = self._app.queue_names()
        for _ in range(limit):
            claimed = self._app.broker.claim([*queues, "images"], 1, "hand", 60.0)
            if not claimed:
                promoted = self._app.broker.promote(100)
                if wait and promoted.next_in is not None:
                    self._clock.advance(promoted.next_in)
                    continue
                if not promoted.count:
                    return self.settled
                continue
            opened = open_call(claimed[0], surroundings)
            if not isinstance(opened, Call):
                settlement = opened
            elif opened.task.is_async:
                settlement = asyncio.run(aexecute(opened, surroundings))
            else:
                settlement = execute(opened, surroundings)
            assert self._app.broker.settle([settlement]) == ()
            self.settled.append(settlement)
        raise AssertionError(f"{limit} runs were not enough")


@pytest.fixture
def worker(app: Celeriac, clock: VirtualClock) -> HandWorker:
    return HandWorker(app, clock)


def sent(app: Celeriac, task_id: str) -> Message:
    """Return the message that the broker holds for a task."""
    (record,) = app.broker.get([task_id])
    assert record.message is not None
    return record.message
