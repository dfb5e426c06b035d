"""Ctrl-C without surprises.

A handler that raises may do so between two lines that belong together, such as starting a process and remembering
it. Here the handlers only count; the program asks at places where it can stop. Every wait is short, so it stops within
a tenth of a second.
"""

from __future__ import annotations

import signal
import time
from typing import Final

EXIT_CODE: Final = 130
"""What a shell shows after Ctrl-C."""
_STEP: Final = 0.05


class Interrupted(Exception):
    """The user, or the system, asked the program to end."""


class Interruption:
    """Counts SIGINT and SIGTERM from the moment it is made."""

    def __init__(self) -> None:
        self._count = 0
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def _note(self, *_: object) -> None:
        self._count += 1

    @property
    def count(self) -> int:
        """How many signals have come; the second one means: hurry."""
        return self._count

    def check(self) -> None:
        """Raise :class:`Interrupted` once a signal has come."""
        if self._count:
            raise Interrupted

    def wait(self, seconds: float) -> None:
        """Wait so long.

        Raises:
            Interrupted: A signal came; the rest of the time is not waited for.
        """
        until = time.monotonic() + seconds
        self.check()
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _STEP))
            self.check()
