"""The store's server dies, comes back with all, most or nothing of what it had, or stands still; workers live on."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable

import pytest

from tests.support.fleet import Project, Worker
from tests.support.freezing import freeze
from tests.support.producer import Producer
from tests.support.scenarios import hands_over, on, served, served_whole, syncs_late
from tests.support.tally import HOST_PROMISE, Incident, conclude, count, sized
from tests.support.waiting import wait_for

KILLS = sized(2, 8)
OUTAGE = 0.7
UNSYNCED = 2.0
"""Seconds: what Redis says it may lose with ``appendfsync everysec`` (one, or two while the disk is slow).

PostgreSQL with ``synchronous_commit = off`` loses at most three times ``wal_writer_delay``, which is less here.
"""
SLACK = 0.3
"""Seconds: how exactly the time of the cut is known."""
PUBLISH_WITHIN = 10.0
"""Seconds: the default of ``publish_timeout``, and what a machine adds whose two cores start a node of RabbitMQ."""


@pytest.mark.serial
@on(served)
def test_server_is_killed_and_keeps_everything(make_project: Callable[..., Project], rng: random.Random) -> None:
    """Redis: ``appendfsync always``; PostgreSQL: ``synchronous_commit = on``; RabbitMQ: quorum queues.

    Not even what was accepted in the last millisecond is missing.
    """
    project = make_project(keeps="everything")
    worker = project.start_worker("-c", "2")
    faults: list[Incident] = []
    recovery: list[float] = []
    with Producer(project, rng) as producer:
        for _ in range(KILLS):
            project.wait_more(rng.randrange(100, 300))
            faults.append(Incident(time.monotonic()))
            project.backing.kill()
            time.sleep(OUTAGE)  # An outage is a time: it is what is tested.
            project.backing.start_again()
            back = time.monotonic()
            recovery.append(producer.recovered(back))
        project.wait_more(100)
    project.wait_empty(60)
    figures = count(project, producer.ids, producer.repeating(faults, OUTAGE), recovery=recovery)
    conclude(project, "server", "SIGKILL of the server, every write on disk", figures, promise=HOST_PROMISE)
    assert producer.longest < PUBLISH_WITHIN
    worker.stop()


@pytest.mark.serial
@on(hands_over)
def test_server_is_killed_and_keeps_all_but_the_last_second(
    make_project: Callable[..., Project], rng: random.Random
) -> None:
    """Redis: ``appendfsync everysec``. A SIGKILL leaves what had reached the system."""
    project = make_project(keeps="last second")
    worker = project.start_worker("-c", "2")
    faults: list[Incident] = []
    recovery: list[float] = []
    unkept: set[str] = set()
    with Producer(project, rng) as producer:
        for _ in range(KILLS):
            project.wait_more(rng.randrange(100, 300))
            faults.append(Incident(time.monotonic()))
            project.backing.kill()
            time.sleep(OUTAGE)
            project.backing.start_again()
            unkept |= producer.since(faults[-1].at - UNSYNCED) - producer.since(faults[-1].at + OUTAGE)
            producer.write_off(unkept)
            recovery.append(producer.recovered(time.monotonic()))
        project.wait_more(100)
    project.wait_empty(60)
    figures = count(project, producer.ids, producer.repeating(faults, OUTAGE), unkept=unkept, recovery=recovery)
    conclude(project, "server", "SIGKILL of the server, log forced once a second", figures, promise=HOST_PROMISE)
    worker.stop()


@pytest.mark.serial
@on(syncs_late)
def test_server_loses_power_and_what_was_not_forced_to_disk(
    make_project: Callable[..., Project], rng: random.Random
) -> None:
    """Redis: the log is cut back to what it held two seconds before, the most that ``everysec`` may lose. PostgreSQL:
    with ``synchronous_commit = off`` SIGKILL takes what it had not written, the last second or two.

    The workers live on with what they know. Whatever they had claimed, run or settled in those two seconds, the server
    has never heard of.
    """
    project = make_project(keeps="last second")
    workers = [project.start_worker("-c", "1") for _ in range(2)]
    faults: list[Incident] = []
    recovery: list[float] = []
    unkept: set[str] = set()
    with Producer(project, rng) as producer:
        for _ in range(KILLS):
            project.wait_more(rng.randrange(100, 300))
            with project.backing.losing_power(UNSYNCED):
                project.wait_more(100)
                stand_still(workers)
                # Of this the server will know nothing, and what waits in the workers will start at once.
                owners = [owner for worker in workers for owner in worker.children().values()]
                claimed = project.backing.owned_by(owners)
            at = time.monotonic()
            project.backing.start_again()
            faults.append(Incident(at, project.held(project.starts()) | claimed))
            unkept |= producer.since(at - UNSYNCED - SLACK) - producer.since(at + SLACK)
            producer.write_off(unkept)
            for worker in workers:
                worker.signal_all(signal.SIGCONT)
            recovery.append(producer.recovered(time.monotonic()))
        project.wait_more(100)
    project.wait_empty(60)
    figures = count(project, producer.ids, producer.spanning(faults, OUTAGE), unkept=unkept, recovery=recovery)
    sent = [producer.accepted[gone] for gone in figures.unkept]
    oldest = max((min(one.at - when for one in faults if one.at > when) for when in sent), default=0.0)
    note = f"what is missing had been accepted at most {oldest:.2f} s before; allowed is also what was only claimed"
    conclude(project, "server", "loss of power, log forced to disk later", figures, promise=HOST_PROMISE, note=note)
    assert figures.unkept or figures.doubled, "nothing was cut off: the test has shown nothing"
    for worker in workers:
        worker.stop()


def stand_still(workers: list[Worker]) -> None:
    """Stop every process of these workers."""
    freeze([pid for worker in workers for pid in (worker.pid, *worker.children())])


@on(served)
def test_server_is_restarted_in_order(make_project: Callable[..., Project], rng: random.Random) -> None:
    project = make_project(keeps="last second")
    worker = project.start_worker("-c", "2")
    faults: list[Incident] = []
    recovery: list[float] = []
    away = 0.0
    with Producer(project, rng) as producer:
        for _ in range(KILLS):
            project.wait_more(rng.randrange(100, 300))
            faults.append(Incident(time.monotonic()))
            project.backing.stop()
            project.backing.start_again()
            back = time.monotonic()
            away = max(away, back - faults[-1].at)  # A node that ends takes calls until its last moment.
            recovery.append(producer.recovered(back))
        project.wait_more(100)
    project.wait_empty(60)
    figures = count(project, producer.ids, producer.repeating(faults, away), recovery=recovery)
    conclude(project, "server", "restart of the server with its data", figures, promise=HOST_PROMISE)
    worker.stop()


@on(served_whole)
def test_server_comes_back_empty_handed(project: Project) -> None:
    """What it held is lost, and said to be; nothing hangs, nothing stale is accepted, new tasks run."""
    worker = project.start_worker("-c", "2")
    waiting = project.send_each("note", [0.01] * 200)
    running = project.send("anote", 4, 3.0)
    for one in running:
        project.wait_started(one)
    project.backing.kill()
    project.backing.start_again(data=False)
    fault = Incident(time.monotonic())  # PostgreSQL first makes its files.
    after = project.send_each("note", [0.0] * 100)
    project.wait_states(after, HOST_PROMISE)
    recovery = [project.next_start(fault.at)]
    wait_for(lambda: worker.log().count("run elsewhere") > 0, 15, "the worker to say what it has lost")
    wait_for(lambda: set(running) <= {e.id for e in project.diary() if e.word == "end"}, 15, "the old ones ended")
    worker.stop()
    assert project.results(running) == {}, "the settlement of a task that the server does not know was accepted"
    figures = count(project, [*waiting, *running, *after], [fault], unkept={*waiting, *running}, recovery=recovery)
    conclude(project, "server", "restart of the server empty-handed", figures, promise=HOST_PROMISE)


@on(served)
def test_server_stands_still(make_project: Callable[..., Project], rng: random.Random) -> None:
    """Connections stay open and nothing answers, for longer than the leases last; still everybody keeps what it has."""
    project = make_project(worker_lease=2.0)
    workers = [project.start_worker("-c", "1") for _ in range(2)]
    with Producer(project, rng) as producer:
        project.wait_more(200)
        project.backing.pause()
        fault = Incident(time.monotonic())
        wait_for(lambda: time.monotonic() > fault.at + 3.0, 10, "the time to pass")
        project.backing.resume()
        recovery = [producer.recovered(time.monotonic())]
        project.wait_more(100)
    project.wait_empty(60)
    figures = count(project, producer.ids, producer.repeating([fault], OUTAGE), recovery=recovery)
    conclude(project, "server", "the server stands still for 3 s, leases of 2 s", figures, promise=HOST_PROMISE)
    assert producer.longest < PUBLISH_WITHIN
    for worker in workers:
        worker.stop()
