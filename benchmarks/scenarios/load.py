"""How long a task waits for its first line while the worker is about half busy."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.arena import Effort, Site
from benchmarks.figures import Metric, percentile
from benchmarks.scenarios.scenario import AT_LEAST_ONCE
from benchmarks.system import System


class LoadedLatency:
    """Tasks in a steady stream, some every 20 ms."""

    name = "load"
    once = False
    metrics = (
        Metric(key="load_p50", title="latency under half load: p50", unit="ms", promise=AT_LEAST_ONCE),
        Metric(key="load_p99", title="latency under half load: p99", unit="ms", promise=AT_LEAST_ONCE),
        Metric(key="load_rate", title="the rate of that load", unit="tasks/s", comparable=False),
    )

    def fits(self, system: System) -> bool:
        """A system needs a rate that is about half of what it can do."""
        return system.load > 0

    def measure(self, site: Site, effort: Effort) -> Mapping[str, float]:
        """Send for some seconds to a running worker."""
        with site.worker():
            found = site.produce("load", site.system.load, effort.load_seconds)
        waits = found["waits"]
        return {
            "load_p50": percentile(waits, 50),
            "load_p99": percentile(waits, 99),
            "load_rate": found["rate"],
        }
