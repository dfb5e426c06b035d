"""Messages on their way to RabbitMQ and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from celeriac.brokers.port import Record
from celeriac.brokers.rabbitmq.properties import told_id
from celeriac.brokers.rabbitmq.requests import Outgoing, Publish, Taken
from celeriac.brokers.rabbitmq.topology import Topology
from celeriac.brokers.rules import packed
from celeriac.core.ids import MAX_ID_BYTES, follow_up_id
from celeriac.core.message import Delivery, Lease, Message, unpack
from celeriac.errors import DecodeError

UNREADABLE: Final = "celeriac.unreadable"
"""Name of the task that stands for bytes that are no message; their bytes are its body."""
AGAIN: Final = "celeriac.again"
"""Header, in the store only, of messages that another process may have taken from RabbitMQ before."""
AGAIN_BIT: Final = 1 << 62
"""The same mark in the ``ref`` of a lease, whose own value is smaller: there it gets to whoever settles the task."""


def publish(messages: Sequence[Message], topology: Topology) -> Publish:
    """Return what sends these messages.

    Raises:
        InvalidTaskError: One of them cannot be kept.
    """
    outgoing: list[Outgoing] = []
    queues: dict[str, None] = {}
    exchanges: dict[str, str] = {}
    physical = topology.physical
    routed = any(message.exchange for message in messages) or any(one.broadcast for one in topology.queues.values())
    for message, payload in packed(messages if not routed else [addressed(one, topology) for one in messages]):
        if routed and message.exchange:
            queues.update((physical(name, 0), None) for name in topology.routes_of(message.exchange))
            if topology.is_broadcast(message.exchange):
                exchanges[message.exchange] = "fanout"
            key, mandatory = message.routing_key or "", not topology.is_broadcast(message.exchange)
            outgoing.append(Outgoing(message.exchange, key, message.id, payload, message.priority, None, mandatory))
        else:
            queue = physical(message.queue, message.priority)
            queues[queue] = None
            outgoing.append(Outgoing("", queue, message.id, payload, message.priority))
    return Publish(outgoing, tuple(queues), (), tuple(exchanges.items()))


def addressed(message: Message, topology: Topology) -> Message:
    """Return the message with the exchange and the queue that the configuration gives it.

    Of several queues to which an exchange sends it, the first is its own: the copies in the others get other ids. A
    message to a broadcast queue goes to the exchange of that queue.
    """
    if not message.exchange:
        spec = topology.spec(message.queue)
        if not spec.broadcast:
            return message
        return msgspec.structs.replace(message, exchange=spec.bindings[0].exchange, routing_key="")
    names = topology.routes(message.exchange, message.routing_key or "")
    return msgspec.structs.replace(message, queue=names[0]) if names else message


def received(taken: Taken) -> Message:
    """Return the message that was taken, in the queue from which it was taken.

    A copy that an exchange sent to another queue than the message names gets an id of its own, the same each time: two
    queues may each get a copy, and both are to run. Bytes that are no message become one for UNREADABLE.
    """
    try:
        message = unpack(taken.payload)
    except DecodeError:
        id = told_id(taken.head)
        if not id or len(id.encode("utf-8", "replace")) > MAX_ID_BYTES:
            id = follow_up_id(taken.queue, taken.payload.hex())
        return Message(id=id, task=UNREADABLE, queue=taken.queue, body=taken.payload, content_type="")
    if message.queue == taken.queue:
        return message
    id = f"{message.id}@{taken.queue}" if message.exchange else message.id
    if len(id.encode("utf-8", "replace")) > MAX_ID_BYTES:
        id = follow_up_id(message.id, taken.queue)
    return msgspec.structs.replace(message, queue=taken.queue, id=id)


def marked(message: Message) -> Message:
    """Return the message as the store keeps one that RabbitMQ may have delivered to another process before."""
    return msgspec.structs.replace(message, headers={**message.headers, AGAIN: 1})


def _unmarked(message: Message) -> Message:
    headers = {name: value for name, value in message.headers.items() if name != AGAIN}
    return msgspec.structs.replace(message, headers=headers)


def readable(delivery: Delivery) -> Delivery:
    """Return the delivery as the port wants it: bytes that are no message are raw, and a mark is in the lease."""
    message = delivery.message
    if message is None:
        return delivery
    if AGAIN in message.headers:
        message = _unmarked(message)
        lease = msgspec.structs.replace(delivery.lease, ref=delivery.lease.ref | AGAIN_BIT)
        delivery = msgspec.structs.replace(delivery, message=message, lease=lease)
    if message.task != UNREADABLE:
        return delivery
    return msgspec.structs.replace(delivery, message=None, raw=message.body)


def stores(lease: Lease) -> Lease:
    """Return the lease as the store gave it, without the mark."""
    return lease if lease.ref < AGAIN_BIT else msgspec.structs.replace(lease, ref=lease.ref ^ AGAIN_BIT)


def as_sent(record: Record) -> Record:
    """Return the record as the port wants it: bytes that are no message are raw, and no mark is seen."""
    message = record.message
    if message is None:
        return record
    if AGAIN in message.headers:
        message = _unmarked(message)
        record = msgspec.structs.replace(record, message=message)
    if message.task != UNREADABLE:
        return record
    return msgspec.structs.replace(record, message=None, raw=message.body)
