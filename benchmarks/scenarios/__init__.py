"""Everything that is measured, in the order of the table."""

from __future__ import annotations

from typing import Final

from benchmarks.scenarios.backlog import VARIANTS, Backlog
from benchmarks.scenarios.drain import DRAINS
from benchmarks.scenarios.enqueue import BulkEnqueue, ConcurrentEnqueue, SingleEnqueue
from benchmarks.scenarios.fairness import Fairness
from benchmarks.scenarios.footprint import Footprint
from benchmarks.scenarios.idle_workers import IdleWorkers
from benchmarks.scenarios.imports import ImportTime
from benchmarks.scenarios.latency import IdleLatency
from benchmarks.scenarios.load import LoadedLatency
from benchmarks.scenarios.scenario import Scenario
from benchmarks.scenarios.workflows import Workflows

SCENARIOS: Final[tuple[Scenario, ...]] = (
    SingleEnqueue(),
    BulkEnqueue(),
    ConcurrentEnqueue(),
    *DRAINS,
    Backlog(),
    *VARIANTS,
    IdleLatency(),
    LoadedLatency(),
    Fairness(),
    Workflows(),
    Footprint(),
    IdleWorkers(),
    ImportTime(),
)
