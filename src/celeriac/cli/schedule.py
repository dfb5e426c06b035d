"""``celeriac schedule``: the entries in the store."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar, cast

import click

from celeriac.app.schedule_entries import UNSETTABLE, ScheduledEntry, ScheduledRun
from celeriac.cli.output import moment
from celeriac.cli.session import Session, pass_session
from celeriac.core.schedule import MISFIRES, OVERLAPS

F = TypeVar("F", bound=Callable[..., Any])


@click.group()
def schedule() -> None:
    """Look at schedule entries and change them. A change is heeded within a second, by all schedulers."""


def _json(ctx: click.Context, parameter: click.Parameter, value: str | None) -> Any:
    if value is None:
        return None
    try:
        found: object = json.loads(value)
    except ValueError as exc:
        raise click.BadParameter(f"{value!r} is not JSON: {exc}", ctx, parameter) from None
    wants_list = parameter.name == "args"
    if not isinstance(found, list if wants_list else dict):
        what = "a list" if wants_list else "an object"
        raise click.BadParameter(f"{value!r} must be {what}", ctx, parameter)
    return cast("object", found)


def _moment(ctx: click.Context, parameter: click.Parameter, value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is no moment such as 2030-01-31T06:00:00+01:00", ctx, parameter) from None


def _fields(command: F) -> F:
    """What an entry says."""
    for option in reversed(
        (
            click.option("--every", type=click.FloatRange(min=0, min_open=True), metavar="S", help="Every so many"
                         " seconds."),
            click.option("--cron", metavar="FIELDS", help="Five fields: minute hour day month weekday."),
            click.option("--at", callback=_moment, metavar="TIME", help="Once, at this time."),
            click.option("-a", "--args", callback=_json, metavar="JSON", help="Positional arguments: a list."),
            click.option("-k", "--kwargs", callback=_json, metavar="JSON", help="Keyword arguments: an object."),
            click.option("--options", callback=_json, metavar="JSON", help="Options of the call: queue, priority, ..."),
            click.option("--description", metavar="TEXT", help="For people."),
            click.option("--zone", metavar="NAME", help="Time zone of --cron, such as Europe/Berlin."),
            click.option("--start", callback=_moment, metavar="TIME", help="Not before."),
            click.option("--end", callback=_moment, metavar="TIME", help="Not after."),
            click.option("--one-off/--no-one-off", default=None, help="Run once."),
            click.option("--misfire", type=click.Choice(MISFIRES), help="What becomes of times that were missed."),
            click.option("--window", type=click.FloatRange(min=0), metavar="S", help="Older ones are skipped."),
            click.option("--overlap", type=click.Choice(OVERLAPS), help="What if the run before goes on."),
            click.option("--jitter", type=click.FloatRange(min=0), metavar="S", help="Put each run off by up to this."),
            click.option("--keep", type=click.IntRange(min=0), help="Runs that are remembered."),
        )
    ):  # fmt: skip
        command = option(command)
    return command


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


@schedule.command(name="list")
@click.option("--after", default="", metavar="NAME", help="Begin after this one.")
@click.option("-n", "--limit", type=click.IntRange(min=1), default=100, show_default=True, help="Most entries.")
@click.option("-j", "--json", "as_json", is_flag=True, help="Write JSON.")
@pass_session
def list_(session: Session, /, after: str, limit: int, as_json: bool) -> None:
    """Show entries in the order of their names."""
    session.app.broker.install()
    found = session.app.schedule.list(after=after, limit=limit)
    if as_json:
        session.out.json([_described(one) for one in found])
        return
    rows = [(one.name, _task(one), _trigger(one), _next(one), one.total_runs, one.last_state or "") for one in found]
    session.out.table(("NAME", "TASK", "WHEN", "NEXT", "RUNS", "LAST"), rows, empty="There are no schedule entries.")


@schedule.command()
@click.argument("name")
@click.option("-j", "--json", "as_json", is_flag=True, help="Write JSON.")
@pass_session
def show(session: Session, /, name: str, as_json: bool) -> None:
    """Show one entry."""
    session.app.broker.install()
    found = session.app.schedule.get(name)
    if found is None:
        raise click.ClickException(f"there is no schedule entry {name!r}; `celeriac schedule list` shows them")
    if as_json:
        session.out.json(_described(found))
    else:
        said = _described(found)
        said |= {name: moment(said[name]) for name in ("start", "end") if said.get(name) is not None}
        session.out.fields(said)


@schedule.command()
@click.argument("name")
@click.argument("task")
@_fields
@click.option("--disabled", is_flag=True, help="Not due before it is enabled.")
@click.option("--replace", is_flag=True, help="Take the place of one of this name.")
@pass_session
def add(session: Session, /, name: str, task: str, disabled: bool, replace: bool, **fields: Any) -> None:
    """Add an entry that sends TASK."""
    session.app.broker.install()
    session.app.schedule.add(name, task, replace=replace, enabled=not disabled, **_given(fields))
    session.out.line(f"Added {name}.")


@schedule.command()
@click.argument("name")
@click.option("--task", metavar="NAME", help="The task to send.")
@_fields
@click.option("--unset", type=click.Choice([field.replace("_", "-") for field in UNSETTABLE]), multiple=True,
              metavar="FIELD", help="As if it had never been given: zone, start, ...; may be repeated.")  # fmt: skip
@pass_session
def update(session: Session, /, name: str, task: str | None, unset: tuple[str, ...], **fields: Any) -> None:
    """Change an entry; what is not named stays."""
    changes = _given({"task": task, **fields})
    if not changes and not unset:
        raise click.UsageError("nothing to change: give at least one option, such as --every 60")
    for field in unset:
        if field.replace("-", "_") in changes:
            raise click.UsageError(f"--{field} and --unset {field} say opposite things: give one of them")
        changes[field.replace("-", "_")] = None
    session.app.broker.install()
    session.app.schedule.update(name, **changes)
    session.out.line(f"Changed {name}.")


@schedule.command()
@click.argument("names", nargs=-1, required=True)
@pass_session
def remove(session: Session, /, names: tuple[str, ...]) -> int:
    """Remove entries and their histories."""
    session.app.broker.install()
    gone = [name for name in names if session.app.schedule.remove(name)]
    session.out.line(f"Removed {len(gone)} of {len(names)}.")
    return 0 if len(gone) == len(names) else 1


@schedule.command()
@click.argument("name")
@pass_session
def enable(session: Session, /, name: str) -> None:
    """Let an entry be due again, from now on."""
    session.app.broker.install()
    session.app.schedule.enable(name)
    session.out.line(f"Enabled {name}.")


@schedule.command()
@click.argument("name")
@pass_session
def disable(session: Session, /, name: str) -> None:
    """Let an entry be due no more until it is enabled."""
    session.app.broker.install()
    session.app.schedule.disable(name)
    session.out.line(f"Disabled {name}.")


@schedule.command()
@click.argument("name")
@pass_session
def run(session: Session, /, name: str) -> None:
    """Send an entry's task now; print its id."""
    session.app.broker.install()
    session.out.line(session.app.schedule.run_now(name).id)


@schedule.command()
@click.argument("name")
@click.option("-j", "--json", "as_json", is_flag=True, help="Write JSON.")
@pass_session
def history(session: Session, /, name: str, as_json: bool) -> None:
    """Show the latest runs of an entry, the latest first."""
    session.app.broker.install()
    runs = session.app.schedule.history(name)
    if as_json:
        session.out.json([_run(one) for one in runs])
        return
    rows = [(moment(one.due.timestamp()), f"{one.lateness:.3f}", one.state, one.task_id) for one in runs]
    session.out.table(("DUE", "LATE", "STATE", "TASK ID"), rows, empty=f"{name} has not run yet.")


def _task(one: ScheduledEntry) -> str:
    if one.entry is None:
        return "(unreadable)"
    return one.entry.task if one.doubt is None else f"{one.entry.task} (unknown)"


def _trigger(one: ScheduledEntry) -> str:
    return "" if one.entry is None else str(one.entry.trigger)


def _next(one: ScheduledEntry) -> str:
    if one.problem is not None:
        return f"put aside: {one.problem}"
    if one.next_run is None:
        return "disabled" if one.entry is not None and not one.entry.enabled else "never"
    return moment(one.next_run.timestamp()) or ""


def _described(one: ScheduledEntry) -> dict[str, Any]:
    entry = one.entry
    says: dict[str, Any] = {}
    if entry is not None:
        says = {name: getattr(entry, name) for name in entry.__struct_fields__ if name != "name"}
        says |= {"trigger": str(entry.trigger), "args": list(entry.args)}
    return {
        "name": one.name,
        **says,
        "next_run": one.next_run and one.next_run.isoformat(),
        "last_run": one.last_run and one.last_run.isoformat(),
        "last_task_id": one.last_task_id,
        "last_state": one.last_state,
        "total_runs": one.total_runs,
        "missed": one.missed,
        "problem": one.problem,
        "doubt": one.doubt,
    }


def _run(one: ScheduledRun) -> dict[str, Any]:
    return {
        "task_id": one.task_id,
        "due": one.due.isoformat(),
        "fired": one.fired.isoformat(),
        "lateness": round(one.lateness, 6),
        "state": one.state,
        "log": one.log,
    }
