"""A driver whose messages, results and remote commands are sealed: what an app with keys puts around any other driver.

Drivers stay ignorant: they keep and hand out what is sealed already. The operations of :class:`SealedOperations` seal
what goes in and open what comes out, around the driver's own operations, so that nothing above knows of seals either,
but for the reasons why something was refused. An app without keys has none of this in its way.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from celeriac.brokers.facade import Store
from celeriac.brokers.port import AnyDriver, Capabilities, Operations
from celeriac.brokers.sealed.operations import ForwardingOperations, SealedOperations
from celeriac.brokers.sealed.results import SealedResults
from celeriac.core.clock import Clock
from celeriac.core.security import Guard
from celeriac.errors import ImproperlyConfigured

__all__ = ["ForwardingDriver", "SealedDriver", "SealedStore"]

Ops = TypeVar("Ops")


class _Sealed(Generic[Ops]):
    """What both kinds have in common: all but the operations is the driver's own."""

    def __init__(self, driver: Store[Any], operations: Ops) -> None:
        self._driver = driver
        self._operations = operations
        self.performer = driver.performer
        self.async_performer = driver.async_performer
        self.waiter = driver.waiter
        self.async_waiter = driver.async_waiter

    @property
    def capabilities(self) -> Capabilities:
        return self._driver.capabilities

    @property
    def operations(self) -> Ops:
        return self._operations


class SealedDriver(_Sealed[Operations[Any, Any]]):
    """A driver that seals.

    Args:
        driver: What keeps what was sealed.
        guard: Seals and opens.
        clock: For the age of messages.

    Raises:
        ImproperlyConfigured: The driver keeps no results, so it cannot remember which messages ran.
    """

    def __init__(self, driver: AnyDriver, guard: Guard, clock: Clock) -> None:
        name = driver.capabilities.name
        if guard.window is not None and not driver.capabilities.results:
            raise ImproperlyConfigured(
                f"the {name} broker cannot remember which messages ran, so a copy of one could run again: set"
                " security_replay_window=None if you accept that"
            )
        super().__init__(driver, SealedOperations(driver.operations, guard, clock))


class ForwardingDriver(_Sealed[Operations[Any, Any]]):
    """A driver for what was sealed before, by whoever wrote it to an outbox; the arguments are those of
    :class:`SealedDriver`."""

    def __init__(self, driver: AnyDriver, guard: Guard, clock: Clock) -> None:
        super().__init__(driver, ForwardingOperations(driver.operations, guard, clock))


class SealedStore(_Sealed[SealedResults[Any, Any]]):
    """A result store that seals; the arguments are those of :class:`SealedDriver`."""

    def __init__(self, driver: Store[Any], guard: Guard, clock: Clock) -> None:
        super().__init__(driver, SealedResults(driver.operations, guard, clock))
