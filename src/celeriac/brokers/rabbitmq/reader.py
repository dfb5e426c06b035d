"""Reading one queue: a consumer that is open only while somebody wants messages.

How many a consumer may bring is how many are wanted, so nothing lies here that another worker could run. Whatever came
and was not wanted any more goes back to the broker at once.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from pamqp import base, commands

from celeriac.brokers.rabbitmq import wire
from celeriac.brokers.rabbitmq.connection import Channel
from celeriac.errors import CeleriacError


class Reader:
    """One queue on one channel of its own.

    Args:
        channel: The channel.
        queue: The queue as RabbitMQ knows it.
        name: Its name without the level.
        level: Its priority.
        arrived: Called with each message.
    """

    def __init__(self, channel: Channel, queue: str, name: str, level: int, arrived: Callable[[], None]) -> None:
        self.channel: Final = channel
        self.queue: Final = queue
        self.name: Final = name
        self.level: Final = level
        self.inbox: deque[wire.Delivered] = deque()
        self.unacked: set[int] = set()
        self.room = 0
        """How many the open consumer may bring; 0 if none is open."""
        self.origin: str | None = None
        """Where messages of this queue come from and go back to, if it keeps them for another."""
        self.came = 0.0
        """When the oldest message of the inbox came, on the monotonic clock, or earlier."""
        self._arrived = arrived
        self._opened = 0
        self._gave_back = False
        self._closing: asyncio.Task[None] | None = None
        channel.on_message = self._on_message
        channel.on_cancelled = self._on_cancelled

    def _on_message(self, message: wire.Delivered) -> None:
        if not self.inbox:
            self.came = time.monotonic()
        self.inbox.append(message)
        self.unacked.add(message.tag)
        self._arrived()

    def _on_cancelled(self) -> None:
        # The queue is gone, or its node is. The next look finds out.
        self.room = 0

    async def open(self, room: int) -> None:
        """Let up to ``room`` messages come, beside those that are here."""
        await self.closed()
        # What was brought and is not acknowledged takes up room, whether it lies here or somebody has taken it.
        if self.room and self.room - len(self.unacked) >= room:
            return
        if self.room:
            await self._cancel()
        self.room = room
        self._opened += 1
        channel = self.channel
        sized = channel.begin(commands.Basic.Qos(0, min(room, 65535), False))
        await channel.begin(wire.Consume(queue=self.queue, consumer_tag=str(self._opened)))
        await sized

    async def count(self) -> int:
        """Return how many messages are ready and nobody's."""
        if self._gave_back:
            # A queue answers before it takes back what came to it a moment ago.
            self._gave_back = False
            await self.channel.call(wire.DeclareQueue(queue=self.queue, passive=True))
        answer = await self.channel.call(wire.DeclareQueue(queue=self.queue, passive=True))
        return (answer.message_count or 0) if isinstance(answer, commands.Queue.DeclareOk) else 0

    async def fill(self, room: int, expected: int) -> None:
        """Let up to ``room`` messages come, and return when ``expected`` are here, or nobody has more for us."""
        expected += len(self.inbox)
        await self.open(room)
        while len(self.inbox) < expected:
            if not await self.count():
                # The channel handles what queues tell it only between two calls: after another one it has.
                await self.channel.call(commands.Basic.Qos(0, min(max(room, 1), 65535), False))
                return

    def close(self) -> None:
        """Let no more come, and give back what is here and nobody's, when the broker has heard it."""
        if self.room and self._closing is None and self.channel.ended is None:
            # The cancellation is on its way before whatever is acknowledged next makes room for more.
            self._closing = asyncio.ensure_future(self._close(self._cancel()))

    async def closed(self) -> None:
        """Wait until nothing more comes."""
        closing = self._closing
        if closing is not None:
            await asyncio.wait([closing])

    async def _close(self, cancelled: asyncio.Future[base.Frame]) -> None:
        try:
            await cancelled
            self.give_back()
        except CeleriacError:
            return  # The channel has ended, and with it everything that was ours.
        finally:
            self._closing = None

    def _cancel(self) -> asyncio.Future[base.Frame]:
        self.room = 0
        return self.channel.begin(commands.Basic.Cancel(str(self._opened)))

    def give_back(self) -> None:
        """Give back what is here and nobody's."""
        tags = [message.tag for message in self.inbox]
        self.inbox.clear()
        self.nack(tags)

    def ack(self, tags: list[int]) -> None:
        """Let the broker forget these."""
        mine = self.unacked.intersection(tags)
        if not mine:
            return
        self.unacked -= mine
        newest = max(mine)
        if not self.unacked or min(self.unacked) > newest:
            self.channel.send(wire.acks(self.channel.number, (newest,), multiple=True))
        else:
            self.channel.send(wire.acks(self.channel.number, sorted(mine)))

    def nack(self, tags: list[int]) -> None:
        """Give these back."""
        mine = self.unacked.intersection(tags)
        self.unacked -= mine
        if mine:
            self._gave_back = True
            self.channel.send(wire.nacks(self.channel.number, sorted(mine), requeue=self.origin is None))
