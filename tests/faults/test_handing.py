"""What Redis hands over to an idle worker is lost on its way, or comes to a process that is killed or stopped."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from typing import Final

import pytest

from tests.support.backing import RedisBacking
from tests.support.fleet import Project
from tests.support.freezing import freeze
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), pytest.mark.parametrize("driver", ["redis"], indirect=True)]

LEASE: Final = 2.0
TASKS: Final = 400


@pytest.fixture
def project(make_project: Callable[..., Project]) -> Project:
    return make_project(worker_lease=LEASE)


def sent_one_by_one(project: Project, rng: random.Random, count: int = TASKS) -> dict[str, float]:
    """Send tasks so slowly that most find an idle worker; return when each was sent."""
    sent: dict[str, float] = {}
    for _ in range(count):
        now = time.monotonic()
        sent[project.send("note", 1)[0]] = now
        time.sleep(rng.choice((0.002, 0.01, 0.02)))
    return sent


def test_the_connection_by_which_it_comes_is_cut_again_and_again(project: Project, rng: random.Random) -> None:
    worker = project.start_worker("-c", "2")
    assert isinstance(project.backing, RedisBacking)
    sent: dict[str, float] = {}
    cuts = 0
    for _ in range(TASKS // 20):
        sent.update(sent_one_by_one(project, rng, 20))
        cuts += project.backing.server.ask("CLIENT", "KILL", "TYPE", "pubsub")
    project.wait_empty(30)
    assert cuts >= TASKS // 20, "there were connections to cut"
    starts = project.starts()
    assert {id: len(starts.get(id, [])) for id in sent} == dict.fromkeys(sent, 1)
    late = {id: starts[id][0].at - at for id, at in sent.items()}
    assert max(late.values()) < 3 * LEASE, "what was lost on the way is found at once, not at the end of anything"
    worker.stop()


def test_processes_that_are_handed_tasks_are_killed(project: Project, rng: random.Random) -> None:
    worker = project.start_worker("-c", "2")
    sent: dict[str, float] = {}
    kills = 0
    for _ in range(8):
        sent.update(sent_one_by_one(project, rng, 20))
        os.kill(rng.choice(list(worker.children())), signal.SIGKILL)
        kills += 1
        wait_for(lambda: len(worker.children()) == 2, 20, "another child")
    project.wait_empty(30)
    starts = project.starts()
    assert all(id in starts for id in sent), "nothing is lost"
    assert sum(len(runs) - 1 for runs in starts.values()) <= kills, "each kill repeats what ran, one task a process"
    worker.stop()


def test_a_worker_that_was_stopped_for_longer_than_its_lease_runs_nothing_twice(
    project: Project, rng: random.Random
) -> None:
    first = project.start_worker("-c", "1")
    second = project.start_worker("-c", "1")
    pids = [first.pid, *first.children()]
    sent = sent_one_by_one(project, rng, 50)
    freeze(pids)
    sent.update(sent_one_by_one(project, rng, 100))
    wait_for(lambda: len(project.starts()) == len(sent), 4 * LEASE + 10, "all tasks by the other worker")
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    sent.update(sent_one_by_one(project, rng, 50))
    project.wait_empty(30)
    starts = project.starts()
    assert {id: len(starts.get(id, [])) for id in sent} == dict.fromkeys(sent, 1)
    first.stop()
    second.stop()


def test_a_worker_that_ends_gives_back_what_it_is_handed(project: Project, rng: random.Random) -> None:
    staying = project.start_worker("-c", "1")
    sent: dict[str, float] = {}
    for _ in range(4):
        leaving = project.start_worker("-c", "2")
        sent.update(sent_one_by_one(project, rng, 20))
        leaving.process.terminate()
        sent.update(sent_one_by_one(project, rng, 30))
        leaving.process.wait(20)
    project.wait_empty(30)
    starts = project.starts()
    assert {id: len(starts.get(id, [])) for id in sent} == dict.fromkeys(sent, 1)
    late = {id: starts[id][0].at - at for id, at in sent.items()}
    assert max(late.values()) < LEASE, "it does not wait for the end of a lease"
    staying.stop()
