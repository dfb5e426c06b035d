"""What a case works with: the broker in one shape, whichever way it is driven, and the words cases are written in."""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, Literal, Protocol, TypeAlias, cast

import msgspec

from celeriac.brokers.facade import AsyncBroker, SyncBroker
from celeriac.brokers.port import AnyDriver, AsyncWaiter, Reclaimed, Record
from celeriac.core.message import DEFAULT_QUEUE, Delivery, Message, Settlement, StoredResult
from celeriac.testing.faults import FaultyDriver, Plan

Broker: TypeAlias = AsyncBroker[Any, Any]
Mode: TypeAlias = Literal["asyncio", "uvloop", "sync"]
MODES: tuple[Mode, ...] = ("asyncio", "uvloop", "sync")


class Binding(Protocol):
    """One fresh, empty store, and a way to reach it: what the author of a driver writes to run the suite.

    Attributes:
        lease: A lease in seconds. Every duration in the suite is a multiple of it. With a clock that can be moved any
            value will do; with a real server, take the shortest that a loaded machine does not miss, about a second.
    """

    lease: float

    def connect(self) -> AnyDriver:
        """Return a driver on the store; where the driver is ``shared``, each call as another process would."""
        ...

    def now(self) -> float:
        """Return the time as the store sees it, seconds since the epoch."""
        ...

    async def advance(self, seconds: float) -> None:
        """Let this much time pass for the store."""
        ...


class Kit:
    """Everything a case needs. One kit serves one case.

    Args:
        binding: The store.
        mode: How the broker is driven.
    """

    def __init__(self, binding: Binding, mode: Mode) -> None:
        self.mode = mode
        self.lease = binding.lease
        self.now = binding.now
        self.advance = binding.advance
        self._binding = binding
        self._closing: list[Callable[[], Awaitable[None]]] = []
        self._driver = binding.connect()
        self.capabilities = self._driver.capabilities
        self._ids = itertools.count(1)
        self.broker = self._drive(self._driver)

    def another(self) -> Broker:
        """Return one more broker on the same store: its own connection, as another process would have."""
        return self._drive(self._binding.connect())

    def flaky(self, plan: Plan) -> Broker:
        """Return a broker on the store whose requests and replies are lost as planned."""
        return self._drive(FaultyDriver(self._driver, plan))

    def waiter(self, *ids: str, owner: str | None = None) -> AsyncWaiter:
        """Return a waiter on the store, for an owner if one is named, or on the results of these tasks."""
        if self.mode == "sync":
            waiter = cast("AsyncWaiter", _Threaded(self._driver.waiter(ids, owner=owner)))
        else:
            waiter = self._driver.async_waiter(ids, owner=owner)
        self._closing.append(waiter.close)
        return waiter

    def _drive(self, driver: AnyDriver) -> Broker:
        if self.mode == "sync":
            broker = cast("Broker", _Threaded(SyncBroker(driver)))
        else:
            broker = AsyncBroker(driver)
        self._closing.append(broker.close)
        return broker

    async def close(self) -> None:
        """Close what the case opened, the last first."""
        while self._closing:
            await self._closing.pop()()

    # Words for cases.

    def message(self, id: str | None = None, **fields: Any) -> Message:
        """Return a message with a new id, unless one is given."""
        fields.setdefault("task", "proj.add")
        return Message(id=id or f"task-{next(self._ids)}", **fields)

    async def send(self, *ids: str, **fields: Any) -> list[Message]:
        """Enqueue a message for each id, in this order; none of them was there."""
        messages = [self.message(id, **fields) for id in ids]
        assert await self.broker.enqueue(messages) == ()
        return messages

    async def claim(
        self,
        limit: int = 100,
        *,
        owner: str = "w1",
        queues: Sequence[str] = (DEFAULT_QUEUE,),
        lease: float | None = None,
    ) -> list[Delivery]:
        """Claim for the owner."""
        return await self.broker.claim(queues, limit, owner, self.lease if lease is None else lease)

    async def take(self, id: str, *, owner: str = "w1", **fields: Any) -> Delivery:
        """Enqueue one message and claim it."""
        await self.send(id, **fields)
        return await self.take_next(id, owner=owner, queues=(fields.get("queue", DEFAULT_QUEUE),))

    async def take_next(self, id: str, *, owner: str = "w1", queues: Sequence[str] = (DEFAULT_QUEUE,)) -> Delivery:
        """Claim one message, which must be this one."""
        deliveries = await self.claim(1, owner=owner, queues=queues)
        assert ids(deliveries) == [id]
        return deliveries[0]

    async def drain(self, *queues: str, owner: str = "drain") -> list[str]:
        """Claim whatever is ready, and return the ids in the order in which they came."""
        return ids(await self.claim(1000, owner=owner, queues=queues or (DEFAULT_QUEUE,)))

    async def lapse(self) -> None:
        """Let time pass until every lease of the usual length has run out."""
        await self.advance(self.lease * 1.5)

    async def reclaim(self, *, by: str = "reaper", limit: int = 100, crash_limit: int = 3, **more: Any) -> Reclaimed:
        """Reclaim what owners lost."""
        return await self.broker.reclaim(by, limit, crash_limit=crash_limit, **more)

    async def settle(self, *settlements: Settlement) -> None:
        """Settle; every one of the leases must still hold."""
        assert await self.broker.settle(settlements) == ()

    async def record(self, id: str) -> Record:
        """Return what the broker says about the id, which it must hold."""
        records = await self.broker.get([id])
        assert [record.id for record in records] == [id]
        return records[0]

    async def state(self, id: str) -> str | None:
        """Return the state that the broker sees, or None if it does not hold the id."""
        records = await self.broker.get([id])
        return records[0].state if records else None

    async def result(self, id: str) -> StoredResult | None:
        """Return the stored result of the id, if there is one."""
        results = await self.broker.fetch([id])
        return results[0] if results else None

    async def pages(self, states: Sequence[str], *, queue: str | None = None, limit: int = 100) -> list[Record]:
        """Return all records in these states, read page by page."""
        found: list[Record] = []
        while page := await self.broker.page(states, queue, found[-1].cursor if found else 0, limit):
            assert len(page) <= limit
            found.extend(page)
        return found


def ids(items: Iterable[Delivery]) -> list[str]:
    """Return the task ids of deliveries, in their order."""
    return [delivery.lease.id for delivery in items]


def done(delivery: Delivery, **fields: Any) -> Settlement:
    """Return the settlement that ends the task."""
    return Settlement(lease=delivery.lease, action="done", **fields)


def retry(
    delivery: Delivery,
    *,
    due: float | None,
    result: StoredResult | None = None,
    follow_ups: tuple[Message, ...] = (),
    **fields: Any,
) -> Settlement:
    """Return the settlement that tries the task again; ``fields`` change its message."""
    assert delivery.message is not None
    changes = {"retries": delivery.message.retries + 1, "eta": due, **fields}
    message = msgspec.structs.replace(delivery.message, **changes)
    return Settlement(
        lease=delivery.lease, action="retry", message=message, due=due, result=result, follow_ups=follow_ups
    )


def release(delivery: Delivery, **fields: Any) -> Settlement:
    """Return the settlement that gives the task back."""
    return Settlement(lease=delivery.lease, action="release", **fields)


def dead(delivery: Delivery, reason: str = "poison", **fields: Any) -> Settlement:
    """Return the settlement that buries the task."""
    return Settlement(lease=delivery.lease, action="dead", reason=reason, **fields)


def result(id: str, state: str = "SUCCESS", **fields: Any) -> StoredResult:
    """Return a stored result."""
    return StoredResult(id=id, state=state, **fields)


def revoked(*task_ids: str) -> list[StoredResult]:
    """Return the results that cancelling these tasks stores."""
    return [StoredResult(id=id, state="REVOKED", body=b'"revoked"') for id in task_ids]


class _Threaded:
    """A blocking object in awaiting shape: each call runs in a thread, so that several run at once."""

    def __init__(self, inner: object) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        return functools.partial(asyncio.to_thread, getattr(self._inner, name))
