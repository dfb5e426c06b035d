"""An outbox's relay as a service: in every worker, and by itself with ``celeriac relay``. It tells how it does."""

from __future__ import annotations

from typing import Any

from celeriac.app.transaction import RelayService
from celeriac.core.clock import Clock


class WatchedRelay:
    """A relay whose progress can be told.

    Args:
        relay: Does the work.
        patience: Seconds without the end of a try after which it is said to be stuck.
        clock: Where the time comes from.
    """

    def __init__(self, relay: RelayService, patience: float, clock: Clock) -> None:
        self._relay = relay
        self._patience = patience
        self._clock = clock
        self._turned = clock.monotonic()
        self.close = relay.close

    @property
    def name(self) -> str:
        """The relay's."""
        return self._relay.name

    @property
    def longest_backoff(self) -> float:
        """The relay's."""
        return self._relay.longest_backoff

    def tick(self) -> float:
        """Publish one batch; return the seconds until the next call."""
        try:
            return self._relay.tick()
        finally:
            self._turned = self._clock.monotonic()

    @property
    def problems(self) -> tuple[str, ...]:
        """What only a new process would mend: the relay stands still. A store that is away is none of these."""
        silent = self._clock.monotonic() - self._turned
        return (f"the outbox's relay has stood still for {silent:.0f} s",) if silent > self._patience else ()

    @property
    def info(self) -> dict[str, Any]:
        """How the outbox stands, for probes, ``inspect`` and ``status``: an ``OutboxState``, and whether it leads."""
        return {**self._relay.state.rounded(), "leads": self._relay.leads}
