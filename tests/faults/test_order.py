"""Long tasks among short ones, on each driver: what waited behind a long one in a process's hands keeps its place."""

from __future__ import annotations

import bisect
from collections.abc import Callable
from random import Random

import pytest

from tests.support.backings import BACKINGS
from tests.support.fleet import Project, tell

SHORT = 4_000
LONG = 6
OVERTAKEN = 1_500
"""By so many a short task may be overtaken: two claims, what a look into RabbitMQ moves, and what was run while it was
given back. Of those that go to the end of the queue it is what is left of the queue."""


@pytest.mark.slow
@pytest.mark.serial
@pytest.mark.timeout(120)
@pytest.mark.parametrize("driver", BACKINGS, indirect=True)
def test_what_waited_behind_a_long_task_is_not_overtaken_by_the_rest_of_the_queue(
    make_project: Callable[..., Project], rng: Random
) -> None:
    project = make_project()
    order = [0.0] * SHORT
    # All in the first half, so that there is something left that can overtake.
    for place in rng.sample(range(SHORT // 2), LONG):
        order[place] = 1.0
    ids = project.send_each("note", order)
    worker = project.start_worker("-c", "2")
    project.wait_states(ids, 60)
    begun = {one: runs[0].at for one, runs in project.starts().items()}
    worst = 0
    later: list[float] = []
    for place in range(SHORT - 1, -1, -1):  # From the end: how many of those behind it began before it?
        at = begun[ids[place]]
        worst = max(worst, bisect.bisect_left(later, at))
        bisect.insort(later, at)
    tell(f"overtaken by {worst}")
    assert worst < OVERTAKEN
    worker.stop()
