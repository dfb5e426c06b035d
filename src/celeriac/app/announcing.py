"""The signals around sending: Celery's view of a message, and back.

The view is made only where a receiver is connected. What receivers of before_task_publish change in it takes effect.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from celeriac.app import times
from celeriac.core.codec import decode_args, encode_args
from celeriac.core.codec.content import accept_types
from celeriac.core.message import Message, Settlement, check_name
from celeriac.core.workflow import Join
from celeriac.errors import InvalidTaskError
from celeriac.events import signals
from celeriac.execution.context import current_request, iso

if TYPE_CHECKING:
    from celeriac.app.plan import Plan

_PLAIN: Final = (
    "lang",
    "task",
    "id",
    "shadow",
    "group",
    "group_index",
    "retries",
    "parent_id",
    "argsrepr",
    "kwargsrepr",
    "origin",
    "ignore_result",
    "replaced_task_nesting",
    "stamped_headers",
    "stamps",
)
"""Headers that are fields of a message under the same name."""
_OTHERS: Final = ("eta", "expires", "timelimit", "root_id")
_PROPERTIES: Final = ("reply_to", "priority", "delivery_mode")


class _View(msgspec.Struct):
    """A message as Celery's receivers know it."""

    body: tuple[list[Any], dict[str, Any], dict[str, Any]]
    headers: dict[str, Any]
    properties: dict[str, Any]
    exchange: str
    routing_key: str


def before(plan: Plan, message: Message, options: Mapping[str, Any] | None) -> Message:
    """Send before_task_publish, and return the message that is to be sent.

    Raises:
        InvalidTaskError: A receiver left a header or property that no message can have.
        SerializationError: It left an argument that cannot be encoded.
    """
    view, original = _view(message), _view(message)
    view.headers["stamps"] = dict(message.stamps)
    signals.before_task_publish.send(
        message.task,
        body=view.body,
        exchange=view.exchange,
        routing_key=view.routing_key,
        declare=[],
        headers=view.headers,
        properties=view.properties,
        retry_policy={**plan.rules.retry_policy, **((options or {}).get("retry_policy") or {})},
    )
    changes = _header_changes(plan, view.headers, original.headers)
    changes.update(_property_changes(view.properties, original.properties))
    if view.body != original.body:
        changes.update(_body_changes(plan, message, view, options or {}))
    return _valid(message, changes) if changes else message


def before_follow_up(plan: Plan, message: Message, options: Mapping[str, Any] | None = None) -> Message:
    """Send before_task_publish of a message that follows from a run, or is a step of a workflow, unless nobody listens.

    What follows here and now, in eager mode, is not published.

    Raises:
        InvalidTaskError, SerializationError: As :func:`before`; also if a receiver changed the id, by which others know
            the message already.
    """
    if not signals.before_task_publish.receivers:
        return message
    request = current_request.get()
    if request is not None and request.is_eager:
        return message
    changed = before(plan, message, options)
    if changed.id != message.id:
        raise InvalidTaskError(
            f"{plan.what}: before_task_publish changed header id to {changed.id!r:.200}; that of a step of a workflow,"
            f" and of what follows from a task, must stay {message.id!r}"
        )
    return changed


def after_settling(settlements: Sequence[Settlement], lost: Collection[str] = ()) -> None:
    """Send after_task_publish for what follows from runs that are settled, unless nobody listens.

    Args:
        settlements: What the broker was told.
        lost: Ids of those that it refused.
    """
    if not signals.after_task_publish.receivers:
        return
    for one in settlements:
        if one.lease.id not in lost:
            again = one.message if one.action == "retry" else None
            after(one.follow_ups if again is None else (again, *one.follow_ups))


def after_planting(joins: Iterable[Join]) -> None:
    """Send after_task_publish for the steps that wait for joins, unless nobody listens."""
    if signals.after_task_publish.receivers:
        for join in joins:
            after(join.messages)


def after(messages: Sequence[Message]) -> None:
    """Send after_task_publish for each message."""
    for message in messages:
        view = _view(message)
        signals.after_task_publish.send(
            message.task,
            body=view.body,
            headers=view.headers,
            exchange=view.exchange,
            routing_key=view.routing_key,
        )


def _view(message: Message) -> _View:
    # This process wrote the body a moment ago, so that whatever it holds may be read.
    args, kwargs, embed = decode_args(
        message.body,
        message.content_type,
        message.content_encoding,
        compression=message.compression,
        accept=accept_types([message.content_type]),
    )
    headers: dict[str, Any] = {**message.headers, **{name: getattr(message, name) for name in _PLAIN}}
    headers["eta"], headers["expires"] = iso(message.eta), iso(message.expires)
    headers["timelimit"] = list(message.timelimit or (None, None))
    headers["root_id"] = message.root_id or message.id
    properties = {name: getattr(message, name) for name in _PROPERTIES}
    properties["correlation_id"] = message.correlation_id or message.id
    properties["queue"] = message.queue
    following = {"callbacks": None, "errbacks": None, "chain": None, "chord": None, **embed}
    routing_key = message.routing_key or message.queue
    return _View((list(args), dict(kwargs), following), headers, properties, message.exchange or "", routing_key)


def _header_changes(plan: Plan, headers: dict[str, Any], original: dict[str, Any]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for name in _PLAIN:
        # A header that was removed is one that says nothing.
        if headers.get(name, original[name]) != original[name]:
            changes[name] = headers[name]
    for name in ("eta", "expires"):
        if headers.get(name) != original[name]:
            changes[name] = _moment(plan, name, headers.get(name))
    if headers.get("timelimit") != original["timelimit"]:
        hard, soft = headers.get("timelimit") or (None, None)
        changes["timelimit"] = None if hard is None and soft is None else (hard, soft)
    if headers.get("root_id", original["root_id"]) != original["root_id"]:
        changes["root_id"] = headers["root_id"]
    known = {*_PLAIN, *_OTHERS}
    own = {name: value for name, value in headers.items() if name not in known}
    if own != {name: value for name, value in original.items() if name not in known}:
        changes["headers"] = own
    return changes


def _moment(plan: Plan, name: str, value: Any) -> float | None:
    if value is None:
        return None
    try:
        # Of anything else this says that it is no text.
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return times.not_after(moment, now=plan.rules.clock.now(), zone=plan.rules.zone)
    except (TypeError, ValueError) as exc:
        raise InvalidTaskError(
            f"{plan.what}: before_task_publish left header {name}={value!r:.200}, which is no time in ISO 8601"
        ) from exc


def _property_changes(properties: dict[str, Any], original: dict[str, Any]) -> dict[str, Any]:
    changes = {name: properties[name] for name in original if properties.get(name, original[name]) != original[name]}
    if "queue" in changes:  # The old place in an exchange is not that of the new queue.
        changes.update(exchange=None, routing_key=None)
    return changes


def _body_changes(plan: Plan, message: Message, view: _View, options: Mapping[str, Any]) -> dict[str, Any]:
    args, kwargs, following = view.body
    encoded = encode_args(
        tuple(args),
        kwargs,
        {name: value for name, value in following.items() if value is not None} or None,
        serializer=plan.chosen_serializer(options) or plan.serializer,
        compression=options.get("compression") or plan.compression,
        task=message.task,
        parameter_names=plan.parameter_names,
    )
    plan.check_size(encoded.body)
    argsrepr, kwargsrepr = plan.shown(tuple(args), kwargs)
    return {
        "body": encoded.body,
        "content_type": encoded.content_type,
        "content_encoding": encoded.content_encoding,
        "compression": encoded.compression,
        "argsrepr": argsrepr,
        "kwargsrepr": kwargsrepr,
    }


def _valid(message: Message, changes: dict[str, Any]) -> Message:
    changed = msgspec.structs.replace(message, **changes)
    check_name(changed.task)
    try:
        return msgspec.convert(msgspec.structs.asdict(changed), Message)
    except msgspec.ValidationError as exc:
        raise InvalidTaskError(
            f"task {message.task!r}: before_task_publish left what no message can have: {exc}"
        ) from exc
