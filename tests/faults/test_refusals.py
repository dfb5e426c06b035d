"""The server lives, and refuses: it ends every connection, or takes no writes for a while."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from celeriac.errors import OperationalError
from tests.support.fleet import Project
from tests.support.producer import Producer
from tests.support.scenarios import freezes, on, served
from tests.support.tally import HOST_PROMISE, Incident, conclude, count, sized
from tests.support.waiting import wait_for

TIMES = sized(3, 20)
FROZEN = 3.0
"""Seconds without writes: longer than the leases."""


@on(served)
def test_server_ends_every_connection(make_project: Callable[..., Project], rng: random.Random) -> None:
    """Under load, in the middle of whatever is under way: as an administrator, a pooler or a failover does."""
    project = make_project(worker_lease=2.0)
    worker = project.start_worker("-c", "2")
    faults: list[Incident] = []
    recovery: list[float] = []
    with Producer(project, rng) as producer:
        for _ in range(TIMES):
            project.wait_more(rng.randrange(50, 150))
            began = time.monotonic()
            project.backing.hang_up()
            ended = time.monotonic()
            faults.append(Incident(began))
            faults.append(Incident(ended))  # Which of the calls between the two were hit is not known.
            recovery.append(producer.recovered(ended))
        project.wait_more(100)
    project.wait_empty(60)
    figures = count(project, producer.ids, producer.spanning(faults), recovery=recovery)
    figures.incidents = figures.incidents[::2]
    conclude(project, "server", "the server ends every connection", figures, promise=HOST_PROMISE)
    worker.stop()


@on(freezes)
def test_server_takes_no_writes(make_project: Callable[..., Project], rng: random.Random) -> None:
    """A failover that went wrong: what answers is a replica, a standby, or set to be read only. Producers are told so;
    what runs is settled when the server takes writes again."""
    project = make_project(worker_lease=2.0)
    worker = project.start_worker("-c", "2")
    with Producer(project, rng, pause=0.05, ahead=10_000) as producer:
        project.wait_more(200)
        with project.backing.frozen():
            at = time.monotonic()
            wait_for(lambda: producer.refused, 20, "a producer to be refused")
            wait_for(lambda: time.monotonic() > at + FROZEN, 10, "a time longer than the leases")
        back = time.monotonic()
        recovery = [producer.recovered(back)]
        project.wait_more(100)
    project.wait_empty(60)
    figures = count(project, producer.ids, producer.spanning([Incident(at)]), recovery=recovery)
    conclude(project, "server", "the server takes no writes for 3 s, leases of 2 s", figures, promise=HOST_PROMISE)
    assert {type(one) for one in producer.refused} == {OperationalError}
    told = [str(one) for one in producer.refused]
    assert any("takes no writes" in one for one in told), told
    worker.stop()
