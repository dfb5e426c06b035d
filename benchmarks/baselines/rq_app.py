"""The tasks of the benchmarks on RQ, with the worker that does not fork for each task."""

from __future__ import annotations

import os
from typing import Any, Final

import redis
import rq

from benchmarks.tally import tally_from_environment

connection: Final = redis.Redis.from_url(os.environ["CELERIAC_BENCH_BROKER"])
queue: Final = rq.Queue(connection=connection)
tally: Final = tally_from_environment()


def noop() -> None:
    """Count, no result."""
    tally.hit()


def stamp(sent: int = 0) -> None:
    """Note when it runs."""
    tally.stamp(sent)


class _Task:
    """A task, called as the producer does."""

    def __init__(self, function: Any) -> None:
        self.function = function

    def delay(self, *args: Any) -> Any:
        """Send it."""
        return queue.enqueue(self.function, *args, result_ttl=0)


tasks: Final[dict[str, Any]] = {"noop": _Task(noop), "stamp": _Task(stamp)}


def send_many(name: str, count: int) -> str:
    """Send a task many times, a thousand at once; return the last id."""
    last = ""
    for begin in range(0, count, 1_000):
        data = [rq.Queue.prepare_data(tasks[name].function, result_ttl=0) for _ in range(min(1_000, count - begin))]
        last = queue.enqueue_many(data)[-1].id
    return last


def left() -> int:
    """Return how many tasks wait or run."""
    return int(queue.count) + int(queue.started_job_registry.count)


def state(task_id: str) -> str:
    """Return the state of a task, which is not kept here."""
    raise NotImplementedError(task_id)


def work() -> None:
    """Be a worker until SIGTERM."""
    rq.SimpleWorker([queue], connection=connection).work(logging_level="WARNING")
