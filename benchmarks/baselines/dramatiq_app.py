"""The tasks of the benchmarks on Dramatiq, with the settings its documentation recommends."""

from __future__ import annotations

import logging
import os
from typing import Any, Final

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.brokers.redis import RedisBroker

from benchmarks.tally import tally_from_environment

# A worker reads it when it starts.
os.environ.setdefault("dramatiq_queue_prefetch", "512")
logging.getLogger("dramatiq").setLevel(logging.WARNING)
URL: Final = os.environ["CELERIAC_BENCH_BROKER"]


def _broker() -> Any:
    rabbit: Any = RabbitmqBroker
    redis: Any = RedisBroker
    return rabbit(url=URL, confirm_delivery=True) if URL.startswith("amqp") else redis(url=URL)


broker: Final = _broker()
dramatiq.set_broker(broker)
tally: Final = tally_from_environment()


class _Task:
    """An actor, called as the producer does."""

    def __init__(self, actor: Any) -> None:
        self.delay = actor.send


@dramatiq.actor
def noop() -> None:
    """Count, at least once, no result."""
    tally.hit()


@dramatiq.actor
def stamp(sent: int = 0) -> None:
    """Note when it runs."""
    tally.stamp(sent)


tasks: Final[dict[str, Any]] = {"noop": _Task(noop), "stamp": _Task(stamp)}


def send_many(name: str, count: int) -> str:
    """Send a task many times; Dramatiq has no call for many. Return the last id."""
    last = ""
    for _ in range(count):
        last = tasks[name].delay().message_id
    return last


def left() -> int:
    """Return how many tasks the broker still holds, waiting or handed out."""
    if URL.startswith("amqp"):
        return int(sum(broker.get_queue_message_counts("default")[:2]))
    acks = sum(broker.client.scard(key) for key in broker.client.scan_iter("dramatiq:__acks__.*"))
    return int(broker.client.llen("dramatiq:default")) + int(acks)


def state(task_id: str) -> str:
    """Return the state of a task, which nobody keeps here."""
    raise NotImplementedError(task_id)
