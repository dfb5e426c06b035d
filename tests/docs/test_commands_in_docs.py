"""Every command line in the documentation is one that `celeriac` takes, and its reference page has every option."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from celeriac.cli.main import celeriac
from tests.docs.pages import PROJECT, documentation

REFERENCE = PROJECT / "docs" / "reference" / "cli.md"
_FENCED = re.compile(r"^```(?:sh|console|ini)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_TICKED = re.compile(r"`(celeriac [^`\n]+)`")
_LINE = re.compile(r"(?:^|[ /=])(celeriac (?:-|worker|call|result|status|dlq|inspect|control|revoke).*)$", re.MULTILINE)
_PLACEHOLDER = re.compile(r"\.\.\.|\[|\bCOMMAND\b")


def lines() -> Iterator[tuple[Path, str]]:
    """Yield every command line of ours in fenced blocks and in running text."""
    for page in [*documentation(), PROJECT / "CONTRIBUTING.md", PROJECT / "examples" / "mosaic" / "README.md"]:
        text = page.read_text()
        found = [line for block in _FENCED.findall(text) for line in _LINE.findall(block)]
        for line in [*found, *_TICKED.findall(_FENCED.sub("", text))]:
            if not _PLACEHOLDER.search(line):
                yield page, line.partition("  # ")[0]


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield each command that does something, with its path."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


LINES = sorted({(str(page.relative_to(PROJECT)), line) for page, line in lines()})


@pytest.mark.parametrize(("page", "line"), LINES)
def test_a_command_line_is_taken(page: str, line: str) -> None:
    words = shlex.split(line)[1:]
    context: click.Context | None = None
    command: click.Command = celeriac
    name = "celeriac"
    while True:
        try:
            context = command.make_context(name, words, parent=context)
        except click.exceptions.MissingParameter:
            return  # The text names the command and leaves the rest to the reader.
        except click.exceptions.Exit:
            return  # --help
        except click.exceptions.NoArgsIsHelpError:
            return
        if not isinstance(command, click.Group):
            return
        name, found, words = command.resolve_command(context, [*context._protected_args, *context.args])  # type: ignore[assignment]
        assert found is not None, f"{page}: {line}: no command {name}"
        command = found


def test_there_are_command_lines() -> None:
    assert len(LINES) > 15


def sections() -> dict[str, str]:
    """Return the parts of the reference page by their headings; what stands before the first is under ``""``."""
    first, *parts = re.split(r"^## ", REFERENCE.read_text(), flags=re.MULTILINE)
    return {"": first, **{part.partition("\n")[0].strip(): part for part in parts}}


def test_the_reference_has_every_command_and_no_other() -> None:
    known = {" ".join(path) for path, _ in commands(celeriac)} - {"list"}
    assert set(sections()) - {""} == known


@pytest.mark.parametrize("path", ["", *[" ".join(path) for path, _ in commands(celeriac) if path != ("list",)]])
def test_the_reference_has_every_option_and_no_other(path: str) -> None:
    command = dict(((" ".join(one), found) for one, found in commands(celeriac)), **{"": celeriac})[path]
    real = {
        spelling for one in command.params if isinstance(one, click.Option) and not one.hidden for spelling in one.opts
    }
    rows = [line.split("|")[1] for line in sections()[path].splitlines() if line.startswith("| `-")]
    told = {word for row in rows for text in re.findall(r"`([^`]+)`", row) for word in [text.split()[0]]}
    assert told == real
