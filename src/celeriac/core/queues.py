"""Queues and exchanges as Celery's users write them, for brokers that route.

    task_queues = [
        Queue("media", Exchange("files", type="topic"), routing_key="media.#"),
        Queue("all", [binding(Exchange("files", type="topic"), "#"), binding(Exchange("news", type="fanout"))]),
        Broadcast("reload"),
    ]

Brokers without exchanges take the names alone. Objects of kombu's classes of the same names are taken as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

from celeriac.errors import ImproperlyConfigured


class QueuePlan(NamedTuple):
    """What the settings say about queues.

    Attributes:
        queues: The setting ``task_queues``.
        create_missing: The setting ``task_create_missing_queues``.
        queue_type: The setting ``task_default_queue_type``.
    """

    queues: Any = None
    create_missing: bool = True
    queue_type: str = "quorum"


TYPES: Final = ("direct", "topic", "fanout", "headers")


class Exchange:
    """Where messages are sent to be routed.

    Args:
        name: Its name.
        type: ``direct``: to the queues that are bound with the very routing key; ``topic``: with a pattern of it, in
            which ``*`` stands for a word and ``#`` for any number of them; ``fanout``: to all bound queues;
            ``headers``: by headers.
        durable: It survives a restart of the server.

    Raises:
        ImproperlyConfigured: There is no such type.
    """

    def __init__(self, name: str = "", type: str = "direct", *, durable: bool = True, **_ignored: Any) -> None:
        if type not in TYPES:
            raise ImproperlyConfigured(f"exchange {name!r}: type {type!r} is not one of {', '.join(TYPES)}")
        self.name = name
        self.type = type
        self.durable = durable

    def __repr__(self) -> str:
        return f"Exchange({self.name!r}, type={self.type!r})"

    def __str__(self) -> str:
        return self.name


class binding:  # The name is kombu's.
    """One way from an exchange to a queue.

    Args:
        exchange: The exchange.
        routing_key: The key, or the pattern.
        arguments: For exchanges of type ``headers``.
    """

    def __init__(
        self, exchange: Exchange | str, routing_key: str = "", *, arguments: Mapping[str, Any] | None = None
    ) -> None:
        self.exchange = Exchange(exchange) if isinstance(exchange, str) else exchange
        self.routing_key = routing_key
        self.arguments = dict(arguments or {})


class Queue:
    """A queue, and where its messages come from.

    Args:
        name: Its name.
        exchange: An exchange, its name, or several bindings; None for none but the name itself.
        routing_key: The key of the binding; default the queue's name.
        bindings: More bindings.
        queue_arguments: Arguments of the declaration, such as ``{"x-queue-type": "classic"}``.
        durable: It survives a restart of the server.
        exclusive, auto_delete: It goes when nobody uses it any more.
        binding_arguments: Arguments of the binding.
        max_priority: ``x-max-priority`` of a classic queue.
    """

    def __init__(
        self,
        name: str = "",
        exchange: Exchange | str | Sequence[binding] | None = None,
        routing_key: str | None = None,
        *,
        bindings: Iterable[binding] = (),
        **more: Any,
    ) -> None:
        self.name = name
        self.routing_key = name if routing_key is None else routing_key
        several = list(bindings)
        if isinstance(exchange, (list, tuple, set)):
            several += cast("Iterable[binding]", exchange)
            exchange = None
        self.exchange: Exchange | None = Exchange(exchange) if isinstance(exchange, str) else cast("Any", exchange)
        self.bindings = several
        self.queue_arguments: dict[str, Any] = dict(more.get("queue_arguments") or {})
        self.binding_arguments: dict[str, Any] = dict(more.get("binding_arguments") or {})
        self.durable = bool(more.get("durable", True))
        self.exclusive = bool(more.get("exclusive"))
        self.auto_delete = bool(more.get("auto_delete"))
        if more.get("max_priority") is not None:
            self.queue_arguments["x-max-priority"] = more["max_priority"]

    def __repr__(self) -> str:
        return f"Queue({self.name!r}, {self.exchange!r}, routing_key={self.routing_key!r})"

    def __str__(self) -> str:
        return self.name


class Broadcast(Queue):
    """A queue of which every worker has one of its own, so that each gets a copy of every message.

    Args:
        name: What tasks are sent to.
    """

    broadcast = True

    def __init__(self, name: str, **more: Any) -> None:
        super().__init__(name, Exchange(name, type="fanout"), "", **more)


def is_broadcast(queue: object) -> bool:
    """Tell whether every worker is to have a queue like this of its own; kombu's class of the name counts, too."""
    return type(queue).__name__ == "Broadcast"


def declared(queues: Any) -> list[Any]:
    """Return the entries of the setting ``task_queues`` one by one: names and queue objects."""
    if isinstance(queues, str):
        return [queues]
    if isinstance(queues, Mapping):
        mapped = cast("Mapping[str, Mapping[str, Any]]", queues)
        return [Queue(name, one.get("exchange"), one.get("routing_key")) for name, one in mapped.items()]
    return list(cast("Iterable[Any]", queues or ()))


def name_of(queue: Any) -> str | None:
    """Return the name under which tasks are sent to an entry of ``task_queues``."""
    return queue if isinstance(queue, str) else getattr(queue, "alias", None) or getattr(queue, "name", None)


def served_by(names: Iterable[str], queues: Any, node: str) -> tuple[str, ...]:
    """Return the queues that a worker serves: for a broadcast queue, its own.

    Args:
        names: What it is to serve.
        queues: The setting ``task_queues``.
        node: The worker's name.
    """
    own = {name_of(one) for one in declared(queues) if is_broadcast(one)}
    return tuple([f"{name}@{node}" if name in own else name for name in names])
