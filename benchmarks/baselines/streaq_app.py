"""The tasks of the benchmarks on streaQ."""

from __future__ import annotations

import importlib
import os
from typing import Any, Final

import redis

from benchmarks.baselines.coroutines import Loop, Task
from benchmarks.tally import tally_from_environment

URL: Final = os.environ["CELERIAC_BENCH_BROKER"]
CONCURRENCY: Final = 64
worker: Final[Any] = importlib.import_module("streaq").Worker(redis_url=URL, concurrency=CONCURRENCY)
tally: Final = tally_from_environment()


async def _count() -> None:
    """Count, at least once, no result."""
    tally.hit()


async def _note(sent: int = 0) -> None:
    """Note when it runs."""
    tally.stamp(sent)


noop: Final[Any] = worker.task(ttl=0, name="noop")(_count)
stamp: Final[Any] = worker.task(ttl=0, name="stamp")(_note)


async def _noop() -> Any:
    return await noop.enqueue()


async def _stamp(sent: int = 0) -> Any:
    return await stamp.enqueue(sent)


async def _open() -> None:
    await worker.__aenter__()


loop: Final = Loop(_open)
tasks: Final[dict[str, Any]] = {
    "async_noop": Task(loop, _noop, _open),
    "noop": Task(loop, _noop, _open),
    "stamp": Task(loop, _stamp, _open),
}


def send_many(name: str, count: int) -> str:
    """Send a task many times with its call for many; return the last id."""
    last: list[Any] = []
    for begin in range(0, count, 1_000):
        last = [noop.enqueue() if name != "stamp" else stamp.enqueue() for _ in range(min(1_000, count - begin))]
        loop.run(worker.enqueue_many(last))
    return str(last[-1].id)


def left() -> int:
    """Return how many tasks the broker still holds, waiting or running."""
    with redis.Redis.from_url(URL) as client:
        return sum(int(client.xlen(key)) for key in client.scan_iter("streaq:default:queues:*", _type="stream"))


def state(task_id: str) -> str:
    """Return the state of a task, which is not kept here."""
    raise NotImplementedError(task_id)


def work() -> None:
    """Be a worker until SIGTERM."""
    worker.run_sync()
