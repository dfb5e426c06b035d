"""The memory broker: for tests, eager mode and simulations. It lives and dies with its process.

All drivers for one name share one store as long as one of them lives, so an application and a worker in another thread
of the same process see the same messages. A forked child has a copy of its own. Guarantee: only one caller is inside
the store at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakValueDictionary

from celeriac.brokers.memory.operations import MemoryOperations, Request
from celeriac.brokers.memory.store import Store
from celeriac.brokers.port import Capabilities
from celeriac.core.clock import Clock
from celeriac.errors import ImproperlyConfigured


class SharedStore:
    """A store, its lock, and whom to wake when it changes.

    Args:
        clock: The clock of everything in the store.
        store: The store; None: a new one.
    """

    def __init__(self, clock: Clock, store: Store | None = None) -> None:
        self.clock = clock
        self.changed = threading.Condition()
        self.listeners: set[Callable[[], None]] = set()
        self._store = Store(clock) if store is None else store

    @property
    def changes(self) -> int:
        """A number that grows with everything that somebody may be waiting for."""
        return self._store.changes

    def perform(self, request: Request) -> Any:
        """Do one request, alone."""
        with self.changed:
            before = self._store.changes
            try:
                return request(self._store)
            finally:
                if self._store.changes != before:
                    self.changed.notify_all()
                    for wake in tuple(self.listeners):
                        wake()

    def before_wait(self, ids: Sequence[str]) -> None:
        """Called by whoever is about to wait for a change.

        Args:
            ids: Tasks whose results are waited for; none where anything may be.
        """


class MemoryPerformer:
    """Does requests in the calling thread."""

    def __init__(self, shared: SharedStore) -> None:
        self._shared = shared

    def perform(self, request: Request) -> Any:
        return self._shared.perform(request)

    def close(self) -> None:
        """There is nothing to close."""


class AsyncMemoryPerformer:
    """Does requests at once: nothing in memory takes long enough to give way to other tasks."""

    def __init__(self, shared: SharedStore) -> None:
        self._shared = shared

    async def perform(self, request: Request) -> Any:
        return self._shared.perform(request)

    async def close(self) -> None:
        """There is nothing to close."""


class MemoryWaiter:
    """Sleeps until the store changes."""

    def __init__(self, shared: SharedStore, ids: Sequence[str] = ()) -> None:
        self._shared = shared
        self._ids = ids
        self._seen = shared.changes

    def wait(self, timeout: float) -> bool:
        shared = self._shared
        shared.before_wait(self._ids)
        with shared.changed:
            woken = shared.changed.wait_for(lambda: shared.changes != self._seen, timeout)
            self._seen = shared.changes
        return woken

    def close(self) -> None:
        """There is nothing to close."""


class AsyncMemoryWaiter:
    """The awaiting twin of :class:`MemoryWaiter`."""

    def __init__(self, shared: SharedStore, ids: Sequence[str] = ()) -> None:
        self._shared = shared
        self._ids = ids
        self._seen = shared.changes

    async def wait(self, timeout: float) -> bool:
        self._shared.before_wait(self._ids)
        loop = asyncio.get_running_loop()
        changed = asyncio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # The loop has been closed, so nobody waits on it.
                loop.call_soon_threadsafe(changed.set)

        with self._shared.changed:
            if self._shared.changes == self._seen:
                self._shared.listeners.add(wake)
            else:
                changed.set()
        try:
            async with asyncio.timeout(timeout):
                await changed.wait()
        except TimeoutError:
            return False  # What changed this instant is still unseen, and ends the next wait.
        finally:
            with self._shared.changed:
                self._shared.listeners.discard(wake)
        self._seen = self._shared.changes
        return True

    async def close(self) -> None:
        """There is nothing to close."""


class MemoryDriver:
    """The driver for ``memory://`` URLs.

    Args:
        shared: From :func:`shared_store`.
    """

    def __init__(self, shared: SharedStore) -> None:
        self._shared = shared
        self._operations = MemoryOperations()

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(name="memory", durable=False, shared=False, results=True, push=True, remote=False)

    @property
    def operations(self) -> MemoryOperations:
        return self._operations

    def performer(self) -> MemoryPerformer:
        return MemoryPerformer(self._shared)

    def async_performer(self) -> AsyncMemoryPerformer:
        return AsyncMemoryPerformer(self._shared)

    def waiter(self, ids: Sequence[str] = (), *, owner: str | None = None) -> MemoryWaiter:
        return MemoryWaiter(self._shared, ids)

    def async_waiter(self, ids: Sequence[str] = (), *, owner: str | None = None) -> AsyncMemoryWaiter:
        return AsyncMemoryWaiter(self._shared, ids)


_stores: WeakValueDictionary[str, SharedStore] = WeakValueDictionary()
_finding = threading.Lock()


def shared_store(name: str, clock: Clock) -> SharedStore:
    """Return the store of this name, a new one if no driver, performer or waiter holds it.

    Raises:
        ImproperlyConfigured: The store is there already and runs on another clock.
    """
    with _finding:
        shared = _stores.get(name)
        if shared is None:
            shared = _stores[name] = SharedStore(clock)
    if shared.clock is not clock:
        raise ImproperlyConfigured(f"memory://{name} is open in this process on another clock; use another name")
    return shared


def share(name: str, shared: SharedStore) -> None:
    """Let this be the store of that name, as long as the caller or a driver holds it.

    Raises:
        ImproperlyConfigured: There is one of that name.
    """
    with _finding:
        if _stores.setdefault(name, shared) is not shared:
            raise ImproperlyConfigured(f"memory://{name} is open in this process already; use another name")


_frozen: list[SharedStore] = []


def _freeze() -> None:
    """Let nobody be inside a store while the process forks: the child's copy would be half changed, and locked."""
    _finding.acquire()
    _frozen.extend(_stores.values())
    for shared in _frozen:
        shared.changed.acquire()


def _thaw() -> None:
    for shared in _frozen:
        shared.changed.release()
    _frozen.clear()
    _finding.release()


if hasattr(os, "register_at_fork"):  # Where it is missing there is no fork.
    os.register_at_fork(before=_freeze, after_in_parent=_thaw, after_in_child=_thaw)
