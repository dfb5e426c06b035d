"""Does a short task wait behind a long one that another process could have let pass?

Short and long tasks wait in one queue, mixed by dice, when a worker with two processes starts. While both processes run
long tasks the short ones must wait; that is unavoidable, and how long is worked out: a queue in its order, two servers,
nobody idle while something waits, and short tasks that take as long as they took on average. What a short task waits
beyond that is measured: behind a long one in the same hands, or because a later long one came first.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Mapping, Sequence
from typing import Final

from benchmarks.arena import Effort, Site, wait_until
from benchmarks.figures import Metric, percentile
from benchmarks.processes import ProcessFailed
from benchmarks.scenarios.scenario import AT_LEAST_ONCE
from benchmarks.system import PROCESSES, System
from benchmarks.tally import read_stamps

LONG: Final = 5.0
"""Seconds that a long task takes."""
SEED: Final = 7


class Fairness:
    """10,000 short tasks and 20 of five seconds."""

    name = "fairness"
    rounds = 1
    metrics = (
        Metric(
            key="fairness_p50",
            title="10,000 short tasks among 20 of 5 s: wait beyond the unavoidable, p50",
            unit="ms",
            promise=AT_LEAST_ONCE,
        ),
        Metric(
            key="fairness_p99",
            title="10,000 short tasks among 20 of 5 s: wait beyond the unavoidable, p99",
            unit="ms",
            promise=AT_LEAST_ONCE,
        ),
    )

    def fits(self, system: System) -> bool:
        """The task that takes long."""
        return "hold" in system.tasks

    def measure(self, site: Site, effort: Effort) -> Mapping[str, float]:
        """Send all, start the worker, and compare when each began with when it could have."""
        longs = max(PROCESSES, round(20 * effort.share))
        order = mixed(round(10_000 * effort.share), longs)
        site.produce("mixed", "".join("L" if long else "s" for long in order), LONG)
        with site.worker() as worker:
            wait_until(
                lambda: len(read_stamps(site.folder)) >= len(order),
                worker,
                what=f"did not run {len(order)} tasks",
                timeout=60.0 + 3 * LONG * longs,
            )
        stamps = read_stamps(site.folder)
        if len(stamps) != len(order):
            raise ProcessFailed(f"{site.system.title}: ran {len(stamps)} tasks of {len(order)}")
        first = min(ran for _, ran in stamps)
        begins = [(ran - first) / 1e9 for _, ran in stamps]
        could = ideal(order, cost_of_short(order, begins))
        waits = [max(0.0, (ran - first) / 1e6 - could[place] * 1e3) for place, ran in stamps if not order[place]]
        return {"fairness_p50": percentile(waits, 50), "fairness_p99": percentile(waits, 99)}


def mixed(shorts: int, longs: int) -> list[bool]:
    """Return the queue's order: True for a long task."""
    order = [False] * shorts + [True] * longs
    random.Random(SEED).shuffle(order)
    return order


def cost_of_short(order: Sequence[bool], begins: Sequence[float]) -> float:
    """Return the seconds of a process that a short task took: all that the long ones left over, until the last began.

    Args:
        order: The queue.
        begins: When each task began, seconds after the first.
    """
    until = max(begin for long, begin in zip(order, begins, strict=True) if not long)
    busy = sum(max(0.0, min(until, begin + LONG) - begin) for long, begin in zip(order, begins, strict=True) if long)
    return max(0.0, PROCESSES * until - busy) / order.count(False)


def ideal(order: Sequence[bool], short: float) -> list[float]:
    """Return when each task could begin, in seconds after the first, if a short one takes ``short`` seconds."""
    free = [0.0] * PROCESSES
    begins: list[float] = []
    for long in order:
        begin = heapq.heappop(free)
        begins.append(begin)
        heapq.heappush(free, begin + (LONG if long else short))
    return begins
