"""Options of one call, turned into fields of its message.

A message travels as bytes whose reader checks every type, so each option is checked here, where its sender can be told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import tzinfo
from typing import Any, Final
from uuid import UUID

import msgspec

from celeriac.app import times
from celeriac.app.canvas import signatures
from celeriac.app.narrowing import is_mapping
from celeriac.app.options import Wrong, compression, flag, priority, queue_name, serializer, stamp_names
from celeriac.core.codec import NO_EMBED, encode
from celeriac.errors import CeleriacError, InvalidTaskError


def message_fields(options: Mapping[str, Any], *, what: str, now: float, zone: tzinfo) -> dict[str, Any]:
    """Return the fields of the message that the options set. An option that is None sets none.

    Args:
        options: As :class:`celeriac.app.options.SendOptions` has them.
        what: What to call the task in errors, such as ``task 'proj.add'``.
        now: Seconds since the epoch.
        zone: In which datetimes without a time zone are read.

    Raises:
        InvalidTaskError: An option's value is not valid.
    """
    fields: dict[str, Any] = {}
    name = ""
    try:
        for name, value in options.items():
            reader = _READERS.get(name)
            if reader is not None and value is not None:
                field, read = reader
                found = read(value)
                if field is not None:
                    fields[field] = found
    except (Wrong, SerializationFailed) as exc:
        raise InvalidTaskError(f"{what}: {name}={options[name]!r:.200} {exc}") from None
    try:
        _add_times(fields, options, now=now, zone=zone)
    except InvalidTaskError as exc:
        raise InvalidTaskError(f"{what}: {exc}") from None
    _add_stamps(fields, options, what)
    return fields


def embed_of(options: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what follows the task, as its body carries it; None for nothing.

    Raises:
        TypeError: A link is not a signature.
    """
    link, link_error = options.get("link"), options.get("link_error")
    if not link and not link_error:
        return None
    return {
        **NO_EMBED,
        "callbacks": signatures(link, "link") or None,
        "errbacks": signatures(link_error, "link_error") or None,
    }


_TOO_MANY: Final = 2**63


class SerializationFailed(Exception):
    """A header cannot be encoded."""


def _add_times(fields: dict[str, Any], options: Mapping[str, Any], *, now: float, zone: tzinfo) -> None:
    eta = times.not_before(options.get("countdown"), options.get("eta"), now=now, zone=zone)
    if eta is not None:
        fields["eta"] = eta
    expires = times.not_after(options.get("expires"), now=now, zone=zone)
    if expires is not None:
        fields["expires"] = expires
    hard, soft = options.get("time_limit"), options.get("soft_time_limit")
    if hard is None and soft is None:
        return
    limits = (_limit(hard, "time_limit"), _limit(soft, "soft_time_limit"))
    if limits[0] is not None and limits[1] is not None and limits[1] >= limits[0]:
        raise InvalidTaskError(f"soft_time_limit={soft!r} must be shorter than time_limit={hard!r}, or it never acts")
    fields["timelimit"] = limits


def _limit(value: Any, name: str) -> float | None:
    if value is None:
        return None
    found = times.seconds(value, name)
    if found <= 0:
        raise InvalidTaskError(f"{name}={value!r} must be greater than zero; None means the task's own")
    return found


def _add_stamps(fields: dict[str, Any], options: Mapping[str, Any], what: str) -> None:
    given: object = options.get("stamped_headers")
    if given is None:
        return
    names = stamp_names(given)
    if names is None:
        raise InvalidTaskError(f"{what}: stamped_headers={given!r:.200} must be a list of names")
    fields["stamped_headers"] = names
    try:
        fields["stamps"] = _headers({_text(one): options[one] for one in names if one in options})
    except (Wrong, SerializationFailed) as exc:
        raise InvalidTaskError(f"{what}: a stamp {exc}") from None


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise Wrong("must be a text that is not empty")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Wrong("must be text that UTF-8 can say") from None
    return value


def _id(value: Any) -> str:
    return str(value) if isinstance(value, UUID) else _text(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _TOO_MANY:
        raise Wrong("must be a whole number from 0")
    return value


def _mode(value: Any) -> int:
    if value not in (1, 2, "transient", "persistent"):
        raise Wrong("must be 2 (persistent) or 1 (transient)")
    return 1 if value in (1, "transient") else 2


def _exchange(value: Any) -> str:
    name = value if isinstance(value, str) else getattr(value, "name", None)
    if not isinstance(name, str):
        raise Wrong("must be the name of an exchange")
    return _text(name) if name else name


def _headers(value: Any) -> dict[str, Any]:
    if not is_mapping(value):
        raise Wrong("must be a dictionary")
    found = dict(value)
    for name, one in found.items():
        if not isinstance(name, str):
            raise Wrong(f"must have text as names, not {name!r}")
        # What a header may be is what every broker's own format carries: plain values, without type tags.
        try:
            tagged = b"__type__" in encode(one, "json", subject=f"header {name!r}").body
            msgspec.msgpack.encode({name: one})
        except CeleriacError as exc:
            raise SerializationFailed(str(exc)) from None
        except (UnicodeEncodeError, OverflowError, RecursionError) as exc:
            raise SerializationFailed(f"has {name!r}, which no message can carry: {exc}") from None
        if tagged:
            raise SerializationFailed(
                f"has {name!r} of type {type(one).__name__}: headers carry text, numbers, lists and dictionaries only"
            )
    return found


_READERS: Final[Mapping[str, tuple[str | None, Callable[[Any], Any]]]] = {
    # Option: (field, how it is read); without a field, it is checked only.
    "serializer": (None, serializer),
    "compression": (None, compression),
    "retry": (None, flag),
    "add_to_parent": (None, flag),
    "task_id": ("id", _id),
    "queue": ("queue", queue_name),
    "priority": ("priority", priority),
    "shadow": ("shadow", _text),
    "headers": ("headers", _headers),
    "ignore_result": ("ignore_result", flag),
    "root_id": ("root_id", _id),
    "parent_id": ("parent_id", _id),
    "group_id": ("group", _id),
    "group_index": ("group_index", _count),
    "retries": ("retries", _count),
    "exchange": ("exchange", _exchange),
    "routing_key": ("routing_key", _text),
    "delivery_mode": ("delivery_mode", _mode),
    "reply_to": ("reply_to", _text),
    "correlation_id": ("correlation_id", _text),
    "argsrepr": ("argsrepr", _text),
    "kwargsrepr": ("kwargsrepr", _text),
    "replaced_task_nesting": ("replaced_task_nesting", _count),
}
