"""Results that are sealed when they are stored and opened when they are fetched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic

from celeriac.brokers.port import Rep, Req, ResultOperations
from celeriac.core.clock import Clock
from celeriac.core.message import StoredResult
from celeriac.core.operation import Operation
from celeriac.core.security import RESULT, Guard
from celeriac.errors import SecurityError


class SealedResults(Generic[Req, Rep]):
    """The operations of a result store.

    Args:
        inner: The driver's.
        guard: Seals and opens.
        clock: Says when something was sealed.
    """

    def __init__(self, inner: ResultOperations[Req, Rep], guard: Guard, clock: Clock) -> None:
        self._results = inner
        self._guard = guard
        self._clock = clock
        self.discard = inner.discard
        self.now = inner.now
        self.examine = inner.examine
        self.prune = inner.prune
        self.install = inner.install
        self.verify = inner.verify

    def store(self, results: Sequence[StoredResult]) -> Operation[Req, Rep, None]:
        yield from self._results.store(self._sealed_results(results))

    def progress(self, results: Sequence[StoredResult]) -> Operation[Req, Rep, tuple[str, ...]]:
        return (yield from self._results.progress(self._sealed_results(results)))

    def fetch(self, ids: Sequence[str]) -> Operation[Req, Rep, list[StoredResult]]:
        """Return the results.

        Raises:
            SecurityError: One is not what somebody with this app's keys stored for that task; the text names it.
        """
        wanted = set(ids)
        opened: list[StoredResult] = []
        for result in (yield from self._results.fetch(ids)):
            # A store finds a result by an id beside it, which nothing signs: what comes must be what was asked for.
            if result.id not in wanted:
                raise SecurityError(
                    f"the result store has the result of task {result.id[:200]!r} in the place of another's, one of"
                    f" {', '.join(sorted(wanted)[:3])}: it was moved"
                )
            wanted.discard(result.id)
            try:
                opened.append(self._guard.open(RESULT, result))
            except SecurityError as exc:
                raise SecurityError(f"the result of task {result.id} is refused: {exc}") from exc
        return opened

    def _sealed_results(self, results: Sequence[StoredResult]) -> list[StoredResult]:
        now = self._clock.now()
        return [self._guard.seal(RESULT, one, now) for one in results]
