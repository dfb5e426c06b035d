"""The tasks of the benchmarks on Celeriac, with its default settings: one store for tasks and results."""

from __future__ import annotations

import itertools
import os
import time
from typing import Any, Final

from benchmarks.tally import tally_from_environment
from celeriac import Celeriac, chain, chord

app: Final = Celeriac(
    "benchmarks", broker=os.environ["CELERIAC_BENCH_BROKER"], backend=os.environ["CELERIAC_BENCH_BACKEND"]
)
tally: Final = tally_from_environment()


@app.task(ignore_result=True)
def noop() -> None:
    """Count, at least once, no result."""
    tally.hit()


@app.task(ignore_result=True, acks_late=False)
def noop_early() -> None:
    """Count, at most once, no result."""
    tally.hit()


@app.task(ignore_result=False)
def noop_stored() -> None:
    """Count, at least once, the result is stored."""
    tally.hit()


@app.task(ignore_result=True)
async def async_noop() -> None:
    """Count, at least once, no result."""
    tally.hit()


@app.task(ignore_result=False)
async def async_noop_stored() -> None:
    """Count, at least once, the result is stored."""
    tally.hit()


@app.task(ignore_result=True)
def stamp(sent: int = 0) -> None:
    """Note when it runs."""
    tally.stamp(sent)


@app.task(ignore_result=True)
def hold(place: int, seconds: float) -> None:
    """Note when it runs, and take long."""
    tally.stamp(place)
    time.sleep(seconds)


@app.task(ignore_result=False)
def same(number: int) -> int:
    """Return it."""
    return number


@app.task(ignore_result=False)
def more(number: int) -> int:
    """Return one more."""
    return number + 1


@app.task(ignore_result=False)
def total(numbers: list[int]) -> int:
    """Return their sum."""
    return sum(numbers)


tasks: Final[dict[str, Any]] = {
    "noop": noop,
    "noop_early": noop_early,
    "noop_stored": noop_stored,
    "async_noop": async_noop,
    "async_noop_stored": async_noop_stored,
    "stamp": stamp,
}


def send_many(name: str, count: int, queue: str | None = None) -> str:
    """Send a task many times; return the last id."""
    last = ""
    for begin in range(0, count, 100_000):  # A million receipts would need a gigabyte.
        size = min(100_000, count - begin)
        last = str(tasks[name].apply_many(itertools.repeat((), size), **({"queue": queue} if queue else {}))[-1].id)
    return last


def send_mixed(order: str, seconds: float) -> None:
    """Send short and long tasks in this order, each with its place in it."""
    app.send_tasks(hold.s(place, seconds) if one == "L" else stamp.s(place) for place, one in enumerate(order))


def send_stamps(count: int) -> None:
    """Send so many tasks that note when they run, each with the time of its sending."""
    stamp.apply_many([(time.monotonic_ns(),) for _ in range(count)])


def run_workflow(kind: str, count: int) -> int:
    """Send a chord or a chain of so many tasks, and return what it comes to."""
    whole = (
        chord((same.s(number) for number in range(count)), total.s())
        if kind == "chord"
        else chain(more.s(0), *[more.s() for _ in range(count - 1)])
    )
    return int(whole.apply_async().get(timeout=600))


def left() -> int:
    """Return how many tasks the broker still holds, in whatever state."""
    return sum(each.ready + each.scheduled + each.owned + each.dead for each in app.broker.stats())


def state(task_id: str) -> str:
    """Return the state of a task."""
    return str(app.AsyncResult(task_id).state)
