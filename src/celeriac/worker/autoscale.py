"""Between the fewest and the most children: grow while all are busy, shrink when one has nothing to do.

Only idle children are ever taken away, and they drain as in a shutdown, so shrinking never costs a running task.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from celeriac.worker.children import Child
from celeriac.worker.options import WorkerOptions

BUSY_FOR: Final = 2
"""Looks (one a second) in a row that find every child busy before one more starts."""
BUSY_SHARE: Final = 0.7
"""Share of the latest observations in which a busy child runs as much as it can; the rest are gaps between tasks."""
IDLE_FOR: Final = 10.0
"""Seconds without a task before a child is taken away."""
_WEIGHT: Final = 0.15
"""Of the newest observation."""


class Autoscaler:
    """Advises the supervisor once a second."""

    def __init__(self, options: WorkerOptions) -> None:
        self._least = options.processes
        self._most = options.processes_max
        self._slots = options.sync_slots
        self._busy_looks = 0
        self._shares: dict[str, float] = {}

    def observe(self, children: Sequence[Child]) -> None:
        """Note which children run as much as they can; called many times a second.

        One look a second would not do: tasks of a second each can keep step with it and look idle for ever.
        """
        if self._least != self._most:
            known = self._shares
            self._shares = {
                child.owner: known.get(child.owner, 0.0) * (1 - _WEIGHT) + _WEIGHT * (child.running >= self._slots)
                for child in children
            }

    def advise(self, children: Sequence[Child], target: int, now: float) -> int:
        """Return by how many children to grow (1), to shrink (-1), or 0."""
        if self._least == self._most:
            return 0
        ready = [child for child in children if child.state == "ready"]
        busy = len(ready) >= target and all(self._shares.get(child.owner, 0.0) >= BUSY_SHARE for child in ready)
        self._busy_looks = self._busy_looks + 1 if busy else 0
        if self._busy_looks >= BUSY_FOR and target < self._most:
            self._busy_looks = 0
            return 1
        idle = next((child for child in ready if now - child.idle_since > IDLE_FOR), None)
        if idle is not None and target > self._least:
            idle.drain()
            return -1
        return 0
