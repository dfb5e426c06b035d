"""What sending a task needs, worked out once: where it goes, how it is encoded, what is checked.

A :class:`Plan` is made with the first call of a task and again after a setting changed, so that a call does only what
depends on its own arguments and options.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from celeriac.app import times
from celeriac.app.fields import embed_of, message_fields
from celeriac.app.narrowing import is_mapping
from celeriac.app.options import SEND_NAMES, check_send_names, did_you_mean
from celeriac.core.codec import check_writable, encode_args, plain_body
from celeriac.core.codec.content import JSON
from celeriac.core.codec.reprs import saferepr
from celeriac.core.ids import new_id
from celeriac.core.message import Message
from celeriac.core.redact import is_secret
from celeriac.core.routing import Router
from celeriac.errors import ImproperlyConfigured, InvalidTaskError, SerializationError
from celeriac.execution.context import Request, current_request
from celeriac.results import answers_sender

if TYPE_CHECKING:
    from datetime import tzinfo

    from celeriac.app.app import Celeriac
    from celeriac.app.task import Task

_OF_TASK: Final = ("queue", "exchange", "routing_key", "priority", "delivery_mode")
"""Options that a task may set for all of its calls; they win over routes, as in Celery."""
_PER_CALL: Final = frozenset({"countdown", "eta", "expires", "link", "link_error", "serializer", "compression"})
"""Options that cannot be turned into fields once and for all."""
_OF_CALL: Final = frozenset({"id", "argsrepr", "kwargsrepr", "body", "sent_at"})
"""Fields that each call has of its own, unless its options give them."""
_NO_ID: Final = "-"
_filled: Final = msgspec.structs.replace
"""A tenth of the time that making a message of all its fields takes."""


class Rules:
    """What the settings say about sending. Made anew when a setting changes."""

    def __init__(self, app: Celeriac) -> None:
        conf = app.conf
        self.clock = app.clock
        self.eager: bool = conf.task_always_eager
        self.serializer: str = conf.task_serializer
        self.accept = app.accept
        self.compression: str | None = conf.task_compression
        self.priority: int | None = conf.task_default_priority
        self.inherit_priority: bool = conf.task_inherit_parent_priority
        self.retry: bool = conf.task_publish_retry
        self.retry_policy: Mapping[str, Any] = conf.task_publish_retry_policy
        check_policy(self.retry_policy, "setting task_publish_retry_policy")
        self.timeout: float = conf.publish_timeout
        self.replies = answers_sender(app.urls()[1])
        self.max_bytes: int = conf.task_message_max_bytes
        self.repr_levels: int = conf.task_repr_maxlevels
        self.zone: tzinfo = app.timezone
        self.router = Router.from_settings(conf)
        self.static = _asks_nobody(conf.task_routes)
        self.origin = f"gen{os.getpid()}@{os.uname().nodename}"


class PublishPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How a failed send is tried again; what the setting ``task_publish_retry_policy`` and ``retry_policy=`` say.

    Attributes:
        max_retries: How often; None means until ``publish_timeout``.
        interval_start: Seconds before the first retry.
        interval_step: Seconds by which each further pause is longer.
        interval_max: The longest pause.
    """

    max_retries: int | None = 3
    interval_start: float = 0.0
    interval_step: float = 0.2
    interval_max: float = 1.0


def check_policy(policy: Any, what: str) -> None:
    """Pass if it is a policy, or a part of one.

    Raises:
        ImproperlyConfigured: A name is unknown, or a value is not a number of at least 0.
    """
    if not is_mapping(policy):
        raise ImproperlyConfigured(f"{what}={policy!r:.200} must be a dictionary")
    for name, value in policy.items():
        if name in ("errback", "timeout", "retry_errors", "accept_retry_errors"):
            raise ImproperlyConfigured(f"{what}: {name} has no meaning here: leave it out")
        if name not in PublishPolicy.__struct_fields__:
            raise ImproperlyConfigured(f"{what}: unknown {name!r}{did_you_mean(name, PublishPolicy.__struct_fields__)}")
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf
        if not number and not (name == "max_retries" and value is None):
            raise ImproperlyConfigured(f"{what}: {name}={value!r} must be a number of at least 0")


class Plan:
    """How one task is sent under certain rules.

    Args:
        rules: The rules.
        name: The task's name.
        task: The task; None if its code is elsewhere.
    """

    def __init__(self, rules: Rules, name: str, task: Task[..., Any] | None) -> None:
        self.rules = rules
        self.name = name
        self.task = task
        self.check = None if task is None else task.argument_check
        self.parameter_names = () if task is None else task.parameter_names
        self.secrets = frozenset(place for place, one in enumerate(self.parameter_names) if is_secret(one))
        self.serializer: str = (task and task.serializer) or rules.serializer
        self.compression: str | None = (task and task.compression) or rules.compression
        self.expires = None if task is None else task.expires
        self.ignored = task is not None and task.ignore_result
        self.trail = task is None or task.trail
        self.what = f"task {name!r}"
        try:
            check_writable(self.serializer, rules.accept)
        except ImproperlyConfigured as exc:
            raise ImproperlyConfigured(f"{self.what}: serializer={self.serializer!r} {exc}") from None
        self._own = {} if task is None else _given(task)
        self._route: dict[str, Any] | None = None
        self._fields: dict[str, Any] | None = None
        if rules.static:
            self._route = self._resolve((), {}, self._own)
            if not _PER_CALL & self._route.keys():
                self._fields = self._fields_of(self._route, 0.0)
        self._usual: Message | None = None
        """What all calls without options send that no task makes; each has its own arguments, id and time."""
        if self._fields is not None and self.expires is None and not self._fields.keys() & _OF_CALL:
            self._usual = Message(id=_NO_ID, **self._fields)

    def message(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: Mapping[str, Any] | None = None,
        given: tuple[Any, ...] = (),
    ) -> Message:
        """Return the message that one call sends.

        Args:
            args, kwargs: The arguments.
            options: Options of the call.
            given: What stands for arguments that come before these when it runs; it is checked and not sent.

        Raises:
            TypeError: The arguments do not fit the task, cannot be encoded, or an option is unknown.
            InvalidTaskError: An option's value is not valid.
        """
        if self.check is not None:
            try:
                self.check(*given, *args, **kwargs)
            except TypeError as exc:
                raise TypeError(f"task {self.name!r} cannot be called with these arguments: {exc}") from None
        now = self.rules.clock.now()
        request = sending_request()
        if self._usual is not None and request is None and not options:
            usual = self._usual_message(args, kwargs, now)
            if usual is not None:
                return usual
        embed = None
        serializer, compression = self.serializer, self.compression
        if not options and self._fields is not None:
            fields = self._fields.copy()
        else:
            merged = self._merged(args, kwargs, options or {})
            if "retry_policy" in merged:
                check_policy(merged["retry_policy"], f"{self.what}: retry_policy")
            fields = self._fields_of(merged, now)
            embed = embed_of(merged)
            serializer = self.chosen_serializer(merged) or serializer
            compression = merged.get("compression") or compression
        if self.expires is not None and "expires" not in fields:
            fields["expires"] = times.not_after(self.expires, now=now, zone=self.rules.zone)
        encoded = encode_args(
            args,
            kwargs,
            embed,
            serializer=serializer,
            compression=compression,
            task=self.name,
            parameter_names=self.parameter_names,
        )
        self.check_size(encoded.body)
        fields["body"] = encoded.body
        if encoded.content_type != JSON:
            fields["content_type"] = encoded.content_type
            fields["content_encoding"] = encoded.content_encoding
        if encoded.compression is not None:
            fields["compression"] = encoded.compression
        if "argsrepr" not in fields:
            fields["argsrepr"], fields["kwargsrepr"] = self.shown(args, kwargs)
        if "id" not in fields:
            fields["id"] = new_id()
        if request is not None:
            self._add_parent(fields, request)
        return Message(sent_at=now, **fields)

    def _usual_message(self, args: tuple[Any, ...], kwargs: dict[str, Any], now: float) -> Message | None:
        """Return the message of a call without options; None if its arguments are not said in plain JSON."""
        body = plain_body(args, kwargs) if self.serializer == "json" and self.compression is None else None
        if self._usual is None or body is None:
            return None
        self.check_size(body)
        shown, named = self.shown(args, kwargs)
        return _filled(self._usual, id=new_id(), body=body, argsrepr=shown, kwargsrepr=named, sent_at=now)

    def chosen_serializer(self, options: Mapping[str, Any]) -> str | None:
        """Return the serializer that a call chooses; None if it chooses none.

        Raises:
            InvalidTaskError: It is not in ``accept_content``.
        """
        serializer: str | None = options.get("serializer")
        if serializer:
            try:
                check_writable(serializer, self.rules.accept)
            except ImproperlyConfigured as exc:
                raise InvalidTaskError(f"{self.what}: serializer={serializer!r} {exc}") from None
        return serializer

    def check_size(self, body: bytes) -> None:
        """Check that encoded arguments are not too long to be sent.

        Raises:
            SerializationError: They are.
        """
        if len(body) > self.rules.max_bytes:
            raise SerializationError(
                f"the arguments of task {self.name!r} have {len(body):,} bytes, and setting task_message_max_bytes"
                f" allows {self.rules.max_bytes:,}: store large data elsewhere and pass a reference to it, or raise the"
                " setting"
            )

    def shown(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[str, str]:
        """Return short representations of the arguments, without secrets."""
        if self.secrets:
            args = tuple("***" if place in self.secrets else one for place, one in enumerate(args))
        levels = self.rules.repr_levels
        return _sayable(saferepr(args, levels=levels)), _sayable(saferepr(kwargs, levels=levels)) if kwargs else "{}"

    def _merged(self, args: tuple[Any, ...], kwargs: dict[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
        check_send_names(options, self.what)
        if self._route is None:
            return self._resolve(args, kwargs, {**self._own, **_not_none(options)})
        if options.get("routing_key") and options.get("queue") is None:
            # A routing key without a queue is the name of one, as on a broker's default exchange.
            options = {**options, "queue": options["routing_key"]}
        return {**self._route, **_not_none(options)}

    def _resolve(self, args: tuple[Any, ...], kwargs: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        if given.get("routing_key") and given.get("queue") is None:
            given = {**given, "queue": given["routing_key"]}
        found = self.rules.router.resolve(self.name, args, kwargs, given, task=self.task)
        unknown = found.keys() - given.keys() - SEND_NAMES
        if unknown:
            name = min(unknown)
            raise ImproperlyConfigured(
                f"setting task_routes: the route of {self.what} has an unknown option {name!r}"
                f"{did_you_mean(name, SEND_NAMES)}"
            )
        return found

    def _fields_of(self, options: Mapping[str, Any], now: float) -> dict[str, Any]:
        rules = self.rules
        fields = message_fields(options, what=self.what, now=now, zone=rules.zone)
        fields["task"] = self.name
        fields["origin"] = rules.origin
        if "priority" not in fields and rules.priority is not None:
            fields["priority"] = rules.priority
        return fields

    def _add_parent(self, fields: dict[str, Any], request: Request) -> None:
        """Say which task sends this one."""
        if "root_id" not in fields:
            fields["root_id"] = request.root_id or request.id
        if "parent_id" not in fields:
            fields["parent_id"] = request.id
        if self.rules.inherit_priority and "priority" not in fields and request.message is not None:
            fields["priority"] = request.message.priority


def sending_request() -> Request | None:
    """Return the request of the delivered task that the caller runs in, past tasks that are called like functions."""
    request = current_request.get()
    while request is not None and request.called_directly:
        request = cast("Request | None", request.get("caller"))
    return request


def _sayable(text: str) -> str:
    """Return text that UTF-8 can say; what an object's own __repr__ returns need not be such."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _given(task: Task[..., Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in _OF_TASK:
        value = getattr(task, name, None)
        if value is not None:
            found[name] = value
    return found


def _not_none(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _asks_nobody(routes: Any) -> bool:
    """Tell whether routes are tables only, so that a task's route is the same for each call."""
    if routes is None or isinstance(routes, Mapping):
        return True
    if isinstance(routes, (list, tuple)):
        return all(isinstance(one, (str, Mapping)) or _asks_nobody(one) for one in cast("list[Any]", routes))
    return isinstance(routes, str) or hasattr(routes, "pattern")
