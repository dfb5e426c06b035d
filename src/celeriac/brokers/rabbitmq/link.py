"""One event loop's way to the server: a connection that is made when it is needed and made again when it was lost.

Guarantees: only one attempt to connect is under way at a time, however many want one; an attempt ends with the deadline
of whoever asked, and the error then says which server did not answer, and how. A server that refuses the login for good
is not asked again by the same caller.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from celeriac.brokers.rabbitmq.connection import Connection, connect
from celeriac.brokers.rabbitmq.failures import ConnectionEnded
from celeriac.brokers.rabbitmq.url import Address, Location
from celeriac.core.chance import SYSTEM_RNG
from celeriac.errors import BrokerError, OperationalError

FIRST_PAUSE: Final = 0.02
LONGEST_PAUSE: Final = 1.0
ONE_ATTEMPT: Final = 3.0
"""Most seconds for one server while there are others."""


class Link:
    """Connects, and connects again.

    Args:
        location: Where to.
    """

    def __init__(self, location: Location) -> None:
        self.location: Final = location
        self.connection: Connection | None = None
        self.generation = 0
        """Grows with each connection: what belongs to an earlier one is gone."""
        self.on_new: list[Callable[[], None]] = []
        self._connecting: asyncio.Lock = asyncio.Lock()
        self._first = 0

    @property
    def alive(self) -> Connection | None:
        """The connection, unless there is none."""
        found = self.connection
        return found if found is not None and found.ended is None else None

    async def get(self, deadline: float) -> Connection:
        """Return a connection that lives.

        Raises:
            OperationalError: None was to be had until the deadline, a time of the monotonic clock.
            BrokerError: The server refuses us.
        """
        found = self.alive
        if found is not None:
            return found
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                await self._connecting.acquire()
        except TimeoutError:
            raise self._unreachable(None) from None
        try:
            return self.alive or await self._connect(deadline)
        finally:
            self._connecting.release()

    async def _connect(self, deadline: float) -> Connection:
        pause = FIRST_PAUSE
        error: Exception | None = None
        addresses = self.location.addresses
        tls = None if self.location.tls is None else self.location.tls.context()
        while True:
            for turn in range(len(addresses)):
                at = (self._first + turn) % len(addresses)
                left = deadline - time.monotonic()
                if left <= 0:
                    raise self._unreachable(error, addresses[at])
                patience = left if len(addresses) == 1 else min(left, ONE_ATTEMPT)
                try:
                    async with asyncio.timeout(patience):
                        self.connection = await connect(self.location, addresses[at], tls)
                except BrokerError:
                    raise
                except (OSError, OperationalError, TimeoutError) as exc:
                    error = exc
                else:
                    self._first = at
                    self.generation += 1
                    for tell in self.on_new:
                        tell()
                    return self.connection
            pause = min(2 * pause, LONGEST_PAUSE)
            await asyncio.sleep(max(0.0, min(pause * SYSTEM_RNG.uniform(0.5, 1.0), deadline - time.monotonic())))

    def _unreachable(self, error: Exception | None, address: Address | None = None) -> OperationalError:
        where = " nor ".join(map(str, self.location.addresses)) if address is None else str(address)
        if error is None or isinstance(error, TimeoutError):
            what = "it did not answer in time; check the address, and firewalls between here and there"
        elif isinstance(error, OperationalError):
            what = str(error)
        else:
            what = f"{error}; check that the server runs and that the host and port are right"
        return OperationalError(f"RabbitMQ at {where} cannot be reached: {what}")

    async def close(self) -> None:
        """Close the connection; the next use makes another."""
        found, self.connection = self.connection, None
        if found is not None:
            await found.close()

    def drop(self, reason: str) -> None:
        """End the connection without a word, because it does not do what it should."""
        found, self.connection = self.connection, None
        if found is not None:
            found.abort(ConnectionEnded(reason))
