"""``celeriac result``: what came of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from celeriac.cli.output import duration
from celeriac.cli.session import Session, pass_session
from celeriac.core import state
from celeriac.errors import TimeoutError

if TYPE_CHECKING:
    from celeriac.app.result import AsyncResult


@click.command()
@click.argument("task_id")
@click.option("-t", "--task", hidden=True, help="The task's name; ids are enough here.")
@click.option("--traceback", is_flag=True, help="Show the traceback of a task that failed.")
@click.option("-w", "--wait", is_flag=True, help="Wait until the task is over.")
@click.option("--timeout", type=float, metavar="S", help="Wait so long. Default: without end.")
@click.option("-j", "--json", "as_json", is_flag=True, help="Write JSON.")
@pass_session
def result(session: Session, /, task_id: str, task: str | None, traceback: bool, wait: bool, **given: Any) -> int:
    """Show the state of a task and what it returned or raised. The exit code is 1 if it failed."""
    found = session.app.AsyncResult(task_id)
    as_json: bool = given["as_json"]
    if wait:
        return finish(session, found, timeout=given["timeout"], as_json=as_json, traceback=traceback, details=True)
    return show(session, found, as_json=as_json, traceback=traceback)


def finish(
    session: Session,
    found: AsyncResult[Any],
    *,
    timeout: float | None,
    as_json: bool,
    traceback: bool = False,
    details: bool = False,
) -> int:
    """Wait until a task is over, show it, and return the exit code."""
    try:
        value = found.get(timeout=timeout, propagate=False)
    except TimeoutError as exc:
        session.out.error(f"Error: {exc}")
        return 1
    if as_json or details or found.state != state.SUCCESS:
        return show(session, found, as_json=as_json, traceback=traceback)
    session.out.line(repr(value))
    return 0


def show(session: Session, found: AsyncResult[Any], *, as_json: bool, traceback: bool) -> int:
    """Show a task's state and value as they are now, and return the exit code."""
    at = found.state
    fields: dict[str, Any] = {"id": found.id, "task": found.name, "state": at}
    value = found.result
    if as_json:
        value = _for_json(value)
    fields["result"] = value if as_json else repr(value) if at == state.SUCCESS or value is not None else None
    done = found.date_done
    fields["done"] = None if done is None else done.isoformat(sep=" ", timespec="milliseconds")
    fields["runtime"] = found.runtime if as_json else duration(found.runtime)
    fields["worker"] = found.worker
    if traceback or as_json:
        fields["traceback"] = found.traceback
    if as_json:
        session.out.json(fields)
    else:
        session.out.fields(fields)
        if at == state.PENDING:
            session.out.note("Note: PENDING is also the state of an id that nobody sent, or whose result has expired.")
    return 1 if at in state.PROPAGATE_STATES else 0


def _for_json(value: Any) -> Any:
    if isinstance(value, BaseException):
        described: dict[str, Any] = {"type": type(value).__name__, "message": str(value)}
        return described
    return value
