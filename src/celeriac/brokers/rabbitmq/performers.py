"""Carries out requests to RabbitMQ, and hands those to the paired store on to its own performer."""

from __future__ import annotations

from typing import Any, Protocol

from celeriac.brokers.port import AsyncPerformer, Performer
from celeriac.brokers.rabbitmq.client import Client
from celeriac.brokers.rabbitmq.hub import hub
from celeriac.brokers.rabbitmq.requests import REQUESTS


class Clients(Protocol):
    """Has the client of each event loop."""

    def client(self) -> Client:
        """Return the running event loop's client."""
        ...


class AsyncRabbitPerformer:
    """Carries out requests on the running event loop."""

    def __init__(self, clients: Clients, store: AsyncPerformer[Any, Any] | None) -> None:
        self._clients = clients
        self._store = store

    async def perform(self, request: Any) -> Any:
        if isinstance(request, REQUESTS):
            return await self._clients.client().perform(request)
        assert self._store is not None
        return await self._store.perform(request)

    async def close(self) -> None:
        """Close both connections; the next request opens them again."""
        await self._clients.client().close()
        if self._store is not None:
            await self._store.close()


class RabbitPerformer:
    """Carries out requests, blocking: those to RabbitMQ in the hub's thread."""

    def __init__(self, clients: Clients, store: Performer[Any, Any] | None) -> None:
        self._clients = clients
        self._store = store

    def perform(self, request: Any) -> Any:
        if isinstance(request, REQUESTS):
            return hub().run(self._perform(request))
        assert self._store is not None
        return self._store.perform(request)

    async def _perform(self, request: Any) -> Any:
        return await self._clients.client().perform(request)

    async def _close(self) -> None:
        await self._clients.client().close()

    def close(self) -> None:
        """Close both connections; the next request opens them again."""
        hub().run(self._close())
        if self._store is not None:
            self._store.close()
