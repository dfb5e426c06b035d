"""A deadline for whatever is asked of a broker inside a block, with all its attempts.

A driver has a timeout of its own for one operation. Who sends a task tries several operations, and promises one time
for all of them: it sets the deadline around the attempts, and drivers that wait for a server keep it.
"""

from __future__ import annotations

import time
from contextvars import ContextVar, Token
from typing import Final

_deadline: Final[ContextVar[float | None]] = ContextVar("celeriac_broker_deadline", default=None)


class Until:
    """A block whose operations end by this time of the monotonic clock, or earlier."""

    __slots__ = ("_before", "_deadline")

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline

    def __enter__(self) -> None:
        self._before: Token[float | None] = _deadline.set(self._deadline)

    def __exit__(self, *exc_info: object) -> None:
        _deadline.reset(self._before)


def after(timeout: float) -> float:
    """Return when an operation that begins now is to end: after ``timeout`` seconds, or at the block's deadline."""
    own = time.monotonic() + timeout
    outer = _deadline.get()
    return own if outer is None or own < outer else outer
