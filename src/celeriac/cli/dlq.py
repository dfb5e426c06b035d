"""``celeriac dlq``: dead letters, messages that workers gave up. They are kept with the reason until told otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import click

from celeriac.cli.output import ago, moment
from celeriac.cli.session import Session, comma_separated, pass_session
from celeriac.core import state

if TYPE_CHECKING:
    from celeriac.brokers.port import Record

_DEAD: Final = (state.DEAD,)
_PAGE: Final = 500
_RAW_SHOWN: Final = 400


@click.group()
def dlq() -> None:
    """Look at dead letters, run them again, drop them.

    A dead letter is a task that killed its process again and again, that no worker knew, that rejected itself, or a
    message that nobody could read.
    """


@dlq.command("list")
@click.option("-Q", "--queue", help="Only of this queue.")
@click.option("-n", "--limit", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many.")
@click.option("-j", "--json", "as_json", is_flag=True, help="Write JSON.")
@pass_session
def show_all(session: Session, /, queue: str | None, limit: int, as_json: bool) -> None:
    """Show dead letters, the oldest first."""
    broker = session.app.broker
    broker.install()
    records = broker.page(_DEAD, queue, 0, limit)
    if as_json:
        session.out.json([_described(one) for one in records])
        return
    session.out.table(
        ("id", "task", "queue", "died", "reason"),
        [(one.id, _task(one), one.queue, _died(one), (one.reason or "").partition("\n")[0]) for one in records],
        empty="There are no dead letters.",
    )
    if len(records) == limit:
        session.out.note(f"Note: these are the first {limit}; -n shows more.")


@dlq.command()
@click.argument("task_id")
@click.option("-j", "--json", "as_json", is_flag=True, help="Write JSON.")
@pass_session
def show(session: Session, /, task_id: str, as_json: bool) -> None:
    """Show all that is known of one dead letter."""
    session.app.broker.install()
    record = _dead(session, [task_id])[0]
    described = _described(record)
    if as_json:
        session.out.json(described)
        return
    described["died"] = moment(record.changed)
    described["sent"] = None if record.message is None else moment(record.message.sent_at)
    session.out.fields(described)


@dlq.command()
@click.argument("ids", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All of them.")
@click.option("-Q", "--queue", help="With --all: only of this queue.")
@pass_session
def retry(session: Session, /, ids: tuple[str, ...], every: bool, queue: str | None) -> None:
    """Put dead letters back into their queues; their counts begin anew."""
    if every == bool(ids):
        raise click.UsageError("name dead letters by their ids, or say --all.")
    broker = session.app.broker
    broker.install()
    if ids:
        _dead(session, ids)
        revived = broker.revive(ids)
    else:
        # Listed first and then revived: one that dies again meanwhile is not revived twice.
        revived = broker.revive([one.id for one in _pages(session, queue)])
    if session.app.results_enabled and not session.app.results_share_broker:
        # Where the results are kept elsewhere, reviving cannot forget how these tasks ended.
        session.app.backend.discard(revived)
    session.out.line(f"{len(revived)} dead letter{'' if len(revived) == 1 else 's'} put back.")


@dlq.command()
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("-Q", "--queues", metavar="A,B", callback=comma_separated, help="Only of these queues.")
@pass_session
def purge(session: Session, /, force: bool, queues: tuple[str, ...] | None) -> int:
    """Drop dead letters for good."""
    broker = session.app.broker
    broker.install()
    dead = {one.queue: one.dead for one in broker.stats() if one.dead and (queues is None or one.queue in queues)}
    question = f"Drop {sum(dead.values())} dead letters of {', '.join(dead)} for good?"
    if dead and not force and not click.confirm(question, err=True):
        session.out.note("Nothing was dropped.")
        return 1
    dropped = sum(broker.purge(queue, dead=True) for queue in dead)
    session.out.line(f"Dropped {dropped} dead letter{'' if dropped == 1 else 's'}.")
    return 0


def _pages(session: Session, queue: str | None) -> Iterator[Record]:
    cursor = 0
    while page := session.app.broker.page(_DEAD, queue, cursor, _PAGE):
        yield from page
        cursor = page[-1].cursor


def _dead(session: Session, ids: list[str] | tuple[str, ...]) -> list[Record]:
    """Return the dead letters of these ids.

    Raises:
        ClickException: One of them is none.
    """
    found = {one.id: one for one in session.app.broker.get(ids)}
    for one in ids:
        if one not in found:
            raise click.ClickException(f"the broker has no task {one!r}; `celeriac dlq list` shows the dead letters")
        if found[one].state != state.DEAD:
            raise click.ClickException(f"task {one!r} is no dead letter: it is {found[one].state}")
    return [found[one] for one in ids]


def _task(record: Record) -> str:
    return "(unreadable)" if record.message is None else record.message.task


def _died(record: Record) -> str | None:
    past = ago(record.changed)
    return past and f"{past} ago"


def _described(record: Record) -> dict[str, Any]:
    message = record.message
    known: dict[str, Any] = {
        "id": record.id,
        "task": _task(record),
        "queue": record.queue,
        "reason": record.reason,
        "died": record.changed,
        "crashes": record.crashes,
    }
    if message is None:
        return {**known, "bytes": len(record.raw), "raw": repr(record.raw[:_RAW_SHOWN])}
    return {
        **known,
        "sent": message.sent_at,
        "origin": message.origin,
        "args": message.argsrepr,
        "kwargs": message.kwargsrepr,
        "retries": message.retries,
        "priority": message.priority,
        "root": message.root_id,
        "parent": message.parent_id,
    }
