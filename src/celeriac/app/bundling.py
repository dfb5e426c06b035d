"""Coroutines that send at the same time share round trips.

The first of them sends alone and at once. Whoever comes while that is under way waits for its end, and then all that
wait go together. At most one round trip is under way in an event loop, and the busier it is the more goes in one;
nobody waits for company.

Guarantees: a call returns when the broker has its message, or raises. What one call did wrong, or that one was given
up, harms no other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple
from weakref import WeakKeyDictionary

from celeriac.app import loops
from celeriac.brokers.port import MAX_BATCH
from celeriac.core.message import Message
from celeriac.errors import OperationalError

if TYPE_CHECKING:
    import asyncio


class _Call(NamedTuple):
    """One call that waits."""

    message: Message
    sent: asyncio.Future[None]


class _Lane:
    """The calls of one event loop."""

    def __init__(self) -> None:
        self.busy = False
        self.waiting: deque[_Call] = deque()
        self.task: asyncio.Task[None] | None = None


class Bundler:
    """Sends messages of coroutines.

    Args:
        send: Sends messages in one step, all or none, and may be repeated with those that the broker has already.
    """

    def __init__(self, send: Callable[[Sequence[Message]], Awaitable[None]]) -> None:
        self._send: Final = send
        self._lanes: WeakKeyDictionary[asyncio.AbstractEventLoop, _Lane] = WeakKeyDictionary()

    async def send(self, message: Message) -> None:
        """Send one message, with others if others are being sent.

        Raises:
            OperationalError: The broker could not be reached in time.
            CeleriacError: It refuses this message.
        """
        loop = loops.running_loop()
        lane = self._lanes.get(loop)
        if lane is None:
            lane = self._lanes[loop] = _Lane()
        if lane.busy:
            call = _Call(message, loop.create_future())
            lane.waiting.append(call)
            await call.sent
            return
        lane.busy = True
        try:
            await self._send((message,))
        finally:
            self._go_on(lane, loop)

    def _go_on(self, lane: _Lane, loop: asyncio.AbstractEventLoop) -> None:
        lane.busy = bool(lane.waiting)
        if lane.busy:
            # The lane keeps the task: an event loop has only a weak reference.
            lane.task = loop.create_task(self._send_waiting(lane, loop))

    async def _send_waiting(self, lane: _Lane, loop: asyncio.AbstractEventLoop) -> None:
        calls = [lane.waiting.popleft() for _ in range(min(len(lane.waiting), MAX_BATCH))]
        calls = [call for call in calls if not call.sent.done()]  # Some were cancelled while they waited.
        try:
            if calls:
                await self._send_together(calls)
        finally:
            for call in calls:
                call.sent.cancel()  # Those that are not done: the event loop is ending.
            self._go_on(lane, loop)

    async def _send_together(self, calls: Sequence[_Call]) -> None:
        try:
            await self._send([call.message for call in calls])
        except OperationalError as exc:
            for call in calls:
                _fail(call, _again(exc))
        except Exception as exc:
            if len(calls) == 1:
                _fail(calls[0], exc)
                return
            # None of them was kept, for the sake of one or some: each shall answer for itself.
            for call in calls:
                await self._send_together((call,))
        else:
            for call in calls:
                if not call.sent.done():
                    call.sent.set_result(None)


def _fail(call: _Call, error: Exception) -> None:
    if not call.sent.done():
        call.sent.set_exception(error)


def _again(error: OperationalError) -> OperationalError:
    """Return an error like this one: each call raises its own."""
    copy = type(error)(*error.args)
    copy.__cause__ = error
    return copy
