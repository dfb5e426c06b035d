"""One shape for the keeper's background work: a tick that says when it wants to be called again.

The loop owns waiting, backing off after errors, waking early and stopping, so that no service repeats it.
"""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from celeriac.core.chance import SYSTEM_RNG
from celeriac.core.clock import SYSTEM, Clock
from celeriac.core.retry import Rng
from celeriac.errors import CeleriacError
from celeriac.events import Bus
from celeriac.events.backoff import Backoff
from celeriac.worker.threads import SYSTEM_THREADS, Threads

LONGEST_WAIT: Final = 5.0
COMPANY: Final = 0.1
"""Share of its pause that a service gives up to be called together with another, so that a thread wakes less often."""


class Service(Protocol):
    """One piece of background work."""

    @property
    def name(self) -> str: ...

    @property
    def longest_backoff(self) -> float:
        """Longest seconds until it is tried again after a failure."""
        ...

    def tick(self) -> float:
        """Do what is due and return the seconds until the next call."""
        ...


class _Slot:
    def __init__(self, service: Service, backoff: Backoff) -> None:
        self.service = service
        self.due = 0.0
        self.early = 0.0
        self.backoff = backoff


class ServiceLoop:
    """Runs services in one thread, one after the other."""

    def __init__(
        self,
        services: Sequence[Service],
        bus: Bus,
        *,
        clock: Clock = SYSTEM,
        rng: Rng = SYSTEM_RNG,
        threads: Threads = SYSTEM_THREADS,
    ) -> None:
        """Take on services.

        Args:
            services: What to tick.
            bus: Where failures go.
            clock: Where the time comes from.
            rng: Where the jitter of backing off comes from.
            threads: What waiting is done with.
        """
        self._clock = clock
        self._slots = [
            _Slot(service, Backoff(bus, service.name, service.longest_backoff, clock=clock, rng=rng))
            for service in services
        ]
        self._orders: deque[Callable[[], None]] = deque()
        self._woken = threads.wakeup()
        self._stopping = False
        self._order_backoff = Backoff(bus, "keeper", clock=clock, rng=rng)
        self._orders_due = 0.0

    def order(self, work: Callable[[], None]) -> None:
        """Have ``work`` done before any service; until it succeeds. From any thread."""
        self._orders.append(work)
        self._woken.set()

    def wake(self, service: Service) -> None:
        """Have this service ticked at once. From any thread."""
        for slot in self._slots:
            if slot.service is service:
                slot.due = 0.0
        self._woken.set()

    def stop(self) -> None:
        """End :meth:`run` once every order is done."""
        self._stopping = True
        self._woken.set()

    def run(self) -> None:
        """Run until :meth:`stop`."""
        while True:
            self._woken.clear()
            wait = self._do_orders()
            if self._stopping and not self._orders:
                return
            for slot in self._slots:
                wait = min(wait, self._tick(slot))
            self._woken.wait(wait)

    def _do_orders(self) -> float:
        while self._orders:
            wait = self._orders_due - self._clock.monotonic()
            if wait > 0:
                return wait
            try:
                self._orders[0]()
            except Exception as exc:
                wait = self._order_backoff.failed(_plain(exc))
                self._orders_due = self._clock.monotonic() + wait
                return wait
            self._order_backoff.worked()
            self._orders.popleft()
        return LONGEST_WAIT

    def _tick(self, slot: _Slot) -> float:
        now = self._clock.monotonic()
        if slot.due - slot.early > now:
            return slot.due - now
        try:
            delay = slot.service.tick()
        except Exception as exc:
            delay = slot.backoff.failed(_plain(exc))
            slot.early = 0.0
        else:
            slot.backoff.worked()
            slot.early = delay * COMPANY
        slot.due = self._clock.monotonic() + delay
        return delay


def _plain(exc: Exception) -> BaseException:
    """Return the error as it is, or, for one that is not ours (a bug), with its traceback as text."""
    if isinstance(exc, (CeleriacError, OSError)):
        return exc
    return CeleriacError("".join(traceback.format_exception(exc)))
