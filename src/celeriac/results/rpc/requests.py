"""What an operation of this store asks for, besides what it asks of RabbitMQ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, TypeVar

import msgspec

from celeriac.brokers.rabbitmq.requests import Count, Look, Now
from celeriac.core.message import StoredResult
from celeriac.core.operation import Operation

T = TypeVar("T")


class Deliver(msgspec.Struct, frozen=True):
    """Send results to the processes that sent their tasks; those that nobody waits for go nowhere.

    Attributes:
        results: What to send.
        interim: The tasks go on.
    """

    results: Sequence[StoredResult]
    interim: bool = False


class Read(msgspec.Struct, frozen=True):
    """The reply is the results of these tasks that have come, of tasks that this process sent."""

    ids: Sequence[str]


class Drop(msgspec.Struct, frozen=True):
    """Forget the results of these tasks; the reply is how many there were."""

    ids: Sequence[str]


class Expire(msgspec.Struct, frozen=True):
    """Forget what has expired; the reply is how many results that were."""


Request: TypeAlias = Deliver | Read | Drop | Expire | Now | Count | Look
RpcOperation: TypeAlias = Operation[Any, Any, T]
