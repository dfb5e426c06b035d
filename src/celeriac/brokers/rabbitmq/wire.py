"""AMQP 0-9-1 frames, between bytes and values: pure, no I/O.

What every message needs (publishing, deliveries, acknowledgements, confirms) is read and written here by hand, because
a general codec costs several times as much as all the rest of the driver. Everything that is rare (the handshake,
declarations, tables) is left to pamqp. The numbers are those of the specification, https://www.rabbitmq.com/amqp-0-9-1-reference.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias

import msgspec
from pamqp import base, commands, frame, header
from pamqp.exceptions import PAMQPException

from celeriac.brokers.rabbitmq.requests import Outgoing

HEADER: Final = b"AMQP\x00\x00\x09\x01"
HEARTBEAT: Final = b"\x08\x00\x00\x00\x00\x00\x00\xce"
END: Final = b"\xce"
SMALLEST_FRAME: Final = 4096
"""Every peer takes frames of this size."""
CONTENT_TYPE: Final = "application/vnd.celeriac"
"""Content type of messages that hold what :func:`celeriac.core.message.pack` makes."""

_METHOD, _HEAD, _BODY, _BEAT = 1, 2, 3, 8
_DELIVER, _RETURN, _ACK, _NACK = 0x003C003C, 0x003C0032, 0x003C0050, 0x003C0078
_frame: Final = struct.Struct(">BHI")
_method: Final = struct.Struct(">BHII")
_head: Final = struct.Struct(">BHIHHQH")
_tag: Final = struct.Struct(">QB")
_tagged: Final = struct.Struct(">BHIIQBB")
_size: Final = struct.Struct(">Q")
_PERSISTENT: Final = 2
# Property flags: content-type, headers, delivery-mode, priority, message-id.
_F_TYPE, _F_HEADERS, _F_MODE, _F_PRIORITY, _F_ID = 0x8000, 0x2000, 0x1000, 0x0800, 0x0080


class AnyName:
    """pamqp allows fewer characters in names than RabbitMQ does, so it is not asked."""

    def validate(self) -> None:
        """Let the server judge."""


class DeclareExchange(AnyName, commands.Exchange.Declare):
    """exchange.declare"""


class DeclareQueue(AnyName, commands.Queue.Declare):
    """queue.declare"""


class BindQueue(AnyName, commands.Queue.Bind):
    """queue.bind"""


class BindExchange(AnyName, commands.Exchange.Bind):
    """exchange.bind"""


class PurgeQueue(AnyName, commands.Queue.Purge):
    """queue.purge"""


class DeleteQueue(AnyName, commands.Queue.Delete):
    """queue.delete"""


class Consume(AnyName, commands.Basic.Consume):
    """basic.consume"""


class WireError(Exception):
    """What came is not AMQP 0-9-1."""


class Delivered(msgspec.Struct, gc=False):
    """One message that came to a consumer; ``properties`` holds the raw bytes behind the property flags."""

    channel: int
    tag: int
    redelivered: bool
    exchange: str
    routing_key: str
    properties: bytes = b""
    body: bytes = b""

    def decoded(self) -> commands.Basic.Properties:
        """Return the properties; empty ones where they cannot be read."""
        return properties_of(self.properties)


def properties_of(head: bytes) -> commands.Basic.Properties:
    """Return the properties in a content header; empty ones where they cannot be read."""
    content = header.ContentHeader()
    try:
        content.unmarshal(head)
    except (PAMQPException, ValueError, struct.error):
        return commands.Basic.Properties()
    return content.properties


class Returned(msgspec.Struct, gc=False):
    """One message that could not be routed."""

    channel: int
    code: int
    text: str
    exchange: str
    routing_key: str
    properties: bytes = b""
    body: bytes = b""


class Confirmed(msgspec.Struct, frozen=True, gc=False):
    """The broker has taken (or, with ``refused``, not taken) what was published up to, or as, this number."""

    channel: int
    tag: int
    multiple: bool
    refused: bool


class Method(msgspec.Struct, frozen=True, gc=False):
    """Any other method."""

    channel: int
    value: base.Frame


Event: TypeAlias = Delivered | Returned | Confirmed | Method


def _short(text: str) -> bytes:
    raw = text.encode()
    if len(raw) > 255:
        raise WireError(f"{text[:40]!r}... has {len(raw)} bytes, and AMQP takes 255")
    return bytes((len(raw),)) + raw


def method(channel: int, value: base.Frame) -> bytes:
    """Return the bytes of one method."""
    return frame.marshal(value, channel)


_TYPE: Final = _short(CONTENT_TYPE)


def publish(channel: int, message: Outgoing, frame_max: int) -> list[bytes]:
    """Return the parts of one persistent message."""
    mandatory = b"\x01" if message.mandatory else b"\x00"
    target = b"\x00\x00" + _short(message.exchange) + _short(message.routing_key) + mandatory
    if message.headers:
        properties = _rich(message)
    else:
        flags = _F_TYPE | _F_MODE | _F_PRIORITY | _F_ID
        small = _TYPE + bytes((_PERSISTENT, message.priority)) + _short(message.id)
        properties = flags.to_bytes(2, "big") + small
    payload = message.payload
    parts = [
        _method.pack(_METHOD, channel, len(target) + 4, 0x003C0028),
        target,
        END,
        _frame.pack(_HEAD, channel, 12 + len(properties)),
        b"\x00\x3c\x00\x00",
        _size.pack(len(payload)),
        properties,
        END,
    ]
    room = frame_max - 8
    if len(payload) <= room:
        if payload:
            parts += (_frame.pack(_BODY, channel, len(payload)), payload, END)
        return parts
    for start in range(0, len(payload), room):
        part = payload[start : start + room]
        parts += (_frame.pack(_BODY, channel, len(part)), part, END)
    return parts


def _rich(message: Outgoing) -> bytes:
    properties = commands.Basic.Properties(
        content_type=CONTENT_TYPE,
        delivery_mode=_PERSISTENT,
        priority=message.priority,
        message_id=message.id,
        headers=message.headers,
    )
    return properties.marshal()


def acks(channel: int, tags: Iterable[int], *, multiple: bool = False) -> bytes:
    """Return the bytes that acknowledge these deliveries."""
    many = 1 if multiple else 0
    return b"".join([_tagged.pack(_METHOD, channel, 13, _ACK, tag, many, 0xCE) for tag in tags])


def nacks(channel: int, tags: Iterable[int], *, requeue: bool = True) -> bytes:
    """Return the bytes that give these deliveries back to their queue, or to where it sends its dead letters."""
    bits = 2 if requeue else 0
    return b"".join([_tagged.pack(_METHOD, channel, 13, _NACK, tag, bits, 0xCE) for tag in tags])


class Reader:
    """Cuts what comes from a socket into events. A message is one event, when it is complete."""

    def __init__(self) -> None:
        self._rest = b""
        self._open: dict[int, tuple[Delivered | Returned, int, list[bytes]]] = {}

    def feed(self, data: bytes) -> list[Event]:
        """Take some bytes; return what they complete.

        Raises:
            WireError: They are not AMQP 0-9-1.
        """
        if self._rest:
            data = self._rest + data
        events: list[Event] = []
        at, end = 0, len(data)
        unpack = _frame.unpack_from
        while end - at >= 8:
            kind, channel, size = unpack(data, at)
            stop = at + 7 + size
            if stop >= end:
                if kind not in (_METHOD, _HEAD, _BODY, _BEAT):
                    raise WireError(f"frame type {kind}")
                break
            if data[stop] != 0xCE:
                raise WireError("a frame does not end where it should")
            if kind == _METHOD:
                self._on_method(events, channel, data, at, stop)
            elif kind == _HEAD:
                self._on_head(events, channel, data[at + 7 : stop])
            elif kind == _BODY:
                self._on_body(events, channel, data[at + 7 : stop])
            elif kind != _BEAT:
                raise WireError(f"frame type {kind}")
            at = stop + 1
        self._rest = data[at:]
        return events

    def _on_method(self, events: list[Event], channel: int, data: bytes, at: int, stop: int) -> None:
        index = int.from_bytes(data[at + 7 : at + 11], "big")
        at += 11
        if index == _DELIVER:
            at += 1 + data[at]
            tag, redelivered = _tag.unpack_from(data, at)
            exchange, at = _text(data, at + 9)
            key, at = _text(data, at)
            self._open[channel] = (Delivered(channel, tag, redelivered == 1, exchange, key), -1, [])
        elif index == _ACK:
            tag, multiple = _tag.unpack_from(data, at)
            events.append(Confirmed(channel, tag, multiple & 1 == 1, False))
        elif index == _NACK:
            tag, bits = _tag.unpack_from(data, at)
            events.append(Confirmed(channel, tag, bits & 1 == 1, True))
        elif index == _RETURN:
            code = int.from_bytes(data[at : at + 2], "big")
            text, at = _text(data, at + 2)
            exchange, at = _text(data, at)
            key, at = _text(data, at)
            self._open[channel] = (Returned(channel, code, text, exchange, key), -1, [])
        else:
            start = at - 11
            try:
                _, _, value = frame.unmarshal(data[start : stop + 1])
            except (PAMQPException, ValueError, struct.error) as exc:
                raise WireError(str(exc)) from exc
            if not isinstance(value, base.Frame):
                raise WireError(f"{value!r} is no method")
            events.append(Method(channel, value))

    def _on_head(self, events: list[Event], channel: int, data: bytes) -> None:
        content = self._open.get(channel)
        if content is None or len(data) < 14:
            raise WireError("a content header without a message")
        message, _, parts = content
        message.properties = data
        (size,) = _size.unpack_from(data, 4)
        if size == 0:
            del self._open[channel]
            events.append(message)
        else:
            self._open[channel] = (message, size, parts)

    def _on_body(self, events: list[Event], channel: int, data: bytes) -> None:
        content = self._open.get(channel)
        if content is None or content[1] < 0:
            raise WireError("a body without a message")
        message, missing, parts = content
        missing -= len(data)
        parts.append(data)
        if missing > 0:
            self._open[channel] = (message, missing, parts)
            return
        message.body = data if len(parts) == 1 else b"".join(parts)
        del self._open[channel]
        events.append(message)


def _text(data: bytes, at: int) -> tuple[str, int]:
    end = at + 1 + data[at]
    return data[at + 1 : end].decode("utf-8", "replace"), end


def joined(parts: Sequence[Sequence[bytes]]) -> Iterator[bytes]:
    """Return the parts of many messages in one line."""
    for some in parts:
        yield from some
