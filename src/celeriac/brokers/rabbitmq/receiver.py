"""Taking messages from queues, and sleeping until some may be there.

Messages are asked for in bursts: a take opens consumers for as many as are wanted, and closes them when it has them.
So what waits lies in the broker, where every worker can reach it, and prefetch is never more than the free slots. While
somebody sleeps, the consumers of the queues that were last looked at are open, so that the broker wakes the sleeper by
the message itself; what nobody then takes goes back after a moment.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from pamqp import commands

from celeriac.brokers.rabbitmq import wire
from celeriac.brokers.rabbitmq.connection import Connection
from celeriac.brokers.rabbitmq.failures import ChannelEnded, NoSuchThing
from celeriac.brokers.rabbitmq.link import Link
from celeriac.brokers.rabbitmq.reader import Reader
from celeriac.brokers.rabbitmq.requests import Take, Taken
from celeriac.brokers.rabbitmq.sender import AGAIN, Sender
from celeriac.brokers.rabbitmq.topology import NEWS, Topology, logical, written
from celeriac.core.message import MAX_PRIORITY
from celeriac.errors import OperationalError

T = TypeVar("T")

ABANDONED: Final = 0.1
"""Seconds after which a message that woke a sleeper and was not taken goes back."""
PROBE_EVERY: Final = 30.0
"""Seconds between two looks for levels of priority that no news told of."""
WAITING_ROOM: Final = 1
JUST_NOW: Final = 0.5
"""Seconds since when what came is surely ours: who stands still for so short does not lose its connection."""


class Receiver:
    """Takes, acknowledges and waits, on one event loop.

    Args:
        link: The way to the server.
        sender: Declares queues.
        topology: What queues are like.
    """

    def __init__(self, link: Link, sender: Sender, topology: Topology) -> None:
        self.arrivals = 0
        """Grows with everything that may be new to somebody who waits for messages."""
        self._link = link
        self._sender = sender
        self._topology = topology
        self._readers: dict[str, Reader] = {}
        self._levels: dict[str, float] = {}  # by queue: when its levels were last looked for
        self._held: dict[int, tuple[Reader, wire.Delivered, str]] = {}
        self._since: dict[int, float] = {}
        # A lease that another connection gave must not name a delivery of this one: numbers start anywhere.
        self._ref = secrets.randbits(38) << 24
        self._kept: set[int] = set()
        self._taking = asyncio.Lock()
        self._changed = asyncio.Event()
        self._sleepers = 0
        self._wanted: tuple[str, ...] = ()
        self._room = WAITING_ROOM
        self._abandon: asyncio.TimerHandle | None = None
        self._turn = 0
        link.on_new.append(self._forget)

    def _forget(self) -> None:
        self._readers.clear()
        self._levels.clear()
        self._held.clear()
        self._kept.clear()
        self._since.clear()

    def note(self) -> None:
        """Wake whoever sleeps."""
        self.arrivals += 1
        self._changed.set()

    # Taking.

    async def take(self, request: Take, deadline: float) -> list[Taken]:
        """Take messages; see :class:`~celeriac.brokers.rabbitmq.requests.Take`.

        Raises:
            OperationalError: The server was not to be had until the deadline.
        """
        async with self._taking:
            self._lend_no_more(request.owner)
            if request.limit <= 0:
                self._close_idle(taking=True)
                return []
            connection = await self._link.get(deadline)
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    return await self._take(connection, request)
            except TimeoutError:
                self.give_up()
                raise OperationalError(f"RabbitMQ at {connection.address} did not answer in time") from None

    def give_up(self) -> None:
        """End a connection that did not answer in time, unless tasks run whose deliveries would end with it: a server
        that stands still for a moment must not have them run twice. Heartbeats tell whether it is gone."""
        if not self._kept:
            self._link.drop("it did not answer in time")

    def keep(self, refs: Sequence[int]) -> None:
        """Have these be their owner's for good."""
        self._kept.update(ref for ref in refs if ref in self._held)

    def _lend_no_more(self, owner: str) -> None:
        lent = [ref for ref, held in self._held.items() if held[2] == owner and ref not in self._kept]
        for ref in sorted(lent, reverse=True):
            reader, message, _ = self._held.pop(ref)
            self._since.pop(ref, None)
            if message.tag in reader.unacked:
                reader.inbox.appendleft(message)
                reader.came = 0.0

    async def _take(self, connection: Connection, request: Take) -> list[Taken]:
        queues, limit = tuple(dict.fromkeys(request.queues)), request.limit
        readers = await self._reading(connection, queues)
        self._wanted, self._room = queues, max(limit, WAITING_ROOM)
        self._turn += 1
        turn = self._turn % max(1, len(readers))
        # Queues of one level take turns at being first.
        readers = sorted(readers[turn:] + readers[:turn], key=_urgent_first)
        await asyncio.gather(*[reader.closed() for reader in readers])  # Which a hurried take did not wait for.
        here = sum(len(reader.inbox) for reader in readers)
        woken = any(reader.room for reader in readers)
        # What is here is the most urgent there is only if every queue and level brings what it has.
        if not (here and all(reader.room for reader in readers)):
            await self._gather(readers, limit)
        oldest = min([reader.came for reader in readers if reader.inbox], default=0.0)
        taken = self._pick(readers, limit, request.owner)
        for reader in readers:
            reader.close()
        if request.hurry and time.monotonic() - oldest < JUST_NOW:
            return self._still_ours(taken)
        if woken or len(taken) < limit:
            # What is on its way to us now must be back in its queue before others look there.
            await asyncio.gather(*[reader.closed() for reader in readers])
        # Who was stopped for long takes what had come before, and hears only now that it has been given to others.
        return self._still_ours(taken)

    def _still_ours(self, taken: Sequence[Taken]) -> list[Taken]:
        """Return what came on channels that have not ended, and forget the rest."""
        ours: list[Taken] = []
        for one in taken:
            held = self._held.get(one.ref)
            if held is not None and held[0].channel.ended is None:
                ours.append(one)
            else:
                self._held.pop(one.ref, None)
                self._since.pop(one.ref, None)
        return ours

    async def _gather(self, readers: Sequence[Reader], limit: int) -> None:
        """Let messages come until there are enough, or no more are ready; no more than are wanted."""
        counts = await self._each(readers, Reader.count)
        missing = limit
        for reader, count in counts.items():  # What is here already of less urgent ones makes no difference.
            missing -= len(reader.inbox)
            if count and missing > 0:
                before = len(reader.inbox)
                await self._each([reader], partial(Reader.fill, room=missing, expected=min(count, missing)))
                missing -= len(reader.inbox) - before

    async def _each(self, readers: Sequence[Reader], do: Callable[[Reader], Awaitable[T]]) -> dict[Reader, T]:
        """Do something with every reader at once; one whose queue is gone is forgotten."""
        found = await asyncio.gather(*[do(reader) for reader in readers], return_exceptions=True)
        answers: dict[Reader, T] = {}
        for reader, one in zip(readers, found, strict=True):
            if not isinstance(one, BaseException):
                answers[reader] = one
                continue
            if isinstance(one, ChannelEnded):
                self._readers.pop(reader.queue, None)
                self._sender.forget(reader.queue)
            if not isinstance(one, NoSuchThing):
                raise one
        return answers

    def _pick(self, readers: Sequence[Reader], limit: int, owner: str) -> list[Taken]:
        taken: list[Taken] = []
        now = time.monotonic()
        for reader in readers:
            while reader.inbox and len(taken) < limit:
                message = reader.inbox.popleft()
                self._ref += 1
                self._held[self._ref] = (reader, message, owner)
                self._since[self._ref] = now
                taken.append(_taken(self._ref, reader, message))
        return taken

    async def _reading(self, connection: Connection, queues: Sequence[str]) -> list[Reader]:
        """Return a reader for each queue and each of its levels."""
        now = time.monotonic()
        for queue in queues:
            physical = written(queue)
            if physical not in self._readers:
                await self._sender.declare(connection, physical)
                await self._read(connection, physical)
            if self._topology.has_levels(queue) and now - self._levels.get(queue, -PROBE_EVERY) >= PROBE_EVERY:
                self._levels[queue] = now
                await self._probe(connection, queue)
        wanted = set(queues)
        return [reader for reader in self._readers.values() if reader.name in wanted]

    async def _read(self, connection: Connection, physical: str) -> None:
        channel = await connection.channel()
        name, level = logical(physical)
        self._readers[physical] = Reader(channel, physical, name, level, self.note)

    async def _probe(self, connection: Connection, queue: str) -> None:
        """Find the levels of a queue that exist, and hear of those that come."""
        if NEWS not in self._levels:
            self._levels[NEWS] = 0.0
            await self._subscribe(connection)
        names = [self._topology.physical(queue, level) for level in range(1, MAX_PRIORITY + 1)]
        missing = [name for name in names if name not in self._readers]
        exists = await asyncio.gather(*[count(connection, name) for name in missing])
        for name, found in zip(missing, exists, strict=True):
            if found is not None:
                await self._read(connection, name)

    async def _subscribe(self, connection: Connection) -> None:
        channel = await connection.channel()
        await channel.call(wire.DeclareExchange(exchange=NEWS, exchange_type="fanout", durable=True))
        answer = await channel.call(wire.DeclareQueue(queue="", exclusive=True, auto_delete=True))
        name = (answer.queue or "") if isinstance(answer, commands.Queue.DeclareOk) else ""
        await channel.call(wire.BindQueue(queue=name, exchange=NEWS))
        channel.on_message = self._on_news
        await channel.call(wire.Consume(queue=name, no_ack=True, exclusive=True))

    def _on_news(self, message: wire.Delivered) -> None:
        name, level = logical(message.routing_key)
        if level and message.routing_key not in self._readers and name in self._levels:
            self._levels[name] = -PROBE_EVERY
            self.note()

    # Giving up what was taken.

    def ack(self, refs: Sequence[int]) -> list[int]:
        """Let the broker forget these; return those that are not ours any more."""
        return self._settle(refs, Reader.ack)

    async def ack_heard(self, refs: Sequence[int], deadline: float) -> list[int]:
        """Let the broker forget these, and wait until it has heard it; return those that are not ours any more."""
        readers = {ref: self._held[ref][0] for ref in refs if ref in self._held}
        lost = self.ack(refs)
        # If nothing is heard until the deadline, it is on its way, and heartbeats will tell.
        await self._hear(set(readers.values()), deadline)
        return lost + [ref for ref in readers if ref not in lost and readers[ref].channel.ended is not None]

    def give_back(self, refs: Sequence[int]) -> list[int]:
        """Give these back; return those that are not ours any more."""
        return self._settle(refs, Reader.nack)

    def _settle(self, refs: Sequence[int], do: Callable[[Reader, list[int]], None]) -> list[int]:
        lost: list[int] = []
        tags: dict[Reader, list[int]] = {}
        for ref in refs:
            held = self._held.pop(ref, None)
            self._since.pop(ref, None)
            self._kept.discard(ref)
            if held is None or held[0].channel.ended is not None:
                lost.append(ref)
            else:
                tags.setdefault(held[0], []).append(held[1].tag)
        for reader, some in tags.items():
            do(reader, some)
        return lost

    def held_since(self, moment: float) -> list[tuple[int, Reader, wire.Delivered]]:
        """Return what has been held since this time of the monotonic clock, or for longer."""
        old = [ref for ref, since in self._since.items() if since <= moment]
        return [(ref, self._held[ref][0], self._held[ref][1]) for ref in old if ref in self._held]

    def replace(self, ref: int, reader: Reader, message: wire.Delivered) -> bool:
        """Let another delivery take the place of one that is held; False if that one was settled meanwhile."""
        held = self._held.get(ref)
        if held is None:
            return False
        self._held[ref] = (reader, message, held[2])
        self._since[ref] = time.monotonic()
        return True

    def bodies(self, refs: Sequence[int]) -> dict[int, bytes]:
        """Return the bodies of those that are ours."""
        return {ref: self._held[ref][1].body for ref in refs if ref in self._held}

    async def held(self, refs: Sequence[int], deadline: float) -> list[int]:
        """Return those that are ours, as the server has just confirmed by a sign of life.

        Raises:
            OperationalError: It gave none until the deadline, and nothing is known.
        """
        if not await self._hear({self._held[ref][0] for ref in refs if ref in self._held}, deadline):
            raise OperationalError(f"RabbitMQ did not answer in time ({self._link.location.timeout:g} s)")
        return [ref for ref in refs if ref in self._held and self._held[ref][0].channel.ended is None]

    async def _hear(self, readers: Iterable[Reader], deadline: float) -> bool:
        """Wait until the server has done what these channels told it, or they have ended; False if that took longer."""
        signs = [one.channel.begin(commands.Basic.Qos(0, 1, False)) for one in readers if one.channel.ended is None]
        if signs:
            await asyncio.wait(signs, timeout=max(0.0, deadline - time.monotonic()))
        return all(sign.done() for sign in signs)

    # Sleeping.

    async def sleep(self, seen: int, timeout: float) -> bool:
        """Sleep until something may be new since ``seen``, a value of :attr:`arrivals`; False after ``timeout``."""
        deadline = time.monotonic() + timeout
        self._sleepers += 1
        if self._abandon is not None:
            self._abandon.cancel()
        try:
            # Nobody who gives up waiting may leave a consumer half open.
            listening = asyncio.ensure_future(self._listen())
            await asyncio.shield(listening)
            while self.arrivals == seen:
                self._changed.clear()
                try:
                    async with asyncio.timeout(deadline - time.monotonic()):
                        await self._changed.wait()
                except TimeoutError:
                    return False
            return True
        finally:
            self._sleepers -= 1
            if not self._sleepers:
                self._abandon = asyncio.get_running_loop().call_later(ABANDONED, self._close_idle)

    async def _listen(self) -> None:
        """Open the consumers of the queues that were last looked at."""
        connection = self._link.alive
        if connection is None or not self._wanted:
            return
        try:
            async with self._taking:
                readers = await self._reading(connection, self._wanted)
                await self._each([one for one in readers if not one.room], lambda reader: reader.open(self._room))
        except OperationalError:
            return  # The next take will say what is wrong.

    def _close_idle(self, *, taking: bool = False) -> None:
        if not self._sleepers and (taking or not self._taking.locked()):
            for reader in self._readers.values():
                if reader.room:
                    reader.close()
                elif reader.inbox and reader.channel.ended is None:
                    reader.give_back()

    async def pause(self) -> None:
        """Let no more come."""
        for reader in list(self._readers.values()):
            reader.close()
            await reader.closed()


def _urgent_first(reader: Reader) -> int:
    return -reader.level


async def count(connection: Connection, queue: str) -> int | None:
    """Return how many messages are ready in the queue; None if it does not exist."""
    channel = await connection.channel()
    try:
        answer = await channel.call(wire.DeclareQueue(queue=queue, passive=True))
    except NoSuchThing:
        return None
    finally:
        channel.close()
    return (answer.message_count or 0) if isinstance(answer, commands.Queue.DeclareOk) else 0


def _taken(ref: int, reader: Reader, message: wire.Delivered) -> Taken:
    # The flags of the properties: without headers there is nothing to read. Those begin at byte 12 of the header.
    if not message.properties[12] & 0x20:
        return Taken(ref, reader.name, message.body, message.redelivered, head=message.properties)
    headers: dict[str, Any] = dict(message.decoded().headers or {})
    deliveries = headers.get("x-delivery-count", 0)
    return Taken(
        ref,
        reader.name,
        message.body,
        message.redelivered or AGAIN in headers,
        headers,
        deliveries if isinstance(deliveries, int) else 0,
        message.properties,
    )
