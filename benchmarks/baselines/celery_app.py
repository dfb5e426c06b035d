"""The tasks of the benchmarks on Celery 5, with the settings its documentation recommends for many short tasks."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, Final

from celery import Celery, chain, chord

from benchmarks.tally import tally_from_environment

BROKER: Final = os.environ["CELERIAC_BENCH_BROKER"]
app: Any = Celery("benchmarks", broker=BROKER, backend=os.environ["CELERIAC_BENCH_BACKEND"])
app.conf.update(
    task_serializer="json",
    result_serializer="json",
    accept_content=["json"],
    task_ignore_result=True,
    # Its guide on optimizing names 50 to 150 for many tasks of short duration.
    worker_prefetch_multiplier=128,
    worker_disable_rate_limits=True,
    worker_send_task_events=False,
    task_send_sent_event=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"confirm_publish": True} if BROKER.startswith("amqp") else {},
)
tally: Final = tally_from_environment()


@app.task(acks_late=True)  # type: ignore[untyped-decorator]
def noop() -> None:
    """Count, at least once, no result."""
    tally.hit()


@app.task(acks_late=False)  # type: ignore[untyped-decorator]
def noop_early() -> None:
    """Count, at most once, no result."""
    tally.hit()


@app.task(acks_late=True, ignore_result=False)  # type: ignore[untyped-decorator]
def noop_stored() -> None:
    """Count, at least once, the result is stored."""
    tally.hit()


@app.task(acks_late=True)  # type: ignore[untyped-decorator]
def stamp(sent: int = 0) -> None:
    """Note when it runs."""
    tally.stamp(sent)


@app.task(acks_late=True)  # type: ignore[untyped-decorator]
def hold(place: int, seconds: float) -> None:
    """Note when it runs, and take long."""
    tally.stamp(place)
    time.sleep(seconds)


@app.task(acks_late=True, ignore_result=False)  # type: ignore[untyped-decorator]
def same(number: int) -> int:
    """Return it."""
    return number


@app.task(acks_late=True, ignore_result=False)  # type: ignore[untyped-decorator]
def more(number: int) -> int:
    """Return one more."""
    return number + 1


@app.task(acks_late=True, ignore_result=False)  # type: ignore[untyped-decorator]
def total(numbers: list[int]) -> int:
    """Return their sum."""
    return sum(numbers)


tasks: Final = {"noop": noop, "noop_early": noop_early, "noop_stored": noop_stored, "stamp": stamp}


def send_mixed(order: str, seconds: float) -> None:
    """Send short and long tasks in this order, each with its place in it."""
    with app.producer_pool.acquire(block=True) as producer:
        for place, one in enumerate(order):
            if one == "L":
                hold.apply_async((place, seconds), producer=producer)
            else:
                stamp.apply_async((place,), producer=producer)


def send_many(name: str, count: int, queue: str | None = None) -> str:
    """Send a task many times over one connection; Celery has no call for many. Return the last id."""
    task = tasks[name]
    last = ""
    with app.producer_pool.acquire(block=True) as producer:
        for _ in range(count):
            last = task.apply_async((), producer=producer, queue=queue).id
    return last


def send_stamps(count: int) -> None:
    """Send so many tasks that note when they run, each with the time of its sending."""
    with app.producer_pool.acquire(block=True) as producer:
        for _ in range(count):
            stamp.apply_async((time.monotonic_ns(),), producer=producer)


def run_workflow(kind: str, count: int) -> int:
    """Send a chord or a chain of so many tasks, and return what it comes to."""
    sys.setrecursionlimit(100_000)  # A long chain needs it here.
    whole: Any = (
        chord([same.s(number) for number in range(count)], total.s())
        if kind == "chord"
        else chain(more.s(0), *[more.s() for _ in range(count - 1)])
    )
    return int(whole.apply_async().get(timeout=600))


def left() -> int:
    """Return how many tasks the broker still holds, waiting or handed out."""
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        if BROKER.startswith("amqp"):
            try:
                return int(channel.queue_declare(app.conf.task_default_queue, passive=True).message_count)
            except connection.channel_errors:
                return 0  # No such queue: all tasks went to others, and are counted as they run.
        return int(channel.client.llen(app.conf.task_default_queue)) + int(channel.client.hlen("unacked"))


def state(task_id: str) -> str:
    """Return the state of a task."""
    return str(app.AsyncResult(task_id).state)
