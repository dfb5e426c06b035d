"""What one event loop asks of RabbitMQ: publishing, taking and looking, behind one connection."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from celeriac.brokers.deadline import after
from celeriac.brokers.rabbitmq import requests, wire
from celeriac.brokers.rabbitmq.inspection import look
from celeriac.brokers.rabbitmq.link import Link
from celeriac.brokers.rabbitmq.receiver import Receiver, count
from celeriac.brokers.rabbitmq.renewal import Renewal
from celeriac.brokers.rabbitmq.sender import Sender
from celeriac.brokers.rabbitmq.topology import Topology
from celeriac.brokers.rabbitmq.url import Location
from celeriac.core.message import MAX_PRIORITY
from celeriac.errors import OperationalError


class Client:
    """Carries out requests on the running event loop.

    Args:
        location: Where the server is.
        topology: What queues are like.
        renews: Deliveries are held for as long as their tasks run, so they are to be renewed.
    """

    def __init__(self, location: Location, topology: Topology, *, renews: bool = False) -> None:
        self.location: Final = location
        self.topology: Final = topology
        self.link: Final = Link(location)
        # A sender that gives up ends its connection, and deliveries that are held must not end with it.
        self.outward: Final = Link(location) if renews else self.link
        self.sender: Final = Sender(self.outward, topology, repeats=not renews)
        self.receiver: Final = Receiver(self.link, self.sender, topology)
        self.renewal: Final = Renewal(self.link, self.sender, self.receiver) if renews else None

    async def perform(self, request: requests.Request) -> Any:
        """Carry out one request.

        Raises:
            OperationalError: The server was not to be had, or did not answer, in time.
            BrokerError: The server refused for good.
        """
        deadline = after(self.location.timeout)
        match request:
            case requests.Publish():
                await self.sender.publish(request, deadline)
                self.receiver.note()
                return None
            case requests.Take():
                if self.renewal is not None:
                    self.renewal.start()
                return await self.receiver.take(request, deadline)
            case requests.Keep():
                return self.receiver.keep(request.refs)
            case requests.Ack(heard=True):
                return await self.receiver.ack_heard(request.refs, deadline)
            case requests.Ack():
                return self.receiver.ack(request.refs)
            case requests.GiveBack():
                lost = self.receiver.give_back(request.refs)
                self.receiver.note()
                return lost
            case requests.Held():
                return await self.receiver.held(request.refs, deadline)
            case requests.Bodies():
                return self.receiver.bodies(request.refs)
            case requests.Now():
                return time.time()
            case requests.Look():
                return await look(self.location, self.topology, request.queues, deadline)
            case _:
                return await self._ask(request, deadline)

    async def _ask(self, request: requests.Count | requests.Purge, deadline: float) -> Any:
        connection = await self.link.get(deadline)
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                if isinstance(request, requests.Count):
                    names = dict.fromkeys([*request.queues, *self.sender.used])
                    return {queue: await self._count(queue) for queue in names}
                return await self._purge(request.queue)
        except TimeoutError:
            self.receiver.give_up()
            raise OperationalError(f"RabbitMQ at {connection.address} did not answer in time") from None

    def _levels(self, queue: str) -> list[str]:
        return list(dict.fromkeys(self.topology.physical(queue, level) for level in range(MAX_PRIORITY + 1)))

    async def _count(self, queue: str) -> int:
        connection = self.link.alive
        if connection is None:
            return 0
        found = await asyncio.gather(*[count(connection, one) for one in self._levels(queue)])
        return sum(one or 0 for one in found)

    async def _purge(self, queue: str) -> int:
        connection = self.link.alive
        if connection is None:
            return 0
        gone = 0
        for one in self._levels(queue):
            if await count(connection, one) is not None:
                channel = await connection.channel()
                answer: Any = await channel.call(wire.PurgeQueue(queue=one))
                gone += answer.message_count
                channel.close()
        return gone

    async def close(self) -> None:
        """Close the connection; the next request makes another."""
        if self.renewal is not None:
            self.renewal.stop()
        await self.link.close()
        await self.outward.close()
