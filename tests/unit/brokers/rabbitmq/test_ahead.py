"""A claim moves more than it wants where looking into RabbitMQ would take most of the time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from celeriac.brokers.memory.driver import MemoryPerformer, SharedStore
from celeriac.brokers.memory.operations import MemoryOperations
from celeriac.brokers.rabbitmq.operations.ahead import FRESH, MOST, Ahead
from celeriac.brokers.rabbitmq.operations.paired import PairedOperations
from celeriac.brokers.rabbitmq.requests import Ack, RabbitOperation, Take, Taken
from celeriac.brokers.rabbitmq.topology import Topology
from celeriac.core.message import Message, pack
from celeriac.testing.clock import VirtualClock

QUEUE = "celery"
LOOK = 0.004
"""Seconds that RabbitMQ takes to answer; the store takes none."""


class Line:
    """A queue of RabbitMQ, and a store in memory which other processes may share.

    Args:
        messages: How many wait.
        other: Another process on the same stores.
    """

    def __init__(self, messages: int, *, other: Line | None = None) -> None:
        self.clock: VirtualClock = other.clock if other else VirtualClock()
        self.waiting: list[str] = other.waiting if other else [f"t{number:04d}" for number in range(messages)]
        self.asked: list[int] = []
        self._operations = PairedOperations(MemoryOperations(), Topology(), self.clock.monotonic)
        self._store: MemoryPerformer = other._store if other else MemoryPerformer(SharedStore(self.clock))

    def claim(self, limit: int = 1, queues: Sequence[str] = (QUEUE,)) -> list[str]:
        """Claim so many; return their ids."""
        return [one.lease.id for one in self.run(self._operations.claim(queues, limit, "me", 60.0))]

    def run(self, operation: RabbitOperation[Any]) -> Any:
        request: Any = next(operation)
        try:
            while True:
                reply: Any = ()
                if isinstance(request, Take):
                    reply = self._take(request)
                elif not isinstance(request, Ack):
                    reply = self._store.perform(request)
                request = operation.send(reply)
        except StopIteration as end:
            return end.value

    def _take(self, take: Take) -> list[Taken]:
        self.clock.advance(LOOK)
        self.asked.append(take.limit)
        if QUEUE not in take.queues:
            return []
        found, self.waiting[:] = self.waiting[: take.limit], self.waiting[take.limit :]
        return [
            Taken(number, QUEUE, pack(Message(id=id, task="proj.add", queue=QUEUE))) for number, id in enumerate(found)
        ]


def test_short_tasks_claimed_one_by_one_are_in_their_order_and_need_few_looks() -> None:
    line = Line(1_000)
    claimed: list[str] = []
    while len(claimed) < 1_000:
        claimed += line.claim()
        line.clock.advance(0.000_2)
    assert claimed == sorted(claimed)
    assert max(line.asked) <= MOST
    assert len(line.asked) < 50, "a look for every message before"


def test_nothing_is_moved_ahead_of_tasks_that_take_long() -> None:
    line = Line(100)
    for _ in range(20):
        line.claim()
        line.clock.advance(1.0)
    assert line.asked == [1] * 20


def test_what_others_claimed_of_it_is_looked_for_again() -> None:
    mine = Line(1_000)
    while max(mine.asked, default=0) < 50:
        mine.claim()
    looks = len(mine.asked)
    Line(0, other=mine).claim(1_000)
    mine.waiting.append("new")
    assert mine.claim() == ["new"]
    assert len(mine.asked) == looks + 1


def test_what_others_moved_is_claimed_without_a_look_for_each() -> None:
    other = Line(100)
    while other.waiting:
        other.claim()
    mine = Line(0, other=other)
    claimed: list[str] = []
    while one := mine.claim():
        claimed += one
    assert len(claimed) > 30
    assert len(mine.asked) < len(claimed) / 3


def test_urgent_message_is_missed_for_a_moment_only() -> None:
    clock = VirtualClock()
    ahead = Ahead(clock.monotonic)
    for _ in range(3):
        size = ahead.begin((QUEUE,), 1)
        clock.advance(LOOK)
        ahead.end(size)
        ahead.claimed(1, 1)
    assert ahead.suffices((QUEUE,), 1)
    clock.advance(FRESH)
    assert not ahead.suffices((QUEUE,), 1)


def test_another_queue_is_looked_into() -> None:
    line = Line(100)
    for _ in range(4):
        line.claim()
    looks = len(line.asked)
    assert line.claim() != []
    assert len(line.asked) == looks, "served by the store"
    assert line.claim(queues=("another",)) == []
    assert len(line.asked) == looks + 1


def test_big_claims_look_once_each() -> None:
    line = Line(5_000)
    for _ in range(5):
        assert len(line.claim(1_000)) == 1_000
    assert line.asked == [1_000] * 5


def test_an_empty_queue_is_asked_for_no_more_than_is_wanted() -> None:
    line = Line(0)
    for _ in range(5):
        assert line.claim(3) == []
    assert line.asked == [3] * 5
