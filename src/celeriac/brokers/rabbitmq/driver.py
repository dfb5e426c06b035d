"""The driver for ``amqp://`` URLs."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Sequence
from typing import Final

import msgspec

from celeriac.brokers.port import AnyDriver, Capabilities
from celeriac.brokers.rabbitmq.client import Client
from celeriac.brokers.rabbitmq.operations.alone import AloneOperations
from celeriac.brokers.rabbitmq.operations.paired import PairedOperations
from celeriac.brokers.rabbitmq.performers import AsyncRabbitPerformer, RabbitPerformer
from celeriac.brokers.rabbitmq.topology import Topology
from celeriac.brokers.rabbitmq.url import Location
from celeriac.brokers.rabbitmq.waiters import AsyncRabbitWaiter, RabbitWaiter


class _RabbitDriver:
    """What both drivers have: a client for each event loop."""

    renews = False

    def __init__(self, location: Location, topology: Topology) -> None:
        self._location: Final = location
        self._topology: Final = topology
        self._clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Client] = weakref.WeakKeyDictionary()

    def client(self) -> Client:
        """Return the running event loop's client."""
        loop = asyncio.get_running_loop()
        found = self._clients.get(loop)
        if found is None:
            found = self._clients[loop] = Client(self._location, self._topology, renews=self.renews)
        return found


class PairedDriver(_RabbitDriver):
    """RabbitMQ and a store as one broker. Nothing is opened before it is used.

    Args:
        location: From :func:`celeriac.brokers.rabbitmq.url.parse`.
        store: The driver of the store.
        topology: The queues that the configuration names.
    """

    def __init__(self, location: Location, store: AnyDriver, topology: Topology) -> None:
        super().__init__(location, topology)
        self._store: Final = store
        self._operations: Final = PairedOperations(store.operations, topology, time.monotonic)

    @property
    def capabilities(self) -> Capabilities:
        return msgspec.structs.replace(self._store.capabilities, name="rabbitmq", indexed=False, remote=True)

    @property
    def operations(self) -> PairedOperations:
        return self._operations

    def performer(self) -> RabbitPerformer:
        return RabbitPerformer(self, self._store.performer())

    def async_performer(self) -> AsyncRabbitPerformer:
        return AsyncRabbitPerformer(self, self._store.async_performer())

    def waiter(self, ids: Sequence[str] = (), *, owner: str | None = None) -> RabbitWaiter:
        return RabbitWaiter(lambda: self.async_waiter(ids))

    def async_waiter(self, ids: Sequence[str] = (), *, owner: str | None = None) -> AsyncRabbitWaiter:
        return AsyncRabbitWaiter(self.client, self._store.async_waiter(ids))


class AloneDriver(_RabbitDriver):
    """RabbitMQ without a store; see :mod:`celeriac.brokers.rabbitmq.operations.alone`.

    Args:
        location: From :func:`celeriac.brokers.rabbitmq.url.parse`.
        topology: The queues that the configuration names.
    """

    renews = True

    def __init__(self, location: Location, topology: Topology) -> None:
        super().__init__(location, topology)
        self._operations: Final = AloneOperations(topology)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            name="rabbitmq-alone", durable=True, shared=True, results=False, push=True, indexed=False, stored=False
        )

    @property
    def operations(self) -> AloneOperations:
        return self._operations

    def performer(self) -> RabbitPerformer:
        return RabbitPerformer(self, None)

    def async_performer(self) -> AsyncRabbitPerformer:
        return AsyncRabbitPerformer(self, None)

    def waiter(self, ids: Sequence[str] = (), *, owner: str | None = None) -> RabbitWaiter:
        return RabbitWaiter(self.async_waiter)

    def async_waiter(self, ids: Sequence[str] = (), *, owner: str | None = None) -> AsyncRabbitWaiter:
        return AsyncRabbitWaiter(self.client, None)
