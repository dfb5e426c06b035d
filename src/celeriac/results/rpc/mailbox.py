"""What has come for this process: the results of the tasks that it sent.

A queue of the process's own takes them. It lives on for a while without its reader, so that a connection may break and
come back; it is named in each message that is sent from here. A result is kept in memory until it expires or is
forgotten, at most :data:`MOST` of them. What is kept and who waits for it can be read from any thread; the connection
lives on the event loop of the hub.
"""

from __future__ import annotations

import asyncio
import functools
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from pamqp import commands

from celeriac.brokers.rabbitmq import wire
from celeriac.brokers.rabbitmq.connection import Channel
from celeriac.brokers.rabbitmq.link import Link
from celeriac.brokers.rabbitmq.url import Location
from celeriac.brokers.rules import is_over
from celeriac.core.clock import Clock
from celeriac.core.ids import follow_up_id
from celeriac.core.message import StoredResult, unpack_result
from celeriac.errors import BrokerError, DecodeError, OperationalError, ResultElsewhere

if TYPE_CHECKING:
    from pamqp.common import FieldTable

PREFIX: Final = "celeriac.reply."
UNREAD: Final = 600.0
"""Seconds for which the queue lives without a reader: as long as a connection may be away."""
MOST: Final = 100_000
"""Results, and tasks whose result has not come, that are kept; the oldest go first."""
RETRY_EVERY: Final = 5.0
"""Seconds that one attempt to connect again may take."""
PAUSE: Final = 0.5
AHEAD: Final = 1000
"""Results on their way at once."""
INTERIM: Final = "x-celeriac-interim"
_LINKS: Final = ("link", "link_error")


class Mailbox:
    """The letterbox of one process.

    Args:
        location: Where the server is.
        clock: For what expires.
    """

    def __init__(self, location: Location, clock: Clock) -> None:
        self.pid: Final = os.getpid()
        self.address: Final = f"{PREFIX}{os.urandom(12).hex()}"
        self.listeners: Final[set[Callable[[], None]]] = set()
        self._clock: Final = clock
        self._link: Final = Link(location)
        self._lock: Final = threading.Lock()
        self._results: Final[dict[str, StoredResult | None]] = {}
        self._channel: Channel | None = None
        self._opening: asyncio.Lock | None = None
        self._keeper: asyncio.Task[None] | None = None

    # From any thread.

    def expect(self, ids: Iterable[str]) -> None:
        """Take note that the results of these tasks are to come here."""
        with self._lock:
            for id in ids:
                self._results.setdefault(id, None)
            while len(self._results) > MOST:
                del self._results[next(iter(self._results))]

    def expects(self, id: str) -> bool:
        """Tell whether the result of this task is to come here, or has."""
        return id in self._results

    def read(self, ids: Sequence[str]) -> list[StoredResult]:
        """Return the results that have come and not expired.

        Raises:
            ResultElsewhere: One of these tasks was not sent from here.
        """
        now = self._clock.now()
        with self._lock:
            for id in ids:
                if id not in self._results:
                    raise ResultElsewhere(
                        f"the result of task {id} is not to be had here: with the result backend rpc:// it goes to the"
                        f" process that sent the task, for as long as that lives and keeps at most {MOST:,} of them; to"
                        " read results elsewhere, use a store as the result backend (Redis, PostgreSQL, a database)"
                    )
            found = [self._results[id] for id in ids]
        return [one for one in found if one is not None and (one.expires is None or one.expires > now)]

    def put(self, result: StoredResult, *, interim: bool) -> None:
        """Keep a result; an interim one only if its task is not over."""
        with self._lock:
            before = self._results.get(result.id)
            if interim and before is not None and is_over(before):
                return
            self._results[result.id] = result
            # What follows from a task answers to us as well; what it sent itself answers to its worker.
            links = {follow_up_id(result.id, f"{kind}/{n}") for n in range(len(result.children)) for kind in _LINKS}
            for child in links.intersection(result.children):
                self._results.setdefault(child, None)
        for tell in tuple(self.listeners):
            tell()

    def drop(self, ids: Iterable[str]) -> int:
        """Forget results; return how many there were."""
        with self._lock:
            return sum([self._results.pop(id, None) is not None for id in ids])

    def expire(self) -> int:
        """Forget what has expired; return how many results that were."""
        now = self._clock.now()
        with self._lock:
            gone = [id for id, one in self._results.items() if one is not None and (one.expires or now + 1) <= now]
            for id in gone:
                del self._results[id]
        return len(gone)

    @property
    def opened(self) -> bool:
        """Whether it has a connection, or is about to have one."""
        return self._keeper is not None or self._channel is not None

    @property
    def waits(self) -> bool:
        """Whether anything is still to come."""
        with self._lock:
            return any(one is None or not is_over(one) for one in self._results.values())

    # On the hub's loop.

    async def open(self, deadline: float) -> None:
        """See to it that the queue exists and is read.

        Raises:
            OperationalError: The server was not to be had until the deadline, a time of the monotonic clock.
            BrokerError: It refuses us.
        """
        if self._opening is None:
            self._opening = asyncio.Lock()
        while self._channel is None or self._channel.ended is not None:
            async with self._opening:
                if self._channel is None or self._channel.ended is not None:
                    await self._open(deadline)
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.get_running_loop().create_task(self._keep())

    async def _open(self, deadline: float) -> None:
        connection = await self._link.get(deadline)
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                channel = await connection.channel()
                channel.on_message = functools.partial(self._came, channel)
                arguments: FieldTable = {"x-expires": int(UNREAD * 1000)}
                await channel.call(wire.DeclareQueue(queue=self.address, durable=True, arguments=arguments))
                await channel.call(commands.Basic.Qos(0, AHEAD, False))
                await channel.call(wire.Consume(queue=self.address, consumer_tag="results"))
        except TimeoutError:
            self._link.drop("it did not answer in time")
            raise OperationalError(f"RabbitMQ at {connection.address} did not answer in time") from None
        self._channel = channel

    def _came(self, channel: Channel, message: wire.Delivered) -> None:
        # What was on its way when the connection broke comes again, since it is acknowledged only here.
        channel.send(wire.acks(channel.number, (message.tag,)))
        try:
            result = unpack_result(message.body)
        except DecodeError:
            return  # Whoever sent it is no Celeriac; there is nobody here whom it concerns.
        headers = message.decoded().headers or {} if message.properties[12] & 0x20 else {}
        self.put(result, interim=INTERIM in headers)

    async def _keep(self) -> None:
        """Read again after the connection was lost, so that what comes meanwhile is not late."""
        while True:
            channel = self._channel
            if channel is None:
                return
            if channel.ended is None:
                ended = asyncio.Event()
                channel.on_ended = _setter(ended)
                await ended.wait()
            while self._channel is channel:
                try:
                    await self.open(time.monotonic() + RETRY_EVERY)
                except (OperationalError, BrokerError, OSError):
                    await asyncio.sleep(PAUSE)

    async def close(self) -> None:
        """Close the connection, and remove the queue if nothing is still to come; the next use opens both again."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait([keeper])
        channel, self._channel = self._channel, None
        connection = self._link.alive
        if connection is not None and channel is not None and not self.waits:
            try:
                async with asyncio.timeout(1.0):
                    await channel.call(wire.DeleteQueue(queue=self.address))
                    channel.close()
            except (OperationalError, BrokerError, OSError, TimeoutError):
                pass  # It goes by itself.
        await self._link.close()


def _setter(event: asyncio.Event) -> Callable[[BaseException], None]:
    return lambda error: event.set()
