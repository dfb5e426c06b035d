"""The harness: runs every scenario on every system, round after round, and writes the figures down.

It guarantees that measurements never overlap, that the systems take turns, that the whole stays within its time limit
by leaving out rounds, and that no process and no file of a measurement is left, whatever ends it.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.arena import FULL, QUICK, ROOT, Arena, Effort, warm_up
from benchmarks.compare import changes
from benchmarks.machine import is_busy, load, machine, versions
from benchmarks.processes import Processes, ProcessFailed
from benchmarks.report import Record, Row, merged, plain, render
from benchmarks.scenarios import SCENARIOS
from benchmarks.scenarios.scenario import Scenario
from benchmarks.stores import Stores
from benchmarks.system import FOREIGN, SYSTEMS, System, is_installed
from scripts.ensure_server import ServerMissingError

PAGE: Final = ROOT / "docs" / "benchmarks.md"
RESULTS: Final = ROOT / "benchmarks" / "results" / "latest.json"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be measured, and how long all of it may take, in seconds."""

    scenarios: Sequence[Scenario]
    systems: Sequence[System]
    runs: int
    effort: Effort
    limit: float
    missing: Sequence[System] = ()
    """Systems that are not installed."""

    def round(self, number: int) -> Iterator[tuple[Scenario, System]]:
        """Return one round, from 1: for each scenario the systems take turns."""
        return (
            (scenario, system)
            for scenario in self.scenarios
            if number <= scenario.rounds
            for system in self.systems
            if scenario.fits(system) and (not system.only or scenario.name in system.only)
        )


@dataclass
class Findings:
    """What the runs gave so far."""

    rows: list[Row]
    notes: list[str] = field(default_factory=list[str])

    def add(self, system: System, key: str, value: float) -> None:
        """Note one value."""
        row = next(row for row in self.rows if row.metric.key == key)
        row.values.setdefault(system.key, []).append(value)


def measure(plan: Plan, arena: Arena) -> Findings:
    """Run all rounds for which there is time; after the first one an interrupt ends it with what it has."""
    metrics = [metric for scenario in plan.scenarios for metric in scenario.metrics]
    findings = Findings([Row(metric=metric, values={}) for metric in metrics])
    began = time.monotonic()
    took: dict[tuple[str, str], float] = {}
    if plan.missing:
        names = ", ".join(system.title for system in plan.missing)
        findings.notes.append(f"Not installed, and so not measured: {names} (sh {FOREIGN}/install.sh).")
    failed: set[tuple[str, str]] = set()
    for run in range(1, plan.runs + 1):
        started = time.monotonic()
        expected = sum(took.get((scenario.name, system.key), 0.0) for scenario, system in plan.round(run))
        if run > 1 and started - began + expected > plan.limit:
            findings.notes.append(f"Only {run - 1} of {plan.runs} runs fitted into {plan.limit:.0f} s.")
            break
        try:
            _round(run, plan, arena, findings, took, failed)
        except KeyboardInterrupt:
            if run == 1:
                raise
            findings.notes.append(f"Interrupted in run {run} of {plan.runs}.")
            break
        _say(f"round {run} of {plan.runs}: {time.monotonic() - started:.0f} s")
    return findings


def _round(
    run: int,
    plan: Plan,
    arena: Arena,
    findings: Findings,
    took: dict[tuple[str, str], float],
    failed: set[tuple[str, str]],
) -> None:
    """Run one round; ``took`` and ``failed`` learn how long each measurement took, and which failed."""
    for scenario, system in plan.round(run):
        name = (scenario.name, system.key)
        # What failed once is not tried again: it may have taken all of its timeouts.
        if name in failed:
            continue
        at = time.monotonic()
        if _one(scenario, system, arena, plan, findings):
            took[name] = time.monotonic() - at
        else:
            failed.add(name)
            took.pop(name, None)


def _one(scenario: Scenario, system: System, arena: Arena, plan: Plan, findings: Findings) -> bool:
    """Measure once; return whether it worked."""
    started = time.monotonic()
    try:
        with arena.site(system) as site:
            values = scenario.measure(site, plan.effort)
    except ProcessFailed as failure:
        findings.notes.append(f"{system.title}: {scenario.name} failed: {str(failure).splitlines()[0]}")
        _say(str(failure))
        return False
    except Exception as mistake:  # Ours. Hours of other figures must not be lost with this one.
        findings.notes.append(f"{system.title}: {scenario.name} failed: {mistake!r:.200}")
        _say(traceback.format_exc())
        return False
    for key, value in values.items():
        findings.add(system, key, value)
    shown = ", ".join(f"{key} {value:,.2f}" for key, value in values.items())
    _say(f"{system.key:<16} {scenario.name:<22} {time.monotonic() - started:5.1f} s  {shown}")
    return True


def run(plan: Plan, command: str) -> Record:
    """Carry out a plan in a temporary folder, with private servers where they are needed.

    Raises:
        ServerMissingError: The program of a server is missing.
        ProcessFailed: A server did not start.
    """
    began = time.monotonic()
    date = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="celeriac-bench-")))
        logs = folder / "logs"
        logs.mkdir()
        described = machine(folder)
        described["Load average over 1, 5, 15 minutes"] = f"{load()} before the run"
        busy = is_busy()
        processes = stack.enter_context(Processes(logs))
        stores = stack.enter_context(Stores(name for system in plan.systems for name in system.stores))
        arena = Arena(processes, folder, stores)
        broken = warm_up(arena, plan.systems)
        for failure in broken.values():
            _say(str(failure))
        plan = replace(plan, systems=[system for system in plan.systems if system.key not in broken])
        findings = measure(plan, arena)
        findings.notes += [f"{key}: warm-up failed: {str(one).splitlines()[0]}" for key, one in broken.items()]
        described["Load average over 1, 5, 15 minutes"] += f", {load()} after it"
    if busy:
        findings.notes.append(
            "The machine had other work to do when the run began. Rates are too low, costs too high, and the system"
            " with more processes suffers more: repeat the run on a quiet machine before trusting a ratio."
        )
    return Record(
        date=date,
        command=command,
        seconds=time.monotonic() - began,
        machine=described,
        versions=versions(stores.versions),
        systems=list(plan.systems),
        rows=[row for row in findings.rows if row.values],
        notes=findings.notes,
    )


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    names = [scenario.name for scenario in SCENARIOS]
    keys = [system.key for system in SYSTEMS]
    parser = argparse.ArgumentParser(prog="benchmarks", description="Measure Celeriac beside its peers.")
    parser.add_argument("--runs", type=int, help="runs of each measurement (default 5, with --quick 1)")
    parser.add_argument("--quick", action="store_true", help="measure less of everything")
    parser.add_argument("--limit", type=float, default=3600.0, help="seconds: a round that would end later is left out")
    parser.add_argument("--only", action="append", choices=names, help="this scenario; may be given several times")
    parser.add_argument("--system", action="append", choices=keys, help="this system; may be given several times")
    parser.add_argument("--compare", action="store_true", help="compare with the figures that were committed last")
    parser.add_argument("--write", action="store_true", help="write the page and the JSON file after a partial run too")
    parser.add_argument(
        "--add", action="store_true", help="as --write, and keep the page's rows that were not measured"
    )
    options = parser.parse_args(argv)
    if options.runs is None:
        options.runs = 1 if options.quick else 5
    if options.runs < 1:
        parser.error("--runs must be at least 1")
    return options


def planned(options: argparse.Namespace) -> Plan:
    """Return the plan that the command line asks for."""
    chosen = [each for each in SYSTEMS if not options.system or each.key in options.system]
    missing = [each for each in chosen if not is_installed(each)]
    return Plan(
        scenarios=[each for each in SCENARIOS if not options.only or each.name in options.only],
        systems=[each for each in chosen if each not in missing],
        missing=missing,
        runs=options.runs,
        effort=QUICK if options.quick else FULL,
        limit=options.limit,
    )


def main(argv: Sequence[str]) -> int:
    """Measure, print the table, and write it down if the run was whole.

    Returns:
        0 if every measurement worked, 1 if one did not or a figure has become worse, 130 after a signal.
    """
    options = parse(argv)
    plan = planned(options)
    command = f"make bench ARGS='{' '.join(argv)}'" if argv else "make bench"
    try:
        record = run(plan, command)
    except (ServerMissingError, ProcessFailed) as missing:
        _say(str(missing))
        return 1
    except KeyboardInterrupt:
        _say("interrupted; everything that was started is stopped")
        return 130
    print("\n".join(["", *plain(record.rows, record.systems), "", *record.notes]))
    whole = not (options.quick or options.only or options.system)
    if options.add:
        record = in_order(merged(msgspec.json.decode(RESULTS.read_bytes(), type=Record), record))
    if whole or options.write or options.add:
        PAGE.write_text(render(record, samples=plan.effort.samples), encoding="utf-8")
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
        print(f"Written: {PAGE.relative_to(ROOT)}, {RESULTS.relative_to(ROOT)}")
    failed = any(" failed: " in note for note in record.notes)
    return 1 if failed or (options.compare and not compare(record)) else 0


def in_order(record: Record) -> Record:
    """Return the record with its rows and systems in the order of the whole run."""
    keys = [metric.key for scenario in SCENARIOS for metric in scenario.metrics]
    names = [system.key for system in SYSTEMS]
    rows = sorted((row for row in record.rows if row.metric.key in keys), key=lambda row: keys.index(row.metric.key))
    systems = sorted(record.systems, key=lambda system: names.index(system.key))
    return msgspec.structs.replace(record, rows=rows, systems=systems)


def compare(record: Record) -> bool:
    """Print how the figures are beside those that were committed last; return whether none is much worse."""
    found = changes(record.rows, msgspec.json.decode(RESULTS.read_bytes(), type=Record))
    print("\n".join(["", *map(str, found)]))
    return bool(found) and not any(change.worse for change in found)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
