"""What a driver can do besides what the port asks of it: each a protocol of its own, looked for where it is of use.

Nothing depends on these: whoever would use one has another way where a driver does not have it, or says that it cannot.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from celeriac.brokers.port import AsyncPerformer, AsyncWaiter, Performer
from celeriac.core.message import Delivery


class Lending(Protocol):
    """A driver that can enqueue on a connection of the caller's, as a part of the transaction that is open there."""

    def performer_on(self, connection: Any) -> Performer[Any, Any]:
        """Return a performer for enqueueing on this connection; it neither commits nor closes it.

        Raises:
            TypeError: It is no connection that this driver can use.
        """
        ...

    def async_performer_on(self, connection: Any) -> AsyncPerformer[Any, Any]: ...


@runtime_checkable
class Handing(Protocol):
    """A driver whose store may lease a message to an owner by itself, and send it there with the wake-up."""

    def receiver(self, owner: str, take: Callable[[Delivery | None], None]) -> AsyncWaiter:
        """Return a waiter of this owner's to which deliveries may be handed over; otherwise one as
        :meth:`celeriac.brokers.port.Driver.async_waiter` makes.

        The store may do that while the owner's last claim found nothing and it holds nothing: in the step that keeps a
        message it leases it as a claim of the owner would, under a token that is greater than those of all its claims
        before, and less than those of all after, whatever message they are of. After that the owner is not known as
        idle any more, so whoever is handed something claims again.

        Args:
            owner: Who waits.
            take: Called in the event loop that this method was called in: with a delivery; or with None when some may
                have been lost on their way, so that the owner should ask what it holds.
        """
        ...


@runtime_checkable
class Joining(Protocol):
    """Operations of which two requests can be made one, so that they take one round trip."""

    def joined(self, first: Any, second: Any) -> Any:
        """Return a request that has both done, in this order, and is answered by a list with both replies.

        Others may come in between, and the second is done whatever came of the first. None where there is no such
        request. Whoever sends it to a performer knows, if that raises, that either may have been carried out.
        """
        ...
