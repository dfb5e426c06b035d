"""Run the reliability suite at full size and write its page: docs/reliability.md from docs/reliability.json.

    make reliability                       all drivers; some 45 minutes on two cores
    make reliability ARGS="-k redis"       what follows goes to pytest; the page then has those rows alone
    make reliability ARGS="--size wide"    every scenario on every driver, each as short as in CI; some 15 minutes
    make reliability ARGS="--rows FILE"    rows are kept there; a next run adds to those of one that did not pass
    python -m scripts.reliability --page   write the page again from the rows that are there

Each scenario of tests/faults appends one row to a file. The rows are kept beside the page, and a test checks that the
page is what this module makes of them: nobody edits either.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from celeriac import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ROOT: Final = Path(__file__).resolve().parent.parent
ROWS: Final = ROOT / "docs" / "reliability.json"
PAGE: Final = ROOT / "docs" / "reliability.md"
COMMAND: Final = "make reliability"
ROWS_VARIABLE: Final = "CELERIAC_RELIABILITY_ROWS"
"""Names the file to which scenarios append their rows, one JSON object a line."""
SIZE_VARIABLE: Final = "CELERIAC_RELIABILITY_SIZE"
"""``full`` for the sizes of the page; ``wide`` for its scenarios at the sizes of CI; anything else for CI."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What one scenario came to on one driver.

    Attributes:
        driver: Its name.
        section: A key of SECTIONS.
        fault: What was done, in words for people.
        tasks: How many were accepted.
        faults: How often it was done.
        lost: Accepted, and without a result in the end, although the store promises to keep them.
        unkept: Accepted, and lost because the store promises nothing for them.
        doubled: Runs beyond the first of a task.
        allowed: Runs that were under way, or over and not settled, at the faults: as many may run again.
        superseded: Settlements of an attempt that was not the newest; never right.
        p50, p99: Seconds from the fault until what was hit ran again; None where nothing was hit.
        promise: Seconds within which p99 must be; None where none is made.
        note: Further figures.
    """

    driver: str
    section: str
    fault: str
    tasks: int
    faults: int
    lost: int
    unkept: int = 0
    doubled: int
    allowed: int
    superseded: int
    p50: float | None = None
    p99: float | None = None
    promise: float | None = None
    note: str = ""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the suite.

    Attributes:
        command: That repeats it.
        seconds: It took.
        machine: What it ran on, by name.
        rows: What it came to.
        earlier: How many of the rows are of earlier runs, in which others failed.
    """

    command: str
    seconds: float
    machine: dict[str, str]
    rows: list[Row]
    earlier: int = 0


INTRODUCTION: Final = """\
# Reliability

This page is written by `{command}`
({seconds} on {machine}{earlier}).
Real workers run real tasks on real stores while the suite in `tests/faults/` does to them what production does; each
line is one scenario on one driver, counted. The same scenarios, at their small size, run with every change; of those on
PostgreSQL and RabbitMQ some do, and this page has them all. The rows are in `docs/reliability.json`.

*rabbitmq* is RabbitMQ with quorum queues, paired with a store, here a SQLite file. It carries what is ready; leases and
results are the store's, so scenarios that are about those alone have no line of RabbitMQ's. RabbitMQ alone has no store
to count by, and *memory*, the fifth driver, no process but the one that dies: they are tried by the
conformance suite, [simulation](explanation/simulation.md), and RabbitMQ's own tests.

How to read a line:

- *tasks*: accepted, which means that `delay()` or its like had returned. *faults*: how often it was done to them.
- *lost*: accepted, and without a result in the end. *unkept*: accepted, and lost by a store that had not promised to
  keep them; see [what a store promises](#what-a-store-promises).
- *doubled*: runs beyond the first of a task. *allowed*: how many tasks had started and were not settled at the faults,
  read from the tasks' own diary and from the store while the victims stood still. At-least-once means that these may
  run again, and no others.
- *superseded*: results that an attempt stored after a newer one had begun. Fencing tokens forbid it.
- *p50*, *p99*: seconds from the fault until what it hit ran again; *promise*: what they must stay under.
"""

OVERVIEW: Final = """\
Each cell: tasks: lost, doubled; p50, p99 of recovery, where there was something to recover. An empty cell is a fault
that this broker cannot have. The tables after this one have the rest."""

SECTIONS: Final[dict[str, tuple[str, str]]] = {
    "processes": (
        "Processes die",
        "SIGKILL, which no process can answer. The victims are stopped for a moment before, so that what they had"
        " started and not settled can be counted. The supervisor sees the end of a child at once; the end of a whole"
        " worker is seen when its lease runs out (6 s by default).",
    ),
    "stops": (
        "Processes stand still, clocks jump",
        "A virtual machine that is moved, a laptop that sleeps, a task that never lets go of the GIL, an administrator"
        " who sets the clock (what `time.time()` says in every process of the worker; the steady clock goes on). Redis"
        " and PostgreSQL have clocks of their own, so there only one of two workers jumps; where SQLite keeps the"
        " leases both do, as on one machine.",
    ),
    "shutdown": (
        "Workers are told to end",
        "Under load. What has not started goes back at once; nobody's tasks run twice unless a worker was told not to"
        " wait for them.",
    ),
    "server": (
        "The server dies, comes back, or refuses",
        "Workers go on with what they run, settle it when the server is back, and claim nothing meanwhile. Recovery is"
        " from the server's return to the first run of a task that was sent after it. A call of a producer that was"
        " under way at the fault is repeated; the store remembers its number and keeps nothing twice, unless the number"
        " was cut off with the rest of what the store forgot. RabbitMQ remembers none, so what had run by then may run"
        " again, and is counted as allowed. A server that takes no writes is a replica (Redis) or read-only by default"
        " (PostgreSQL), as after a failover that went wrong: producers get an error that says so.",
    ),
    "network": (
        "The network fails",
        "A TCP proxy between the workers (or the producer) and the server cuts connections, before a request reaches"
        " the server or between its execution and the reply; delays everything; or lets connections hang in silence.",
    ),
    "store": (
        "The store is full, or everybody is gone",
        "A full store refuses new tasks with an error; what it holds stays, and what runs is settled when there is room"
        " again. SQLite and PostgreSQL have their disk filled, Redis its `maxmemory`; RabbitMQ raises its alarm for"
        " memory, which stops senders and lets workers go on. When the leases of a fleet end at once, the store must"
        " not be held up by freeing them.",
    ),
    "producers": (
        "Producers die",
        "In a bulk call each batch of 500 is kept whole or not at all. Sending everything again under the same ids adds"
        " what is missing and nothing else.",
    ),
}

PROMISES: Final = """\
## What a store promises

Celeriac loses nothing that its store keeps. What the store keeps is for whoever runs it to choose:

- **SQLite** keeps every accepted task through the end of any process. A loss of power to the machine may cost the last
  commits with `synchronous=normal`, the default; with `?synchronous=full` it does not. A process that is *stopped* in
  the milliseconds of a write keeps the file from all others until it goes on or is killed, and no lease ends that: the
  others log that the file is locked, and go on when it is free. The suite stops its victims between two writes.
- **Redis with `appendonly yes` and `appendfsync always`** keeps every accepted task through SIGKILL of the server and
  a loss of power, as far as the disk tells the truth.
- **Redis with `appendfsync everysec`** forces its log to disk once a second, so a *loss of power* may cost what was
  accepted in the last second, or two while the disk is slow. SIGKILL of the server alone does not, unless the
  disk was so slow that the server had put off writing: it hands its log to the system before it answers.
  A loss of power cannot be had in a test, so the suite cuts the log back to
  what it held two seconds before the end, the worst that Redis allows, and checks that nothing older is missing. What
  was run and settled in that time runs again; what was only claimed then may, too, since its worker goes on with it
  and the server does not know. That is counted as allowed there.
- **PostgreSQL with `synchronous_commit = on`**, the default, keeps every accepted task through SIGKILL of the server
  and a loss of power, as far as the disk tells the truth.
- **PostgreSQL with `synchronous_commit = off`** writes what was committed a moment later, three times
  `wal_writer_delay` (0.2 s; 0.6 s in the suite) at the latest. That moment lies in the server, so SIGKILL of all its
  processes costs it as a loss of power does; the suite does that, and counts as with Redis.
- **RabbitMQ with quorum queues** confirms what is on the disks of most nodes, here of one, and keeps it through
  SIGKILL. Leases, results and what waits for its time are kept as the store that is paired with it keeps them.
- **Redis without persistence** loses everything with its server. Workers warn about it when they start, and
  `celeriac doctor` says it.
- **Replicas** get writes after the client has its answer. A failover may lose what was accepted in the last moments,
  whatever this page says about one server.

What no store can promise is exactly once: a task whose worker dies between its last line and its settlement runs again.
`self.request.fencing_token` lets a task tell, and `acks_late=False` makes it at-most-once.
"""


def page(run: Run) -> str:
    """Return the page for a run."""
    machine = ", ".join(f"{name} {value}".strip() for name, value in run.machine.items())
    earlier = f"; {run.earlier} rows are kept from earlier runs, in which others failed" if run.earlier else ""
    given = {"command": run.command, "seconds": duration(run.seconds), "machine": machine, "earlier": earlier}
    parts = [INTRODUCTION.format(**given)]
    parts.append(f"In all: {totals(run.rows)}\n")
    parts.append(f"## Every fault on every broker\n\n{OVERVIEW}\n\n{overview(run.rows)}")
    for key, (title, words) in SECTIONS.items():
        rows = [row for row in run.rows if row.section == key]
        if rows:
            parts.append(f"## {title}\n")
            if words:
                parts.append(f"{words}\n")
            parts.append(table(rows))
    parts.append(PROMISES)
    return "\n".join(parts)


def overview(rows: Sequence[Row]) -> str:
    """Return one table of all rows: a line for each fault, a column for each driver."""
    drivers = sorted({row.driver for row in rows})
    lines = [f"| fault | {' | '.join(drivers)} |", f"|---|{'---|' * len(drivers)}"]
    ordered: dict[tuple[str, str], dict[str, Row]] = {}
    for key in SECTIONS:
        for row in sorted(rows, key=lambda one: one.fault):
            if row.section == key:
                ordered.setdefault((key, row.fault), {})[row.driver] = row
    for (_, fault), found in ordered.items():
        cells = [cell(found[driver]) if driver in found else "" for driver in drivers]
        lines.append(f"| {fault} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def cell(row: Row) -> str:
    """Return the figures of one fault on one driver in few words."""
    times = "" if row.p99 is None else f"; {seconds(row.p50)}, {seconds(row.p99)} s"
    return f"{row.tasks:,}: {row.lost}, {row.doubled:,}{times}"


def totals(rows: Sequence[Row]) -> str:
    """Return the sums as a sentence."""
    drivers = sorted({row.driver for row in rows})
    return (
        f"{sum(row.tasks for row in rows):,} tasks in {len(rows)} scenarios on {', '.join(drivers)}:"
        f" {sum(row.lost for row in rows)} lost, {sum(row.doubled for row in rows):,} doubled of"
        f" {sum(row.allowed for row in rows):,} that were allowed, {sum(row.superseded for row in rows)} superseded"
        " settlements accepted."
    )


def table(rows: Iterable[Row]) -> str:
    """Return the rows as a table, those about one fault together."""
    lines = [
        "| fault | driver | tasks | faults | lost | unkept | doubled | allowed | superseded | p50 | p99 | promise |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    notes: list[str] = []
    ordered: dict[str, list[Row]] = {}
    for row in rows:
        ordered.setdefault(row.fault, []).append(row)
    for fault, same in sorted(ordered.items()):
        for row in sorted(same, key=lambda one: one.driver):
            mark = ""
            if row.note:
                notes.append(f"{len(notes) + 1}. {fault}, {row.driver}: {row.note}")
                mark = f" ({len(notes)})"
            cells = (
                *(f"{fault}{mark}", row.driver, f"{row.tasks:,}", f"{row.faults:,}", str(row.lost), str(row.unkept)),
                *(f"{row.doubled:,}", f"{row.allowed:,}", str(row.superseded)),
                *(seconds(row.p50), seconds(row.p99), seconds(row.promise)),
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", *notes, *([""] if notes else [])])


def seconds(value: float | None) -> str:
    """Return seconds as a cell."""
    return "" if value is None else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def duration(value: float) -> str:
    """Return a duration in words."""
    return f"{value / 60:.0f} minutes" if value >= 120 else f"{value:.0f} seconds"


def machine() -> dict[str, str]:
    """Return what the figures depend on; nothing that names this machine or the day."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        f"{cores} cores": "",
        "Celeriac": __version__,
        "Python": platform.python_version(),
        platform.system(): platform.release().partition("-")[0],
    }


def distinct(lines: bytes) -> list[Row]:
    """Return the rows that runs have appended; of one scenario on one driver the newest."""
    decoder = msgspec.json.Decoder(Row)
    rows = [decoder.decode(line) for line in lines.splitlines() if line]
    return [*{(row.driver, row.section, row.fault): row for row in rows}.values()]


def save(run: Run) -> None:
    """Write the rows and the page."""
    ROWS.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=1) + b"\n")
    PAGE.write_text(page(run))


def measure(size: str, kept: Path | None, arguments: Sequence[str]) -> int:
    """Run the suite at this size; write both files if every scenario passed. Return pytest's exit code."""
    with tempfile.TemporaryDirectory(prefix="celeriac-reliability-") as folder:
        lines = Path(folder) / "rows" if kept is None else kept.absolute()
        lines.touch()
        before = len(lines.read_bytes())
        began = time.monotonic()
        command = (sys.executable, "-m", "pytest", "tests/faults", "-m", "row", "-n", "2", *arguments)
        env = {**os.environ, ROWS_VARIABLE: str(lines), SIZE_VARIABLE: size}
        code = subprocess.run(command, cwd=ROOT, env=env, check=False).returncode
        rows = distinct(lines.read_bytes())
        if code or not rows:
            print(f"The suite did not pass, so {PAGE.relative_to(ROOT)} stays as it is. Rows so far:", file=sys.stderr)
            print(table(rows), file=sys.stderr)
            return code or 1
        rest = () if kept is None else ("--rows", kept.name)
        given = [*(() if size == "full" else ("--size", size)), *rest, *arguments]
        said = f'{COMMAND} ARGS="{" ".join(given)}"' if given else COMMAND
        earlier = len(rows) - len(distinct(lines.read_bytes()[before:]))
        took = round(time.monotonic() - began)
        save(Run(command=said, seconds=took, machine=machine(), rows=rows, earlier=earlier))
        print(f"{PAGE.relative_to(ROOT)}: {totals(rows)}")
        return 0


def main(argv: Sequence[str]) -> int:
    """Run the suite, or only write the page."""
    parser = argparse.ArgumentParser(description="Run the reliability suite and write its page.")
    parser.add_argument("--page", action="store_true", help="only write the page again, from docs/reliability.json")
    parser.add_argument("--size", choices=("full", "wide", "small"), default="full", help="small: as in CI")
    parser.add_argument("--rows", type=Path, metavar="FILE", help="keep the rows there, and use those that are there")
    options, rest = parser.parse_known_args(argv)
    if options.page:
        PAGE.write_text(page(msgspec.json.decode(ROWS.read_bytes(), type=Run)))
        return 0
    return measure(options.size, options.rows, rest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
