"""Waiting longer after each failure, and saying so once in a while rather than each time."""

from __future__ import annotations

import random
import time
from typing import Final

from celeriac.events import Bus, ServiceFailed, ServiceRecovered

FIRST: Final = 0.1
LONGEST: Final = 5.0
FACTOR: Final = 2.0


class Backoff:
    """Delays of one service: 0.1 s, doubling up to 5 s (or ``longest``), each between half and whole of that."""

    def __init__(self, bus: Bus, service: str, longest: float = LONGEST) -> None:
        self._longest = longest
        self._bus = bus
        self._service = service
        self._delay = FIRST
        self._since: float | None = None

    def failed(self, exc: BaseException) -> float:
        """Report a failure and return the seconds to wait."""
        if self._since is None:
            self._since = time.monotonic()
        delay = min(self._longest, self._delay) * random.uniform(0.5, 1.0)
        self._delay = min(self._longest, self._delay * FACTOR)
        self._bus.emit(ServiceFailed(self._service, f"{type(exc).__name__}: {exc}", delay))
        return delay

    def worked(self) -> None:
        """Report a success; the next delay is the first again."""
        if self._since is not None:
            self._bus.emit(ServiceRecovered(self._service, time.monotonic() - self._since))
            self._since = None
            self._delay = FIRST
