"""How fast dead children are replaced: at once, unless they die in series.

A task that kills its process is stopped by the delivery limit; this is for everything else that ends processes as soon
as they start to work, so that it costs log lines and not a whole machine.
"""

from __future__ import annotations

from collections import deque
from typing import Final

WINDOW: Final = 2.0
"""Seconds over which unexpected exits are counted."""
PER_CHILD: Final = 5
"""Unexpected exits for each wanted child in that window that are replaced at once."""
PAUSE: Final = 0.5
"""Seconds between two replacements beyond that."""


class Restarts:
    """Counts unexpected exits."""

    def __init__(self) -> None:
        self._exits: deque[float] = deque()
        self._last = 0.0

    def died(self, now: float) -> None:
        """Note an unexpected exit."""
        self._exits.append(now)

    def allowed(self, wanted: int, now: float) -> bool:
        """Return whether another child may start now, where ``wanted`` are to run; noted as started if so."""
        while self._exits and now - self._exits[0] > WINDOW:
            self._exits.popleft()
        if len(self._exits) >= PER_CHILD * wanted and now - self._last < PAUSE:
            return False
        self._last = now
        return True
