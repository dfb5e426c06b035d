"""Publishing: every message is confirmed by the server, and one that no queue takes is an error.

A queue is declared before the first message to it on each connection. If the connection is lost while messages are
unconfirmed, they are sent again on the next one, until the deadline: they may arrive twice then, and say so in a
header, so that a reader looks whether the first has run.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from pamqp import commands

from celeriac.brokers.rabbitmq import wire
from celeriac.brokers.rabbitmq.connection import Batch, Channel, Connection
from celeriac.brokers.rabbitmq.failures import ChannelEnded, ConnectionEnded, Mismatch, NoSuchThing, Unroutable
from celeriac.brokers.rabbitmq.link import Link
from celeriac.brokers.rabbitmq.properties import told_id
from celeriac.brokers.rabbitmq.requests import Outgoing, Publish
from celeriac.brokers.rabbitmq.topology import LEVEL, NEWS, Topology, logical, written
from celeriac.errors import OperationalError

AGAIN: Final = "x-celeriac-again"
ONE_ATTEMPT: Final = 5.0
"""Least seconds for which confirms are waited for before messages are sent again."""
UNTIL_LEADER: Final = 2.0
"""Seconds for which messages that were refused are sent again."""
REFUSED_PAUSE: Final = 0.05
IN_DOUBT: Final = "whether RabbitMQ has taken the messages is not known"


def version_of(connection: Connection) -> tuple[int, ...]:
    """Return the server's version, (0,) if it does not say."""
    text = connection.server.get("version", "0")
    if isinstance(text, bytes):
        text = text.decode("ascii", "replace")
    return tuple(int(part) for part in str(text).split("-")[0].split(".") if part.isdigit()) or (0,)


class Sender:
    """Declares and publishes.

    Args:
        link: The way to the server.
        topology: What queues are like.
        repeats: Messages are sent again if their confirms take long. Only where whoever takes them recognises the
            second; otherwise they are sent again only when the connection is lost.
    """

    def __init__(self, link: Link, topology: Topology, *, repeats: bool = True) -> None:
        self._link = link
        self._topology = topology
        self._repeats = repeats
        self._channel: Channel | None = None
        self._declared: set[str] = set()
        self._opening = asyncio.Lock()
        self.used: dict[str, None] = {}
        """The queues that were ever declared here, without their levels."""
        link.on_new.append(self._forget)

    def _forget(self) -> None:
        self._channel = None
        self._declared.clear()

    def forget(self, physical: str) -> None:
        """Declare this queue again when it is needed."""
        self._declared.discard(physical)

    # Publishing.

    async def publish(self, request: Publish, deadline: float) -> None:
        """Publish; return when all are confirmed.

        Raises:
            OperationalError: They were not until the deadline; some may have arrived.
            Unroutable: No queue takes some of them; the others have arrived.
        """
        waiting: list[Outgoing] = list(request.messages)
        routed_again = False
        refused_since = 0.0
        while waiting:
            connection = await self._link.get(deadline)
            batch: Batch | None = None
            patience = deadline - time.monotonic()
            if self._repeats:
                patience = min(patience, max(ONE_ATTEMPT, self._link.location.timeout / 3))
            try:
                async with asyncio.timeout(patience):
                    channel = await self._ready(connection, request)
                    await connection.on_unblocked.wait()
                    batch = channel.publish(waiting)
                    await batch.done
            except TimeoutError:
                if batch is not None and connection.blocked is None and time.monotonic() + 0.1 < deadline:
                    # A queue whose node has just come back may have dropped them without a word.
                    self._link.drop("it did not confirm")
                    waiting = [marked(message) for message in batch.unanswered]
                    continue
                raise self._too_late(connection, published=batch is not None) from None
            except (ConnectionEnded, ChannelEnded) as exc:
                if isinstance(exc, (NoSuchThing, Mismatch)) or time.monotonic() >= deadline:
                    raise
                if batch is not None:
                    waiting = [marked(message) for message in batch.unanswered]
                continue
            if batch.refused:
                # A quorum queue that somebody has just made refuses what comes before it has a leader.
                refused_since = refused_since or time.monotonic()
                pause = min(REFUSED_PAUSE, deadline - time.monotonic())
                if time.monotonic() - refused_since >= UNTIL_LEADER or pause <= 0:
                    raise _refused(batch)
                await asyncio.sleep(pause)
                waiting = [marked(message) for message in batch.refused] + _returned(batch)
                continue
            waiting = _returned(batch)
            if waiting and (routed_again or any(one.exchange for one in waiting)):
                raise unroutable(waiting)
            routed_again = True
            self._declared.difference_update(one.routing_key for one in waiting)  # Somebody deleted the queue.

    def _too_late(self, connection: Connection, *, published: bool) -> OperationalError:
        if connection.blocked is not None:
            if published:
                self._link.drop("given up")
            return OperationalError(
                f"RabbitMQ at {connection.address} takes no messages now ({connection.blocked}): it is short of memory"
                " or disk; rabbitmqctl status shows its alarms"
            )
        if published:
            # What is still on its way must not arrive after its sender was told that it did not.
            self._link.drop("given up")
        return OperationalError(
            f"RabbitMQ at {connection.address} did not confirm in time ({self._link.location.timeout:g} s): {IN_DOUBT}"
        )

    async def _ready(self, connection: Connection, request: Publish) -> Channel:
        channel = self._channel
        if channel is None or channel.ended is not None:
            async with self._opening:
                channel = self._channel
                if channel is None or channel.ended is not None:
                    channel = await connection.channel()
                    await channel.call(commands.Confirm.Select())
                    self._channel = channel
        for queue in request.queues:
            if queue not in self._declared:
                await self.declare(connection, queue)
        for queue, arguments in request.others:
            if queue not in self._declared:
                await self._declare_as(connection, queue, arguments)
        for exchange, kind in request.exchanges:
            await channel.call(wire.DeclareExchange(exchange=exchange, exchange_type=kind, durable=True))
        return channel

    # Declaring.

    async def declare(self, connection: Connection, physical: str) -> None:
        """See to it that the queue exists, and what binds it; a queue that exists with other properties is taken as
        it is.

        Raises:
            NoSuchThing: It does not exist, and queues that are not configured are not to be made.
        """
        if physical in self._declared:
            return
        name, level = logical(physical)
        topology = self._topology
        spec = topology.spec(name)
        channel = await connection.channel()
        try:
            named = name in topology.queues or spec.broadcast  # A worker's own of a broadcast queue has another name.
            passive = not (topology.create_missing or named or spec.temporary)
            try:
                arguments = topology.arguments(name, version_of(connection))
                await channel.call(
                    wire.DeclareQueue(
                        queue=physical,
                        passive=passive,
                        durable=spec.durable,
                        arguments=arguments,
                    )
                )
            except Mismatch:
                channel = await connection.channel()
            if level:
                await self._tell(channel, physical)
            else:
                await self._bind(channel, name)
        except NoSuchThing as exc:
            raise NoSuchThing(
                f"queue {name!r} does not exist, and task_create_missing_queues is off: name it in task_queues, or"
                f" create it ({exc})"
            ) from exc
        finally:
            channel.close()
        self._declared.add(physical)
        self.used[name] = None

    async def _declare_as(self, connection: Connection, queue: str, arguments: dict[str, Any]) -> None:
        channel = await connection.channel()
        try:
            await channel.call(wire.DeclareQueue(queue=queue, durable=True, arguments=arguments))
        finally:
            channel.close()
        self._declared.add(queue)

    async def _bind(self, channel: Channel, name: str) -> None:
        for binding in self._topology.spec(name).bindings:
            if not binding.exchange:
                continue
            await channel.call(
                wire.DeclareExchange(
                    exchange=binding.exchange, exchange_type=binding.type, durable=binding.durable, arguments={}
                )
            )
            await channel.call(
                wire.BindQueue(
                    queue=written(name),
                    exchange=binding.exchange,
                    routing_key=binding.routing_key,
                    arguments=binding.arguments,
                )
            )

    async def _tell(self, channel: Channel, physical: str) -> None:
        """Let readers know of a level that may be new."""
        await channel.call(wire.DeclareExchange(exchange=NEWS, exchange_type="fanout", durable=True))
        news = Outgoing(NEWS, physical, "news", b"", mandatory=False)
        channel.send(b"".join(wire.publish(channel.number, news, wire.SMALLEST_FRAME)))


def _returned(batch: Batch) -> list[Outgoing]:
    """Return the messages that no queue took, and only those: of the messages to one queue, some may have found it."""
    lost = {(one.exchange, one.routing_key, told_id(one.properties)) for one in batch.returned}
    return [one for one in batch.messages if (one.exchange, one.routing_key, one.id) in lost]


def _refused(batch: Batch) -> OperationalError:
    return OperationalError(
        f"RabbitMQ refused {len(batch.refused)} of {len(batch.messages)} messages: a limit of the queue, or its node is"
        " in trouble (see the server's log)"
    )


def marked(message: Outgoing) -> Outgoing:
    """Return the message with a mark that it may arrive twice."""
    return msgspec.structs.replace(message, headers={**(message.headers or {}), AGAIN: True})


def unroutable(messages: Sequence[Outgoing]) -> Unroutable:
    """Return the error for messages that no queue takes."""
    first = messages[0]
    more = f" and {len(messages) - 1} more" if len(messages) > 1 else ""
    if first.exchange:
        where = f"exchange {first.exchange!r} with routing key {first.routing_key!r}"
        return Unroutable(f"no queue takes task {first.id}{more}, sent to {where}: bind one to it (task_queues)")
    name = first.routing_key.partition(LEVEL)[0]
    return Unroutable(f"no queue takes task {first.id}{more}: queue {name!r} vanished while they were sent")
