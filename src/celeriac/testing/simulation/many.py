"""Many seeds on all cores. A run keeps one core busy, so each process takes seeds in small lots."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from celeriac.testing.simulation.report import Report
from celeriac.testing.simulation.run import simulate

LOT: Final = 8
"""Seeds that a process takes at once."""


@dataclass
class Summary:
    """What many runs came to."""

    seeds: int = 0
    tasks: int = 0
    runs: int = 0
    requests: int = 0
    faults: int = 0
    virtual: float = 0.0
    failed: list[int] = field(default_factory=list[int])

    def add(self, report: Report) -> None:
        """Count one run."""
        self.seeds += 1
        self.tasks += report.tasks
        self.runs += report.runs
        self.requests += report.requests
        self.faults += report.faults
        self.virtual += report.seconds
        if not report.ok:
            self.failed.append(report.seed)


def run_many(seeds: Sequence[int], *, jobs: int, tell: Callable[[Report], None]) -> Summary:
    """Run these seeds.

    Args:
        seeds: Which.
        jobs: Processes to run them in; with 1, this one does.
        tell: Called with each that failed, as soon as it has.
    """
    summary = Summary()
    if jobs == 1:
        for seed in seeds:
            _count(summary, simulate(seed), tell)
        return summary
    # A fresh interpreter: what this process has loaded and started must not matter.
    context = multiprocessing.get_context("spawn")
    cores = context.Queue()
    for core in sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else ():
        cores.put(core)
    with context.Pool(jobs, _settle_down, (cores,)) as pool:
        for report in pool.imap(simulate, seeds, chunksize=LOT):
            _count(summary, report, tell)
    return summary


def _settle_down(cores: Any) -> None:
    """Stay on one core: the strands of a run take turns, and to wake one on another core takes twice as long."""
    with contextlib.suppress(queue.Empty, OSError, AttributeError):
        os.sched_setaffinity(0, {cores.get(timeout=1.0)})


def _count(summary: Summary, report: Report, tell: Callable[[Report], None]) -> None:
    summary.add(report)
    if not report.ok:
        tell(report)
