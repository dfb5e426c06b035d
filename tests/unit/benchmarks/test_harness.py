"""Rounds: the systems take turns, what fails is told once, and time is kept."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.arena import QUICK, Arena, Effort, Site
from benchmarks.figures import Metric
from benchmarks.harness import Plan, main, measure, parse, planned
from benchmarks.processes import Processes, ProcessFailed
from benchmarks.scenarios import SCENARIOS
from benchmarks.scenarios.scenario import ALL
from benchmarks.stores import Stores
from benchmarks.system import CELERIAC, CELERY, SYSTEMS, System


class Counting:
    """Gives 1, 2, 3, ... and notes who was measured; ``act`` may fail."""

    def __init__(self, name: str, act: Callable[[System], object] = bool) -> None:
        self.name = name
        self.rounds = ALL
        self.metrics = (Metric(key=name, title=name, unit="s"),)
        self.measured: list[str] = []
        self._act = act
        self._values = itertools.count(1)

    def fits(self, system: System) -> bool:
        return self.name != "ours" or system is CELERIAC

    def measure(self, site: Site, effort: Effort) -> Mapping[str, float]:
        self.measured.append(site.system.key)
        self._act(site.system)
        return {self.name: float(next(self._values))}


class Nowhere(Stores):
    def empty(self, names: Iterable[str], folder: Path) -> dict[str, str]:
        return dict.fromkeys(names, "none://")


def plan(*scenarios: Counting, runs: int = 2, limit: float = 60) -> Plan:
    return Plan(scenarios=scenarios, systems=(CELERIAC, CELERY), runs=runs, effort=QUICK, limit=limit)


@pytest.fixture
def arena(tmp_path: Path) -> Arena:
    return Arena(Processes(tmp_path), tmp_path, Nowhere(()))


def test_the_systems_take_turns(arena: Arena, tmp_path: Path) -> None:
    scenario = Counting("both")
    findings = measure(plan(scenario), arena)
    assert scenario.measured == [CELERIAC.key, CELERY.key] * 2
    assert findings.rows[0].values == {CELERIAC.key: [1, 3], CELERY.key: [2, 4]}
    assert findings.notes == []
    assert list(tmp_path.iterdir()) == []


def test_what_takes_long_is_measured_in_the_first_round_only(arena: Arena) -> None:
    scenario = Counting("both")
    scenario.rounds = 1
    assert measure(plan(scenario, runs=3), arena).rows[0].values == {CELERIAC.key: [1], CELERY.key: [2]}


def test_what_is_always_much_the_same_is_measured_in_the_first_rounds(arena: Arena) -> None:
    scenario = Counting("both")
    scenario.rounds = 2
    assert measure(plan(scenario, runs=4), arena).rows[0].values == {CELERIAC.key: [1, 3], CELERY.key: [2, 4]}


def test_a_system_may_be_asked_for_a_few_scenarios_only() -> None:
    asked = replace(CELERY, only=frozenset({"latency"}))
    scenarios = [scenario for scenario in SCENARIOS if scenario.name in ("enqueue", "latency")]
    whole = Plan(scenarios=scenarios, systems=[CELERIAC, asked], runs=1, effort=QUICK, limit=60)
    assert [(scenario.name, system.key) for scenario, system in whole.round(1)] == [
        ("enqueue", CELERIAC.key),
        ("latency", CELERIAC.key),
        ("latency", CELERY.key),
    ]


def test_scenarios_that_a_system_is_limited_to_exist() -> None:
    names = {scenario.name for scenario in SCENARIOS}
    assert all(system.only <= names for system in SYSTEMS)


def test_a_system_is_spared_what_does_not_fit_it(arena: Arena) -> None:
    scenario = Counting("ours")
    assert measure(plan(scenario), arena).rows[0].values == {CELERIAC.key: [1, 2]}


def test_a_failure_is_noted_once_and_the_others_go_on(arena: Arena, tmp_path: Path) -> None:
    def fail_of_celery(system: System) -> None:
        if system is CELERY:
            raise ProcessFailed("the worker ended\nmore about it")

    bad, good = Counting("bad", fail_of_celery), Counting("good")
    findings = measure(plan(bad, good, runs=3), arena)
    assert findings.notes == [f"{CELERY.title}: bad failed: the worker ended"]
    assert bad.measured.count(CELERY.key) == 1
    assert [len(row.values.get(CELERY.key, [])) for row in findings.rows] == [0, 3]
    assert list(tmp_path.iterdir()) == []


def test_no_round_begins_after_the_limit(arena: Arena) -> None:
    scenario = Counting("both")
    findings = measure(plan(scenario, runs=5, limit=0), arena)
    assert scenario.measured == [CELERIAC.key, CELERY.key]
    assert findings.notes == ["Only 1 of 5 runs fitted into 0 s."]


def test_the_time_of_what_is_not_measured_again_is_not_expected_again(arena: Arena) -> None:
    def wait(system: System) -> None:
        time.sleep(0.3)

    long, short = Counting("long", wait), Counting("short")
    long.rounds = 1
    findings = measure(plan(long, short, runs=3, limit=0.9), arena)
    assert findings.notes == []
    assert short.measured == [CELERIAC.key, CELERY.key] * 3


def test_every_metric_has_a_key_of_its_own() -> None:
    keys = [metric.key for scenario in SCENARIOS for metric in scenario.metrics]
    assert len(keys) == len(set(keys))


def test_every_system_runs_only_what_it_has() -> None:
    of_celery = [scenario.name for scenario in SCENARIOS if scenario.fits(CELERY)]
    assert "drain-noop" in of_celery
    assert "drain-async_noop" not in of_celery


def test_the_command_line_chooses() -> None:
    assert planned(parse([])).runs == 5
    quick = planned(parse(["--quick", "--only", "latency", "--system", "celeriac-sqlite"]))
    assert (quick.runs, quick.effort, quick.systems) == (1, QUICK, [CELERIAC])
    assert [scenario.name for scenario in quick.scenarios] == ["latency"]


@pytest.mark.parametrize("argv", [["--runs", "0"], ["--only", "nothing"], ["--system", "nobody"]])
def test_a_wrong_choice_is_refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(argv)
    assert argv[0] in capsys.readouterr().err


def test_an_interrupt_after_the_first_round_keeps_what_there_is(arena: Arena) -> None:
    left = itertools.count(-3)

    def interrupt(system: System) -> None:
        if next(left) == 0:
            raise KeyboardInterrupt

    findings = measure(plan(Counting("both", interrupt), runs=5), arena)
    assert findings.rows[0].values == {CELERIAC.key: [1, 3], CELERY.key: [2]}
    assert findings.notes == ["Interrupted in run 2 of 5."]

    def at_once(system: System) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(plan(Counting("both", at_once), runs=5), arena)
