"""Waiting until tasks are over: one look at the store for all of them, and another each time the store wakes us.

The same :class:`Watch` decides what to ask and what has arrived, for blocking and for awaiting callers. Guarantee: a
result that is stored before the call returns from its last look is seen; none is reported twice.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from celeriac.app import loops
from celeriac.core import state
from celeriac.errors import OperationalError, TimeoutError

if TYPE_CHECKING:
    from celeriac.core.message import StoredResult
    from celeriac.results import AsyncResults, SyncResults

LONGEST_WAIT: Final = 5.0
"""Seconds between two looks where nothing wakes the waiter."""
AWAY_REST: Final = 0.25
"""Seconds to rest after a look at a store that could not be reached, which has tried again for a while by itself."""

Seen = Callable[["StoredResult"], None]


class Watch:
    """Ids whose tasks are not over, as far as is known.

    Args:
        ids: The task ids; doubles count once.
        timeout: Seconds to wait; None waits without end.
        interval: Longest time in seconds between two looks; None leaves it to the store.
        on_done: Called once with the result of each task that is over.
        on_change: Called with each new interim result.
        stop_early: Stop after a look in which any was over.
    """

    def __init__(
        self,
        ids: Iterable[str],
        *,
        timeout: float | None,
        interval: float | None = None,
        on_done: Seen,
        on_change: Seen | None = None,
        stop_early: bool = False,
    ) -> None:
        self.pending: dict[str, StoredResult | None] = dict.fromkeys(ids)
        self._timeout = timeout
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._interval = LONGEST_WAIT if interval is None else interval
        self._on_done = on_done
        self._on_change = on_change
        self._looked = 0.0
        self._answered = False
        self._stop_early = stop_early

    def look(self) -> list[str]:
        """Return the ids to ask for; the look begins now."""
        self._looked = time.monotonic()
        return list(self.pending)

    def take(self, found: Iterable[StoredResult]) -> float:
        """Take in what the store answered; return seconds to wait for news, 0 if nothing is pending any more.

        Raises:
            TimeoutError: The time is up and something is pending.
        """
        self._answered = True
        done = False
        for stored in found:
            if stored.state in state.READY_STATES:
                if stored.id in self.pending:
                    del self.pending[stored.id]
                    self._on_done(stored)
                    done = True
            elif self._on_change is not None and self.pending.get(stored.id) != stored:
                self.pending[stored.id] = stored
                self._on_change(stored)
        if done and self._stop_early:
            self.pending.clear()
        if not self.pending:
            return 0.0
        wait = self._interval
        if self._deadline is not None:
            wait = min(wait, self._deadline - time.monotonic())
            if wait <= 0:
                raise TimeoutError(self._complaint())
        return wait

    def away(self, error: OperationalError) -> float:
        """Return seconds to rest before the next look at a store that could not be reached.

        Raises:
            OperationalError: It has never answered, so that waiting is likely in vain.
            TimeoutError: The time is up.
        """
        if not self._answered:
            raise error
        left = math.inf if self._deadline is None else self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"{self._complaint()}; and the result store is away: {error}") from error
        return min(AWAY_REST, left)

    def pause(self) -> float:
        """Return seconds to rest before the next look: as long as the last one took.

        So a busy store that wakes us all the time, and a long list of ids, cost at most half of a core.
        """
        cost = time.monotonic() - self._looked
        return cost if cost > 0.001 else 0.0

    def _complaint(self) -> str:
        first = next(iter(self.pending))
        if len(self.pending) == 1:
            return (
                f"task {first} was not over after {self._timeout:g} s. Is a worker running that consumes its queue?"
                " `celeriac status` shows the workers"
            )
        return f"{len(self.pending)} tasks were not over after {self._timeout:g} s, among them {first}"


def wait(backend: SyncResults, watch: Watch, on_interval: Callable[[], Any] | None = None) -> None:
    """Block until nothing is pending; a store that goes away meanwhile is waited for, too.

    Raises:
        TimeoutError: The time is up before.
        OperationalError: The store cannot be reached from the outset.
    """
    waiter = None
    try:
        while True:
            try:
                found = backend.fetch(watch.look())
            except OperationalError as exc:
                time.sleep(watch.away(exc))
                continue
            seconds = watch.take(found)
            if not watch.pending:
                return
            rest = watch.pause()
            if waiter is None:
                # Only now, so that a result that is there already costs one look. What came in between is seen by the
                # next look, which follows at once.
                waiter = backend.waiter(list(watch.pending))
                continue
            if rest:
                time.sleep(min(rest, seconds))
            waiter.wait(seconds)
            if on_interval is not None:
                on_interval()
    finally:
        if waiter is not None:
            waiter.close()


async def await_(backend: AsyncResults, watch: Watch, on_interval: Callable[[], Any] | None = None) -> None:
    """Await until nothing is pending; the awaitable twin of :func:`wait`."""
    waiter = None
    try:
        while True:
            try:
                found = await backend.fetch(watch.look())
            except OperationalError as exc:
                await loops.sleep(watch.away(exc))
                continue
            seconds = watch.take(found)
            if not watch.pending:
                return
            rest = watch.pause()
            if waiter is None:
                waiter = backend.waiter(list(watch.pending))
                continue
            if rest:
                await loops.sleep(min(rest, seconds))
            await waiter.wait(seconds)
            if on_interval is not None:
                on_interval()
    finally:
        if waiter is not None:
            await waiter.close()
