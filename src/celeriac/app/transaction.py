"""Sending within the caller's own database transaction: with its commit the tasks are sent, with its rollback they
never were.

    with Session(engine) as session, session.begin(), app.transaction(session):
        session.add(order)
        send_receipt.delay(order.id)

What is sent inside the block, by whatever code, goes through the given connection. The block neither begins, commits
nor rolls back anything. It belongs to its thread or its asyncio task (and tasks that are made inside of it).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, Self

import msgspec

from celeriac.brokers.facade import AsyncBroker, SyncBroker
from celeriac.brokers.port import AnyDriver, AsyncPerformer, AsyncWaiter, Capabilities, Operations, Performer, Waiter
from celeriac.core.message import Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celeriac.app.app import Celeriac


class OutboxState(msgspec.Struct, frozen=True, kw_only=True):
    """How far an outbox is behind, and why.

    Attributes:
        waiting: How many messages are not published.
        oldest: The age of the oldest of them, in seconds.
        refused: How many were set aside, since nobody can read them or no broker takes them.
        leader: The relay that publishes; None if none does. One that has died stays until another takes over.
        seen: Seconds since that relay's last sign of life, by the clocks of two machines; None without one.
        error: Why that relay cannot publish; None if it can.
    """

    waiting: int = 0
    oldest: float = 0.0
    refused: int = 0
    leader: str | None = None
    seen: float | None = None
    error: str | None = None

    def rounded(self) -> dict[str, Any]:
        """Return it for people and their monitors."""
        return {
            name: round(value, 3) if isinstance(value, float) else value
            for name, value in msgspec.structs.asdict(self).items()
        }


class RelayService(Protocol):
    """What brings the messages of an outbox to the broker: a service of a worker, or of a process of its own."""

    @property
    def name(self) -> str: ...

    @property
    def longest_backoff(self) -> float: ...

    @property
    def state(self) -> OutboxState:
        """How the outbox stood when it last looked, as old as it is now; with the error of its own latest try."""
        ...

    @property
    def leads(self) -> bool:
        """Whether it is the one that publishes, as far as it knows."""
        ...

    def tick(self) -> float:
        """Do what is due and return the seconds until the next call."""
        ...

    def close(self) -> None:
        """Let another one take over at once."""
        ...


class Outbox(Protocol):
    """A table for messages in the application's own database."""

    def session_for(self, given: Any) -> Any:
        """Return the session or connection whose transaction a call is a part of; None: there is none.

        Args:
            given: What the caller named by ``connection=`` or ``app.transaction``; None if nothing.

        Raises:
            ImproperlyConfigured: It leads to another database than the outbox's.
            TypeError: What is given is nothing that the outbox can write with.
        """
        ...

    def keep(self, session: Any, messages: Sequence[Message]) -> None:
        """Write the messages, sealed already, as a part of the transaction."""
        ...

    def relay(self, holder: str) -> RelayService:
        """Return a relay of this name, another for each process."""
        ...

    def embedded(self, holder: str) -> RelayService | None:
        """Return the relay that a worker is to run; None if it runs elsewhere."""
        ...

    def lag(self) -> tuple[int, float]:
        """Return how many messages wait, and the age of the oldest in seconds."""
        ...

    def state(self) -> OutboxState:
        """Return how the outbox stands."""
        ...


class _Open(NamedTuple):
    """An open block, and those around it."""

    app: Celeriac
    connection: Any
    outer: _Open | None


_open: Final[ContextVar[_Open | None]] = ContextVar("celeriac_transaction", default=None)


class Transaction:
    """A block in which an app sends through a caller's connection. ``async with`` works as well as ``with``.

    Args:
        app: The app.
        connection: As for :meth:`celeriac.Celeriac.transaction`.
    """

    def __init__(self, app: Celeriac, connection: Any) -> None:
        self._app = app
        self._connection = connection
        self._tokens: list[Token[_Open | None]] = []

    def __enter__(self) -> Self:
        self._tokens.append(_open.set(_Open(self._app, self._connection, _open.get())))
        return self

    def __exit__(self, *exc_info: object) -> None:
        _open.reset(self._tokens.pop())

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *exc_info: object) -> None:
        self.__exit__(*exc_info)


def connection_for(app: Celeriac, options: Mapping[str, Any] | None) -> Any:
    """Return the connection of the caller's that a call is to go through; None for the app's own."""
    given = None if options is None else options.get("connection")
    if given is not None:
        return given
    block = _open.get()
    while block is not None and block.app is not app:
        block = block.outer
    return None if block is None else block.connection


class _Lent:
    """A driver with one performer, on a caller's connection."""

    def __init__(self, driver: AnyDriver, *, performer: Any = None, async_performer: Any = None) -> None:
        self._driver = driver
        self._performer = performer
        self._async_performer = async_performer

    @property
    def capabilities(self) -> Capabilities:
        return self._driver.capabilities

    @property
    def operations(self) -> Operations[Any, Any]:
        return self._driver.operations

    def performer(self) -> Performer[Any, Any]:
        found: Performer[Any, Any] = self._performer
        return found

    def async_performer(self) -> AsyncPerformer[Any, Any]:
        found: AsyncPerformer[Any, Any] = self._async_performer
        return found

    def waiter(self, ids: Sequence[str] = (), *, owner: str | None = None) -> Waiter:
        return self._driver.waiter(ids, owner=owner)

    def async_waiter(self, ids: Sequence[str] = (), *, owner: str | None = None) -> AsyncWaiter:
        return self._driver.async_waiter(ids, owner=owner)


def broker_on(driver: AnyDriver, performer: Performer[Any, Any]) -> SyncBroker[Any, Any]:
    """Return a broker that does everything through this performer."""
    return SyncBroker(_Lent(driver, performer=performer))


def async_broker_on(driver: AnyDriver, performer: AsyncPerformer[Any, Any]) -> AsyncBroker[Any, Any]:
    """Return the awaiting twin."""
    return AsyncBroker(_Lent(driver, async_performer=performer))
