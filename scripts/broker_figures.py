"""Write the figures of docs/explanation/choosing-a-broker.md from those that were measured and counted.

Usage: ``python -m scripts.broker_figures`` writes what stands between the two marks of the page; with ``--check`` it
only says whether that is current, as a test does. The figures are benchmarks/results/latest.json, which ``make bench``
writes, and docs/reliability.json, which ``make reliability`` writes; both run this afterwards.
"""

from __future__ import annotations

import sys
from typing import Final

import msgspec

from benchmarks.figures import number, spread
from scripts.reliability import ROOT, ROWS, Row, Run

PAGE: Final = ROOT / "docs" / "explanation" / "choosing-a-broker.md"
MEASURED: Final = ROOT / "benchmarks" / "results" / "latest.json"
BEGIN: Final = "<!-- figures: written by `python -m scripts.broker_figures`, not by hand -->"
END: Final = "<!-- end of figures -->"

METRICS: Final = (
    "enqueue_single",
    "enqueue_bulk",
    "drain_noop",
    "drain_noop_stored",
    "drain_noop_early",
    "latency_p50",
    "latency_p99",
    "memory_pss",
    "idle_cpu",
)
"""The rows of the benchmarks that differ by broker."""
FAULTS: Final = (
    "SIGKILL of a child, plain functions",
    "SIGKILL of a whole worker",
    "half-open connections",
    "every tenth request cut",
    "the server ends every connection",
    "SIGKILL of the server, every write on disk",
    "loss of power, log forced to disk later",
    "the store is full for 3 s, leases of 2 s",
)
"""The faults of the reliability suite that tell brokers apart, or were done to all of them."""
DRIVERS: Final = ("sqlite", "redis", "postgresql", "rabbitmq")
_TITLES: Final = {"sqlite": "SQLite", "redis": "Redis", "postgresql": "PostgreSQL", "rabbitmq": "RabbitMQ and a store"}


class Metric(msgspec.Struct, frozen=True):
    """What of a metric is shown."""

    key: str
    title: str
    unit: str


class Measured(msgspec.Struct, frozen=True):
    """A metric, and what each run gave for each system, by key."""

    metric: Metric
    values: dict[str, list[float]]


class System(msgspec.Struct, frozen=True):
    """A system that was measured."""

    key: str
    title: str
    package: str
    settings: str


class Record(msgspec.Struct, frozen=True):
    """What of the record of a benchmark is shown; it has more."""

    date: str
    systems: list[System]
    rows: list[Measured]


def block(record: Record, run: Run) -> str:
    """Return what belongs between the marks."""
    return "\n".join([*_speed(record), "", *_faults(run), ""])


def _speed(record: Record) -> list[str]:
    ours = [one for one in record.systems if one.package == "celeriac"]
    rows = {row.metric.key: row for row in record.rows}
    lines = [
        f"Speed, measured on {record.date}: the medians of [the benchmarks](../benchmarks.md), which say how, on",
        "what machine. Two worker processes, tasks that do nothing.",
        "",
        _line(["", "unit", *(one.title.removeprefix("Celeriac on ") for one in ours)]),
        _line(["---", "---", *["--:"] * len(ours)]),
    ]
    for key in METRICS:
        if (row := rows.get(key)) is not None:
            found = [row.values.get(one.key) for one in ours]
            cells = [number(spread(values).median) if values else "-" for values in found]
            lines.append(_line([row.metric.title, row.metric.unit, *cells]))
    return [*lines, "", *(f"- {one.title.removeprefix('Celeriac on ')}: {one.settings}." for one in ours)]


def _faults(run: Run) -> list[str]:
    rows = {(row.fault, row.driver): row for row in run.rows}
    lines = [
        "Faults, counted by [the reliability suite](../reliability.md): how many of the accepted tasks were lost, how",
        "often one ran again, and the seconds (p99) until what was hit ran again. Empty: not done to that one.",
        "",
        _line(["fault", *(_TITLES[driver] for driver in DRIVERS)]),
        _line(["---"] * (1 + len(DRIVERS))),
    ]
    for fault in FAULTS:
        found = [rows.get((fault, driver)) for driver in DRIVERS]
        if any(found):
            lines.append(_line([fault, *map(_counted, found)]))
    return lines


def _counted(row: Row | None) -> str:
    if row is None:
        return ""
    unkept = f", {row.unkept:,} not kept by the store" if row.unkept else ""
    after = f"; {row.p99:.2f} s" if row.p99 is not None else ""
    return f"{row.lost:,} of {row.tasks:,} lost{unkept}, {row.doubled:,} again{after}"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def replaced(page: str, figures: str) -> str:
    """Return the page with these figures between its marks.

    Raises:
        ValueError: It has not both marks, once each and in order.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in rest or END in after:
        raise ValueError(f"{PAGE.name} needs the lines {BEGIN} and {END}, once each")
    return f"{before}{BEGIN}\n\n{figures}\n{END}{after}"


def current() -> str:
    """Return the page as it should be."""
    record = msgspec.json.decode(MEASURED.read_bytes(), type=Record)
    return replaced(PAGE.read_text("utf-8"), block(record, msgspec.json.decode(ROWS.read_bytes(), type=Run)))


def main(arguments: list[str]) -> int:
    """Write the page, or check it; return the exit status."""
    page = current()
    if arguments == ["--check"]:
        if PAGE.read_text("utf-8") == page:
            return 0
        print(f"{PAGE.name} has other figures than were measured: run `python -m scripts.broker_figures`")
        return 1
    PAGE.write_text(page, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
