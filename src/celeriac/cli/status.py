"""``celeriac status`` and ``celeriac queues``: who works, what waits, what has been done."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final, cast

import click
import msgspec

from celeriac.app.transaction import OutboxState
from celeriac.brokers.port import QueueStats, WorkerRecord
from celeriac.brokers.rules import queues_of
from celeriac.cli.output import duration, outbox_lines
from celeriac.cli.session import Session, comma_separated, pass_session

UNAVAILABLE: Final = 69
"""Exit code where no worker lives or answers, as Celery's."""
_QUEUE_COLUMNS: Final = ("queue", "ready", "scheduled", "owned", "dead", "oldest")


@click.command()
@click.option("-d", "--destination", metavar="A,B", callback=comma_separated, help="Only these workers.")
@click.option("-t", "--timeout", type=float, hidden=True, help="The broker knows at once who lives.")
@click.option("-j", "--json", "as_json", is_flag=True, help="Write JSON.")
@pass_session
def status(session: Session, /, destination: tuple[str, ...] | None, timeout: float | None, as_json: bool) -> int:
    """Show live workers, queues, and counts of tasks by state. The exit code is 69 where no worker lives.

    A worker lives here as long as its heartbeats come; `celeriac inspect ping` asks it.
    """
    broker = session.app.broker
    broker.install()
    workers = [one for one in broker.workers() if destination is None or one.name in destination]
    found, tallies = broker.stats(), broker.tallies()
    if as_json:
        session.out.json(
            {
                "workers": {one.name: {**one.info, "age": one.age} for one in workers},
                "queues": _plain(found),
                "tasks": _by_task(tallies),
            }
        )
        return 0 if workers else UNAVAILABLE
    _show_workers(session, workers)
    _show_outbox(session, workers)
    session.out.line()
    _show_queues(session, found)
    if tallies:
        session.out.line()
        _show_tallies(session, tallies)
    if not workers:
        session.out.error("Error: no worker is online" + (f" among {', '.join(destination)}" if destination else ""))
        return UNAVAILABLE
    return 0


@click.command()
@click.argument("what", required=False, type=click.Choice(["queues", "bindings"]))
@click.option("-j", "--json", "as_json", is_flag=True, help="Write JSON.")
@pass_session
def queues(session: Session, /, what: str | None, as_json: bool) -> None:
    """Show the queues that have messages: ready, scheduled (waiting for their time), owned by workers, dead letters."""
    broker = session.app.broker
    broker.install()
    found = broker.stats()
    if as_json:
        session.out.json(_plain(found))
    else:
        _show_queues(session, found)


def _plain(found: Iterable[QueueStats]) -> list[dict[str, Any]]:
    return [msgspec.to_builtins(one) for one in found]


def worker_row(worker: WorkerRecord) -> tuple[object, ...]:
    """Return a live worker as a row; its record may say anything."""
    info = worker.info
    children = info.get("children")
    processes = len(cast("list[object]", children)) if isinstance(children, list) else 0
    return (
        worker.name,
        "online",
        info.get("pool"),
        processes or 1,
        info.get("running"),
        info.get("runs"),
        duration(info.get("uptime")),
        info.get("pid"),
        ", ".join(queues_of(worker)),
    )


def _show_workers(session: Session, workers: list[WorkerRecord]) -> None:
    session.out.table(
        ("worker", "state", "pool", "processes", "running", "runs", "uptime", "pid", "queues"),
        [worker_row(one) for one in workers],
        empty="No worker is online.",
    )


def _show_outbox(session: Session, workers: list[WorkerRecord]) -> None:
    """Show what the leading relay of an outbox tells, or else one that stands by; a record may say anything."""
    told = [cast("dict[str, Any]", found) for one in workers if isinstance(found := one.info.get("outbox"), dict)]
    for one in sorted(told, key=lambda found: found.get("leads") is not True)[:1]:
        with contextlib.suppress(msgspec.ValidationError):
            session.out.line(f"outbox: {'; '.join(outbox_lines(msgspec.convert(one, OutboxState)))}")


def _show_queues(session: Session, found: list[QueueStats]) -> None:
    session.out.table(
        _QUEUE_COLUMNS,
        [(one.queue, one.ready, one.scheduled, one.owned, one.dead, duration(one.oldest)) for one in found],
        empty="All queues are empty.",
    )


def _by_task(tallies: dict[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    found: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for (task, state), count in sorted(tallies.items()):
        found[task][state] = count
    return dict(found)


def _show_tallies(session: Session, tallies: dict[tuple[str, str], int]) -> None:
    states = sorted({state for _, state in tallies})
    session.out.table(
        ("task", *(state.lower() for state in states)),
        [(task, *(counts.get(state) for state in states)) for task, counts in _by_task(tallies).items()],
        empty="",
    )
