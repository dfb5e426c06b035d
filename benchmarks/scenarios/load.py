"""How long a task waits for its first line while sender and worker are about half busy.

Half of what they manage together is measured right before, with the same worker: a rate that was written down once
would overrun the worker on a machine that is slower today, and say nothing on one that is faster.
"""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.arena import Effort, Site
from benchmarks.figures import Metric, percentile
from benchmarks.scenarios.scenario import ALL, AT_LEAST_ONCE
from benchmarks.system import System


class LoadedLatency:
    """Tasks in a steady stream, some every 20 ms."""

    name = "load"
    rounds = ALL
    metrics = (
        Metric(key="load_p50", title="latency under half load: p50", unit="ms", promise=AT_LEAST_ONCE),
        Metric(key="load_p99", title="latency under half load: p99", unit="ms", promise=AT_LEAST_ONCE),
        Metric(key="load_rate", title="the rate of that load", unit="tasks/s", comparable=False),
    )

    def fits(self, system: System) -> bool:
        """Ours and Celery's: each has its own rate, so that of many systems it would tell little."""
        return system.package in ("celeriac", "celery")

    def measure(self, site: Site, effort: Effort) -> Mapping[str, float]:
        """Send for some seconds to a running worker."""
        with site.worker():
            found = site.produce("load", effort.load_seconds)
        waits = found["waits"]
        return {
            "load_p50": percentile(waits, 50),
            "load_p99": percentile(waits, 99),
            "load_rate": found["rate"],
        }
