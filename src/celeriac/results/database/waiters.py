"""Waits for results in a database, which calls nobody: looks again and again, and ever more rarely.

A look asks for one row: how many of the results are there, and the sum of their versions. The first pause is a few
milliseconds and each is a tenth of the time since something last changed, up to half a second; a look that is slow is
followed by a pause of ten times as long. Of many results, each look is at some of them, in turn. So one who waits costs
two small queries a second, whatever it waits for.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from celeriac.errors import CeleriacError
from celeriac.results.database.desk import Desk
from celeriac.results.database.operations import looked
from celeriac.results.database.performers import AsyncDatabasePerformer, DatabasePerformer
from celeriac.results.database.requests import Run, Work

SHORTEST: Final = 0.01
LONGEST: Final = 0.5
"""Seconds between two looks."""
SHARE: Final = 10
"""A pause is this part of the time since the last change, and this many times as long as the last look."""
AT_ONCE: Final = 500
"""Results that one look is at."""


class Looker:
    """Knows what was seen, and how long to rest before the next look.

    Args:
        ids: The tasks; without any there is nothing to look at.
        look: The statement.
    """

    def __init__(self, ids: Sequence[str], look: Any) -> None:
        unique = list(dict.fromkeys(ids))
        self._parts: Final = [unique[at : at + AT_ONCE] for at in range(0, len(unique), AT_ONCE)]
        self._look: Final = look
        self._seen: Final[dict[int, tuple[int, int]]] = {}
        self._turn = 0
        self._changed_at = time.monotonic()
        self._began = 0.0
        self._cost = 0.0

    @property
    def blind(self) -> bool:
        """Whether there is nothing to look at."""
        return not self._parts

    def request(self) -> Work:
        """Return the next look."""
        self._turn = (self._turn + 1) % len(self._parts)
        self._began = time.monotonic()
        return Work((Run(self._look, {"ids": self._parts[self._turn]}),), writes=False)

    def take(self, reply: list[Any]) -> bool:
        """Take in what a look came to; tell whether anything is new. The first look at some results is no news, for
        whoever waits has looked at them already."""
        now = time.monotonic()
        self._cost = now - self._began
        seen = looked(reply[0])
        before, self._seen[self._turn] = self._seen.get(self._turn), seen
        # Nothing was there before the first look of all; what it finds may have come in since the caller looked.
        if seen == before or (before is None and seen == (0, 0)):
            return False
        self._changed_at = now
        return True

    def rest(self, deadline: float) -> float:
        """Return the seconds until the next look; 0 or less if the deadline has come."""
        now = time.monotonic()
        pause = max(SHORTEST, min(LONGEST, (now - self._changed_at) / SHARE), self._cost * SHARE)
        return min(deadline - now, pause)


class DatabaseWaiter:
    """Waits in the calling thread.

    A database that cannot be reached is not the waiter's to complain about: the caller looks, and hears of it.
    """

    def __init__(self, desk: Callable[[], Desk], looker: Looker) -> None:
        self._performer = DatabasePerformer(desk)
        self._looker = looker

    def wait(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        looker = self._looker
        while True:
            if not looker.blind:
                try:
                    if looker.take(self._performer.perform(looker.request())):
                        return True
                except (CeleriacError, concurrent.futures.CancelledError):
                    return True
            seconds = deadline - time.monotonic() if looker.blind else looker.rest(deadline)
            if seconds <= 0:
                return False
            time.sleep(seconds)

    def close(self) -> None:
        self._performer.close()


class AsyncDatabaseWaiter:
    """The awaiting twin of :class:`DatabaseWaiter`."""

    def __init__(self, desk: Callable[[], Desk], looker: Looker) -> None:
        self._performer = AsyncDatabasePerformer(desk)
        self._looker = looker

    async def wait(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        looker = self._looker
        while True:
            if not looker.blind:
                try:
                    if looker.take(await self._performer.perform(looker.request())):
                        return True
                except CeleriacError:
                    return True
            seconds = deadline - time.monotonic() if looker.blind else looker.rest(deadline)
            if seconds <= 0:
                return False
            await asyncio.sleep(seconds)

    async def close(self) -> None:
        await self._performer.close()
