"""Finding out what an AMQP connection can tell about a server, a user's rights in it, and its queues.

Guarantees: no message reaches a queue, nothing is made but a queue of this connection's own, which ends with it, and
nobody else's connection is held up: this uses one of its own, since a server that is short of memory or disk stops
reading from whoever publishes. Rights are tried on the names that Celeriac uses, each with a request that the server
refuses for another reason as soon as it has allowed it.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Sequence
from typing import Any, Final

from pamqp import base, commands

from celeriac.brokers.rabbitmq import wire
from celeriac.brokers.rabbitmq.connection import Connection
from celeriac.brokers.rabbitmq.failures import ChannelEnded, Mismatch, NoSuchThing, NotAllowed
from celeriac.brokers.rabbitmq.link import Link
from celeriac.brokers.rabbitmq.requests import Missing, Outgoing, Seen
from celeriac.brokers.rabbitmq.sender import version_of
from celeriac.brokers.rabbitmq.topology import NEWS, Topology, written
from celeriac.brokers.rabbitmq.url import Location
from celeriac.errors import OperationalError

MOST: Final = 20
"""Most queues that are looked at."""
OF_SERVER: Final = "amq.gen-*"
"""Queues that the server gives names to."""
_OF_EXCHANGE: Final = "access to exchange "
"""In what the server says, if it is an exchange that a right is missing for."""
_ROUNDS: Final = 10
"""Most differences of one queue that are found: the server tells one at a time."""
_DIFFERENT: Final = re.compile(
    r"inequivalent arg '(?P<name>[^']+)' for .* but current is (?:the value )?"
    r"(?:none|'(?P<value>[^']*)'(?: of type '(?P<type>\w+)')?)"
)
_FLAGS: Final = {"durable": "durable", "exclusive": "exclusive", "auto_delete": "auto_delete"}
_NUMBERS: Final = ("signedint", "unsignedint", "long", "short", "byte")


async def look(location: Location, topology: Topology, queues: Sequence[str], deadline: float) -> Seen:
    """Return what can be found out.

    Args:
        location: Where the server is.
        topology: What queues are to be like.
        queues: Those to look at, by the names that Celeriac knows.
        deadline: Of the monotonic clock.

    Raises:
        OperationalError: The server is not to be had, or did not answer, in time.
        BrokerError: It refuses us.
    """
    link = Link(location)
    connection = await link.get(deadline)
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            return await _Inspection(connection, topology).seen(queues[:MOST])
    except TimeoutError:
        raise OperationalError(f"RabbitMQ at {connection.address} did not answer in time") from None
    finally:
        # Where there is an alarm the server does not read a goodbye either.
        if connection.blocked is not None:
            link.drop("it was looked at")
        await link.close()


class _Inspection:
    def __init__(self, connection: Connection, topology: Topology) -> None:
        self._connection = connection
        self._topology = topology

    async def seen(self, queues: Sequence[str]) -> Seen:
        connection = self._connection
        began = time.perf_counter()
        (await connection.channel()).close()
        trip = time.perf_counter() - began
        differences = {queue: found for queue in queues if (found := await self._differences(queue))}
        missing = await self._missing(queues)
        blocked = await self._blocked(missing)
        server = connection.server
        return Seen(
            product=_told(server.get("product"), "a server without a name"),
            version=version_of(connection),
            address=str(connection.address),
            user=connection.location.user,
            vhost=connection.location.vhost,
            trip=trip,
            blocked=blocked,
            missing=tuple(missing),
            differences=differences,
        )

    # What queues are like.

    async def _differences(self, queue: str) -> dict[str, str | None]:
        """Return in what a queue that exists differs from what it would be made like, and what it has instead."""
        spec = self._topology.spec(queue)
        physical = written(queue)
        if not await self._tried(wire.DeclareQueue(queue=physical, passive=True)):
            return {}
        flags = {"durable": spec.durable, "exclusive": False, "auto_delete": False}
        arguments = self._topology.arguments(queue, version_of(self._connection))
        found: dict[str, str | None] = {}
        for _ in range(_ROUNDS):
            told = await self._mismatch(wire.DeclareQueue(queue=physical, arguments=arguments, **flags))
            match = None if told is None else _DIFFERENT.search(told)
            if match is None or match["name"] in found:
                break
            name, value = match["name"], match["value"]
            found[name] = value
            if name in _FLAGS:
                flags[name] = value == "true"
            elif value is None:
                arguments.pop(name, None)
            else:
                arguments[name] = int(value) if match["type"] in _NUMBERS else value
        return found

    async def _mismatch(self, request: base.Frame) -> str | None:
        channel = await self._connection.channel()
        try:
            await channel.call(request)
        except Mismatch as exc:
            return str(exc)
        except (ChannelEnded, NotAllowed):
            return None
        finally:
            channel.close()
        return None

    async def _tried(self, request: base.Frame) -> bool:
        channel = await self._connection.channel()
        try:
            await channel.call(request)
        except (NoSuchThing, ChannelEnded, NotAllowed):
            return False
        finally:
            channel.close()
        return True

    # What the user may do.

    async def _missing(self, queues: Sequence[str]) -> list[Missing]:
        names = [written(queue) for queue in queues]
        bound = [
            (written(one), by.exchange) for one in queues for by in self._topology.spec(one).bindings if by.exchange
        ]
        exchanges = sorted({exchange for _, exchange in bound})
        # No queue can be made like this: where to send dead letters is no number. Nor can anybody consume with a
        # priority that is no number. A binding that is not there can be taken away.
        odd: dict[str, Any] = {"x-dead-letter-exchange": 1}
        unused = secrets.token_hex(8)
        made = dict.fromkeys([*names, *exchanges, NEWS])
        tries: list[tuple[str, str, base.Frame]] = [
            *(("configure", name, wire.DeclareQueue(queue=name, durable=True, arguments=odd)) for name in made),
            *(("read", name, wire.Consume(queue=name, arguments={"x-priority": "none"})) for name in names),
            *(
                ("read or write", name, UnbindExchange(destination=name, source=name, routing_key=unused))
                for name in exchanges
            ),
            *(
                ("write", queue, UnbindQueue(queue=queue, exchange=exchange, routing_key=unused))
                for queue, exchange in bound
            ),
        ]
        missing: dict[Missing, None] = {}
        for right, name, request in tries:
            told = await self._refusal(request)
            # That the exchange may not be read has been said.
            if told is not None and not (isinstance(request, UnbindQueue) and _OF_EXCHANGE in told):
                missing[Missing(right, name)] = None
        if (one := await self._missing_for_news(unused)) is not None:
            missing[one] = None
        return list(missing)

    async def _refusal(self, request: base.Frame) -> str | None:
        channel = await self._connection.channel()
        try:
            await channel.call(request)
        except NotAllowed as exc:
            return str(exc)
        except ChannelEnded:
            return None
        finally:
            channel.close()
        return None

    async def _missing_for_news(self, unused: str) -> Missing | None:
        """Return what keeps a reader from hearing of new levels: it binds a queue that the server has named."""
        channel = await self._connection.channel()
        name: str | None = None
        try:
            answer: Any = await channel.call(wire.DeclareQueue(queue="", exclusive=True, auto_delete=True))
            name = answer.queue
            await channel.call(UnbindQueue(queue=name or "", exchange=NEWS, routing_key=unused))
        except NotAllowed as exc:
            if name is None:
                return Missing("configure", OF_SERVER)
            return Missing("read", NEWS) if _OF_EXCHANGE in str(exc) else Missing("write", OF_SERVER)
        except ChannelEnded:
            return None
        finally:
            channel.close()
        return None

    async def _blocked(self, missing: list[Missing]) -> str | None:
        """Return why the server takes no messages, which only who publishes is told, and then hears no more."""
        publishing = asyncio.ensure_future(self._publish(missing))
        blocked = asyncio.ensure_future(self._connection.on_blocked.wait())
        try:
            await asyncio.wait((publishing, blocked), return_when=asyncio.FIRST_COMPLETED)
            if self._connection.blocked is None:
                await publishing
            return self._connection.blocked
        finally:
            publishing.cancel()
            blocked.cancel()
            await asyncio.gather(publishing, blocked, return_exceptions=True)

    async def _publish(self, missing: list[Missing]) -> None:
        """Publish to where no queue is; note where that is not allowed."""
        for exchange, name in (("", "amq.default"), (NEWS, NEWS)):
            channel = await self._connection.channel()
            try:
                await channel.call(commands.Confirm.Select())
                nowhere = Outgoing(exchange, f"celeriac.nowhere.{secrets.token_hex(8)}", "none", b"", mandatory=False)
                await channel.publish([nowhere]).done
            except NotAllowed:
                missing.append(Missing("write", name))
            except ChannelEnded:
                continue  # Nobody has made that exchange yet.
            finally:
                channel.close()
        (await self._connection.channel()).close()  # What it had to say about the last, it has said by now.


class UnbindExchange(wire.AnyName, commands.Exchange.Unbind):
    """exchange.unbind"""


class UnbindQueue(wire.AnyName, commands.Queue.Unbind):
    """queue.unbind"""


def _told(value: Any, otherwise: str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or otherwise)
