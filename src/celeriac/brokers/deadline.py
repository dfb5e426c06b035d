"""A deadline for whatever is asked of a broker inside a block, with all its attempts.

A driver has a timeout of its own for one operation. Who sends a task tries several operations, and promises one time
for all of them: it sets the deadline around the attempts, and drivers that wait for a server keep it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_deadline: Final[ContextVar[float | None]] = ContextVar("celeriac_broker_deadline", default=None)


@contextmanager
def until(deadline: float) -> Iterator[None]:
    """Let operations inside the block end by this time of the monotonic clock, or earlier."""
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


def after(timeout: float) -> float:
    """Return when an operation that begins now is to end: after ``timeout`` seconds, or at the block's deadline."""
    own = time.monotonic() + timeout
    outer = _deadline.get()
    return own if outer is None or own < outer else outer
