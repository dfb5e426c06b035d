"""The tasks of the benchmarks on SAQ."""

from __future__ import annotations

import importlib
import os
from typing import Any, Final

import redis

from benchmarks.baselines.coroutines import Loop, Task
from benchmarks.tally import tally_from_environment

URL: Final = os.environ["CELERIAC_BENCH_BROKER"]
CONCURRENCY: Final = 50
queue: Final[Any] = importlib.import_module("saq").Queue.from_url(URL)
tally: Final = tally_from_environment()


async def noop(context: Any) -> None:
    """Count, at least once."""
    tally.hit()


async def stamp(context: Any, *, sent: int = 0) -> None:
    """Note when it runs."""
    tally.stamp(sent)


settings: Final[dict[str, Any]] = {"queue": queue, "functions": [noop, stamp], "concurrency": CONCURRENCY}


async def _noop() -> Any:
    return await queue.enqueue("noop", ttl=-1)


async def _stamp(sent: int = 0) -> Any:
    return await queue.enqueue("stamp", sent=sent, ttl=-1)


loop: Final = Loop(queue.connect)
tasks: Final[dict[str, Any]] = {
    "async_noop": Task(loop, _noop, queue.connect),
    "noop": Task(loop, _noop, queue.connect),
    "stamp": Task(loop, _stamp, queue.connect),
}


def send_many(name: str, count: int) -> str:
    """Send a task many times, a hundred at once: it has no call for many. Return the last id."""
    return str(loop.together(tasks[name].send, count, 100).id)


def left() -> int:
    """Return how many tasks the broker still holds, waiting or running."""
    with redis.Redis.from_url(URL) as client:
        return int(client.llen("saq:default:queued")) + int(client.llen("saq:default:active"))


def state(task_id: str) -> str:
    """Return the state of a task, which is not kept here."""
    raise NotImplementedError(task_id)


def work() -> None:
    """Be a worker until SIGTERM."""
    importlib.import_module("saq.worker").start("benchmarks.baselines.saq_app.settings")
