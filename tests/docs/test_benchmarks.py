"""The benchmark harness measures Celeriac from end to end, on little enough to take seconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.arena import Arena, Effort
from benchmarks.harness import Plan, measure
from benchmarks.processes import Processes
from benchmarks.scenarios import SCENARIOS
from benchmarks.stores import Stores
from benchmarks.system import CELERIAC

TINY = Effort(
    drain=20, send_seconds=0.05, samples=3, load_seconds=0.3, idle_seconds=0.1, settle_seconds=0.0, share=0.0001
)
FAST = (
    "enqueue",
    "bulk",
    "concurrent",
    "drain-noop_stored",
    "drain-noop-info",
    "drain-async_noop",
    "backlog",
    "queues",
    "latency",
    "load",
    "footprint",
    "import",
)


@pytest.fixture
def arena(tmp_path: Path) -> Iterator[Arena]:
    logs = tmp_path / "logs"
    logs.mkdir()
    with Processes(logs) as processes:
        yield Arena(processes, tmp_path, Stores(()))


@pytest.mark.parametrize("name", FAST)
def test_every_kind_of_scenario_gives_its_figures(arena: Arena, name: str) -> None:
    scenario = next(scenario for scenario in SCENARIOS if scenario.name == name)
    found = measure(Plan(scenarios=[scenario], systems=[CELERIAC], runs=1, effort=TINY, limit=60), arena)
    assert found.notes == []
    assert [len(row.values[CELERIAC.key]) for row in found.rows] == [1] * len(scenario.metrics)
    # An idle worker may use less than a tick of the clock, 10 ms, in the time that this test gives it.
    least = {row.metric.key: 0.0 if row.metric.key == "idle_cpu" else 1e-9 for row in found.rows}
    assert all(value >= least[row.metric.key] for row in found.rows for value in row.values[CELERIAC.key])
