"""The tasks of the benchmarks on Taskiq, with its broker that acknowledges (Redis streams)."""

from __future__ import annotations

import importlib
import os
from typing import Any, Final

import redis

from benchmarks.baselines.coroutines import Loop, Task
from benchmarks.tally import tally_from_environment

URL: Final = os.environ["CELERIAC_BENCH_BROKER"]
broker: Final[Any] = importlib.import_module("taskiq_redis").RedisStreamBroker(url=URL)
tally: Final = tally_from_environment()


async def _noop() -> None:
    """Count, at least once, no result."""
    tally.hit()


async def _stamp(sent: int = 0) -> None:
    """Note when it runs."""
    tally.stamp(sent)


async_noop: Final[Any] = broker.task(task_name="async_noop")(_noop)
stamp: Final[Any] = broker.task(task_name="stamp")(_stamp)
loop: Final = Loop(broker.startup)
tasks: Final[dict[str, Any]] = {
    "async_noop": Task(loop, async_noop.kiq, broker.startup),
    "noop": Task(loop, async_noop.kiq, broker.startup),
    "stamp": Task(loop, stamp.kiq, broker.startup),
}


def send_many(name: str, count: int) -> str:
    """Send a task many times, a hundred at once: it has no call for many. Return the last id."""
    return str(loop.together(tasks[name].send, count, 100).task_id)


def left() -> int:
    """Return how many tasks the broker still holds: those nobody has read, and those that are not acknowledged."""
    with redis.Redis.from_url(URL) as client:
        (group,) = client.xinfo_groups(broker.queue_name)
        return int(group["lag"] or 0) + int(group["pending"])


def state(task_id: str) -> str:
    """Return the state of a task, which is not kept here."""
    raise NotImplementedError(task_id)
