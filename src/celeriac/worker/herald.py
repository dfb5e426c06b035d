"""Has remote commands looked for when the store tells that there may be one, instead of all the time.

A store that tells of commands tells of other news in the same way: of a queue that was empty and has something. Where
much is told it would cost more to listen than to look, so the herald listens only while there is little; otherwise, and
until the store is known to tell, commands are looked for as often as ever.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from celeriac.brokers.port import Waiter
from celeriac.core.clock import Clock
from celeriac.errors import CeleriacError
from celeriac.worker.threads import Threads

PATIENCE: Final = 30.0
"""Seconds of one wait."""
PAUSE: Final = 0.2
"""Seconds after a call for which more of them count as one: a look is not made more often than without a herald."""
MANY: Final = 10
WITHIN: Final = 5.0
"""So many calls within so many seconds are too many to go on listening."""
REST: Final = 60.0
LONGEST_REST: Final = 600.0
"""Seconds until it is tried again; they double as long as it comes to nothing. Drivers linger for some time after
their last waiter, so that a shorter rest would be none."""


class Herald:
    """Listens in a thread of its own.

    Args:
        waiter: Makes a waiter on the store, without an owner.
        call: Called, in the herald's thread, when a look is due: something may be there, or :attr:`listening` ended.
        clock: Where the time comes from.
        threads: What resting is done with.

    Attributes:
        listening: The store tells of commands: what is told brings a call, and looks are needed only in case that a
            wake-up was lost.
    """

    def __init__(
        self, waiter: Callable[[], Waiter], call: Callable[[], None], *, clock: Clock, threads: Threads
    ) -> None:
        self._make = waiter
        self._call = call
        self._clock = clock
        self._ended = threads.wakeup()
        self._stopped = False
        self.listening = False

    def stop(self) -> None:
        """End :meth:`run` with its present wait; nobody needs to wait for that."""
        self._stopped = True
        self._ended.set()

    def run(self) -> None:
        """Listen, and rest where that is of no use, until :meth:`stop`."""
        rest = REST
        while not self._stopped:
            began = self._clock.monotonic()
            try:
                self._listen()
            except (CeleriacError, OSError):
                pass  # Whoever looks for commands hits on the same trouble, and tells of it.
            finally:
                self.listening = False
            self._call()
            rest = REST if self._clock.monotonic() - began > rest else min(LONGEST_REST, 2 * rest)
            self._ended.wait(rest)

    def _listen(self) -> None:
        """Listen until too much is told."""
        waiter = self._make()
        calls: deque[float] = deque(maxlen=MANY)
        try:
            while not self._stopped:
                if not waiter.wait(PATIENCE):
                    continue
                self.listening = True
                self._call()
                calls.append(self._clock.monotonic())
                if len(calls) == MANY and calls[-1] - calls[0] < WITHIN:
                    return
                self._ended.wait(PAUSE)
        finally:
            waiter.close()
