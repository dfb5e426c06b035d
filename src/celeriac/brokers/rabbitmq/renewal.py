"""Keeps the deliveries of long tasks, where a delivery is all that a worker holds of its task.

RabbitMQ closes the channel of a consumer that has not acknowledged a delivery within ``consumer_timeout`` (30 minutes,
unless configured), and gives the task to somebody else while it runs. So a delivery that is held for long is handed
over, again and again, to a queue of this connection's own: its message is published there, comes back at once as a new
delivery, and the old one is acknowledged. Messages in that queue may not wait (``x-message-ttl`` is 0): when the
connection ends they expire in the same moment, and go back to the queue that they came from.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any, Final

from celeriac.brokers.rabbitmq import wire
from celeriac.brokers.rabbitmq.link import Link
from celeriac.brokers.rabbitmq.properties import told_id
from celeriac.brokers.rabbitmq.reader import Reader
from celeriac.brokers.rabbitmq.receiver import Receiver
from celeriac.brokers.rabbitmq.requests import Outgoing, Publish
from celeriac.brokers.rabbitmq.sender import Sender
from celeriac.brokers.rabbitmq.topology import RENEW_AFTER, UNUSED, logical
from celeriac.errors import CeleriacError

LOOK_EVERY: Final = 30.0
ROOM: Final = 60_000
MARK: Final = "x-celeriac-held"
PATIENCE: Final = 10.0


class Renewal:
    """Hands over what is held for long, on one event loop.

    Args:
        link: The way to the server.
        sender: Publishes.
        receiver: Knows what is held.
        after: Seconds for which a delivery is held before.
    """

    def __init__(self, link: Link, sender: Sender, receiver: Receiver, *, after: float = RENEW_AFTER) -> None:
        self.after = after
        self._link = link
        self._sender = sender
        self._receiver = receiver
        self._readers: dict[str, Reader] = {}
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        link.on_new.append(self._readers.clear)

    def start(self) -> None:
        """Look from now on, now and again, until :meth:`stop`."""
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._run())

    def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(min(LOOK_EVERY, self.after / 4))
            try:
                await self.renew()
            except CeleriacError:
                continue  # The connection is gone, and everything that was held with it.

    async def renew(self) -> int:
        """Hand over what has been held for long; return how many deliveries that were."""
        for own in self._readers.values():
            # What came when nobody waited for it any more: a second of what is held, or was settled.
            own.ack([own.inbox.popleft().tag for _ in range(len(own.inbox))])
        old = self._receiver.held_since(time.monotonic() - self.after)
        for ref, reader, message in old:
            origin = reader.origin or reader.queue
            own = self._readers.get(origin) or await self._open(origin)
            mark = f"{ref}/{message.tag}"
            id = told_id(message.properties) or mark
            copy = Outgoing("", own.queue, id, message.body, headers={MARK: mark})
            await self._sender.publish(Publish([copy]), time.monotonic() + PATIENCE)
            arrived = await self._arrival(own, mark)
            if arrived is None or not self._receiver.replace(ref, own, arrived):
                if arrived is not None:
                    own.ack([arrived.tag])  # It was settled meanwhile.
                continue
            reader.ack([message.tag])
        return len(old)

    async def _open(self, origin: str) -> Reader:
        connection = await self._link.get(time.monotonic() + PATIENCE)
        channel = await connection.channel()
        queue = f"celeriac.held.{uuid.uuid4().hex[:12]}"
        arguments: dict[str, Any] = {
            "x-message-ttl": 0,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": origin,
            "x-expires": UNUSED,
        }
        await channel.call(wire.DeclareQueue(queue=queue, durable=True, arguments=arguments))
        name, level = logical(origin)
        reader = Reader(channel, queue, name, level, self._arrived.set)
        reader.origin = origin
        await reader.open(ROOM)
        self._readers[origin] = reader
        return reader

    async def _arrival(self, reader: Reader, mark: str) -> wire.Delivered | None:
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    for message in tuple(reader.inbox):
                        reader.inbox.remove(message)
                        if (message.decoded().headers or {}).get(MARK) == mark:
                            return message
                        reader.ack([message.tag])
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            return None
