"""Tasks that reschedule themselves go on through kills of their workers and of their broker, each of them once."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable

import pytest

from tests.support.fleet import Project
from tests.support.waiting import wait_for

LOOPS = int(os.environ.get("SCHEDULE_LOOPS", "800"))
"""Runs in all; 10000 for the proof that the documentation tells of."""
CHAINS = 20
LOOP = """

@app.task(bind=True, name="loop")
def loop(self, chain, number):
    os.write(DIARY, f"loop {chain}-{number} {self.request.id} 0 0\\n".encode())
    self.reschedule(0.01, args=(chain, number + 1))
    if number % 7 == 3:
        raise ValueError("some of them fail")
"""


@pytest.mark.slow
@pytest.mark.timeout(120 + LOOPS // 20)  # A node of RabbitMQ takes long to start, twice.
@pytest.mark.parametrize("driver", ["sqlite", "redis", "postgresql", "rabbitmq"], indirect=True)
def test_loops_survive_kills_of_workers_and_a_restart_of_the_broker(
    make_project: Callable[..., Project], driver: object, rng: random.Random
) -> None:
    project = make_project(extra=LOOP, keeps="everything", worker_lease=2.0, task_delivery_limit=100)
    workers = [project.start_worker("-c", "2") for _ in range(2)]
    for chain in range(CHAINS):
        project.app.tasks["loop"].delay(chain, 0)
    # A file has no server that could be killed.
    restarted = not project.backing.traits.server
    deadline = time.monotonic() + 45 + LOOPS / 50
    while len(_ids(project)) < LOOPS:
        assert time.monotonic() < deadline, len(_ids(project))
        seen = len(_ids(project))
        wait_for(lambda: len(_ids(project)) > seen + LOOPS // 8 or len(_ids(project)) >= LOOPS, 40, "loops to go on")  # noqa: B023
        place = rng.randrange(len(workers))
        workers[place].signal_all(signal.SIGKILL)
        workers[place].process.wait(10)
        workers[place] = project.start_worker("-c", "2", wait=False)
        if not restarted and len(_ids(project)) > LOOPS // 2:
            restarted = True
            project.backing.kill()
            project.backing.start_again()
    for worker in workers:
        worker.signal_all(signal.SIGKILL)
    ids = _ids(project)
    # A run may be repeated, by a kill; then under its own id. Each step of each chain has one id, and none is missing.
    assert restarted
    by_step = Counter(step for step, _ in ids)
    assert set(by_step.values()) == {1}
    for chain in range(CHAINS):
        numbers = sorted(int(step.split("-")[1]) for step, _ in ids if step.startswith(f"{chain}-"))
        assert numbers == list(range(len(numbers)))


def _ids(project: Project) -> set[tuple[str, str]]:
    """Return the steps of all chains that have run, with their task ids."""
    return set(re.findall(r"^loop (\d+-\d+) (\S+) 0 0$", project.diary_path.read_text(), re.MULTILINE))
