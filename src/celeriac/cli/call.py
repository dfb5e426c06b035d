"""``celeriac call``: send a task by its name."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import click

from celeriac.cli.session import Session, pass_session

Callback = Callable[[click.Context, click.Parameter, str | None], Any]


def _json(kind: type[Any], what: str, example: str) -> Callback:
    """Return what reads an option that is JSON.

    Args:
        kind: What it must be.
        what: The same in words.
        example: For the error.
    """

    def read(ctx: click.Context, parameter: click.Parameter, value: str | None) -> Any:
        try:
            found = json.loads(value or "")
        except ValueError as exc:
            raise click.BadParameter(f"{value!r} is not JSON ({exc}); write {what}, as in '{example}'") from None
        if not isinstance(found, kind):
            raise click.BadParameter(f"{value!r} must be {what}, as in '{example}'")
        return found

    return read


def _moment(ctx: click.Context, parameter: click.Parameter, value: str | None) -> datetime | None:
    """Read a moment in ISO 8601; one without an offset is in the app's time zone."""
    if value is None:
        return None
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is no moment in ISO 8601, such as 2030-12-31T23:59:00+01:00") from None


def _moment_or_seconds(ctx: click.Context, parameter: click.Parameter, value: str | None) -> datetime | float | None:
    try:
        return None if value is None else float(value)
    except ValueError:
        return _moment(ctx, parameter, value)


@click.command()
@click.argument("name")
@click.option(
    "-a", "--args", metavar="JSON", default="[]", callback=_json(list, "a list", "[1, 2]"), help="Positional arguments."
)
@click.option(
    "-k",
    "--kwargs",
    metavar="JSON",
    default="{}",
    callback=_json(dict, "an object", '{"x": 1}'),
    help="Keyword arguments.",
)
@click.option("--countdown", type=float, metavar="S", help="Not before so many seconds from now.")
@click.option("--eta", metavar="TIME", callback=_moment, help="Not before this moment.")
@click.option(
    "--expires", metavar="TIME", callback=_moment_or_seconds, help="Not after this moment, or so many seconds from now."
)
@click.option("--queue", help="Queue to send it to.")
@click.option("--priority", type=click.IntRange(0, 9), help="0 to 9; higher is more urgent.")
@click.option("--serializer", help="How arguments are encoded. Default: as the task says.")
@click.option("--exchange", hidden=True)
@click.option("--routing-key", hidden=True)
@click.option("--task-id", metavar="ID", help="Its id. Default: a new one.")
@click.option("-w", "--wait", is_flag=True, help="Wait until it is over, and show its result.")
@click.option("-t", "--timeout", type=float, metavar="S", help="Wait so long. Default: without end.")
@click.option("-j", "--json", "as_json", is_flag=True, help="Write JSON.")
@pass_session
def call(session: Session, /, name: str, wait: bool, timeout: float | None, as_json: bool, **given: Any) -> int:
    """Send a task and write its id.

    NAME is the name under which workers know it, such as proj.tasks.add.
    """
    from celeriac.cli.result import finish

    app = session.app
    if session.target is not None:
        session.import_tasks()
        if name not in app.tasks:
            near = difflib.get_close_matches(name, app.tasks.regular(), n=1)
            guess = f" Did you mean {near[0]!r}?" if near else ""
            session.out.note(
                f"Note: {name!r} is not a task of {session.target}; it is sent, for a worker that has it.{guess}"
            )
    options = {key: value for key, value in given.items() if value is not None and key not in ("args", "kwargs")}
    try:
        sent = app.send_task(name, given["args"], given["kwargs"], **options)
    except TypeError as exc:
        raise click.UsageError(str(exc)) from exc
    if wait:
        if not as_json:
            session.out.note(sent.id)
        return finish(session, sent, timeout=timeout, as_json=as_json)
    if as_json:
        session.out.json({"id": sent.id})
    else:
        session.out.line(sent.id)
    return 0
