"""Workflows end to end: from the call that sends one to its value in the caller's hands.

A chord of 10,000 tasks and a body that adds up what they returned; a chain of 1,000 steps, each of which adds one. The
worker is up and has run a task. Values are checked: a workflow that came to something else is an error, not a figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from benchmarks.arena import Effort, Site
from benchmarks.figures import Metric
from benchmarks.scenarios.scenario import AT_LEAST_ONCE
from benchmarks.system import System

HEADER: Final = 10_000
STEPS: Final = 1_000


class Workflows:
    """One chord and one chain."""

    name = "workflows"
    rounds = 1
    metrics = (
        Metric(
            key="chord",
            title="a chord of 10,000 tasks, sent until its value is there",
            unit="tasks/s",
            more_is_better=True,
            promise=AT_LEAST_ONCE,
        ),
        Metric(
            key="chain",
            title="a chain of 1,000 steps, sent until its value is there",
            unit="tasks/s",
            more_is_better=True,
            promise=AT_LEAST_ONCE,
        ),
    )

    def fits(self, system: System) -> bool:
        """Celery's canvas, and ours."""
        return system.package in ("celeriac", "celery") and "noop_stored" in system.tasks

    def measure(self, site: Site, effort: Effort) -> Mapping[str, float]:
        """Send both to a running worker, one after the other."""
        with site.worker():
            chord: float = site.produce("workflow", "chord", max(100, round(HEADER * effort.share)), timeout=660)
            chain: float = site.produce("workflow", "chain", max(20, round(STEPS * effort.share)), timeout=660)
        return {"chord": chord, "chain": chain}
