"""An engine of a child process at work on a broker in memory, for tests."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from celeriac import Celeriac
from celeriac.brokers import connect
from celeriac.brokers.facade import AsyncBroker
from celeriac.brokers.port import Record
from celeriac.core.message import Delivery
from celeriac.events.names import Event
from celeriac.worker.engine import Direct, Engine, Stores
from celeriac.worker.options import WorkerOptions
from celeriac.worker.runs import monotonic
from celeriac.worker.slots import SlotTable
from tests.support.bench import listen

OWNER = "engine@test#1/1"
LIMIT = 3

_numbers = itertools.count()


class House:
    """An engine, its broker, and what its tasks write down."""

    def __init__(self, folder: Path, *, shape: dict[str, Any], settings: dict[str, Any]) -> None:
        self.url = f"memory://engine-{os.getpid()}-{next(_numbers)}"
        self.app = Celeriac("house", broker=self.url, backend=self.url, set_as_current=False, **settings)
        self.options = WorkerOptions(
            target="house",
            node="engine@test",
            queues=("celery",),
            delivery_limit=LIMIT,
            **{"threads": 1, "coroutines": 10, "lease": 60.0, **shape},
        )
        self.table = SlotTable(folder / "slots", self.options.slots)
        self.table.note_lease(monotonic() + self.options.lease)
        self.running: set[str] = set()
        self.beside: dict[str, set[str]] = {}
        self.runs: Counter[str] = Counter()
        self.go = threading.Event()
        self.retired: list[str] = []
        self.events: list[Event] = []
        self.engine: Engine | None = None
        self._lock = threading.Lock()
        self._define()

    def _define(self) -> None:
        @self.app.task(bind=True, name="plain")
        def plain(task: Any, seconds: float = 0.0, waits: bool = False) -> None:
            self._begin(task.request.id)
            if waits:
                self.go.wait(10)
            time.sleep(seconds)
            self._end(task.request.id)

        @self.app.task(bind=True, name="coroutine")
        async def coroutine(task: Any, seconds: float = 0.0, waits: bool = False, blocks: float = 0.0) -> None:
            self._begin(task.request.id)
            while waits and not self.go.is_set():  # noqa: ASYNC110 -- the event is one for threads
                await asyncio.sleep(0.005)
            if blocks:
                time.sleep(blocks)  # noqa: ASYNC251 -- what is tested
            else:
                await asyncio.sleep(seconds)
            self._end(task.request.id)

    def _begin(self, task_id: str) -> None:
        with self._lock:
            self.runs[task_id] += 1
            self.beside[task_id] = set(self.running)
            for other in self.running:
                self.beside[other].add(task_id)
            self.running.add(task_id)

    def _end(self, task_id: str) -> None:
        with self._lock:
            self.running.discard(task_id)

    def send(self, name: str, count: int = 1, **kwargs: Any) -> list[str]:
        return [self.app.tasks[name].apply_async(kwargs=kwargs).id for _ in range(count)]

    def crash(self, task_id: str, times: int) -> None:
        """Let the broker know of runs of the next message that were lost to dying processes."""
        for _ in range(times):
            (delivery,) = self.app.broker.claim(["celery"], 1, "dead", 60.0)
            assert delivery.lease.id == task_id
            self.app.broker.reclaim("test", 10, crash_limit=99, owner="dead", guilty=[delivery.lease])

    def record(self, task_id: str) -> Record | None:
        return next(iter(self.app.broker.get([task_id])), None)

    def states(self, ids: Sequence[str]) -> dict[str, str]:
        return {result.id: result.state for result in self.app.backend.fetch(ids)}

    async def over(self, ids: Sequence[str], seconds: float = 10.0) -> dict[str, str]:
        """Wait until the tasks are over; return their states."""
        await until(lambda: set(self.states(ids)) == set(ids), f"{len(ids)} tasks over", seconds)
        return self.states(ids)


def hand_over(house: House, engine: Engine, name: str, **kwargs: Any) -> list[str]:
    """Lease a new message to the engine, and hand it over, as a broker may."""
    ids = house.send(name, **kwargs)
    (delivery,) = house.app.broker.claim(["celery"], 1, OWNER, 60.0)
    engine.fetcher.take(delivery)
    return ids


async def until(condition: Callable[[], object], what: str, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for: {what}"
        await asyncio.sleep(0.002)


@asynccontextmanager
async def at_work(
    house: House, broker: AsyncBroker[Any, Any] | None = None, direct: Direct | None = None
) -> AsyncIterator[Engine]:
    """Run the engine; drain it at the end, which must settle everything."""
    surroundings = house.app.worker_surroundings("engine@test", delivery_limit=LIMIT)
    house.events = listen(surroundings)
    engine = house.engine = Engine(
        options=house.options,
        owner=OWNER,
        surroundings=surroundings,
        stores=Stores(broker or house.app.async_broker(), direct=direct),
        table=house.table,
    )
    slots = threading.Thread(target=engine.sync_slots.run_main, daemon=True)
    slots.start()
    running = asyncio.create_task(engine.run(house.retired.append))
    try:
        yield engine
    finally:
        draining = asyncio.create_task(engine.drain())
        await asyncio.sleep(0)  # It gives back what waits before a slot becomes free.
        house.go.set()
        async with asyncio.timeout(10):
            await asyncio.wait({running, draining}, return_when=asyncio.FIRST_COMPLETED)
            await running
        await asyncio.to_thread(slots.join, 5)
        assert not slots.is_alive()
        assert list(house.table.running()) == []
        await house.app.aclose()


class Counted(AsyncBroker[Any, Any]):
    """A broker that tells how much each claim asked for, and whether it found something."""

    def __init__(self, house: House) -> None:
        super().__init__(connect(house.url))
        self.claims: list[tuple[int, bool]] = []

    async def claim(self, queues: Sequence[str], limit: int, owner: str, lease: float) -> list[Delivery]:
        found = await super().claim(queues, limit, owner, lease)
        self.claims.append((limit, bool(found)))
        return found
