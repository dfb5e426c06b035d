"""Random workflows while processes are killed: every one comes to what a plain interpreter comes to, and no step runs
but for its one release, and again where a kill took a run."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from celeriac import Signature, chain, chord, group
from celeriac.app.group_result import GroupResult
from celeriac.brokers.port import MAX_BATCH
from celeriac.errors import TaskError
from tests.support.backings import BACKINGS
from tests.support.fleet import Project, is_alive
from tests.support.tally import sized
from tests.support.waiting import wait_for

WORKFLOWS = sized(40, 2000)
KILLS = sized(4, 60)
HEADER = sized(5_000, 100_000)
"""Tasks of the wide chord."""
BYTES_FOR_EACH = 4_000
"""Most bytes that a worker may keep for each of them, the values for the body with them."""

ADDED = 1_000_000
"""What a step that adds a member to its chord adds to its own number."""

EXTRA = """
import random

from celeriac import chord

@app.task(bind=True, name="work", max_retries=3, default_retry_delay=0.01)
def work(self, *given):
    write("start", self.request)
    *before, number = given
    if number % 7 == 0 and self.request.retries < number % 3:
        raise self.retry(countdown=0.01)
    time.sleep(random.random() * 0.004)
    if number % 11 == 5 and self.request.chord:
        self.add_to_chord(work.s(number + 1_000_000))
    write("end", self.request)
    if number % 29 == 28:
        raise ValueError(f"step {number} fails")
    return [number, *before]


@app.task(name="same")
def same(number):
    return number


@app.task(name="total")
def total(numbers):
    return sum(numbers)


@app.task(bind=True, name="slow")
def slow(self, *given):
    write("start", self.request)
    time.sleep(0.05)


@app.task(bind=True, name="grow")
def grow(self, kind):
    write("start", self.request)
    if kind == "add":
        self.add_to_chord(slow.si() | slow.si())
        return
    part = slow.si() | chord([slow.si(), slow.si()], slow.si()) | slow.si()
    return self.replace(part if kind == "replace" else slow.si() | grow.si("replace") | slow.si())
"""


class Failing(Exception):
    """A step fails."""


class Author:
    """Makes random workflows, and knows what each comes to."""

    def __init__(self, project: Project, rng: random.Random) -> None:
        self._project = project
        self._rng = rng
        self.number = 0

    def write(self, depth: int) -> Any:
        """Return a random plan of a workflow: a number, or a kind and its parts."""
        if depth == 0 or self._rng.random() < 0.3:
            self.number += 1
            return self.number
        parts = [self.write(depth - 1) for _ in range(self._rng.randint(1, 4))]
        if self._rng.random() < 0.5:
            return ("chain", parts)
        return ("chord", parts, self.write(depth - 1))

    def signature(self, plan: Any) -> Signature:
        """Return the canvas of a plan."""
        if isinstance(plan, int):
            return self._project.app.signature("work", (plan,))
        kind, parts, *body = plan
        made = [self.signature(one) for one in parts]
        return chain(made) if kind == "chain" else chord(group(made), self.signature(body[0]))

    def value(self, plan: Any, given: tuple[Any, ...]) -> Any:
        """Return what a plan comes to, step by step.

        Raises:
            Failing: A step fails.
        """
        if isinstance(plan, int):
            if plan % 29 == 28:
                raise Failing
            return [plan, *given]
        kind, parts, *body = plan
        if kind == "chord":
            header = [self.value(one, given) for one in parts]
            added = [[number] for number in added_to(parts)]
            if any(number % 29 == 28 for (number,) in added):
                raise Failing
            return self.value(body[0], ([*header, *added],))
        for one in parts:
            given = (self.value(one, given),)
        return given[0]


def added_to(parts: list[Any]) -> list[int]:
    """Return the numbers of the members that the steps of a header add."""
    return [number + ADDED for number in map(last_step, parts) if number % 11 == 5]


def all_added(plan: Any) -> list[int]:
    """Return the numbers of all members that are added in a plan."""
    if isinstance(plan, int):
        return []
    kind, parts, *body = plan
    own = added_to(parts) if kind == "chord" else []
    return own + [number for one in (*parts, *body) for number in all_added(one)]


def last_step(plan: Any) -> int:
    """Return the step whose value is that of the plan; in a header it is the member of the chord."""
    while not isinstance(plan, int):
        kind, parts, *body = plan
        plan = body[0] if kind == "chord" else parts[-1]
    return plan


@pytest.fixture
def project(make_project: Callable[..., Project]) -> Project:
    return make_project(extra=EXTRA, task_delivery_limit=100)


@pytest.mark.slow
@pytest.mark.serial
@pytest.mark.timeout(sized(150, 1800))
@pytest.mark.parametrize("driver", BACKINGS, indirect=True)
def test_every_workflow_ends_right_whatever_is_killed(project: Project, rng: random.Random) -> None:
    author = Author(project, rng)
    plans = [("chain", [author.write(2), author.write(1)]) for _ in range(WORKFLOWS)]
    workers = [project.start_worker("-c", "2"), project.start_worker("-c", "1")]
    results = [author.signature(plan).apply_async() for plan in plans]
    whole_worker = bool(sized(0, 1)) or project.backing.name == "sqlite"  # It takes a lease until others go on.
    hit = 0
    for kill in range(KILLS):
        goal = project.ended() + max(1, author.number // (4 * KILLS))
        wait_for(lambda: project.ended() >= goal or _over(project), 60, "more steps done", every=0.05)  # noqa: B023
        if kill == KILLS // 2 and whole_worker:
            workers[1].kill_all()
            hit += 1
            workers[1] = project.start_worker("-c", "1")
            continue
        wait_for(workers[0].children, 20, "a child")
        pid = rng.choice(sorted(workers[0].children()))
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)
            hit += 2  # It may have run one and have another ended and unsettled.
    wait_for(lambda: _over(project), sized(120, 600), "the end of all workflows", every=sized(1, 10) / 10)
    for plan, result in zip(plans, results, strict=True):
        _check(author, plan, result)
    again = 0
    for entries in project.starts().values():
        tokens = [entry.token for entry in entries]
        assert tokens == sorted(set(tokens)), "one claim of a step ran twice"
        again += len(entries) - 1
    ran = [*range(1, author.number + 1), *[number for plan in plans for number in all_added(plan)]]
    retried = sum([number % 7 == 0 and number % 3 for number in ran])
    lost = again - retried
    assert lost <= 20 * hit, f"{lost} runs more than kills explain: something was released twice"


@pytest.mark.slow
@pytest.mark.serial
@pytest.mark.timeout(sized(120, 600))
@pytest.mark.parametrize("driver", BACKINGS, indirect=True)
def test_a_wide_chord_and_a_deep_nest_cost_what_their_tasks_cost(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = project.app
    broker = app.broker
    asked = {"plant": 0, "enqueue": 0}

    def counted(name: str) -> None:
        method = getattr(broker, name)

        def call(*args: Any) -> Any:
            asked[name] += 1
            return method(*args)

        monkeypatch.setattr(broker, name, call)

    for name in asked:
        counted(name)
    worker = project.start_worker("-c", "2")
    total = app.signature("total")

    def wide(count: int) -> None:
        header = group(app.signature("same", (number,)) for number in range(count))
        assert chord(header, total)().get(timeout=sized(60, 400)) == sum(range(count))

    wide(HEADER // 10)
    before, ran = memory_of(worker.pid), runs_of(project)
    asked.update(plant=0, enqueue=0)
    wide(HEADER)
    assert runs_of(project) - ran == HEADER + 1, "one message for each task, and one for the body"
    assert asked == {"plant": 1, "enqueue": -(-HEADER // MAX_BATCH)}
    grown = (memory_of(worker.pid) - before) / HEADER
    assert grown < BYTES_FOR_EACH, f"the worker keeps {grown:.0f} bytes for each task of the header"
    nest: Signature = app.signature("same", (1,))
    for _ in range(6):
        others = [app.signature("same", (1,)) for _ in range(9)]
        nest = chord([nest, *others], total)
    ran = runs_of(project)
    asked.update(plant=0, enqueue=0)
    assert nest.apply_async().get(timeout=30) == 55
    assert runs_of(project) - ran == 61
    assert asked == {"plant": 1, "enqueue": 1}


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize("driver", BACKINGS, indirect=True)
def test_nothing_of_a_revoked_workflow_begins_any_more(project: Project, rng: random.Random) -> None:
    workers = [project.start_worker("-c", "2"), project.start_worker("-c", "1")]
    kinds = ["add", "replace", "twice"] * 15
    result = (chord([project.app.signature("grow", (kind,)) for kind in kinds], project.app.signature("slow")))()
    workflows = project.app.control.workflows
    goal = rng.randint(20, 120)
    wait_for(lambda: len(project.starts()) >= goal, 30, "the middle of the workflow")
    workflows.revoke(workflows.list()[0].id)
    revoked = time.monotonic()
    wait_for(lambda: _over(project), 10, "the end of the workflow")
    time.sleep(1.0)
    late = [entry for entries in project.starts().values() for entry in entries if entry.at > revoked + 0.2]
    assert late == []
    view = workflows.show(workflows.list()[0].id)
    steps = [*view.steps, *[step for part in view.parts for step in part.steps]]
    assert {one.state for one in steps} <= {"SUCCESS", "REVOKED"}
    assert view.parts
    assert result.state in ("FAILURE", "REVOKED")
    assert all(is_alive(worker.pid) for worker in workers)


def memory_of(pid: int) -> int:
    """Return the bytes that a worker has, its children with it."""
    worker = psutil.Process(pid)
    return sum([one.memory_info().rss for one in (worker, *worker.children(recursive=True))])


def runs_of(project: Project) -> int:
    """Return how many runs have been settled."""
    return sum(project.app.broker.tallies().values())


def _over(project: Project) -> bool:
    return all(one.ended is not None for one in project.app.control.workflows.list(10_000))


def _check(author: Author, plan: Any, result: Any) -> None:
    assert not isinstance(result, GroupResult)
    try:
        expected = author.value(plan, ())
    except Failing:
        with pytest.raises((ValueError, TaskError)):
            result.get(timeout=20)
        assert result.state == "FAILURE"
    else:
        assert result.get(timeout=20) == expected
