"""What a thousand workers that have nothing to do cost the server of Redis."""

from __future__ import annotations

import json
from collections.abc import Mapping

from benchmarks.arena import Effort, Site
from benchmarks.figures import Metric
from benchmarks.system import System


class IdleWorkers:
    """They are pretended by one client; see :mod:`benchmarks.idle_workers`."""

    name = "idle-workers"
    rounds = 1
    metrics = (
        Metric(
            key="idle_heartbeats", title="1,000 idle workers: server's CPU for their heartbeats, of one core", unit="%"
        ),
        Metric(key="idle_leases", title="1,000 idle workers: the same for renewing their leases", unit="%"),
        Metric(key="idle_all", title="1,000 idle workers: the same for all that they ask", unit="%"),
    )

    def fits(self, system: System) -> bool:
        """Only ours can be pretended, and a server of Redis tells what it spent."""
        return system.package == "celeriac" and system.broker == "redis"

    def measure(self, site: Site, effort: Effort) -> Mapping[str, float]:
        """Ask the server before and after each kind of question."""
        costs: dict[str, float] = json.loads(site.run("idle-workers", "-m", "benchmarks.idle_workers"))
        return {
            "idle_heartbeats": costs["heartbeat"],
            "idle_leases": costs["extend"],
            "idle_all": sum(costs.values()),
        }
