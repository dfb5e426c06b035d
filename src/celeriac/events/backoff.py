"""Waiting longer after each failure, and saying so once in a while rather than each time."""

from __future__ import annotations

from typing import Final

from celeriac.core.chance import SYSTEM_RNG
from celeriac.core.clock import SYSTEM, Clock
from celeriac.core.retry import Rng
from celeriac.events import Bus, ServiceFailed, ServiceRecovered

FIRST: Final = 0.1
LONGEST: Final = 5.0
FACTOR: Final = 2.0


class Backoff:
    """Delays of one service: 0.1 s, doubling up to 5 s (or ``longest``), each between half and whole of that."""

    def __init__(
        self, bus: Bus, service: str, longest: float = LONGEST, *, clock: Clock = SYSTEM, rng: Rng = SYSTEM_RNG
    ) -> None:
        self._longest = longest
        self._clock = clock
        self._rng = rng
        self._bus = bus
        self._service = service
        self._delay = FIRST
        self._since: float | None = None

    def failed(self, exc: BaseException) -> float:
        """Report a failure and return the seconds to wait."""
        if self._since is None:
            self._since = self._clock.monotonic()
        delay = min(self._longest, self._delay) * (0.5 + self._rng.random() / 2)
        self._delay = min(self._longest, self._delay * FACTOR)
        self._bus.emit(ServiceFailed(self._service, f"{type(exc).__name__}: {exc}", delay))
        return delay

    def worked(self) -> None:
        """Report a success; the next delay is the first again."""
        if self._since is not None:
            self._bus.emit(ServiceRecovered(self._service, self._clock.monotonic() - self._since))
            self._since = None
            self._delay = FIRST
