"""A broker that fails on demand: any driver, with requests or replies lost or delayed on the way.

The wrapper sits where every driver does its input and output, at the performer, so it works for all of them and needs
no server's help. A *lost request* never reaches the store; a *lost reply* belongs to a request that was carried out.
The caller sees :class:`celeriac.errors.OperationalError` for both and cannot tell them apart, as in life.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any, Generic, Protocol, TypeVar

from celeriac.brokers.port import (
    AnyDriver,
    AsyncPerformer,
    AsyncWaiter,
    Capabilities,
    Operations,
    Performer,
    Waiter,
)
from celeriac.errors import OperationalError

Req = TypeVar("Req")
Rep = TypeVar("Rep")


class Fault(Enum):
    """What happens to one request."""

    NONE = "none"
    LOSE_REQUEST = "lose request"
    LOSE_REPLY = "lose reply"
    DELAY = "delay"


class Plan(Protocol):
    """Says what happens to the next request. Must be safe to share between threads."""

    def next(self) -> Fault: ...


class Script:
    """A plan written out: one fault for each of the next requests, then none; more can be added at any time."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._lock = threading.Lock()
        self._faults = list(faults)

    def add(self, *faults: Fault) -> None:
        """Append faults for the requests after those planned for already."""
        with self._lock:
            self._faults.extend(faults)

    @property
    def pending(self) -> int:
        """How many of the planned faults have not happened yet."""
        with self._lock:
            return len(self._faults)

    def next(self) -> Fault:
        with self._lock:
            return self._faults.pop(0) if self._faults else Fault.NONE


class Chance:
    """A plan by dice.

    Args:
        seed: The same seed makes the same faults in the same order.
        rate: The share of the requests that something happens to, 0 to 1.
        faults: What may happen, each as likely as the other.
    """

    def __init__(
        self, seed: int, rate: float, *, faults: Sequence[Fault] = (Fault.LOSE_REQUEST, Fault.LOSE_REPLY)
    ) -> None:
        self._lock = threading.Lock()
        self._random = random.Random(seed)
        self._rate = rate
        self._choices = tuple(faults)

    def next(self) -> Fault:
        with self._lock:
            return self._random.choice(self._choices) if self._random.random() < self._rate else Fault.NONE


class FaultyPerformer(Generic[Req, Rep]):
    """A blocking performer to which the plan happens."""

    def __init__(self, inner: Performer[Req, Rep], plan: Plan, *, delay: float) -> None:
        self._inner = inner
        self._plan = plan
        self._delay = delay

    def perform(self, request: Req) -> Rep:
        fault = self._plan.next()
        if fault is Fault.LOSE_REQUEST:
            raise OperationalError("the request was lost, as the test planned")
        if fault is Fault.DELAY:
            time.sleep(self._delay)
        reply = self._inner.perform(request)
        if fault is Fault.LOSE_REPLY:
            raise OperationalError("the reply was lost, as the test planned")
        return reply

    def close(self) -> None:
        self._inner.close()


class AsyncFaultyPerformer(Generic[Req, Rep]):
    """The awaiting twin of :class:`FaultyPerformer`."""

    def __init__(self, inner: AsyncPerformer[Req, Rep], plan: Plan, *, delay: float) -> None:
        self._inner = inner
        self._plan = plan
        self._delay = delay

    async def perform(self, request: Req) -> Rep:
        fault = self._plan.next()
        if fault is Fault.LOSE_REQUEST:
            raise OperationalError("the request was lost, as the test planned")
        if fault is Fault.DELAY:
            await asyncio.sleep(self._delay)
        reply = await self._inner.perform(request)
        if fault is Fault.LOSE_REPLY:
            raise OperationalError("the reply was lost, as the test planned")
        return reply

    async def close(self) -> None:
        await self._inner.close()


class FaultyDriver:
    """A driver whose performers fail as planned; everything else is the inner driver's.

    Args:
        inner: The driver that does the work.
        plan: What happens to the requests of all performers made here, in the order in which they come.
        delay: Seconds that :attr:`Fault.DELAY` takes.
    """

    def __init__(self, inner: AnyDriver, plan: Plan, *, delay: float = 0.05) -> None:
        self._inner = inner
        self._plan = plan
        self._delay = delay

    @property
    def capabilities(self) -> Capabilities:
        return self._inner.capabilities

    @property
    def operations(self) -> Operations[Any, Any]:
        return self._inner.operations

    def performer(self) -> FaultyPerformer[Any, Any]:
        return FaultyPerformer(self._inner.performer(), self._plan, delay=self._delay)

    def async_performer(self) -> AsyncFaultyPerformer[Any, Any]:
        return AsyncFaultyPerformer(self._inner.async_performer(), self._plan, delay=self._delay)

    def waiter(self, ids: Sequence[str] = (), *, owner: str | None = None) -> Waiter:
        return self._inner.waiter(ids, owner=owner)

    def async_waiter(self, ids: Sequence[str] = (), *, owner: str | None = None) -> AsyncWaiter:
        return self._inner.async_waiter(ids, owner=owner)
