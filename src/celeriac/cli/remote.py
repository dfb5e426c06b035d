"""``celeriac inspect``, ``control`` and ``revoke``: commands to live workers, and their answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar, cast

import click

from celeriac.cli.session import Session, comma_separated, pass_session
from celeriac.cli.status import UNAVAILABLE

F = TypeVar("F", bound=Callable[..., Any])

_QUESTIONS: Final = {
    "active": "tasks that run",
    "reserved": "tasks that are claimed and have not started",
    "scheduled": "tasks that wait for their time (in the broker: no worker is asked)",
    "registered": "tasks that each worker knows",
    "stats": "counts, processes and resources",
    "ping": "who answers",
    "conf": "settings, without secrets",
    "active_queues": "queues that each worker consumes",
    "report": "one line about each worker",
}
_ORDERS: Final = {
    "ping": "ping",
    "revoke": "revoke ID...",
    "terminate": "terminate SIGNAL ID...",
    "shutdown": "shutdown",
    "pool_grow": "pool_grow [N]",
    "pool_shrink": "pool_shrink [N]",
}
_OUTCOMES: Final = {
    "removed": "revoked: it will not run",
    "unknown": "not found: it is over already, or was never sent",
}


def _remote_options(command: F) -> F:
    """What every command to workers takes."""
    for option in (
        click.option("-j", "--json", "as_json", is_flag=True, help="Write JSON."),
        click.option(
            "-t", "--timeout", type=click.FloatRange(min=0), default=1.0, show_default=True, metavar="S",
            help="Wait so long for answers.",
        ),
        click.option("-d", "--destination", metavar="A,B", callback=comma_separated, help="Only these workers."),
    ):  # fmt: skip
        command = option(command)
    return command


def _signal_options(command: F) -> F:
    for option in (
        click.option("-s", "--signal", metavar="NAME", help="With --terminate: KILL ends the process at once."),
        click.option("--terminate", is_flag=True, help="End those that run, too."),
    ):
        command = option(command)
    return command


@click.command(epilog="Questions: " + "; ".join(f"{name}: {what}" for name, what in _QUESTIONS.items()) + ".")
@click.argument("question", metavar="QUESTION", type=click.Choice(list(_QUESTIONS)))
@_remote_options
@pass_session
def inspect(
    session: Session, /, question: str, destination: tuple[str, ...] | None, timeout: float, as_json: bool
) -> int:
    """Ask live workers what they do. The exit code is 69 if none answers."""
    app = session.app
    app.broker.install()
    asked = app.control.inspect(destination=destination, timeout=timeout)
    answers: dict[str, Any] | None = getattr(asked, question)()
    return _show_answers(session, answers, timeout, as_json=as_json)


@click.command(epilog="Orders: " + ", ".join(_ORDERS.values()) + ".")
@click.argument("order", metavar="ORDER", type=click.Choice(list(_ORDERS)))
@click.argument("words", nargs=-1)
@_signal_options
@_remote_options
@pass_session
def control(session: Session, /, order: str, words: tuple[str, ...], terminate: bool, **given: Any) -> int:
    """Tell live workers what to do. The exit code is 69 if none answers."""
    if order == "terminate":
        if len(words) < 2:
            raise click.UsageError(f"Usage: control {_ORDERS[order]}, for instance: control terminate KILL 9a0c...")
        return _revoke(session, words[1:], terminate=True, signal=words[0], **_told(given))
    if order == "revoke":
        if not words:
            raise click.UsageError(f"Usage: control {_ORDERS[order]}")
        return _revoke(session, words, terminate=terminate, signal=given["signal"], **_told(given))
    arguments: dict[str, Any] = {}
    if order in ("pool_grow", "pool_shrink"):
        arguments["n"] = _number(order, words)
    elif words:
        raise click.UsageError(f"control {order} takes no arguments, and was given {' '.join(words)!r}.")
    app = session.app
    app.broker.install()
    answers = app.control.ask(order, arguments, given["destination"], given["timeout"])
    return _show_answers(session, answers, given["timeout"], as_json=given["as_json"])


@click.command()
@click.argument("ids", nargs=-1, required=True)
@_signal_options
@_remote_options
@pass_session
def revoke(session: Session, /, ids: tuple[str, ...], terminate: bool, signal: str | None, **given: Any) -> int:
    """See to it that tasks do not run, or not again. No worker need be alive for it."""
    return _revoke(session, ids, terminate=terminate, signal=signal, **_told(given))


def _told(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: given[name] for name in ("destination", "timeout", "as_json")}


def _revoke(
    session: Session,
    ids: tuple[str, ...],
    *,
    terminate: bool,
    signal: str | None,
    destination: tuple[str, ...] | None,
    timeout: float,
    as_json: bool,
) -> int:
    app = session.app
    app.broker.install()
    name = None if signal is None else "SIG" + signal.upper().removeprefix("SIG")
    found = app.control.revoke(ids, destination, terminate, name, reply=True, timeout=timeout)
    if as_json:
        session.out.json({one.id: {"outcome": one.outcome, "owner": one.owner} for one in found})
        return 0
    for one in found:
        if one.outcome == "running":
            end = "it is told to end" if terminate else "it goes on (--terminate ends it)"
            session.out.line(f"{one.id}  runs on {one.owner}: {end}, and will not be tried again")
        else:
            session.out.line(f"{one.id}  {_OUTCOMES[one.outcome]}")
    return 0


def _number(order: str, words: tuple[str, ...]) -> int:
    try:
        (number,) = (int(word) for word in words or ("1",))
    except ValueError:
        raise click.UsageError(f"Usage: control {_ORDERS[order]}, with a whole number.") from None
    if number < 1:
        raise click.UsageError(f"control {order} {number}: the number must be at least 1.")
    return number


def _show_answers(session: Session, answers: dict[str, Any] | None, timeout: float, *, as_json: bool) -> int:
    if not answers:
        if as_json:
            session.out.json({})
        session.out.error(
            f"Error: no worker answered within {timeout:g} s; `celeriac status` shows who is online, -t waits longer"
        )
        return UNAVAILABLE
    failed = any(isinstance(answer, dict) and "error" in answer for answer in answers.values())
    if as_json:
        session.out.json(answers)
        return int(failed)
    for node, answer in answers.items():
        heading, *rest = answer_lines(node, answer)
        session.out.line(heading, "bold")
        for line in rest:
            session.out.line(line)
    return int(failed)


def answer_lines(node: str, answer: object) -> list[str]:
    """Return the lines that show what a worker answered; it may have answered anything."""
    return [f"-> {node}: {_heading(answer)}".rstrip(), *(f"   {line}" for line in _lines(answer))]


def _heading(answer: object) -> str:
    if isinstance(answer, dict):
        plain = cast("dict[str, object]", answer)
        if "error" in plain:
            return f"ERROR {plain['error']}"
        if plain.keys() == {"ok"}:
            return f"OK {plain['ok']}"
        return ""
    if isinstance(answer, list):
        return "" if answer else "none"
    return str(answer)


def _lines(answer: object) -> list[str]:
    """Return an answer's parts, one on each line."""
    if isinstance(answer, list):
        return ["* " + _one_line(one) for one in cast("list[object]", answer)]
    if not isinstance(answer, dict):
        return []
    fields = cast("dict[str, object]", answer)
    if "error" in fields or fields.keys() == {"ok"}:
        return []
    return [f"{name}: {_one_line(value)}" for name, value in fields.items()]


def _one_line(value: object) -> str:
    return ", ".join(_pairs(cast("dict[str, object]", value))) if isinstance(value, dict) else str(value)


def _pairs(fields: dict[str, object]) -> Iterator[str]:
    """Yield names with their values; what lies deeper as if it lay here."""
    for name, value in fields.items():
        if isinstance(value, dict):
            yield from _pairs(cast("dict[str, object]", value))
        elif value is not None:
            yield f"{name}: {value}"
