"""The store refuses to grow, or has the leases of a whole fleet to end at once."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

import pytest

from celeriac.brokers import open_broker
from celeriac.brokers.port import MAX_BATCH
from celeriac.core.message import Start
from celeriac.errors import OperationalError
from tests.support.fleet import Project
from tests.support.producer import Producer
from tests.support.scenarios import on, whole
from tests.support.tally import HOST_PROMISE, Incident, conclude, count, sized
from tests.support.waiting import wait_for

OWNERS = 200
HELD = sized(10, 100)
"""Messages that each owner holds."""
LEASE = 6.0
STALL = 0.1
"""Seconds for which no request may hold the store; what another client waits on a loaded machine is more."""


@on()
def test_store_is_full(make_project: Callable[..., Project], rng: random.Random) -> None:
    """Producers are told so; what was accepted stays, what runs is settled when there is room again."""
    project = make_project(disk="24m", worker_lease=2.0)
    worker = project.start_worker("-c", "2")
    with Producer(project, rng, pause=0.05, ahead=10_000) as producer:
        project.wait_more(200)
        with project.backing.full():
            at = time.monotonic()
            wait_for(lambda: producer.refused, 20, "a producer to be refused")
            wait_for(lambda: time.monotonic() > at + 3.0, 10, "a time longer than the leases")
        back = time.monotonic()
        recovery = [project.next_start(back)]
        project.wait_more(100)
    project.wait_empty(60)
    figures = count(project, producer.ids, producer.repeating([Incident(at)]), recovery=recovery)
    assert isinstance(producer.refused[0], OperationalError)
    conclude(project, "store", "the store is full for 3 s, leases of 2 s", figures, promise=HOST_PROMISE)
    worker.stop()


class Stalls:
    """Asks the store for little things all the time, as other clients do, and notes the longest wait."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.longest = 0.0
        self.asked = 0

    def __enter__(self) -> Stalls:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ended.set()
        self._thread.join(10)

    def _run(self) -> None:
        with open_broker(self._url) as broker:
            while not self._ended.wait(0.002):
                began = time.monotonic()
                broker.elect("probe", "probe", 60.0)
                self.longest = max(self.longest, time.monotonic() - began)
                self.asked += 1


@pytest.mark.serial
@on(whole)
def test_leases_of_a_fleet_expire_at_once(make_project: Callable[..., Project]) -> None:
    """200 processes die together, with 10 (for the page: 100) tasks each, half of them started."""
    project = make_project(worker_lease=LEASE, task_delivery_limit=100)
    ids = project.send_each("note", [0.0] * (OWNERS * HELD))
    broker = project.app.broker
    held: list[str] = []
    began = time.monotonic()
    for number in range(OWNERS):
        claimed = broker.claim(["celery"], HELD, f"gone-{number}", LEASE)
        held += [one.lease.id for one in claimed]
        broker.start([Start(one.lease) for one in claimed[::2]])
    at = time.monotonic()
    assert set(held) == set(ids)
    # A worker of another queue: it frees what the dead held and leaves it alone.
    reaper = project.start_worker("-c", "1", "-Q", "elsewhere")
    with Stalls(project.backing.url) as stalls:
        wait_for(lambda: ready(project) > 0, 2 * LEASE, "the first to be free", every=0.05)
        first = time.monotonic() - at
        wait_for(lambda: ready(project) == len(ids), 60, "all of them to be free", every=0.05)
        last = time.monotonic() - at
    slowest = project.backing.slowest()
    worker = project.start_worker("-c", "2")
    project.wait_empty(120)
    figures = count(project, ids, [Incident(at)] * OWNERS, recovery=[first, *[last] * (OWNERS - 1)])
    note = (
        f"all were free {last - first:.2f} s after the first; asked {stalls.asked} times meanwhile, another client"
        f" waited at most {stalls.longest * 1000:.0f} ms for the store"
    )
    if slowest is not None:
        note += f"; no request held the server longer than {slowest * 1000:.0f} ms"
    conclude(
        project, "store", f"the leases of {OWNERS} processes expire at once", figures, promise=HOST_PROMISE, note=note
    )
    assert at - began < LEASE, "the first leases were over before the last were given"
    assert last - first < HOST_PROMISE - LEASE
    assert slowest is None or slowest < STALL
    assert stalls.longest < 10 * STALL
    worker.stop()
    reaper.stop()


def ready(project: Project) -> int:
    """Return how many messages can be claimed."""
    return sum(one.ready for one in project.app.broker.stats())


def test_the_sizes_ask_for_several_batches() -> None:
    assert OWNERS * HELD > MAX_BATCH
