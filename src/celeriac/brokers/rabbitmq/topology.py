"""Queues and exchanges as RabbitMQ knows them: names of levels, arguments of declarations. Pure.

A classic queue has priorities of its own (``x-max-priority``). A quorum queue of RabbitMQ 3 has none, and one of
RabbitMQ 4 has two; so each priority that is used beside 0 gets a queue of its own, ``celery@p9`` beside ``celery``,
which nobody but this driver sees. Readers look for those that exist when they connect, and hear of new ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from celeriac.core.message import MAX_PRIORITY
from celeriac.core.queues import QueuePlan, declared, is_broadcast, name_of
from celeriac.errors import ImproperlyConfigured

LEVEL: Final = "@p"
NEWS: Final = "celeriac.levels"
"""A fanout exchange: the name of each level that a sender declares goes there."""
UNLIMITED: Final = -1
UNUSED: Final = 600_000
"""Milliseconds without use after which a temporary queue goes."""
QUEUE_TYPES: Final = ("quorum", "classic")
RENEW_AFTER: Final = 600.0
"""Seconds for which a delivery is held before it is handed over: a third of the usual ``consumer_timeout``."""
OF_WORKER: Final = "@"
DEAD: Final = "celeriac.dead"
"""The queue of the dead letters of a broker without a store."""
SHORTEST: Final = 0.05
"""Shortest delay, in seconds, that a delay queue keeps a message for: how late a delayed message may be."""
LONGEST_STEP: Final = 30 * 86400.0
TRIALS: Final = "celeriac.doctor."
"""How the names of queues begin that are used once, to try a broker out."""
UNUSED_TRIAL: Final = 10_000
"""Milliseconds without use after which such a queue goes."""


class Binding(msgspec.Struct, frozen=True):
    """Messages that an exchange takes and a queue gets.

    Attributes:
        exchange: Its name.
        type: ``direct``, ``topic``, ``fanout`` or ``headers``.
        routing_key: The key, or the pattern.
        arguments: For ``headers``.
        durable: The exchange survives a restart of the server.
    """

    exchange: str
    type: str = "direct"
    routing_key: str = ""
    arguments: dict[str, Any] = {}
    durable: bool = True


class QueueSpec(msgspec.Struct, frozen=True):
    """What the configuration says about one queue.

    Attributes:
        name: Its name.
        bindings: Where its messages come from, besides those that are sent to it by name.
        arguments: Of the declaration, before ours.
        durable: It survives a restart of the server.
        temporary: It goes when nobody has used it for :data:`UNUSED`.
        broadcast: Every worker has one of its own, called ``name@worker``.
    """

    name: str
    bindings: tuple[Binding, ...] = ()
    arguments: dict[str, Any] = {}
    durable: bool = True
    temporary: bool = False
    broadcast: bool = False


class Topology(msgspec.Struct, frozen=True, kw_only=True):
    """All queues that the configuration names.

    Attributes:
        queues: By name.
        queue_type: Of queues whose arguments do not say: ``quorum`` or ``classic``.
        create_missing: Queues that are not named come into being when they are used.
    """

    queues: Mapping[str, QueueSpec] = {}
    queue_type: str = "quorum"
    create_missing: bool = True

    def spec(self, name: str) -> QueueSpec:
        """Return what is known of a queue, or what a queue that nobody has named is like."""
        found = self.queues.get(name)
        if found is not None:
            return found
        family = self.queues.get(name.partition(OF_WORKER)[0])
        if family is not None and family.broadcast:
            return msgspec.structs.replace(family, name=name)
        if name.startswith(TRIALS):
            return QueueSpec(name, arguments={"x-expires": UNUSED_TRIAL}, temporary=True)
        return QueueSpec(name)

    def type_of(self, name: str) -> str:
        """Return the type with which the queue is declared."""
        spec = self.spec(name)
        if spec.temporary or spec.broadcast or not spec.durable:
            return "classic"  # Quorum queues are durable and shared.
        return str(spec.arguments.get("x-queue-type", self.queue_type))

    def arguments(self, name: str, server: Sequence[int]) -> dict[str, Any]:
        """Return the arguments of the queue's declaration.

        Args:
            name: The queue, without a level.
            server: The server's version.
        """
        kind = self.type_of(name)
        spec = self.spec(name)
        arguments = {"x-queue-type": kind, **spec.arguments}
        if spec.temporary or spec.broadcast:
            # Not by the end of the last consumer: consumers here come and go.
            arguments.setdefault("x-expires", UNUSED)
        if kind == "classic":
            arguments.setdefault("x-max-priority", MAX_PRIORITY)
        elif kind == "quorum" and tuple(server) >= (4, 0):
            # From RabbitMQ 4 on a quorum queue drops a message that came back 20 times. Nothing accepted may be lost,
            # and lost runs are counted elsewhere.
            arguments.setdefault("x-delivery-limit", UNLIMITED)
        return arguments

    def has_levels(self, name: str) -> bool:
        """Tell whether the queue's priorities are queues of their own."""
        return self.type_of(name) == "quorum"

    def physical(self, name: str, priority: int) -> str:
        """Return the queue, as RabbitMQ knows it, that keeps messages of this priority."""
        queue = written(name)
        return f"{queue}{LEVEL}{priority}" if priority and self.has_levels(name) else queue

    def routes(self, exchange: str, key: str) -> list[str]:
        """Return the configured queues to which an exchange sends what has this routing key."""
        return [
            spec.name
            for spec in self.queues.values()
            if not spec.broadcast and any(one.exchange == exchange and _matches(one, key) for one in spec.bindings)
        ]

    def routes_of(self, exchange: str) -> list[str]:
        """Return the configured queues that are bound to an exchange."""
        specs = [spec for spec in self.queues.values() if not spec.broadcast]
        return [spec.name for spec in specs if any(one.exchange == exchange for one in spec.bindings)]

    def is_broadcast(self, exchange: str) -> bool:
        """Tell whether the exchange is that of a broadcast queue: it may have no worker."""
        return any(spec.broadcast and spec.bindings[0].exchange == exchange for spec in self.queues.values())


def _matches(binding: Binding, key: str) -> bool:
    if binding.type == "fanout":
        return True
    if binding.type == "topic":
        return _topic(binding.routing_key.split("."), key.split("."))
    return binding.type == "direct" and binding.routing_key == key


def _topic(pattern: Sequence[str], words: Sequence[str]) -> bool:
    if not pattern:
        return not words
    if pattern[0] == "#":
        return any(_topic(pattern[1:], words[start:]) for start in range(len(words) + 1))
    return bool(words) and pattern[0] in ("*", words[0]) and _topic(pattern[1:], words[1:])


def topology(plan: QueuePlan, queue_type: str | None) -> Topology:
    """Return what the settings say about queues.

    Args:
        plan: The settings.
        queue_type: What the URL says, before them; None for nothing.

    Raises:
        ImproperlyConfigured: A queue is malformed, or there is no such type of queues.
    """
    if plan.queue_type not in QUEUE_TYPES:
        raise ImproperlyConfigured(
            f"task_default_queue_type={plan.queue_type!r} is not one of {', '.join(QUEUE_TYPES)}, types of RabbitMQ's"
        )
    specs = [QueueSpec(one) if isinstance(one, str) else _spec(one) for one in declared(plan.queues)]
    return Topology(
        queues={spec.name: spec for spec in specs},
        queue_type=queue_type or plan.queue_type,
        create_missing=plan.create_missing,
    )


def _spec(queue: Any) -> QueueSpec:
    name = name_of(queue)
    if not isinstance(name, str) or not name:
        raise ImproperlyConfigured(f"task_queues: {queue!r} is no queue: it has no name")
    found = [_binding(one.exchange, one.routing_key, getattr(one, "arguments", None)) for one in queue.bindings or ()]
    exchange = getattr(queue, "exchange", None)
    if exchange is not None and exchange.name:
        found.insert(0, _binding(exchange, queue.routing_key, getattr(queue, "binding_arguments", None)))
    return QueueSpec(
        name,
        tuple(found),
        dict(getattr(queue, "queue_arguments", None) or {}),
        bool(getattr(queue, "durable", True)),
        bool(getattr(queue, "auto_delete", False) or getattr(queue, "exclusive", False)),
        is_broadcast(queue),
    )


def _binding(exchange: Any, key: Any, arguments: Any) -> Binding:
    kind = getattr(exchange, "type", None) or "direct"
    return Binding(exchange.name, kind, key or "", dict(arguments or {}), bool(getattr(exchange, "durable", True)))


def step(seconds: float) -> float:
    """Return the longest step that fits into a delay: so many seconds a delay queue keeps messages."""
    best = size = SHORTEST
    while size <= min(seconds, LONGEST_STEP):
        best = size if size * 1.5 > seconds else size * 1.5
        size *= 2
    return best


def delay_queue(queue: str, seconds: float) -> tuple[str, dict[str, Any]]:
    """Return the name and the arguments of the queue that sends messages to ``queue`` after so long."""
    milliseconds = round(seconds * 1000)
    arguments: dict[str, Any] = {
        "x-message-ttl": milliseconds,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
        "x-expires": milliseconds + UNUSED,
    }
    return f"celeriac.delay.{milliseconds}.{queue}", arguments


_ESCAPED: Final = re.compile(rf"[\r\n]|%(?:0A|0D|25|40)|{LEVEL}[0-9]$")


def written(name: str) -> str:
    """Return a queue's name as RabbitMQ shall know it: the same, but for the few that it does not keep as they are.

    It drops line breaks from the names of queues, though not from routing keys; and a name must not look like a level
    of another. Two names never become one.
    """
    if _ESCAPED.search(name) is None:
        return name
    for mark, code in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A"), ("@", "%40")):
        name = name.replace(mark, code)
    return name


def logical(physical: str) -> tuple[str, int]:
    """Return a queue's name and level."""
    name, mark, level = physical.rpartition(LEVEL)
    if not (mark and len(level) == 1 and level.isdigit()):
        name, level = physical, "0"
    if "%" in name:
        for mark, code in (("@", "%40"), ("\n", "%0A"), ("\r", "%0D"), ("%", "%25")):
            name = name.replace(code, mark)
        if written(name) != physical.rpartition(LEVEL)[0] and written(name) != physical:
            return physical, 0  # Somebody else's name, with a percent sign.
    return name, int(level)
