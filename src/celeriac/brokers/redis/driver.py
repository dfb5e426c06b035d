"""The driver for Redis and Valkey: one server, a master behind Sentinels, or a Cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from celeriac.brokers.port import Capabilities
from celeriac.brokers.redis.hub import hub_of
from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.location import Location
from celeriac.brokers.redis.operations import RedisOperations
from celeriac.brokers.redis.operations.queue import handed_over
from celeriac.brokers.redis.performers import AsyncRedisPerformer, RedisPerformer
from celeriac.brokers.redis.receiver import Receiver
from celeriac.brokers.redis.waiters import AsyncRedisWaiter, RedisWaiter
from celeriac.core.message import Delivery


class RedisDriver:
    """Makes operations, performers and waiters for one store. Nothing is connected before it is used.

    Args:
        location: From :func:`celeriac.brokers.redis.url.parse`.
    """

    def __init__(self, location: Location) -> None:
        self._location: Final = location
        self._keys: Final = Keys(location.prefix, location.partitions)
        self._operations: Final = RedisOperations(self._keys)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(name="redis", durable=True, shared=True, results=True, push=True, expires=True)

    @property
    def operations(self) -> RedisOperations:
        return self._operations

    def performer(self) -> RedisPerformer:
        return RedisPerformer(self._location)

    def async_performer(self) -> AsyncRedisPerformer:
        return AsyncRedisPerformer(self._location)

    def waiter(self, ids: Sequence[str] = (), *, owner: str | None = None) -> RedisWaiter:
        return RedisWaiter(hub_of(self._location), self._channels(ids, owner))

    def async_waiter(self, ids: Sequence[str] = (), *, owner: str | None = None) -> AsyncRedisWaiter:
        return AsyncRedisWaiter(hub_of(self._location), self._channels(ids, owner))

    def receiver(self, owner: str, take: Callable[[Delivery | None], None]) -> Receiver:
        """Return a waiter to which messages may be handed over; see :class:`celeriac.brokers.optional.Handing`."""
        channels = self._channels((), owner)
        if self._keys.wakes_one:
            channels = [*channels, self._keys.hand_channel(owner)]
        return Receiver(
            self._location,
            channels,
            lambda published: take(handed_over(published, owner) if published else None),
        )

    def _channels(self, ids: Sequence[str], owner: str | None) -> Sequence[str]:
        if ids:
            return [self._keys.done_channel(id) for id in ids]
        return self._keys.wake_channels() if owner is None else self._keys.owner_channels(owner)
