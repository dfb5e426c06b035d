"""When a task could have begun: the order of the queue, two servers."""

from __future__ import annotations

import pytest

from benchmarks.scenarios.fairness import LONG, ideal, mixed


def test_short_tasks_pass_one_long_task() -> None:
    assert ideal([True, False, False, False], 0.1) == pytest.approx([0.0, 0.0, 0.1, 0.2])


def test_short_tasks_wait_for_two_long_tasks() -> None:
    assert ideal([True, True, False, False, False], 0.1) == pytest.approx([0.0, 0.0, LONG, LONG, LONG + 0.1])


def test_the_mixture_is_always_the_same() -> None:
    assert mixed(50, 5) == mixed(50, 5)
    assert sum(mixed(50, 5)) == 5
