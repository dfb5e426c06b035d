"""Results in memory: a dict with expiry."""

from __future__ import annotations

from collections.abc import Sequence

from celeriac.brokers.rules import is_over
from celeriac.core.clock import Clock
from celeriac.core.message import StoredResult


class Results:
    """Keeps the last result of each task id until it expires."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._results: dict[str, StoredResult] = {}

    def store(self, results: Sequence[StoredResult]) -> None:
        """Keep these, each instead of an earlier one."""
        self._results.update((result.id, result) for result in results)

    def progress(self, results: Sequence[StoredResult]) -> tuple[str, ...]:
        """Keep these, except where a task is over; return the ids of those."""
        dropped: list[str] = []
        for result in results:
            earlier = self._kept(result.id)
            if earlier is not None and is_over(earlier):
                dropped.append(result.id)
            else:
                self._results[result.id] = result
        return tuple(dropped)

    def fetch(self, ids: Sequence[str]) -> list[StoredResult]:
        """Return what is kept, in the order of the ids."""
        found = (self._kept(id) for id in dict.fromkeys(ids))
        return [result for result in found if result is not None]

    def discard(self, ids: Sequence[str]) -> int:
        """Forget these; return how many there were."""
        gone = [id for id in dict.fromkeys(ids) if self._kept(id) is not None]
        for id in ids:
            self._results.pop(id, None)
        return len(gone)

    def prune(self, limit: int) -> int:
        """Forget up to ``limit`` expired results; return how many."""
        expired = [id for id in self._results if self._kept(id) is None][:limit]
        for id in expired:
            del self._results[id]
        return len(expired)

    def _kept(self, id: str) -> StoredResult | None:
        result = self._results.get(id)
        if result is None or (result.expires is not None and result.expires <= self._clock.now()):
            return None
        return result
