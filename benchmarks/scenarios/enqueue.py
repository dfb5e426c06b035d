"""How fast a program sends tasks while no worker runs."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.arena import Effort, Site
from benchmarks.figures import Metric
from benchmarks.scenarios.scenario import ALL, AT_LEAST_ONCE
from benchmarks.system import System


class SingleEnqueue:
    """``delay()`` in a loop, from sync code of one process."""

    name = "enqueue"
    rounds = ALL
    metrics = (
        Metric(
            key="enqueue_single",
            title="enqueue: single `delay()` from sync code",
            unit="tasks/s",
            more_is_better=True,
            promise=AT_LEAST_ONCE,
        ),
    )

    def fits(self, system: System) -> bool:
        """Every system can."""
        return True

    def measure(self, site: Site, effort: Effort) -> Mapping[str, float]:
        """Call for some time."""
        return {"enqueue_single": float(site.produce("single", "noop", effort.send_seconds))}


class BulkEnqueue:
    """Many tasks with the quickest public way that a system has."""

    name = "bulk"
    rounds = ALL
    metrics = (
        Metric(
            key="enqueue_bulk",
            title="enqueue: in bulk, 1,000 a call",
            unit="tasks/s",
            more_is_better=True,
            promise=AT_LEAST_ONCE,
        ),
    )

    def fits(self, system: System) -> bool:
        """Every system can."""
        return True

    def measure(self, site: Site, effort: Effort) -> Mapping[str, float]:
        """Send for some time."""
        return {"enqueue_bulk": float(site.produce("bulk", "noop", effort.send_seconds))}


class ConcurrentEnqueue:
    """``await adelay()`` in a hundred coroutines at once."""

    name = "concurrent"
    rounds = ALL
    metrics = (
        Metric(
            key="enqueue_concurrent",
            title="enqueue: `await adelay()` in 100 coroutines",
            unit="tasks/s",
            more_is_better=True,
            promise=AT_LEAST_ONCE,
        ),
    )

    def fits(self, system: System) -> bool:
        """Celery's calls block."""
        return system.coroutines

    def measure(self, site: Site, effort: Effort) -> Mapping[str, float]:
        """Send for some time."""
        return {"enqueue_concurrent": float(site.produce("concurrent", "noop", effort.send_seconds))}
