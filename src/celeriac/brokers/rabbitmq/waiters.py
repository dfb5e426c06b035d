"""Waiting for messages in RabbitMQ, and for everything else in the paired store, at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from celeriac.brokers.port import AsyncWaiter
from celeriac.brokers.rabbitmq.client import Client
from celeriac.brokers.rabbitmq.hub import hub
from celeriac.errors import CeleriacError


class AsyncRabbitWaiter:
    """Wakes for a message in a queue from which this driver has claimed on this event loop, for one that this driver
    sent, and for what wakes the store's waiter."""

    def __init__(self, client: Callable[[], Client], store: AsyncWaiter | None) -> None:
        self._client = client
        self._store = store
        self._seen: int | None = None

    async def wait(self, timeout: float) -> bool:
        receiver = self._client().receiver
        seen = receiver.arrivals if self._seen is None else self._seen
        waiting: list[asyncio.Task[Any]] = [asyncio.ensure_future(receiver.sleep(seen, timeout))]
        if self._store is not None:
            waiting.append(asyncio.ensure_future(self._store.wait(timeout)))
        try:
            done, _ = await asyncio.wait(waiting, timeout=timeout + 1.0, return_when=asyncio.FIRST_COMPLETED)
            while not any(one.result() for one in done) and len(done) < len(waiting):
                left = [one for one in waiting if one not in done]
                more, _ = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
                done |= more
            return any(one.result() for one in done)
        finally:
            for one in waiting:
                if not one.done():
                    one.cancel()
                    with contextlib.suppress(asyncio.CancelledError, CeleriacError):
                        await one
            self._seen = receiver.arrivals

    async def close(self) -> None:
        if self._store is not None:
            await self._store.close()


class RabbitWaiter:
    """The blocking twin of :class:`AsyncRabbitWaiter`, which works in the hub's thread."""

    def __init__(self, make: Callable[[], AsyncRabbitWaiter]) -> None:
        self._make = make
        self._inner = hub().run(self._made())

    async def _made(self) -> AsyncRabbitWaiter:
        return self._make()

    def wait(self, timeout: float) -> bool:
        return hub().run(self._inner.wait(timeout))

    def close(self) -> None:
        hub().run(self._inner.close())
