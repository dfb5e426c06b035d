"""``python -m tests.soak``: run it, print what came of it; the exit code is 1 if anything grows or is lost."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.soak.soak import DRIVERS, Plan, Report, Soak
from tests.soak.watch import table


def text(report: Report) -> str:
    """Return the report as text."""
    plan, seconds = report.plan, max(report.seconds, 1e-9)
    sent = sum(report.expected.get((name, "SUCCESS"), 0) or report.expected.get((name, "FAILURE"), 0)
               for name in {name for name, _ in report.expected})  # fmt: skip
    lines = [
        f"{sent:,} tasks on {plan.driver} in {seconds:,.0f} s ({sent / seconds:,.0f} a second), {plan.processes} child"
        f" processes; all connections cut {report.cuts} times ({report.cut_connections} connections)",
        f"lost {report.lost}, settled twice {report.surplus}, runs for nothing {report.repeated},"
        f" results read {report.read} (wrong: {report.wrong}), keys left {report.rest}",
        *(
            f"  {task:<10}{state:<10}{count:>12,} of {report.expected.get((task, state), 0):,}"
            for (task, state), count in sorted(report.settled.items())
        ),
        table(report.trends),
    ]
    faults = report.faults()
    return "\n".join([*lines, *(f"FAULT: {fault}" for fault in faults), "sound" if not faults else "not sound"])


def main() -> int:
    """Parse the command line, run, and return the exit code."""
    default = Plan()
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--driver", choices=sorted(DRIVERS), default=default.driver)
    parser.add_argument("--tasks", type=int, default=default.tasks)
    parser.add_argument("--reconnects", type=int, default=default.reconnects)
    parser.add_argument("--rate", type=float, default=default.rate, help="tasks a second")
    parser.add_argument("--processes", type=int, default=default.processes)
    parser.add_argument("--expires", type=float, default=default.expires, help="seconds that results are kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="celeriac-soak-") as folder:
        report = Soak(Plan(**vars(options)), Path(folder)).run()
    sys.stdout.write(text(report) + "\n")
    return bool(report.faults())


if __name__ == "__main__":
    raise SystemExit(main())
