"""What a worker costs that does nothing: how long until it runs, its memory, its processor time."""

from __future__ import annotations

import time
from collections.abc import Mapping

from benchmarks.arena import Effort, Site, wait_for_first_task
from benchmarks.figures import Metric
from benchmarks.processes import usage
from benchmarks.system import System


class Footprint:
    """One start of a worker, then idleness."""

    name = "footprint"
    rounds = 3
    metrics = (
        Metric(key="startup", title="start-up: worker's process start until a waiting task runs", unit="s"),
        Metric(key="memory_rss", title="memory, 2 idle children: RSS of all its processes", unit="MB"),
        Metric(key="memory_pss", title="memory, 2 idle children: PSS of all its processes", unit="MB"),
        Metric(key="processes", title="processes of that worker", unit="", comparable=False),
        Metric(key="idle_cpu", title="idle CPU, user and system, of one core", unit="%"),
    )

    def fits(self, system: System) -> bool:
        """Every system can."""
        return True

    def measure(self, site: Site, effort: Effort) -> Mapping[str, float]:
        """Start a worker that has one task waiting, then watch it do nothing."""
        site.produce("preload", "stamp", 1)
        with site.worker() as worker:
            ran = wait_for_first_task(site, worker)
            time.sleep(effort.settle_seconds)
            before, began = usage(worker), time.monotonic()
            time.sleep(effort.idle_seconds)
            after, seconds = usage(worker), time.monotonic() - began
        values = {
            "startup": (ran - worker.started) / 1e9,
            "memory_rss": after.rss / 1e6,
            "processes": float(after.processes),
            "idle_cpu": (after.cpu - before.cpu) / seconds * 100,
        }
        return values if after.pss is None else {**values, "memory_pss": after.pss / 1e6}
