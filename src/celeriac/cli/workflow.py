"""``celeriac workflow``: chains, groups and chords that were sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from celeriac.cli.output import ago, moment
from celeriac.cli.session import Session, pass_session

if TYPE_CHECKING:
    from celeriac.app.workflow_control import PartView, StepRecord, WorkflowView

_SHOWN_OF_GROUP: Final = 20
"""Tasks of a group that are shown one by one; of more, those that failed, and how many are in each state."""


@click.group()
def workflow() -> None:
    """Look at workflows, go on with one after a failure, end or forget one.

    A workflow is a chain, a chord, or any canvas in which a task waits for another. It is kept until it is over, and
    then for as long as results are.
    """


@workflow.command("list")
@click.option("-n", "--limit", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many.")
@click.option("-j", "--json", "as_json", is_flag=True, help="Write JSON.")
@pass_session
def show_all(session: Session, /, limit: int, as_json: bool) -> None:
    """Show workflows, the oldest first."""
    from celeriac.app.workflow_control import state_of

    session.app.broker.install()
    records = session.app.control.workflows.list(limit)
    if as_json:
        session.out.json([{"id": one.id, "state": state_of(one), "created": one.created} for one in records])
        return
    session.out.table(
        ("id", "state", "sent", "ended", "to come"),
        [(one.id, state_of(one), ago(one.created), ago(one.ended), str(one.remaining)) for one in records],
        empty="There are no workflows.",
    )


@workflow.command()
@click.argument("workflow_id")
@click.option("-j", "--json", "as_json", is_flag=True, help="Write JSON.")
@pass_session
def show(session: Session, /, workflow_id: str, as_json: bool) -> int:
    """Show a workflow's steps as a tree, with their states. The exit code is 1 if it failed."""
    session.app.broker.install()
    view = session.app.control.workflows.show(workflow_id)
    if as_json:
        parts = [{"step": one.step, "replaces": one.replaces, "steps": _as_json(one.steps)} for one in view.parts]
        session.out.json(
            {
                "id": view.id,
                "state": view.state,
                "created": view.created,
                "ended": view.ended,
                "steps": _as_json(view.steps),
                "parts": parts,
            }
        )
    else:
        session.out.line(f"{view.id}  {view.state}  sent {moment(view.created)}")
        for line in _tree(view, view.form, "  "):
            session.out.line(line)
        for part in view.parts:
            session.out.line(f"{'in place of' if part.replaces else 'added by'} {part.step}")
            for line in _tree(part, part.form, "  "):
                session.out.line(line)
    return 1 if view.state == "FAILURE" else 0


@workflow.command()
@click.argument("workflow_id")
@pass_session
def resume(session: Session, /, workflow_id: str) -> None:
    """Try the steps of a workflow again that failed, and go on from there."""
    session.app.broker.install()
    count = session.app.control.workflows.resume(workflow_id)
    session.out.line(f"{count} step{'s' if count > 1 else ''} will be tried again.")


@workflow.command()
@click.argument("workflow_id")
@click.option("--terminate", is_flag=True, help="End the runs of steps that run.")
@pass_session
def revoke(session: Session, /, workflow_id: str, terminate: bool) -> None:
    """See to it that no step of a workflow runs that has not begun."""
    session.app.broker.install()
    found = session.app.control.workflows.revoke(workflow_id, terminate=terminate)
    running = sum([one.outcome == "running" for one in found])
    session.out.line(f"{len(found)} steps revoked" + (f"; {running} of them run." if running else "."))


@workflow.command()
@click.argument("workflow_id")
@pass_session
def forget(session: Session, /, workflow_id: str) -> None:
    """Remove what is stored of a workflow. Steps that wait for others will never run."""
    session.app.broker.install()
    session.app.control.workflows.forget(workflow_id)
    session.out.line("Forgotten.")


def _as_json(steps: Sequence[StepRecord]) -> list[dict[str, Any]]:
    return [{"id": one.id, "task": one.task, "state": one.state, "done": one.done} for one in steps]


def _tree(view: WorkflowView | PartView, form: Any, indent: str) -> Iterator[str]:
    if isinstance(form, int):
        step = view.steps[form]
        when = f"  {moment(step.done)}" if step.done is not None else ""
        yield f"{indent}{step.state:8}  {step.task}  {step.id}{when}"
        return
    kind: str = form[0]
    parts: list[Any] = form[1:]
    yield f"{indent}{kind}"
    whole = kind == "chain" or len(parts) <= _SHOWN_OF_GROUP or not all(isinstance(one, int) for one in parts)
    bad = [one for one in parts if whole or view.steps[int(one)].state in ("FAILURE", "REVOKED")]
    for part in bad if whole else bad[:_SHOWN_OF_GROUP]:
        yield from _tree(view, part, indent + "  ")
    if not whole:
        counts = Counter(view.steps[int(one)].state for one in parts)
        yield f"{indent}  {', '.join(f'{count} {name}' for name, count in sorted(counts.items()))}"
