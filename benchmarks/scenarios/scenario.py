"""What a scenario is: metrics, and one measurement of one system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from benchmarks.arena import Effort, Site
from benchmarks.figures import Metric
from benchmarks.system import System

AT_LEAST_ONCE = "at least once"
AT_MOST_ONCE = "at most once"
ALL = 1_000_000
"""Rounds of what is measured in each."""


class Scenario(Protocol):
    """Measures one thing."""

    @property
    def name(self) -> str:
        """How the command line calls it."""
        ...

    @property
    def rounds(self) -> int:
        """In how many rounds it is measured, the first ones: fewer where it takes long or is always much the same."""
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
