"""Environment variables that are meant for this program and that nobody reads: a misspelt one must not be silent."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import Final

import click

from celeriac.cli.commands import COMMANDS, load

PREFIX: Final = "CELERIAC_"
KNOWN: Final = frozenset(
    f"{PREFIX}{name}" for name in ("APP", "BROKER_URL", "CONFIG_MODULE", "RELOADED", "RESULT_BACKEND")
)
"""Variables that are read apart from those of options."""
_LIKE: Final = 0.8
"""How much two names must have in common for one to be taken for the other; others may be anybody's."""


def misspelt(variables: Iterable[str], group: click.Group) -> list[str]:
    """Return what to say about the variables that have no effect and look as if they should.

    Args:
        variables: The names in the environment.
        group: The command line.
    """
    unknown = sorted({name for name in variables if name.startswith(PREFIX)} - KNOWN - set(_options(group, PREFIX)))
    if not unknown:
        return []
    known = {*KNOWN, *_options(group, PREFIX)}
    for command in COMMANDS:
        # Only now: it takes a while to import all commands.
        found = load(command)
        if found is not None:
            known.update(_options(found, f"{PREFIX}{command.upper()}_"))
    return [text for name in unknown if name not in known and (text := _explain(name, known)) is not None]


def _options(command: click.Command, prefix: str) -> Iterator[str]:
    """Yield the variables of a command's options, and of those of the commands below it."""
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            yield f"{prefix}{str(parameter.name).upper()}"
    for name, below in getattr(command, "commands", {}).items():
        yield from _options(below, f"{prefix}{name.upper()}_")


def _explain(name: str, known: Iterable[str]) -> str | None:
    from celeriac.core.settings_table import SETTINGS

    near = difflib.get_close_matches(name, known, 1, _LIKE)
    if near:
        return f"Warning: the environment variable {name} has no effect; did you mean {near[0]}?"
    if name.removeprefix(PREFIX).lower() in SETTINGS:
        return (
            f"Warning: the environment variable {name} has no effect: settings are read from the app and its settings"
            " module (CELERIAC_CONFIG_MODULE), and only CELERIAC_BROKER_URL and CELERIAC_RESULT_BACKEND from the"
            " environment"
        )
    return None
