"""Carries out scripts on the server, blocking or awaiting.

Guarantees: every request ends by its deadline. A connection on which anything went wrong, or on which a call was given
up (a soft time limit, a cancelled task), is never used again. Connections belong to one process and one event loop;
what is used in another opens its own.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from celeriac.brokers import deadline as deadlines
from celeriac.brokers.redis import forks
from celeriac.brokers.redis.exchange import Rest, Route, Send, Step, TimeUp, Unconnected, Unreached
from celeriac.brokers.redis.links import AsyncLink, Link
from celeriac.brokers.redis.location import Address, Location
from celeriac.brokers.redis.requests import Reply, Request
from celeriac.core.operation import arun, at_once, begin, run

Idle: TypeAlias = "defaultdict[Address, deque[tuple[float, Link]]]"
"""To each server the open connections that nobody uses, each with when it was used; the latest is taken first."""
SPARE_FOR: Final = 30.0
"""Seconds for which a connection is kept unused: those of a moment with many threads are closed again."""


class RedisPerformer:
    """Does requests on as many connections as threads use it at once, and closes those that are not needed for a while.

    Safe to share, and across forks.
    """

    def __init__(self, location: Location) -> None:
        self._location: Final = location
        self._route: Final = Route(location)
        self._idle: Idle = defaultdict(deque)
        forks.guard(self)

    def perform(self, request: Request) -> Reply:
        deadline = deadlines.after(self._location.timeout)
        return run(self._route.carry_out(request), lambda step: self._do(step, deadline))

    def begin(self, request: Request) -> Callable[[], Reply]:
        """Send the request on an open connection, if there is one, and leave the reply for later."""
        timeout = self._location.timeout
        return begin(self._route.carry_out(request), self._start, lambda step: self._do(step, deadlines.after(timeout)))

    def _start(self, step: Step) -> Callable[[], Any]:
        timeout, idle = self._location.timeout, self._idle
        if isinstance(step, Rest) or step.patience is not None or (link := _take(idle[step.address])) is None:
            return at_once(lambda: self._do(step, deadlines.after(timeout)))
        commands = step.commands
        said = at_once(lambda: link.say(commands, deadlines.after(timeout)))
        return lambda: self._used(
            link, idle, step, lambda: link.hear_all(said, len(commands), deadlines.after(timeout))
        )

    def locate(self) -> Address:
        """Return a server that hears everything that is published.

        Raises:
            Unreached, Lost, TimeUp, BrokerError: There is none.
        """
        deadline = deadlines.after(self._location.timeout)
        return run(self._route.find_any(), lambda step: self._do(step, deadline))

    def close(self) -> None:
        """Close the connections that nobody uses, and the others when they are done; the next request opens others."""
        for links in self.forget().values():
            while links:
                links.pop()[1].close()

    def forget(self) -> Idle:
        idle, self._idle = self._idle, defaultdict(deque)
        return idle

    def _do(self, step: Step, deadline: float) -> Any:
        if isinstance(step, Rest):
            _check(step, deadline)
            return time.sleep(step.seconds)
        location, idle = self._location, self._idle
        began = time.monotonic()
        patience = min(deadline - began, step.patience or location.connect_timeout)
        if patience <= 0:
            raise TimeUp(sent=False)
        link = _take(idle[step.address])
        if link is None:
            if step.connected:
                raise Unconnected
            link = Link(location, step.address, patience)
        try:
            until = min(deadline, began + patience) if step.patience else deadline
            return self._used(link, idle, step, lambda: link.exchange(step.commands, until))
        except TimeUp:
            if step.patience and time.monotonic() < deadline:
                raise Unreached("no answer") from None
            raise

    def _used(self, link: Link, idle: Idle, step: Send, exchange: Callable[[], Any]) -> Any:
        """Return what came of an exchange on this connection, and keep it for the next one if it is good for that."""
        try:
            replies = exchange()
        except BaseException:
            link.close()
            raise
        if self._idle is idle:
            links, now = idle[step.address], time.monotonic()
            links.append((now, link))
            _retire(links, now - SPARE_FOR)
        else:
            link.close()  # Somebody closed this performer meanwhile.
        return replies


def _take(links: deque[tuple[float, Link]]) -> Link | None:
    """Return a connection that is still open."""
    while links:
        try:
            _, link = links.pop()
        except IndexError:  # Another thread was faster.
            return None
        if not link.stale:
            return link
        link.close()
    return None


def _retire(links: deque[tuple[float, Link]], before: float) -> None:
    """Close those that were last used before that time. If threads race a newer one may go, too: another is opened."""
    try:
        while links[0][0] < before:
            links.popleft()[1].close()
    except IndexError:
        return


class _Pool:
    """The connections of one event loop to one server."""

    def __init__(self, most: int) -> None:
        self.room: Final = asyncio.Semaphore(most)
        self.idle: Final[deque[AsyncLink]] = deque()


class AsyncRedisPerformer:
    """Does requests on up to ``max_connections`` connections to a server for each event loop.

    A call that is cancelled may have had its effect, as after a lost reply.
    """

    def __init__(self, location: Location) -> None:
        self._location: Final = location
        self._route: Final = Route(location)
        self._loops: dict[asyncio.AbstractEventLoop, dict[Address, _Pool]] = {}
        forks.guard(self)

    async def perform(self, request: Request) -> Reply:
        deadline = deadlines.after(self._location.timeout)
        return await arun(self._route.carry_out(request), lambda step: self._do(step, deadline))

    async def locate(self) -> Address:
        """Return a server that hears everything that is published; raises as :meth:`RedisPerformer.locate`."""
        deadline = deadlines.after(self._location.timeout)
        return await arun(self._route.find_any(), lambda step: self._do(step, deadline))

    async def close(self) -> None:
        """Close the connections of the running event loop; the next request opens others."""
        pools = self._loops.pop(asyncio.get_running_loop(), {})
        for pool in pools.values():
            while pool.idle:
                await pool.idle.pop().close()

    def forget(self) -> object:
        loops, self._loops = self._loops, {}
        return loops

    def _pool(self, address: Address) -> _Pool:
        loop = asyncio.get_running_loop()
        pools = self._loops.get(loop)
        if pools is None:
            for other in [one for one in self._loops if one.is_closed()]:
                for left_over in self._loops.pop(other).values():
                    while left_over.idle:
                        left_over.idle.pop().abandon()
            pools = self._loops[loop] = {}
        pool = pools.get(address)
        if pool is None:
            pool = pools[address] = _Pool(self._location.max_connections)
        return pool

    async def _do(self, step: Step, deadline: float) -> Any:
        if isinstance(step, Rest):
            _check(step, deadline)
            return await asyncio.sleep(step.seconds)
        sent = False
        left = deadline - time.monotonic()
        try:
            async with asyncio.timeout(min(left, step.patience or left)):
                pool = self._pool(step.address)
                async with pool.room:
                    link = await self._link(step, pool)
                    sent = True
                    return await self._exchange(link, step, pool)
        except TimeoutError:
            if step.patience and time.monotonic() < deadline:
                raise Unreached("no answer") from None
            raise TimeUp(sent=sent) from None

    async def _exchange(self, link: AsyncLink, step: Send, pool: _Pool) -> Any:
        try:
            replies = await link.exchange(step.commands)
        except BaseException:
            await link.close()
            raise
        if self._loops.get(asyncio.get_running_loop(), {}).get(step.address) is pool:
            pool.idle.append(link)
        else:
            await link.close()  # Somebody closed this performer meanwhile.
        return replies

    async def _link(self, step: Send, pool: _Pool) -> AsyncLink:
        while pool.idle:
            link = pool.idle.pop()
            if not link.stale:
                return link
            await link.close()
        if step.connected:
            raise Unconnected
        return await AsyncLink.open(self._location, step.address, self._location.connect_timeout)


def _check(rest: Rest, deadline: float) -> None:
    if time.monotonic() + rest.seconds >= deadline:
        raise TimeUp(sent=False)
