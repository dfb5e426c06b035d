"""The record of a run, as JSON and as the page of the documentation. Pure: nothing is measured or written here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from benchmarks.figures import Metric, Spread, number, spread, times_better
from benchmarks.system import FAMILIES, System


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A metric and what each run gave for each system, by key."""

    metric: Metric
    values: dict[str, list[float]]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one run of the harness.

    Attributes:
        date: Of its beginning, UTC.
        command: That a person types to repeat it.
        seconds: It took.
        machine, versions: What it ran on.
        systems: What was measured, ours first.
        rows: The figures.
        notes: What went differently than planned: a failure, or rounds left out for lack of time.
    """

    date: str
    command: str
    seconds: float
    machine: dict[str, str]
    versions: dict[str, str]
    systems: list[System]
    rows: list[Row]
    notes: list[str]


def merged(old: Record, new: Record) -> Record:
    """Return the figures of two runs as one record, the newer ones where both have some; a row is of one run alone.

    So a ratio is always of one run, and a machine that is quiet only for minutes at a time can be measured in parts.
    """
    fresh = {row.metric.key for row in new.rows}
    known = {system.key for system in new.systems}
    parts = f"Measured in parts; the last one, on {new.date}, was `{new.command}`."
    return Record(
        date=new.date,
        command=new.command,
        seconds=old.seconds + new.seconds,
        machine=new.machine,
        versions=old.versions | new.versions,
        systems=[*(system for system in old.systems if system.key not in known), *new.systems],
        rows=[*(row for row in old.rows if row.metric.key not in fresh), *new.rows],
        notes=[*(note for note in old.notes if not note.startswith("Measured in parts")), parts, *new.notes],
    )


INTRODUCTION: Final = """\
# Benchmarks

This page is written by `{command}`; [how it measures](#how-it-is-measured) stands below. The figures hold for this
machine and these versions, and mean something only beside each other.
"""

METHOD: Final = """\
## How it is measured

- The systems take turns in each round, one at a time, each with an empty store, fresh processes and cached bytecode. A
  figure is the median of the runs, with the lowest and the highest in brackets. A column "x ..." compares the medians:
  of a rate it is Celeriac / peer, of a cost peer / Celeriac, so above 1 Celeriac is better.
- A task notes in memory shared with the harness that it ran; that costs it less than a microsecond. Otherwise it does
  nothing.
- *enqueue*: one process sends while no worker runs. In bulk, Celeriac sends with `apply_many` and Procrastinate with
  `batch_defer`, BullMQ with `addBulk`, Graphile Worker with `addJobs`, Sidekiq with `push_bulk`, RQ with
  `enqueue_many`; Celery and Dramatiq have no such call, so they send in a loop over one connection.
- *drain*: the tasks wait in the queue, then a worker with 2 processes starts; the time is from the first to the last
  task, without start-up. Quick systems get many times as many tasks as slow ones, so that each takes a second or a few.
  After each drain it is checked that each task ran once, that the broker holds none any more, and that a stored result
  can be read; otherwise there is no figure.
- *idle latency*: {samples} tasks a run, one at a time, at random intervals of 200 to 300 ms, which keep step with no
  polling. CLOCK_MONOTONIC is read before `delay()` is called and in the first line of the task. The percentiles are of
  one run by nearest rank, their medians those of the runs.
- *enqueue, 100 coroutines*: each awaits one call after the other, on one event loop. Celeriac sends what waits at the
  same time in one round trip.
- *latency under half load*: first one process sends without a pause for half a second or more, in bulk where the
  system can, while the worker runs; what was sent, by the time from the first call until the last of it ran, is what
  both manage together on the two cores at that moment. Then comes a steady stream of half as many, at the rate that its
  row tells, what is due every 20 ms at once, for some seconds after the first half second: the latency is from the time
  before a task is sent to its first line. So each system has its own half, and the rate belongs to the latency.
- *fairness*: 10,000 short tasks and 20 that sleep for five seconds wait in one queue, mixed by seeded dice, when a
  worker with 2 processes starts. When each could begin is worked out for two servers that take the queue in its order,
  where a short task takes as long as it took on average; what one waits beyond that is shown. Measured once, as are the
  drains of 1,000,000 tasks, with other numbers of processes, and from several queues, the workflows, and what idle
  workers cost; a cell without brackets is of one run.
- *start-up*: from the start of the process until its first task, which waits already, runs.
- *1,000 idle workers*: one client sends what they would, one request after the other; the server's processor time for
  each kind is multiplied by how often a worker asks.
- *memory, idle CPU*: of all processes of the worker together, some seconds after its first task; like start-up in three
  rounds, since these hardly differ between two.

## What to keep in mind

- On SQLite, tasks are in a file that outlives every process of the machine (a loss of power may cost the last commits:
  synchronous=normal). On Redis, Celery's and Celeriac's alike, they are in the memory of a server that runs without
  snapshots or append-only file, its fastest setting: they are lost with it. The server's memory and processor time are
  not counted as anybody's, though it shares the machine's cores.
- On PostgreSQL and RabbitMQ tasks are on disk, PostgreSQL's after each commit; Celeriac's queues of RabbitMQ are quorum
  queues, those of its peers classic ones, as each has it by default.
- `acks_late` is set on both sides, so that rows of the same promise are compared. Celery's own default is
  `acks_late=False`, which has a row of its own.
- Celery has no `async def` tasks.
- All run with the log level WARNING, so that nothing is logged for a task, except where the row says INFO; then the log
  goes to a file.
- Celery's thread pool has only the rows in which it may differ from its processes.
- A no-op task measures the queue. A task that does something takes as long as it takes.
"""


def render(record: Record, *, samples: int) -> str:
    """Return the page."""
    runs = max((len(values) for row in record.rows for values in row.values.values()), default=0)
    parts = [INTRODUCTION.format(command=record.command)]
    parts.append(f"Measured on {record.date}, {runs} runs of each, {record.seconds / 60:.1f} minutes in all.\n")
    for title, lines in tables(record.rows, record.systems).items():
        parts += [f"## {title}\n", "\n".join(lines) + "\n"]
    parts += [f"!!! warning\n    {note}\n" for note in record.notes]
    parts.append("## Machine and settings\n")
    parts.append("\n".join(_pairs({**record.machine, "Versions": _joined(record.versions)})) + "\n")
    parts.append("\n".join(f"- {each.title}: {each.settings}." for each in record.systems) + "\n")
    parts.append(METHOD.format(samples=samples))
    return "\n".join(parts)


def table(rows: Sequence[Row], ours: System, peers: Sequence[System]) -> list[str]:
    """Return the lines of one table, in Markdown: one of ours beside its peers."""
    systems = [ours, *peers]
    head = ["", "unit", *(each.title for each in systems), *(f"x {each.title}" for each in peers), "promise; kept in"]
    lines = [_line(head), _line(["---", "---", *["--:"] * (len(head) - 3), "---"])]
    for row in rows:
        spreads = {each.key: spread(values) for each in systems if (values := row.values.get(each.key))}
        if not spreads:
            continue
        cells = [_cell(spreads.get(each.key)) for each in systems]
        ratios = [_ratio(row.metric, spreads.get(ours.key), spreads.get(peer.key)) for peer in peers]
        kept = " / ".join(each.kept for each in systems if each.key in spreads)
        promise = f"{row.metric.promise}; {kept}" if row.metric.promise else ""
        lines.append(_line([row.metric.title, row.metric.unit, *cells, *ratios, promise]))
    return lines


def tables(rows: Sequence[Row], systems: Sequence[System]) -> dict[str, list[str]]:
    """Return the tables by their titles: one for each family of which ours was measured."""
    keys = {each.key for each in systems}
    found: dict[str, list[str]] = {}
    for family in FAMILIES:
        peers = [peer for peer in family.peers if peer.key in keys]
        if family.ours.key in keys or peers:
            found[family.title] = table(rows, family.ours, peers)
    return found


def plain(rows: Sequence[Row], systems: Sequence[System]) -> list[str]:
    """Return the tables for a terminal: columns padded with blanks."""
    return [line for title, lines in tables(rows, systems).items() for line in ["", title, *_padded(lines)]]


def _padded(lines: Sequence[str]) -> list[str]:
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    del cells[1]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    return [
        "  ".join(cell.ljust(width) if column < 2 else cell.rjust(width) for column, (cell, width) in pairs).rstrip()
        for line in cells
        for pairs in [list(enumerate(zip(line, widths, strict=True)))]
    ]


def _cell(found: Spread | None) -> str:
    if found is None:
        return "-"
    if found.runs == 1:
        return number(found.median)
    return f"{number(found.median)} ({number(found.low)} to {number(found.high)})"


def _ratio(metric: Metric, ours: Spread | None, theirs: Spread | None) -> str:
    if ours is None or theirs is None or not metric.comparable:
        return "-"
    times = times_better(metric, ours.median, theirs.median)
    return "-" if times is None else f"{number(times)}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _pairs(described: dict[str, str]) -> list[str]:
    return [f"- {name}: {value}" for name, value in described.items()]


def _joined(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
