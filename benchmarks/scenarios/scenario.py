"""What a scenario is: metrics, and one measurement of one system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from benchmarks.arena import Effort, Site
from benchmarks.figures import Metric
from benchmarks.system import System

AT_LEAST_ONCE = "at least once"
AT_MOST_ONCE = "at most once"


class Scenario(Protocol):
    """Measures one thing."""

    @property
    def name(self) -> str:
        """How the command line calls it."""
        ...

    @property
    def once(self) -> bool:
        """It is measured in the first round only, since it takes long."""
        ...

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The rows it fills."""
        ...

    def fits(self, system: System) -> bool:
        """Return whether this can be measured of a system."""
        ...

    def measure(self, site: Site, effort: Effort) -> Mapping[str, float]:
        """Measure once; return the values by the keys of the metrics."""
        ...
