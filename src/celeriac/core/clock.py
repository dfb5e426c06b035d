"""Where time comes from.

Everything that needs the time is given a :class:`Clock`; only :data:`SYSTEM` reads the machine's. Tests and the
simulation pass their own.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Wall time and steady time, in float seconds."""

    def now(self) -> float:
        """Return seconds since the epoch; may step when somebody sets the clock."""
        ...

    def monotonic(self) -> float:
        """Return seconds since an arbitrary moment of this machine; never steps back."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


SYSTEM = SystemClock()
