"""The app's connections: one broker and one result store for the process, and one of each for every event loop.

All are opened when they are first used. A child process that was forked starts without any: it must not speak on its
parent's. What belongs to an event loop is closed when the loop ends (``asyncio.run`` sees to it) or by ``aclose()``.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from celeriac import brokers, results
from celeriac.app.loops import running_loop
from celeriac.app.transaction import async_broker_on, broker_on
from celeriac.brokers.facade import AsyncBroker, Store, SyncBroker
from celeriac.brokers.optional import Lending
from celeriac.brokers.port import AnyDriver
from celeriac.brokers.sealed import ForwardingDriver, SealedDriver, SealedStore
from celeriac.core.clock import Clock
from celeriac.core.message import Message, check
from celeriac.core.queues import QueuePlan
from celeriac.core.redact import redact_url
from celeriac.core.security import MESSAGE, Guard
from celeriac.errors import ImproperlyConfigured
from celeriac.results import AsyncResults, StoreOptions, SyncResults

if TYPE_CHECKING:
    import asyncio

    from celeriac.results.rpc.driver import RpcStore

Urls = tuple[str, str | None]


class LoopConnections:
    """What one event loop has opened."""

    def __init__(self, broker: AsyncBroker[Any, Any], at_end: Callable[[], object]) -> None:
        """Start with a broker.

        Args:
            broker: The loop's broker.
            at_end: Called when the loop has ended.
        """
        self.broker = broker
        self.results: AsyncResults | None = None
        self._ended = at_end
        self._at_end = self._close_at_end()
        # Started inside the loop, so the loop knows it and finishes it when it ends. It has nothing to await before it
        # yields, so one step starts it.
        with contextlib.suppress(StopIteration):
            self._at_end.asend(None).send(None)

    async def _close_at_end(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            self._ended()
            await self.close()

    async def close(self) -> None:
        """Close what is open; it opens again if it is used again."""
        await self.broker.close()
        if self.results is not None and self.results is not self.broker:
            await self.results.close()


class Connections:
    """What one app has opened.

    Args:
        urls: Returns the URL of the broker and that of the result store (None: no results), when they are needed.
        clock: The clock of stores that have none of their own.
        guard: Returns what signs and encrypts, None where the app has no keys; the same as long as its keys are.
        queues: Returns what the settings say about queues.
        store_options: Returns what the settings say about the result store besides its URL.
    """

    def __init__(
        self,
        urls: Callable[[], Urls],
        clock: Clock,
        guard: Callable[[], Guard | None],
        queues: Callable[[], QueuePlan] = QueuePlan,
        store_options: Callable[[], StoreOptions] = StoreOptions,
    ) -> None:
        self._queues = queues
        self._store_options = store_options
        self._urls = urls
        self.clock = clock
        self._guard = guard
        self._inherited: list[Any] = []
        self._forget()

    def leave_to_parent(self) -> None:
        """Start over in a child process. What the parent opened is kept unused, lest its end were felt there."""
        self._inherited += [self._loops, self._driver, self._store, self._bare_store, self._broker, self._results]
        self._inherited.append(self._forwarding)
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.RLock()
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LoopConnections] = weakref.WeakKeyDictionary()
        self._driver: AnyDriver | None = None
        self._bare: AnyDriver | None = None
        self._forwarding: SyncBroker[Any, Any] | None = None
        self._store: Store[Any] | None = None
        self._bare_store: Store[Any] | None = None
        self._replying: RpcStore | None = None
        self._broker: SyncBroker[Any, Any] | None = None
        self._results: SyncResults | None = None
        self._used: tuple[Urls, Guard | None, StoreOptions] | None = None
        self._settled = False

    def settings_changed(self) -> None:
        """Look with the next use whether the URLs and the keys are still the same."""
        self._settled = False

    def _settle(self) -> None:
        """Let go of what is open if URLs or keys have changed. What event loops have opened is closed when they end."""
        with self._lock:
            if self._settled:
                return
            used = self._urls(), self._guard(), self._store_options()
            if self._used is not None and self._used != used:
                self.close()
                self._forget()
            self._used = used
            self._settled = True

    # What the URLs say.

    @property
    def shared(self) -> bool:
        """Whether the broker keeps the results too, so that finishing a task is one step."""
        broker, store = self._urls()
        if not self._settled:
            self._settle()
        return results.same_store(broker, store) and self._opened().capabilities.results

    def _opened(self) -> AnyDriver:
        with self._lock:
            if self._driver is None:
                url, store = self._urls()
                driver = brokers.connect(url, clock=self.clock, store=store, queues=self._queues())
                guard = self._guard()
                self._bare = driver
                self._driver = driver if guard is None else SealedDriver(driver, guard, self.clock)
            return self._driver

    def lent(self, connection: Any) -> SyncBroker[Any, Any]:
        """Return the broker for enqueueing on a connection of the caller's.

        Raises:
            ImproperlyConfigured: The broker is in no database that a connection could lead to.
            TypeError: It is no connection that the driver can use.
        """
        return broker_on(self._opened(), self._lender().performer_on(connection))

    def async_lent(self, connection: Any) -> AsyncBroker[Any, Any]:
        """Return the awaiting twin of :meth:`lent`."""
        return async_broker_on(self._opened(), self._lender().async_performer_on(connection))

    def sealed(self, messages: Sequence[Message]) -> list[Message]:
        """Return the messages as the broker would get them.

        Raises:
            InvalidTaskError: One of them no broker can keep.
        """
        guard = self._guard()
        if guard is None:
            return [check(one) for one in messages]
        now = self.clock.now()
        return [guard.seal(MESSAGE, check(one), now) for one in messages]

    @property
    def forwarding(self) -> SyncBroker[Any, Any]:
        """The broker for what was sealed before, when it was written to an outbox."""
        if not self._settled:
            self._settle()
        guard = self._guard()
        if guard is None:
            return self.broker
        with self._lock:
            self._opened()
            found = self._forwarding
            if found is None:
                bare: Any = self._bare
                found = self._forwarding = SyncBroker(ForwardingDriver(bare, guard, self.clock))
        return found

    def _lender(self) -> Lending:
        if not self._settled:
            self._settle()
        self._opened()
        driver: Any = self._bare
        if not hasattr(driver, "performer_on"):
            raise ImproperlyConfigured(
                "a task can be sent within a transaction where the broker is in the same database, PostgreSQL or"
                f" SQLite; it is {redact_url(self._urls()[0])}: send after the commit, or use"
                " celeriac.contrib.sqlalchemy.Outbox"
            )
        lender: Lending = driver
        return lender

    def replying_store(self) -> RpcStore:
        """Return the result store to which results come as messages; only where the backend is ``rpc://``."""
        if not self._settled:
            self._settle()
        self._opened_store()
        assert self._bare_store is not None
        self._replying = found = cast("RpcStore", self._bare_store)
        return found

    def _opened_store(self) -> Store[Any]:
        with self._lock:
            if self._store is None:
                guard = self._guard()
                store = results.connect(self._urls()[1], clock=self.clock, options=self._store_options())
                self._bare_store = store
                self._store = store if guard is None else SealedStore(store, guard, self.clock)
            return self._store

    # For the process.

    @property
    def broker(self) -> SyncBroker[Any, Any]:
        """The broker."""
        if not self._settled:
            self._settle()
        found = self._broker
        if found is None:
            with self._lock:
                found = self._broker = self._broker or SyncBroker(self._opened())
        return found

    @property
    def results(self) -> SyncResults:
        """The result store; where there is none, one that refuses to be read."""
        if not self._settled:
            self._settle()
        found = self._results
        if found is None:
            with self._lock:
                if self._results is None:
                    self._results = self.broker if self.shared else SyncResults(self._opened_store())
                found = self._results
        return found

    def close(self) -> None:
        """Close the process's own; they open again if they are used again."""
        with self._lock:
            broker, store, replying, forwarding = self._broker, self._results, self._replying, self._forwarding
        if replying is not None:
            replying.close()
        if broker is not None:
            broker.close()
        if forwarding is not None:
            forwarding.close()
        if store is not None and store is not broker:
            store.close()

    # For event loops.

    def loop(self) -> LoopConnections:
        """Return what the running event loop has opened.

        Raises:
            RuntimeError: No event loop is running.
        """
        loop = running_loop()
        if not self._settled:
            self._settle()
        found = self._loops.get(loop)
        if found is None:
            broker = AsyncBroker(self._opened())
            found = self._loops[loop] = LoopConnections(broker, lambda: self._loops.pop(loop, None))
        return found

    def loop_results(self) -> AsyncResults:
        """Return the running event loop's result store; where there is none, one that refuses to be read.

        Raises:
            RuntimeError: No event loop is running.
        """
        opened = self.loop()
        if opened.results is None:
            opened.results = opened.broker if self.shared else AsyncResults(self._opened_store())
        return opened.results

    async def aclose(self) -> None:
        """Close what the running event loop has opened, and the process's own."""
        opened = self._loops.pop(running_loop(), None)
        if opened is not None:
            await opened.close()
        self.close()
