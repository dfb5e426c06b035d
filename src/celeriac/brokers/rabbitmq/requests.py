"""What an operation of this driver asks for, besides what it asks of the paired store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, TypeVar

import msgspec

from celeriac.core.operation import Operation

T = TypeVar("T")


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """One message to publish.

    Attributes:
        exchange, routing_key: Where to; the exchange ``""`` sends to the queue that the routing key names.
        id: The task id, which comes back where the message cannot be routed.
        payload: The body.
        priority: For classic queues with priorities.
        headers: Of the message, if any.
        mandatory: To be routed to no queue is an error.
    """

    exchange: str
    routing_key: str
    id: str
    payload: bytes
    priority: int = 0
    headers: dict[str, Any] | None = None
    mandatory: bool = True


class Publish(msgspec.Struct, frozen=True):
    """Publish, and wait until the broker has taken every message.

    Attributes:
        messages: What, where to.
        queues: Queues, as RabbitMQ knows them, that must exist before.
        others: More such queues, with the arguments of their declaration.
        exchanges: Exchanges that must exist before, and their types.
    """

    messages: Sequence[Outgoing]
    queues: Sequence[str] = ()
    others: Sequence[tuple[str, dict[str, Any]]] = ()
    exchanges: Sequence[tuple[str, str]] = ()


class Take(msgspec.Struct, frozen=True):
    """Take up to ``limit`` messages of these queues, the most urgent first. They stay the broker's until they are
    acknowledged: the owner's next Take returns them again, unless an :class:`Ack` or a :class:`GiveBack` names them,
    or a :class:`Keep` made them the owner's for good. With a limit of 0, what the owner took goes back to the broker.

    Attributes:
        queues: Where to look.
        limit: Most messages to take.
        owner: Who takes them.
        hurry: What came beside them may be on its way back to its queue after the answer, so that others do not find it
            at once: it saves a round trip of a quorum queue before the task.
    """

    queues: Sequence[str]
    limit: int
    owner: str
    hurry: bool = False


class Taken(msgspec.Struct, frozen=True, gc=False):
    """One message that was taken.

    Attributes:
        ref: Names it to Ack and GiveBack, as long as the connection lives.
        queue: The queue, without its level of priority.
        payload: The body.
        again: It may have been delivered, or published, before.
        headers: Of the message.
        deliveries: How often a quorum queue has delivered it before.
        head: The properties as they came.
    """

    ref: int
    queue: str
    payload: bytes
    again: bool = False
    headers: dict[str, Any] = {}
    deliveries: int = 0
    head: bytes = b""


class Keep(msgspec.Struct, frozen=True):
    """What was taken is the owner's until it is acknowledged or given back, or the connection ends."""

    refs: Sequence[int]


class Ack(msgspec.Struct, frozen=True):
    """Let the broker forget these; the reply is the refs that it no longer knew, because the connection has ended.

    Attributes:
        refs: Which.
        heard: Wait until the server has heard it. If the connection ends before, the reply is those, too.
    """

    refs: Sequence[int]
    heard: bool = False


class GiveBack(msgspec.Struct, frozen=True):
    """Let the broker give these to somebody; the reply is as for :class:`Ack`."""

    refs: Sequence[int]


class Held(msgspec.Struct, frozen=True):
    """Ask the server for a sign of life; the reply is those of these refs that are still ours."""

    refs: Sequence[int]


class Bodies(msgspec.Struct, frozen=True):
    """The reply is the bodies of these, by ref."""

    refs: Sequence[int]


class Count(msgspec.Struct, frozen=True):
    """The reply is how many messages are ready in each of these queues, and in those that were used here."""

    queues: Sequence[str]


class Purge(msgspec.Struct, frozen=True):
    """Drop what is ready in the queue; the reply is how many messages went."""

    queue: str


class Now(msgspec.Struct, frozen=True):
    """The reply is the time, seconds since the epoch, on this machine: AMQP tells none."""


class Look(msgspec.Struct, frozen=True):
    """The reply is what can be found out about the server and these queues, :class:`Seen`."""

    queues: Sequence[str]


class Missing(msgspec.Struct, frozen=True):
    """A right that the user lacks.

    Attributes:
        right: ``configure``, ``write`` or ``read``.
        name: Of the queue or exchange.
    """

    right: str
    name: str


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What was found out about a server.

    Attributes:
        product, version: Of the server.
        address, user, vhost: Where we are, and as whom.
        trip: Seconds for a round trip.
        blocked: Why it takes no messages, if it does not.
        missing: Rights that the user lacks.
        differences: For each queue that exists and is not as it would be made here: the properties and arguments that
            differ, and what it has; None is an argument that it has not.
    """

    product: str
    version: tuple[int, ...]
    address: str
    user: str
    vhost: str
    trip: float
    blocked: str | None = None
    missing: tuple[Missing, ...] = ()
    differences: dict[str, dict[str, str | None]] = {}


Request: TypeAlias = Publish | Take | Keep | Ack | GiveBack | Held | Bodies | Count | Purge | Look | Now
REQUESTS: tuple[type[Any], ...] = (Publish, Take, Keep, Ack, GiveBack, Held, Bodies, Count, Purge, Look, Now)
RabbitOperation: TypeAlias = Operation[Any, Any, T]
