"""What the run of a schedule entry logs: its last lines, to be kept with its result.

A handler on the root logger, added with the first such run of a process, hands each record to the run that it comes
from, told by the context. What loggers' levels do not let through is not seen. Other runs cost nothing: they have no
place for lines.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import Final

from celeriac.execution.context import Request, current_request

SCHEDULED: Final = "periodic_task_name"
"""The header of a message that a schedule entry sent."""
MOST_LINES: Final = 200
LONGEST_LINE: Final = 500
"""Characters."""
MOST_CHARACTERS: Final = 16_384
_formatter: Final = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")


class _Capture(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        request = current_request.get()
        if request is None or request.lines is None:
            return
        try:
            line = _formatter.format(record)
        except Exception:  # A record whose arguments do not fit its message; its own handlers tell of it.
            return
        request.lines.append(line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}...")


_handler: Final = _Capture()


def begin(request: Request) -> None:
    """Remember the last lines that this run logs."""
    root = logging.getLogger()
    # Where nobody has configured logging, a first handler would take the place of the one of last resort.
    if root.handlers and _handler not in root.handlers:
        root.addHandler(_handler)
    request.lines = deque(maxlen=MOST_LINES)


def text_of(request: Request | None) -> str | None:
    """Return the lines that a run has logged, of many the last; None of a run whose lines are not remembered."""
    if request is None or request.lines is None:
        return None
    text = "\n".join(request.lines)
    if len(text) > MOST_CHARACTERS:
        text = text[-MOST_CHARACTERS:].partition("\n")[2]
    return text.encode("utf-8", "backslashreplace").decode()
