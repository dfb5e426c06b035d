"""The result store for ``rpc://`` URLs."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Sequence
from typing import Final

import msgspec

from celeriac.brokers.deadline import after
from celeriac.brokers.port import Capabilities
from celeriac.brokers.rabbitmq.client import Client
from celeriac.brokers.rabbitmq.hub import hub
from celeriac.brokers.rabbitmq.topology import Topology
from celeriac.brokers.rabbitmq.url import Location
from celeriac.core.clock import Clock
from celeriac.core.message import Message
from celeriac.results.rpc.mailbox import Mailbox
from celeriac.results.rpc.operations import RpcOperations
from celeriac.results.rpc.performers import AsyncRpcPerformer, RpcPerformer
from celeriac.results.rpc.waiters import AsyncRpcWaiter, RpcWaiter

_inherited: Final[list[Mailbox]] = []
"""What a forked child has of its parent's, unused, lest its end were felt there."""


class RpcStore:
    """Sends results to whoever sent the task, and keeps those that come here. Nothing is opened before it is used.

    Args:
        location: Of the RabbitMQ server.
        clock: For what expires.
    """

    def __init__(self, location: Location, clock: Clock) -> None:
        self._location: Final = location
        self._clock: Final = clock
        self._operations: Final = RpcOperations()
        self._mailbox = Mailbox(location, clock)
        self._clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Client] = weakref.WeakKeyDictionary()

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            name="rpc", durable=False, shared=True, results=True, push=True, expires=False, messages=False
        )

    @property
    def operations(self) -> RpcOperations:
        return self._operations

    def performer(self) -> RpcPerformer:
        return RpcPerformer(self)

    def async_performer(self) -> AsyncRpcPerformer:
        return AsyncRpcPerformer(self)

    def waiter(self, ids: Sequence[str] = (), *, owner: str | None = None) -> RpcWaiter:
        return RpcWaiter(self.mailbox)

    def async_waiter(self, ids: Sequence[str] = (), *, owner: str | None = None) -> AsyncRpcWaiter:
        return AsyncRpcWaiter(self.mailbox)

    # For performers.

    @property
    def location(self) -> Location:
        """Where the server is."""
        return self._location

    def client(self) -> Client:
        """Return the running event loop's way to the server."""
        loop = asyncio.get_running_loop()
        found = self._clients.get(loop)
        if found is None:
            found = self._clients[loop] = Client(self.location, Topology())
        return found

    def mailbox(self) -> Mailbox:
        """Return the process's mailbox."""
        if self._mailbox.pid != os.getpid():
            _inherited.append(self._mailbox)
            self._mailbox = Mailbox(self.location, self._clock)
        return self._mailbox

    async def opened(self, deadline: float) -> None:
        """See to it that the mailbox is read, on any event loop."""
        running = asyncio.run_coroutine_threadsafe(self.mailbox().open(deadline), hub().loop)
        await asyncio.wrap_future(running)

    # For senders.

    def expecting(self, messages: Sequence[Message]) -> list[Message]:
        """Return the messages with the address to which their results go, which is read from now on.

        Raises:
            OperationalError: The server was not to be had in time.
        """
        hub().run(self.mailbox().open(after(self.location.timeout)))
        return self._addressed(messages)

    async def aexpecting(self, messages: Sequence[Message]) -> list[Message]:
        """Return what :meth:`expecting` returns."""
        await self.opened(after(self.location.timeout))
        return self._addressed(messages)

    def close(self) -> None:
        """Read the mailbox no more; the next use reads it again. Safe to call twice."""
        mailbox = self.mailbox()
        if mailbox.opened:
            hub().run(mailbox.close())

    def _addressed(self, messages: Sequence[Message]) -> list[Message]:
        mailbox = self.mailbox()
        mailbox.expect([one.id for one in messages if one.reply_to is None])
        return [
            one if one.reply_to is not None else msgspec.structs.replace(one, reply_to=mailbox.address)
            for one in messages
        ]
