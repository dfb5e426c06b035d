"""The tasks of the benchmarks on Huey."""

from __future__ import annotations

import os
from typing import Any, Final

from huey import RedisHuey

from benchmarks.tally import tally_from_environment

huey: Final[Any] = RedisHuey("bench", url=os.environ["CELERIAC_BENCH_BROKER"], results=False)
tally: Final = tally_from_environment()


@huey.task()  # type: ignore[untyped-decorator]
def noop() -> None:
    """Count, at most once, no result."""
    tally.hit()


@huey.task()  # type: ignore[untyped-decorator]
def stamp(sent: int = 0) -> None:
    """Note when it runs."""
    tally.stamp(sent)


class _Task:
    """A task, called as the producer does."""

    def __init__(self, task: Any) -> None:
        self.delay = task


tasks: Final[dict[str, Any]] = {"noop": _Task(noop), "noop_early": _Task(noop), "stamp": _Task(stamp)}


def send_many(name: str, count: int) -> str:
    """Send a task many times; Huey has no call for many."""
    for _ in range(count):
        tasks[name].delay()
    return ""


def left() -> int:
    """Return how many tasks wait."""
    return int(huey.pending_count())


def state(task_id: str) -> str:
    """Return the state of a task, which is not kept here."""
    raise NotImplementedError(task_id)
