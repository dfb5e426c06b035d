"""How long a task takes from ``delay()`` to its first line when the worker has nothing else to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from benchmarks.arena import Effort, Site
from benchmarks.figures import Metric, percentile
from benchmarks.scenarios.scenario import ALL, AT_LEAST_ONCE
from benchmarks.system import System

SEED: Final = 1


class IdleLatency:
    """One task at a time, with random pauses between them."""

    name = "latency"
    rounds = ALL
    metrics = (
        Metric(key="latency_p50", title="idle latency, `delay()` to first line: p50", unit="ms", promise=AT_LEAST_ONCE),
        Metric(key="latency_p99", title="idle latency, `delay()` to first line: p99", unit="ms", promise=AT_LEAST_ONCE),
    )

    def fits(self, system: System) -> bool:
        """Every system can."""
        return True

    def measure(self, site: Site, effort: Effort) -> Mapping[str, float]:
        """Send the samples to a running worker."""
        with site.worker():
            samples = site.produce("latency", effort.samples, SEED)
        return {"latency_p50": percentile(samples, 50), "latency_p99": percentile(samples, 99)}
