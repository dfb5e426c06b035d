"""How commands write: tables and colours for a terminal, plain lines for a pipe, JSON where it was asked for.

Colour appears on a terminal only, and neither with ``-C`` nor where NO_COLOR is set. A pipe gets every column in full.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rich.console import Console

    from celeriac.app.transaction import OutboxState


class Output:
    """Standard output for what was asked, standard error for notes about it.

    Args:
        quiet: Write no notes.
        color: False never colours; True colours on a terminal, unless NO_COLOR is set.
    """

    def __init__(self, *, quiet: bool = False, color: bool = True) -> None:
        self.quiet = quiet
        self.color = color and not os.environ.get("NO_COLOR")

    @cached_property
    def _terminal(self) -> Console | None:
        """What writes to a terminal; None for a pipe, which needs no such thing."""
        if not sys.stdout.isatty():
            return None
        from rich.console import Console

        return Console(
            color_system="auto" if self.color else None,
            no_color=not self.color,
            highlight=False,
            markup=False,
            emoji=False,
        )

    def line(self, text: str = "", style: str | None = None) -> None:
        """Write a line; what a terminal would obey is escaped."""
        text = shown(text)
        if self._terminal is None:
            sys.stdout.write(f"{text}\n")
        else:
            self._terminal.print(text, style=style if self.color else None, soft_wrap=True)

    def note(self, text: str) -> None:
        """Write a line for a person to standard error, unless told to be quiet."""
        if not self.quiet:
            self.error(text)

    def error(self, text: str) -> None:
        """Write a line to standard error."""
        sys.stdout.flush()
        sys.stderr.write(f"{shown(text)}\n")
        sys.stderr.flush()

    def json(self, value: Any) -> None:
        """Write a value as JSON; what JSON cannot say, as its representation."""
        text = json.dumps(value, indent=2, default=repr, ensure_ascii=False)
        sys.stdout.write(_UNPRINTABLE.sub(_as_json, text) + "\n")

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
        """Write rows under headings; numbers stand right.

        Args:
            columns: The headings.
            rows: Values; None is shown as ``-``.
            empty: What to write where there is no row.
        """
        found = [list(row) for row in rows]
        if not found:
            self.line(empty)
            return
        right = [
            all(isinstance(row[place], (int, float, type(None))) for row in found) for place in range(len(columns))
        ]
        cells = [["-" if value is None else shown(str(value), "") for value in row] for row in found]
        if self._terminal is None:
            self._plain_table([list(columns), *cells], right)
            return
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold" if self.color else "")
        for name, number in zip(columns, right, strict=True):
            table.add_column(name, justify="right" if number else "left", overflow="fold")
        for row in cells:
            table.add_row(*map(Text, row))
        self._terminal.print(table)

    def _plain_table(self, rows: list[list[str]], right: list[bool]) -> None:
        widths = [max(len(row[place]) for row in rows) for place in range(len(right))]
        for row in rows:
            padded = (
                cell.rjust(width) if number else cell.ljust(width)
                for cell, width, number in zip(row, widths, right, strict=True)
            )
            self.line("  ".join(padded).rstrip())

    def fields(self, values: Mapping[str, object]) -> None:
        """Write names and values, one on each line; those that are None are left out."""
        shown = {name: str(value) for name, value in values.items() if value is not None}
        width = max(map(len, shown), default=0) + 1
        for name, value in shown.items():
            first, *rest = value.splitlines() or [""]
            self.line(f"{name + ':':<{width}} {first}")
            for line in rest:
                self.line(" " * (width + 1) + line)


def shown(text: str, kept: str = "\n\t") -> str:
    """Return text with everything that cannot be seen, or that a terminal would obey, escaped.

    Args:
        text: It may come from anybody who can send a task.
        kept: Characters that are left as they are all the same.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in kept else one.encode("unicode_escape").decode() for one in text)


# Letters, digits, punctuation and blanks of ASCII, and whatever else may be printable, are looked at one by one.
_UNPRINTABLE: Final = re.compile(r"[^\n -~]")


def _as_json(match: re.Match[str]) -> str:
    return match[0] if match[0].isprintable() else json.dumps(match[0])[1:-1] if ord(match[0]) > 127 else "\\u007f"


def moment(seconds: float | None) -> str | None:
    """Return a moment in local time, to the second, with its offset; a number that is no moment as it is."""
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds).astimezone().isoformat(sep=" ", timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return repr(seconds)


def ago(seconds: float | None) -> str | None:
    """Return how long ago a moment was, in one or two units."""
    return None if seconds is None else duration(max(0.0, time.time() - seconds))


def outbox_lines(found: OutboxState) -> list[str]:
    """Return in words how an outbox stands."""
    lines = [f"{found.waiting} waiting" + (f", the oldest for {duration(found.oldest)}" if found.waiting else "")]
    if found.refused:
        lines.append(f"{found.refused} set aside, which cannot be read or no broker takes")
    if found.leader is None:
        lines.append("no relay leads")
    else:
        lines.append(f"{found.leader} leads" + ("" if found.seen is None else f", seen {duration(found.seen)} ago"))
    if found.error is not None:
        lines.append(f"it cannot publish: {found.error}")
    return lines


def duration(seconds: object) -> str | None:
    """Return seconds in one or two units: ``4.2s``, ``3m 20s``, ``2d 4h``; what is no number of seconds as it is."""
    if seconds is None:
        return None
    if not isinstance(seconds, (int, float)) or not isfinite(seconds):
        return repr(seconds)
    if seconds < 60:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    for size, unit, lower_size, lower in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            rest = whole % size // lower_size
            return f"{whole // size}{unit}" + (f" {rest}{lower}" if rest else "")
    raise AssertionError(seconds)
