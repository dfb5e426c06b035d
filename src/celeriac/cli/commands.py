"""The table of commands: what each is for, and where it is.

The one-line texts stand here and not in the commands' modules, so that ``--help`` need not load them.
"""

from __future__ import annotations

import difflib
from typing import Final

import click

COMMANDS: Final = {
    "worker": "Start a worker.",
    "beat": "Send tasks when schedule entries are due.",
    "schedule": "Look at schedule entries, and change them.",
    "call": "Send a task.",
    "result": "Show what came of a task.",
    "status": "Show live workers, queues, and counts of tasks.",
    "inspect": "Ask live workers what they do.",
    "control": "Tell live workers what to do.",
    "revoke": "See to it that tasks do not run.",
    "queues": "Show what is in the queues.",
    "list": "The same as queues.",
    "purge": "Drop the tasks that wait in queues.",
    "dlq": "Look at dead letters, run them again, drop them.",
    "workflow": "Look at workflows, go on after a failure, end one.",
    "db": "Upgrade or check the broker's store.",
    "doctor": "Examine a broker, and say what to change.",
    "relay": "Bring tasks from an outbox to the broker.",
    "report": "Show versions and settings, for a bug report.",
    "shell": "Start Python with the app and its tasks at hand.",
}

LATER: Final = {
    "events": "task events for monitors come in a later version; `celeriac status` and the worker's log (-l INFO) show"
    " what happens",
    "flower": "Flower needs task events, which come in a later version; use `celeriac status` and `celeriac inspect`",
    "multi": "starting many workers is a service manager's work: write a systemd unit, a supervisor entry or a"
    " container for each",
    "migrate": "moving messages between brokers is not available in this version: let workers empty the old broker",
    "amqp": "there is no AMQP shell: `celeriac queues` shows queues, RabbitMQ's `rabbitmqctl` the rest",
    "graph": "workers of Celeriac have no boot steps to draw; `celeriac status` shows workers",
    "logtool": "reading logs is not part of Celeriac: every line has the task's name and id, for the tools you have",
    "upgrade": "settings need no upgrade: old names are understood, and a warning tells the new one. To upgrade the"
    " broker's store: `celeriac db upgrade`",
}
"""Commands of Celery's that this version does not have, and what to do instead."""


class Commands(click.Group):
    """The commands, each loaded when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return unavailable(cmd_name) if cmd_name in LATER else load(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and name not in COMMANDS and name not in LATER:
            near = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else f" Commands are {', '.join(COMMANDS)}."
            ctx.fail(f"There is no command {name!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def unavailable(name: str) -> click.Command:
    """Return a command that says why it does nothing."""

    @click.command(
        name, add_help_option=False, context_settings={"ignore_unknown_options": True, "allow_extra_args": True}
    )
    @click.argument("words", nargs=-1, type=click.UNPROCESSED)
    def command(words: tuple[str, ...]) -> None:
        raise click.UsageError(f"`celeriac {name}`: {LATER[name]}.")

    return command


def load(name: str) -> click.Command | None:
    """Return a command; None if there is none of that name."""
    match name:
        case "worker":
            from celeriac.cli.worker import worker as command
        case "beat":
            from celeriac.cli.beat import beat as command
        case "schedule":
            from celeriac.cli.schedule import schedule as command
        case "call":
            from celeriac.cli.call import call as command
        case "result":
            from celeriac.cli.result import result as command
        case "status":
            from celeriac.cli.status import status as command
        case "queues" | "list":
            from celeriac.cli.status import queues as command
        case "inspect":
            from celeriac.cli.remote import inspect as command
        case "control":
            from celeriac.cli.remote import control as command
        case "revoke":
            from celeriac.cli.remote import revoke as command
        case "purge":
            from celeriac.cli.purge import purge as command
        case "dlq":
            from celeriac.cli.dlq import dlq as command
        case "db":
            from celeriac.cli.db import db as command
        case "doctor":
            from celeriac.cli.doctor import doctor as command
        case "relay":
            from celeriac.cli.relay import relay as command
        case "workflow":
            from celeriac.cli.workflow import workflow as command
        case "report":
            from celeriac.cli.report import report as command
        case "shell":
            from celeriac.cli.shell import shell as command
        case _:
            return None
    return command
