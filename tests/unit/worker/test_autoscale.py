"""When children are added and taken away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from celeriac.worker.autoscale import BUSY_FOR, IDLE_FOR, Autoscaler
from celeriac.worker.children import Child
from celeriac.worker.options import WorkerOptions


class Stub:
    """The part of a child that scaling looks at."""

    def __init__(self, running: int = 0, idle_since: float = 0.0, state: str = "ready") -> None:
        self.owner = f"child-{id(self)}"
        self.running = running
        self.idle_since = idle_since
        self.state = state
        self.drained = 0

    def drain(self) -> None:
        self.drained += 1
        self.state = "draining"


def scaler(least: int = 1, most: int = 3, **shape: Any) -> Autoscaler:
    return Autoscaler(WorkerOptions(target="x", node="n", queues=("q",), processes=least, processes_max=most, **shape))


def advise(scaler: Autoscaler, children: Sequence[Stub], target: int | None = None, now: float = 0.0) -> int:
    for _ in range(20):
        scaler.observe(cast("list[Child]", list(children)))
    return scaler.advise(cast("list[Child]", list(children)), len(children) if target is None else target, now)


def test_grows_by_one_when_all_are_busy_for_some_looks() -> None:
    asked = scaler()
    children = [Stub(running=1)]
    answers = [advise(asked, children) for _ in range(3 * BUSY_FOR)]
    assert answers == ([0] * (BUSY_FOR - 1) + [1]) * 3


def test_one_that_is_not_busy_is_enough() -> None:
    asked = scaler()
    assert [advise(asked, [Stub(running=1), Stub(running=0)]) for _ in range(2 * BUSY_FOR)] == [0] * (2 * BUSY_FOR)


def test_short_gaps_between_tasks_do_not_look_idle() -> None:
    asked = scaler()
    child = Stub(running=1)
    answers: list[int] = []
    for _ in range(3 * BUSY_FOR):
        for running in [1] * 9 + [0]:  # Every look for advice falls into the gap.
            child.running = running
            asked.observe(cast("list[Child]", [child]))
        answers.append(asked.advise(cast("list[Child]", [child]), 1, 0.0))
    assert 1 in answers


def test_busy_looks_must_follow_each_other() -> None:
    asked = scaler()
    answers = [advise(asked, [Stub(running=running)]) for running in [1, 0] * BUSY_FOR]  # Each holds for a second.
    assert set(answers) == {0}


def test_child_with_threads_is_busy_when_each_of_them_is() -> None:
    asked = scaler(threads=4)
    assert {advise(asked, [Stub(running=3)]) for _ in range(5)} == {0}
    assert 1 in {advise(asked, [Stub(running=4)]) for _ in range(5)}


def test_does_not_grow_while_one_is_still_starting() -> None:
    asked = scaler()
    children = [Stub(running=1), Stub(running=0, state="starting")]
    assert {advise(asked, children) for _ in range(5)} == {0}


def test_grows_no_further_than_the_most() -> None:
    asked = scaler(most=2)
    assert {advise(asked, [Stub(running=1), Stub(running=1)]) for _ in range(5)} == {0}


def test_one_idle_child_at_a_time_is_taken_away() -> None:
    asked = scaler(least=1, most=4)
    children = [Stub(running=1, idle_since=100.0), Stub(idle_since=0.0), Stub(idle_since=0.0)]
    assert advise(asked, children, now=IDLE_FOR) == 0, "not yet"
    assert advise(asked, children, now=IDLE_FOR + 0.1) == -1
    assert [child.drained for child in children] == [0, 1, 0]
    assert advise(asked, children, target=2, now=IDLE_FOR + 0.1) == -1
    assert [child.drained for child in children] == [0, 1, 1]
    assert advise(asked, children, target=1, now=IDLE_FOR + 100) == 0


def test_shrinks_no_further_than_the_fewest() -> None:
    asked = scaler(least=2, most=4)
    children = [Stub(), Stub()]
    assert advise(asked, children, now=1e6) == 0
    assert [child.drained for child in children] == [0, 0]


@pytest.mark.parametrize("running", [0, 1])
def test_without_autoscale_nothing_changes(running: int) -> None:
    asked = scaler(least=2, most=2)
    children = [Stub(running=running), Stub(running=running)]
    assert {advise(asked, children, now=1e6) for _ in range(5)} == {0}
