"""One AMQP connection on an event loop.

Guarantees: whoever waits for a reply or a confirm gets it, or an error as soon as the connection or the channel has
ended; nobody waits for a connection that is gone. Heartbeats go out whatever the callers do, and a server that is
silent for two of them counts as gone. Channels are not opened again by themselves: who uses one sees that it ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from pamqp import base, commands

from celeriac.brokers.rabbitmq import wire
from celeriac.brokers.rabbitmq.failures import ChannelEnded, ConnectionEnded, refused
from celeriac.brokers.rabbitmq.properties import told_id
from celeriac.brokers.rabbitmq.requests import Outgoing
from celeriac.brokers.rabbitmq.url import Address, Location
from celeriac.errors import CeleriacError

if TYPE_CHECKING:
    import ssl

    from pamqp.common import FieldTable

FRAME_MAX: Final = 131_072


class Batch:
    """Messages that were published together, until the broker has answered for all of them."""

    def __init__(self, messages: Sequence[Outgoing], first: int, done: asyncio.Future[None]) -> None:
        self.messages = messages
        self.done = done
        self.first = first
        self.waiting = set(range(first, first + len(messages)))
        self.refused: list[Outgoing] = []
        self.returned: list[wire.Returned] = []

    @property
    def unanswered(self) -> list[Outgoing]:
        """The messages for which there was no answer, in their order."""
        return [self.messages[number - self.first] for number in sorted(self.waiting)]

    def confirmed(self, number: int, *, refused: bool) -> None:
        """Take note of one answer."""
        self.waiting.discard(number)
        if refused:
            self.refused.append(self.messages[number - self.first])
        if not self.waiting and not self.done.done():
            self.done.set_result(None)

    def failed(self, error: BaseException) -> None:
        """Give up: whether they arrived is not known."""
        if not self.done.done():
            self.done.set_exception(error)
            self.done.exception()  # Whoever published may be gone.


class Channel:
    """One channel: replies to calls, messages to whoever asked for them.

    Args:
        connection: Its connection.
        number: From 1.
    """

    def __init__(self, connection: Connection, number: int) -> None:
        self.number: Final = number
        self.ended: BaseException | None = None
        self.on_message: Callable[[wire.Delivered], None] = lambda message: None
        self.on_cancelled: Callable[[], None] = lambda: None
        self.on_ended: Callable[[BaseException], None] = lambda error: None
        self._connection = connection
        self._calls: list[tuple[base.Frame, asyncio.Future[base.Frame]]] = []
        self._published = 0
        self._unconfirmed: dict[int, Batch] = {}

    async def call(self, request: base.Frame) -> base.Frame:
        """Send a method and return the reply.

        Raises:
            ChannelEnded: The server closed the channel, for this call or before.
            ConnectionEnded: The connection is gone.
        """
        return await self.begin(request)

    def begin(self, request: base.Frame) -> asyncio.Future[base.Frame]:
        """Send a method at once; its reply is the future's."""
        if self.ended is not None:
            raise self.ended
        future: asyncio.Future[base.Frame] = asyncio.get_running_loop().create_future()
        self._calls.append((request, future))
        self._connection.write(wire.method(self.number, request))
        return future

    def send(self, data: bytes) -> None:
        """Send without waiting for anything; what belongs to a channel that has ended goes nowhere."""
        if self.ended is None:
            self._connection.write(data)

    def publish(self, messages: Sequence[Outgoing]) -> Batch:
        """Send messages; the batch's future ends when the broker has answered for each."""
        if self.ended is not None:
            raise self.ended
        batch = Batch(messages, self._published + 1, asyncio.get_running_loop().create_future())
        number, frame_max = self.number, self._connection.frame_max
        parts = [wire.publish(number, message, frame_max) for message in messages]
        for _ in messages:
            self._published += 1
            self._unconfirmed[self._published] = batch
        self._connection.write(b"".join(wire.joined(parts)))
        return batch

    def close(self) -> None:
        """Have the server close it; its number is free when that has been confirmed, and nobody waits for it."""
        if self.ended is None:
            goodbye = self.begin(commands.Channel.Close(200, "done", 0, 0))
            goodbye.add_done_callback(lambda _: self._connection.dropped(self))

    # What comes in.

    def take(self, event: wire.Event) -> None:
        """Take one event of this channel."""
        if type(event) is wire.Delivered:
            self.on_message(event)
        elif type(event) is wire.Confirmed:
            self._confirm(event)
        elif type(event) is wire.Returned:
            self._return(event)
        elif type(event) is wire.Method:
            self._take_method(event.value)

    def _take_method(self, value: base.Frame) -> None:
        if isinstance(value, commands.Channel.Close):
            self._connection.write(wire.method(self.number, commands.Channel.CloseOk()))
            self._connection.dropped(self)
            self.end(refused(value.reply_code or 0, value.reply_text, ChannelEnded))
        elif isinstance(value, commands.Basic.Cancel):
            self.on_cancelled()
        elif isinstance(value, commands.Channel.Flow):
            self._connection.write(wire.method(self.number, commands.Channel.FlowOk(value.active)))
        else:
            self._answer(value)

    def _answer(self, value: base.Frame) -> None:
        # The reply to a cancellation may come after those to later calls.
        for place, (request, future) in enumerate(self._calls):
            if value.name in request.valid_responses:
                del self._calls[place]
                if not future.done():
                    future.set_result(value)
                return

    def _confirm(self, event: wire.Confirmed) -> None:
        waiting = self._unconfirmed
        if not event.multiple:
            batch = waiting.pop(event.tag, None)
            if batch is not None:
                batch.confirmed(event.tag, refused=event.refused)
            return
        up_to: list[int] = []
        for tag in waiting:
            if tag > event.tag:
                break
            up_to.append(tag)
        for tag in up_to:
            waiting.pop(tag).confirmed(tag, refused=event.refused)

    def _return(self, event: wire.Returned) -> None:
        id = told_id(event.properties)
        for batch in dict.fromkeys(self._unconfirmed.values()):
            if any(message.id == id and message.routing_key == event.routing_key for message in batch.messages):
                batch.returned.append(event)
                return

    def end(self, error: BaseException) -> None:
        """Tell everybody that nothing more comes."""
        if self.ended is not None:
            return
        self.ended = error
        calls, self._calls = self._calls, []
        for _, future in calls:
            if not future.done():
                future.set_exception(error)
                future.exception()
        batches, self._unconfirmed = dict.fromkeys(self._unconfirmed.values()), {}
        for batch in batches:
            batch.failed(error)
        self.on_ended(error)


class Connection(asyncio.Protocol):
    """One connection; made by :func:`connect`."""

    def __init__(self, location: Location, address: Address) -> None:
        self.location = location
        self.address = address
        self.frame_max = FRAME_MAX
        self.blocked: str | None = None
        """Why the server takes no messages now; None if it does."""
        self.on_blocked: asyncio.Event = asyncio.Event()
        self.on_unblocked: asyncio.Event = asyncio.Event()
        self.on_unblocked.set()
        self.ended: BaseException | None = None
        self.server: dict[str, Any] = {}
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader = wire.Reader()
        self._channels: dict[int, Channel] = {}
        self._control: deque[asyncio.Future[base.Frame]] = deque()
        self._early: deque[base.Frame] = deque()
        self._beat: asyncio.TimerHandle | None = None
        self._heard = self._sent = self._loop.time()
        self._heartbeat = 0.0
        self._channel_max = 2047

    # asyncio's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by descent.
        self._transport.write(wire.HEADER)

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        try:
            events = self._reader.feed(data)
        except wire.WireError as exc:
            self.abort(ConnectionEnded(f"the server at {self.address} does not speak AMQP 0-9-1: {exc}"))
            return
        for event in events:
            if event.channel == 0:
                if isinstance(event, wire.Method):
                    self._take_control(event.value)
            elif (channel := self._channels.get(event.channel)) is not None:
                channel.take(event)

    def connection_lost(self, exc: Exception | None) -> None:
        reason = f": {exc}" if exc is not None else ""
        self._end(ConnectionEnded(f"the connection to RabbitMQ at {self.address} was lost{reason}"))

    # The driver's side.

    def write(self, data: bytes) -> None:
        """Send bytes.

        Raises:
            ConnectionEnded: The connection is gone.
        """
        if self.ended is not None or self._transport is None:
            raise self.ended or ConnectionEnded("the connection to RabbitMQ is closed")
        self._sent = self._loop.time()
        self._transport.write(data)

    async def channel(self) -> Channel:
        """Open a channel."""
        number = next((n for n in range(1, self._channel_max + 1) if n not in self._channels), 0)
        if not number:
            raise ConnectionEnded(f"the connection to {self.address} has no free channel ({self._channel_max} at most)")
        channel = self._channels[number] = Channel(self, number)
        try:
            await channel.call(commands.Channel.Open())
        except asyncio.CancelledError:
            channel.close()
            raise
        return channel

    def dropped(self, channel: Channel) -> None:
        """Forget a channel that is closed; its number may be another's by now."""
        if self._channels.get(channel.number) is channel:
            del self._channels[channel.number]

    async def close(self) -> None:
        """Say goodbye and close; what waits for an answer gets none."""
        if self.ended is None:
            with contextlib.suppress(CeleriacError, TimeoutError):
                request = commands.Connection.Close(200, "bye", 0, 0)
                await asyncio.wait_for(self._ask(request), 1.0)
        self.abort(ConnectionEnded("the connection to RabbitMQ was closed"))

    def abort(self, error: BaseException) -> None:
        """Close without a word."""
        self._end(error)
        if self._transport is not None:
            self._transport.abort()

    def keep_alive(self) -> None:
        """Have small writes sent at once, and a dead peer found by the system, too."""
        found = None if self._transport is None else self._transport.get_extra_info("socket")
        if found is not None:
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    async def handshake(self) -> None:
        """Log in.

        Raises:
            ConnectionEnded, OperationalError, ImproperlyConfigured: The server does not let us in.
        """
        location = self.location
        start = await self._expect()
        if not isinstance(start, commands.Connection.Start):
            raise refused(*_close_of(start), ConnectionEnded)
        self.server = dict(start.server_properties)
        login = f"\0{location.user}\0{location.password}"
        capabilities: FieldTable = {
            "authentication_failure_close": True,
            "basic.nack": True,
            "connection.blocked": True,
            "consumer_cancel_notify": True,
            "publisher_confirms": True,
        }
        told: FieldTable = {"product": "Celeriac", "capabilities": capabilities, "connection_name": location.name}
        self.write(wire.method(0, commands.Connection.StartOk(told, "PLAIN", login, "en_US")))
        tune = await self._expect()
        if not isinstance(tune, commands.Connection.Tune):
            raise refused(*_close_of(tune), ConnectionEnded)
        self.frame_max = min(FRAME_MAX, tune.frame_max or FRAME_MAX)
        self._channel_max = min(2047, tune.channel_max or 2047)
        beat = min(location.heartbeat, tune.heartbeat) if tune.heartbeat else location.heartbeat
        self.write(wire.method(0, commands.Connection.TuneOk(self._channel_max, self.frame_max, beat)))
        answer = await self._ask(commands.Connection.Open(location.vhost))
        if not isinstance(answer, commands.Connection.OpenOk):
            raise refused(*_close_of(answer), ConnectionEnded)
        if beat:
            self._heartbeat = float(beat)
            self._beat = self._loop.call_later(beat / 2, self._tick)

    # Inner parts.

    async def _expect(self) -> base.Frame:
        if self._early:
            return self._early.popleft()
        if self.ended is not None:
            raise self.ended
        future: asyncio.Future[base.Frame] = self._loop.create_future()
        self._control.append(future)
        return await future

    async def _ask(self, request: base.Frame) -> base.Frame:
        self.write(wire.method(0, request))
        return await self._expect()

    def _take_control(self, value: base.Frame) -> None:
        if isinstance(value, commands.Connection.Blocked):
            self.blocked = value.reason or "it gave no reason"
            self.on_unblocked.clear()
            self.on_blocked.set()
        elif isinstance(value, commands.Connection.Unblocked):
            self.blocked = None
            self.on_blocked.clear()
            self.on_unblocked.set()
        elif isinstance(value, commands.Connection.Close):
            with contextlib.suppress(CeleriacError):
                self.write(wire.method(0, commands.Connection.CloseOk()))
            self.abort(refused(value.reply_code or 0, value.reply_text, ConnectionEnded))
        elif self._control:
            future = self._control.popleft()
            if not future.done():
                future.set_result(value)
        else:
            self._early.append(value)

    def _tick(self) -> None:
        now = self._loop.time()
        if now - self._heard > 2 * self._heartbeat:
            silent = now - self._heard
            self.abort(ConnectionEnded(f"RabbitMQ at {self.address} has been silent for {silent:.0f} s"))
            return
        if now - self._sent >= self._heartbeat / 2:
            self.write(wire.HEARTBEAT)
        self._beat = self._loop.call_later(self._heartbeat / 2, self._tick)

    def _end(self, error: BaseException) -> None:
        if self.ended is not None:
            return
        self.ended = error
        self.on_unblocked.set()
        if self._beat is not None:
            self._beat.cancel()
        waiting: Iterable[asyncio.Future[base.Frame]] = tuple(self._control)
        self._control.clear()
        for future in waiting:
            if not future.done():
                future.set_exception(error)
                future.exception()
        channels, self._channels = tuple(self._channels.values()), {}
        for channel in channels:
            channel.end(error)


def _close_of(value: base.Frame) -> tuple[int, str]:
    if isinstance(value, commands.Connection.Close):
        return value.reply_code or 0, value.reply_text
    return 0, f"it answered {value.name}"


async def connect(location: Location, address: Address, tls: ssl.SSLContext | None) -> Connection:
    """Open a connection and log in.

    Raises:
        OSError, ConnectionEnded, OperationalError, ImproperlyConfigured: It cannot be had.
    """
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(
        lambda: Connection(location, address),
        address.host,
        address.port,
        ssl=tls,
        server_hostname=address.host if tls is not None else None,
    )
    try:
        connection.keep_alive()
        await connection.handshake()
    except BaseException as exc:
        connection.abort(exc)
        raise
    return connection
