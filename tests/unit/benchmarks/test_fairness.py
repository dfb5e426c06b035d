"""When a task could have begun: the order of the queue, two servers."""

from __future__ import annotations

import pytest

from benchmarks.scenarios.fairness import LONG, cost_of_short, ideal, mixed


def test_short_tasks_pass_one_long_task() -> None:
    assert ideal([True, False, False, False], 0.1) == pytest.approx([0.0, 0.0, 0.1, 0.2])


def test_short_tasks_wait_for_two_long_tasks() -> None:
    assert ideal([True, True, False, False, False], 0.1) == pytest.approx([0.0, 0.0, LONG, LONG, LONG + 0.1])


def test_a_short_task_costs_what_the_long_ones_left_over() -> None:
    # One process is busy with the long task, the other runs the short ones until the last begins at 2.0.
    assert cost_of_short([True, False, False, False, False], [0.0, 0.0, 0.5, 1.0, 2.0]) == pytest.approx(0.5)
    assert cost_of_short([False, False], [0.0, 1.0]) == pytest.approx(1.0)


def test_the_mixture_is_always_the_same() -> None:
    assert mixed(50, 5) == mixed(50, 5)
    assert sum(mixed(50, 5)) == 5
