"""What is wrong with a RabbitMQ server, a user's rights in it and its queues, as far as an AMQP connection can tell.
Pure: :mod:`celeriac.brokers.rabbitmq.inspection` looks."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Any, Final

from celeriac.brokers.port import Finding
from celeriac.brokers.rabbitmq.requests import Look, RabbitOperation, Seen
from celeriac.brokers.rabbitmq.topology import RENEW_AFTER, Topology
from celeriac.core.message import DEFAULT_QUEUE
from celeriac.errors import CeleriacError

OLDEST: Final = (3, 10)
SHORT_TIMEOUT: Final = 1.5 * RENEW_AFTER
"""Least seconds of ``consumer_timeout`` with which no renewal comes too late."""
SERVERS_LIMIT: Final = 20
"""How often a message of a quorum queue may come back, from RabbitMQ 4 on, if nothing is said."""
_DROPS: Final = {
    "x-message-ttl": "drops messages after {} ms",
    "x-max-length": "drops messages when there are more than {}",
    "x-max-length-bytes": "drops messages when there are more than {} bytes",
    "x-expires": "goes when nobody has used it for {} ms",
    "x-delivery-limit": "drops a message that came back {} times",
    "auto_delete": "goes with its last consumer (auto-delete)",
    "durable": "is gone when the server restarts (not durable)",
}
"""What loses messages, of properties that a queue has and would not have been given here."""


def examine_server(
    topology: Topology, queues: Iterable[str] = (), *, alone: bool = False
) -> RabbitOperation[list[Finding]]:
    """Return findings about the server; that it cannot be reached is one, too.

    Args:
        topology: What queues are to be like.
        queues: Names of queues that are used, besides those that the configuration names.
        alone: There is no store: a delivery is held for as long as its task runs.
    """
    named = [name for name, spec in topology.queues.items() if not spec.broadcast]
    names = list(dict.fromkeys([*named, *queues])) or [DEFAULT_QUEUE]
    try:
        seen: Seen = yield Look(names)
    except CeleriacError as exc:
        return [unreached(exc, "RabbitMQ")]
    return [
        *_reached(seen),
        _queue_type(topology, seen),
        _queues(seen),
        _timeout(topology, alone=alone),
    ]


def examine_way() -> RabbitOperation[list[Finding]]:
    """Return findings about the server alone, and what the user may do there; no queue is looked at."""
    try:
        seen: Seen = yield Look(())
    except CeleriacError as exc:
        return [unreached(exc, "RabbitMQ")]
    return _reached(seen)


def _reached(seen: Seen) -> list[Finding]:
    return [_server(seen), _alarm(seen), _permissions(seen)]


def unreached(exc: CeleriacError, subject: str) -> Finding:
    """Return the finding that one of two servers cannot be looked at: the other is still told about."""
    # What is wrong, a mark, what to do: each driver's errors have a mark of their own.
    text, _, remedy = " ".join(str(exc).split()).partition("; " if subject == "RabbitMQ" else ": ")
    return _bad("error", subject, text, remedy or "check the URL, and that the server runs")


def _server(seen: Seen) -> Finding:
    version = ".".join(map(str, seen.version))
    text = f"{seen.product} {version} at {seen.address}, {seen.trip * 1000:.2f} ms for a round trip"
    if seen.product != "RabbitMQ":
        remedy = "use RabbitMQ 3.10 or newer, or test with this one what you rely on"
        return _bad("advice", "RabbitMQ", f"{text}; Celeriac is not tested with it", remedy)
    if seen.version < OLDEST:
        remedy = "use RabbitMQ 3.10 or newer"
        return _bad("warning", "RabbitMQ", f"{text}; it is older than 3.10, and Celeriac is not tested with it", remedy)
    return _ok("RabbitMQ", text)


def _alarm(seen: Seen) -> Finding:
    if seen.blocked is None:
        return _ok("RabbitMQ alarm", "it takes messages: neither memory nor disk is short")
    return _bad(
        "error",
        "RabbitMQ alarm",
        f"RabbitMQ takes no messages now ({seen.blocked}): senders wait, then get an error; workers go on",
        "free memory or disk on its host, or raise vm_memory_high_watermark or lower disk_free_limit;"
        " rabbitmq-diagnostics alarms shows which is short",
    )


def _permissions(seen: Seen) -> Finding:
    if not seen.missing:
        return _ok(
            "RabbitMQ permissions", f"user {seen.user!r} may configure, write and read in virtual host {seen.vhost!r}"
        )
    rights: dict[str, list[str]] = {}
    for one in seen.missing:
        rights.setdefault(one.right, []).append(one.name)
    lacking = ", ".join(f"{right} {_some(names)}" for right, names in rights.items())
    vhost, user = shlex.quote(seen.vhost), shlex.quote(seen.user)
    return _bad(
        "error",
        "RabbitMQ permissions",
        f"user {seen.user!r} may not {lacking} in virtual host {seen.vhost!r}",
        f"rabbitmqctl set_permissions -p {vhost} {user} '.*' '.*' '.*', or patterns that match the names of the queues"
        " and exchanges, celeriac.*, amq.gen-* and amq.default",
    )


def _queue_type(topology: Topology, seen: Seen) -> Finding:
    other = {
        queue: found["x-queue-type"] or "classic"
        for queue, found in seen.differences.items()
        if "x-queue-type" in found and (found["x-queue-type"] or "classic") != topology.type_of(queue)
    }
    if other:
        text = "; ".join(
            f"{queue!r} is {kind}, and would be made {topology.type_of(queue)}" for queue, kind in _first(other)
        )
        remedy = (
            "leave it: a queue is used as it is, and its type cannot be changed; or let workers empty it, delete it"
            " (rabbitmqctl delete_queue -p VHOST NAME), and it is made anew"
        )
        return _bad("advice", "RabbitMQ queue type", text, remedy)
    if topology.queue_type == "classic":
        text = "classic queues live on one node: what they hold is out of reach while that node is"
        return _bad(
            "advice", "RabbitMQ queue type", text, "use quorum queues (queue_type=quorum in the URL) on a cluster"
        )
    return _ok("RabbitMQ queue type", f"{topology.queue_type}; a queue that exists with another type would be told")


def _queues(seen: Seen) -> Finding:
    losing: dict[str, str] = {}
    others: dict[str, str] = {}
    for queue, found in seen.differences.items():
        drops = [
            _DROPS[name].format(value or SERVERS_LIMIT)
            for name, value in found.items()
            if name in _DROPS and _loses(name, value)
        ]
        if drops:
            losing[queue] = f"{queue!r} {' and '.join(drops)}"
        rest = [name for name in found if name not in _DROPS and name != "x-queue-type"]
        if rest:
            others[queue] = f"{queue!r} ({', '.join(_setting(name, found[name]) for name in rest)})"
    remedy = "let workers empty it, delete it (rabbitmqctl delete_queue -p VHOST NAME), and it is made anew without"
    if losing:
        return _bad("warning", "RabbitMQ queues", "; ".join(text for _, text in _first(losing)), remedy)
    if others:
        text = f"made otherwise than here: {', '.join(text for _, text in _first(others))}"
        return _bad("advice", "RabbitMQ queues", text, f"leave it, since a queue is used as it is; or {remedy}")
    return _ok("RabbitMQ queues", "those that exist keep what they take (what a policy changes, AMQP does not tell)")


def _loses(name: str, value: str | None) -> bool:
    match name:
        case "durable":
            return value == "false"
        case "auto_delete":
            return value == "true"
        case "x-delivery-limit":
            return value is None or not value.startswith("-")
        case _:
            return value is not None


def _setting(name: str, value: str | None) -> str:
    return f"without {name}" if value is None else f"{name} {value}"


def _timeout(topology: Topology, *, alone: bool) -> Finding:
    """Tell about ``consumer_timeout``, the time after which a server takes a delivery away that nobody acknowledged."""
    if not alone:
        text = "a delivery is acknowledged before its task runs, so consumer_timeout ends no task, however long"
        return _ok("RabbitMQ consumer timeout", text)
    short = {
        name: value / 1000
        for name, spec in topology.queues.items()
        if isinstance(value := spec.arguments.get("x-consumer-timeout"), int) and value < SHORT_TIMEOUT * 1000
    }
    renewed = f"a delivery is renewed every {RENEW_AFTER / 60:.0f} minutes while its task runs"
    if short:
        text = ", ".join(f"{name!r} has an x-consumer-timeout of {value:g} s" for name, value in _first(short))
        remedy = f"set x-consumer-timeout to {SHORT_TIMEOUT * 1000:.0f} ms or more, or leave it out"
        return _bad("warning", "RabbitMQ consumer timeout", f"{text}, and {renewed}: longer tasks run twice", remedy)
    return _bad(
        "advice",
        "RabbitMQ consumer timeout",
        f"{renewed}; the server's consumer_timeout must be longer: it is 30 minutes unless configured, which AMQP does"
        " not tell",
        "see that rabbitmqctl eval 'application:get_env(rabbit, consumer_timeout).' says {ok,undefined} or at least"
        f" {SHORT_TIMEOUT * 1000:.0f} ms, and that no policy sets another",
    )


def _some(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:4])
    return f"{shown} and {len(names) - 4} more" if len(names) > 4 else shown


def _first(found: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return list(found.items())[:5]


def _ok(subject: str, text: str) -> Finding:
    return Finding(level="ok", subject=subject, text=text)


def _bad(level: Any, subject: str, text: str, remedy: str) -> Finding:
    return Finding(level=level, subject=subject, text=text, remedy=remedy)
