"""The network between workers or producers and the server is cut, slow, or silent."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

import pytest

from celeriac import Celeriac
from tests.support.fleet import Project
from tests.support.producer import Producer
from tests.support.proxy import Cut, Proxy
from tests.support.scenarios import networked, networked_in_parts, networked_whole, on
from tests.support.tally import HOST_PROMISE, Incident, conclude, count, sized
from tests.support.waiting import wait_for

CUTS = sized(3, 12)
LEASE = 2.0


@pytest.fixture
def project(make_project: Callable[..., Project]) -> Project:
    return make_project(worker_lease=LEASE)


@pytest.fixture
def proxy(project: Project) -> Iterator[Proxy]:
    """A proxy before the project's server."""
    with project.backing.proxy() as proxy:
        yield proxy


def through(project: Project, proxy: Proxy) -> dict[str, str]:
    """Return the environment of a worker that reaches its broker through the proxy."""
    return {"FLEET_BROKER": project.backing.url_by(proxy), "FLEET_RESULTS": project.backing.backend_url_by(proxy)}


@pytest.fixture
def far_app(project: Project, proxy: Proxy) -> Iterator[Celeriac]:
    """The app of a producer behind the proxy."""
    broker, backend = project.backing.url_by(proxy), project.backing.backend_url_by(proxy)
    app = Celeriac("far", broker=broker, backend=backend, set_as_current=False)
    app.task(name="note")(lambda seconds=0.0: None)
    yield app
    app.close()


PLACES = pytest.mark.parametrize("where", list(Cut), ids=["request", "reply"])


@on(networked_whole)
@PLACES
@pytest.mark.parametrize("operation", ["claim", "settle", "extend"])
def test_workers_connection_is_cut(
    project: Project, proxy: Proxy, rng: random.Random, operation: str, where: Cut
) -> None:
    cut_and_count(project, proxy, rng, operation, where)


@on(networked_in_parts)
@PLACES
@pytest.mark.parametrize("operation", ["claim", "ack"])
def test_workers_connection_to_the_queues_is_cut(
    project: Project, proxy: Proxy, rng: random.Random, operation: str, where: Cut
) -> None:
    """What it had taken and not moved comes again; its leases and its results go another way."""
    cut_and_count(project, proxy, rng, operation, where)


def cut_and_count(project: Project, proxy: Proxy, rng: random.Random, operation: str, where: Cut) -> None:
    """Cut a worker's connection at this operation, now and again."""
    worker = project.start_worker("-c", "1", env=through(project, proxy))
    recovery: list[float] = []
    faults: list[Incident] = []
    with Producer(project, rng, seconds=0.003) as producer:
        for _ in range(CUTS):
            project.wait_more(rng.randrange(10, 60))
            proxy.cut(operation, where)
            wait_for(lambda: not proxy.pending, 10, f"a {operation} to cut")
            at = proxy.times[-1][2]
            faults.append(Incident(at))
            recovery.append(producer.recovered(at))
    project.wait_empty(30)
    assert proxy.cuts == {(operation, where): CUTS}
    figures = count(project, producer.ids, faults, recovery=recovery)
    fault, note = f"cut {where.value}: {operation}", producer.longest_wait()
    conclude(project, "network", fault, figures, promise=HOST_PROMISE, note=note)
    worker.stop()


@on(networked)
@PLACES
def test_producers_connection_is_cut(
    project: Project, proxy: Proxy, far_app: Celeriac, rng: random.Random, where: Cut
) -> None:
    """It tries again by itself; what the server had taken already it does not take twice."""
    worker = project.start_worker("-c", "1")
    faults: list[Incident] = []
    with Producer(project, rng, app=far_app) as producer:
        for _ in range(CUTS):
            project.wait_more(rng.randrange(10, 60))
            proxy.cut("enqueue", where)
            wait_for(lambda: not proxy.pending, 10, "an enqueue to cut")
            faults.append(Incident(proxy.times[-1][2]))
    project.wait_empty(30)
    recovery = [min(when for when in producer.accepted.values() if when > one.at) - one.at for one in faults]
    figures = count(project, producer.ids, producer.repeating(faults), recovery=recovery)
    conclude(project, "network", f"cut {where.value}: enqueue", figures, promise=HOST_PROMISE)
    assert producer.refused == []
    worker.stop()


@on(networked_whole)
def test_every_reply_to_a_producer_is_cut(project: Project, proxy: Proxy, far_app: Celeriac) -> None:
    """The worker is idle: each task is over before its sender, who heard nothing, sends it again."""
    worker = project.start_worker("-c", "1")
    sends = sized(20, 200)
    ids: list[str] = []
    for number in range(sends):
        proxy.cut("enqueue", Cut.REPLY)
        name = "once" if number % 2 else "note"  # At most once, at least once.
        ids.append(far_app.send_task(name, (0.0,)).id)
        project.wait_states(ids[-1:], 10)
    project.wait_empty(30)
    assert proxy.cuts == {("enqueue", Cut.REPLY): sends}
    figures = count(project, ids, [Incident(at) for _, _, at in proxy.times], recovery=())
    conclude(project, "network", "every reply to an enqueue cut, idle worker", figures)
    worker.stop()


@pytest.mark.serial
@on(networked)
def test_every_tenth_request_is_cut(project: Project, proxy: Proxy, far_app: Celeriac, rng: random.Random) -> None:
    operations = ("enqueue", "claim", "settle", "extend", "start", "holdings", "promote", "reclaim", "ack")
    workers = [project.start_worker("-c", "1", env=through(project, proxy)) for _ in range(2)]
    proxy.chance(rng, 0.1, operations)
    with Producer(project, rng, app=far_app) as producer:
        # A broker that is asked more seldom is cut more seldom.
        wait_for(lambda: project.ended() >= sized(500, 4000) and len(proxy.times) >= 20, 200, "enough tasks under fire")
    wait_for(lambda: project.app.broker.stats() == [], 60, "all done under fire", every=0.1)
    proxy.chance(rng, 0.0, ())
    faults = [Incident(at) for _, _, at in proxy.times]
    figures = count(project, producer.ids, producer.repeating(faults), recovery=())
    conclude(project, "network", "every tenth request cut", figures, note=producer.longest_wait())
    for worker in workers:
        worker.stop()


@on(networked)
def test_slow_network(project: Project, proxy: Proxy, far_app: Celeriac, rng: random.Random) -> None:
    """50 ms each way: everything is slower, and nothing is lost, doubled or taken over."""
    proxy.delay = 0.05
    worker = project.start_worker("-c", "2", env=through(project, proxy))
    with Producer(project, rng, app=far_app) as producer:
        began = time.monotonic()
        project.wait_more(sized(300, 1500), timeout=sized(60, 240))
        rate = sized(300, 1500) / (time.monotonic() - began)
    project.wait_empty(60)
    figures = count(project, producer.ids, [Incident(began)], recovery=())
    conclude(project, "network", "50 ms of delay each way", figures, note=f"{rate:.0f} tasks a second")
    assert "lease" not in worker.log()
    worker.stop()


@on(networked)
def test_half_open_connections(make_project: Callable[..., Project], rng: random.Random) -> None:
    """The peer is gone and says nothing: what is open stays open and carries nothing; new connections work."""
    project = make_project()
    with project.backing.proxy() as proxy:
        worker = project.start_worker("-c", "2", env=through(project, proxy))
        with Producer(project, rng, seconds=0.01) as producer:
            project.wait_more(200)
            proxy.hang()
            # Until the worker gives the connections up, its leases may run out.
            at, held = time.monotonic(), project.held(project.starts())
            recovery = [project.next_start(at + 0.2, 30) + 0.2]
            project.wait_more(100)
        project.wait_empty(60)
        figures = count(project, producer.ids, [Incident(at, held)], recovery=recovery)
        conclude(project, "network", "half-open connections", figures, promise=HOST_PROMISE)
        worker.stop()


@on(networked_whole)
def test_worker_is_cut_off_past_its_lease(project: Project, proxy: Proxy, rng: random.Random) -> None:
    """Others take over what it had; when it is back it settles nothing of that, and works on."""
    cut_off = project.start_worker("-c", "1", env=through(project, proxy))
    with Producer(project, rng, seconds=0.01) as producer:
        project.wait_more(100)
        proxy.refusing = True
        proxy.hang(new=True)
        own = cut_off.children()
        at, owned = time.monotonic(), project.backing.owned_by(own.values())
        other = project.start_worker("-c", "1")
        wait_for(lambda: owned <= set(project.results(owned)), 20, "what it had run elsewhere")
        proxy.heal()
        # Back at work, it is needed again.
        other.stop()
        project.wait_more(100)
    project.wait_empty(60)
    # Its lease holds for a while after the cut, and so it starts what it had claimed.
    held = frozenset(one for one in owned if any(run.pid in own for run in project.runs(one)))
    figures = count(project, producer.ids, [Incident(at, held)], recovery=again(project, at, held))
    conclude(project, "network", "worker cut off past its lease of 2 s", figures, promise=HOST_PROMISE)
    cut_off.stop()


def again(project: Project, at: float, ids: frozenset[str]) -> list[float]:
    """Return for each of these tasks that ran again how long after the fault it did."""
    return [run.at - at for one in ids for run in project.runs(one)[1:2]]
