"""Tells, when a worker starts and then now and again, what is wrong with the stores it works with.

Only what may lose work or stop it is told, and each thing once, until it has been put right and goes wrong again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from celeriac.brokers.port import Finding
from celeriac.events import Bus, TroubleFound

EXAMINE_EVERY: Final = 600.0
"""Seconds between two examinations: a disk fills up, a server is configured anew."""
_TOLD: Final = ("warning", "error")


class Examiner:
    """A service of the keeper's.

    Args:
        stores: What each store is to this worker (``broker``, ``result store``), and what asks it for its findings.
        bus: Where what is wrong is told.
    """

    name = "examiner"
    longest_backoff = 60.0

    def __init__(self, stores: Mapping[str, Callable[[], list[Finding]]], bus: Bus) -> None:
        self._stores = dict(stores)
        self._bus = bus
        self._known: dict[str, frozenset[tuple[str, str]]] = {}

    def tick(self) -> float:
        """Examine every store once."""
        for role, examine in self._stores.items():
            bad = [finding for finding in examine() if finding.level in _TOLD]
            known = self._known.get(role, frozenset())
            for finding in bad:
                # The text may hold a number that is another one each time.
                if (finding.subject, finding.level) not in known:
                    self._bus.emit(TroubleFound(role, finding.level, finding.subject, finding.text, finding.remedy))
            self._known[role] = frozenset((finding.subject, finding.level) for finding in bad)
        return EXAMINE_EVERY
