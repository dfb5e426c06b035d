"""``python -m celeriac.testing.simulation``: run many seeds, or look at one."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

from celeriac.testing.simulation.many import Summary, run_many
from celeriac.testing.simulation.report import Report
from celeriac.testing.simulation.run import simulate
from celeriac.testing.simulation.shrink import shrunk

_FEWEST = 1
_SHOWN = 5


def main(argv: Sequence[str] | None = None) -> int:
    """Run; return the exit code: 0 if every promise was kept in every run, else 1."""
    chosen = _parse(argv)
    if chosen.seed is not None:
        report = simulate(chosen.seed, trace=True)
        if chosen.shrink and not report.ok:
            report = shrunk(report)
        _show(report, trace=chosen.trace or not report.ok)
        return 0 if report.ok else 1
    started = time.monotonic()
    summary = run_many(range(chosen.start, chosen.start + chosen.seeds), jobs=chosen.jobs, tell=_tell)
    _write(_sum(summary, time.monotonic() - started))
    return 0 if not summary.failed else 1


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m celeriac.testing.simulation",
        description="Run installations of Celeriac on a virtual clock, with faults, each decided by its seed.",
    )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parser.add_argument("--seeds", type=_positive, default=1000, help="how many to run (default 1000)")
    parser.add_argument("--start", type=int, default=0, help="the first of them (default 0)")
    parser.add_argument("--jobs", type=_positive, default=cores, help="processes (default: one for each core)")
    parser.add_argument("--seed", type=int, help="run this one only, and show its trace if it fails")
    parser.add_argument("--trace", action="store_true", help="with --seed: show the trace in any case")
    parser.add_argument("--shrink", action="store_true", help="with --seed: leave out faults that it fails without")
    return parser.parse_args(argv)


def _positive(text: str) -> int:
    number = int(text)
    if number < _FEWEST:
        raise argparse.ArgumentTypeError(f"{text} must be at least {_FEWEST}")
    return number


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _tell(report: Report) -> None:
    """Tell of a seed that failed, as soon as it has."""
    _write(f"seed {report.seed} failed: {report.violations[0]}")
    _write(f"  again: python -m celeriac.testing.simulation --seed {report.seed} --shrink")


def _show(report: Report, *, trace: bool) -> None:
    if trace:
        for line in report.trace:
            _write(line)
    _write(f"seed {report.seed}, trace {report.digest}: {report.climate}")
    _write(
        f"{report.tasks} tasks, {report.runs} runs, {report.requests} requests, {report.faults} faults in"
        f" {report.seconds:.1f} virtual seconds"
    )
    for violation in report.violations:
        _write(f"WRONG {violation}")


def _sum(summary: Summary, seconds: float) -> str:
    text = (
        f"{summary.seeds} seeds in {seconds:.1f} s: {summary.tasks} tasks, {summary.runs} runs,"
        f" {summary.requests} requests, {summary.faults} faults, {summary.virtual / 3600:.1f} virtual hours"
    )
    if not summary.failed:
        return f"{text}; every promise was kept"
    seeds = ", ".join(str(seed) for seed in summary.failed[:_SHOWN])
    return f"{text}; {len(summary.failed)} seeds failed: {seeds}{', ...' if len(summary.failed) > _SHOWN else ''}"


if __name__ == "__main__":
    raise SystemExit(main())
