"""Waiting for many results at once: one look at the store for all that are pending, per wake-up."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from celeriac.app import state as process
from celeriac.app import waiting
from celeriac.app.reading import meta_of
from celeriac.app.result import AsyncResult, check_joinable
from celeriac.app.waiting import Watch

if TYPE_CHECKING:
    from celeriac.app.app import Celeriac
    from celeriac.core.message import StoredResult

OnResult = Callable[[AsyncResult[Any]], Any]


def gather(
    results: Iterable[AsyncResult[Any]],
    timeout: float | None = None,
    *,
    propagate: bool = True,
    callback: OnResult | None = None,
    interval: float | None = None,
    disable_sync_subtasks: bool = True,
) -> list[Any]:
    """Wait until all tasks are over and return their values, in the order given.

    Args:
        results: What ``delay`` and its kin returned; ignored ones count as over, with None.
        timeout: Seconds to wait for all of them; None waits without end.
        propagate: Raise the exception of the first task in the list that failed, once all are over; False returns
            exceptions in their places.
        callback: Called with each result as it comes in, in the order of arrival.
        interval: Longest time in seconds between two looks at the store.
        disable_sync_subtasks: False allows the call inside a task.

    Raises:
        TimeoutError: Some are not over in time.
        RuntimeError: This is inside a task.
        Exception: What a task raised.
    """
    check_joinable(disable_sync_subtasks)
    several = list(results)
    waiter = _Gathering(several, callback)
    if waiter.pending:
        waiting.wait(waiter.app.backend, waiter.watch(timeout, interval))
    return waiter.values(propagate)


async def agather(
    results: Iterable[AsyncResult[Any]],
    timeout: float | None = None,
    *,
    propagate: bool = True,
    callback: OnResult | None = None,
    interval: float | None = None,
    disable_sync_subtasks: bool = True,
) -> list[Any]:
    """Wait until all tasks are over and return their values; the awaitable twin of :func:`gather`."""
    check_joinable(disable_sync_subtasks)
    waiter = _Gathering(list(results), callback)
    if waiter.pending:
        await waiting.await_(waiter.app.async_backend(), waiter.watch(timeout, interval))
    return waiter.values(propagate)


def stream(
    app: Celeriac, ids: Sequence[str], *, timeout: float | None, interval: float | None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the id and the meta of each task as it is over.

    Raises:
        TimeoutError: Some are not over in time.
    """
    come: list[StoredResult] = []
    left = set(ids)
    deadline = None if timeout is None else time.monotonic() + timeout
    while left:
        watch = Watch(left, timeout=_left(deadline), interval=interval, on_done=come.append, stop_early=True)
        waiting.wait(app.backend, watch)
        left.difference_update(one.id for one in come)
        yield from ((one.id, meta_of(one, app)) for one in come)
        come.clear()


async def astream(
    app: Celeriac, ids: Sequence[str], *, timeout: float | None, interval: float | None
) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Yield each task as it is over; the awaitable twin of :func:`stream`."""
    come: list[StoredResult] = []
    left = set(ids)
    deadline = None if timeout is None else time.monotonic() + timeout
    while left:
        watch = Watch(left, timeout=_left(deadline), interval=interval, on_done=come.append, stop_early=True)
        await waiting.await_(app.async_backend(), watch)
        left.difference_update(one.id for one in come)
        for one in come:
            yield one.id, meta_of(one, app)
        come.clear()


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


class _Gathering:
    """Which results are pending, and what has come."""

    def __init__(self, results: Sequence[AsyncResult[Any]], callback: OnResult | None) -> None:
        self._results = results
        self._callback = callback
        self.app: Celeriac = results[0].app if results else process.get_current()
        self.pending: dict[str, AsyncResult[Any]] = {}
        for one in results:
            if one.over:
                if callback is not None:
                    callback(one)
            else:
                self.pending[one.id] = one

    def watch(self, timeout: float | None, interval: float | None) -> Watch:
        return Watch(self.pending, timeout=timeout, interval=interval, on_done=self._done)

    def _done(self, stored: StoredResult) -> None:
        found = self.pending.pop(stored.id)
        found.remember(stored)
        if self._callback is not None:
            self._callback(found)

    def values(self, propagate: bool) -> list[Any]:
        # The same task may stand in the list twice, as two objects.
        known = {one.id: one for one in self._results if one.over}
        return [known[one.id].get(propagate=propagate, disable_sync_subtasks=False) for one in self._results]
