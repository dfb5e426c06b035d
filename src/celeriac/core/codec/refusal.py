"""What cannot be sent, and the sentence that says so.

The commonest mistake is to pass an object of an ORM: it would be stale when the task runs, so it is refused with the
advice to pass its primary key. Objects are recognised by their marks; no framework is imported.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from celeriac.errors import SerializationError

_HINTS: Final[Mapping[str, str]] = {
    "set": "pass a list, such as sorted(value)",
    "frozenset": "pass a list, such as sorted(value)",
    "dict_keys": "pass list(value)",
    "dict_values": "pass list(value)",
    "dict_items": "pass list(value)",
    "range": "pass list(value)",
    "generator": "pass list(value)",
    "map": "pass list(value)",
    "filter": "pass list(value)",
    "zip": "pass list(value)",
    "bytearray": "pass bytes(value)",
    "memoryview": "pass bytes(value)",
    "complex": "pass its real and imaginary parts",
    "PosixPath": "pass str(value)",
    "PurePosixPath": "pass str(value)",
    "WindowsPath": "pass str(value)",
    "ZoneInfo": "pass value.key",
    "coroutine": "await it first and pass what it returns",
    "function": "pass the name of a task, or send the task itself",
    "ndarray": "pass value.tolist()",
    "DataFrame": "store it and pass where it is",
    "QuerySet": "pass a list of primary keys",
}
_GENERAL_HINT: Final = (
    "pass plain values (text, numbers, dates, bytes, lists, dictionaries, dataclasses), or give its class a method"
    " __json__ that returns them"
)


class Refused(Exception):
    """Somewhere inside a value is an object that the format cannot say.

    Attributes:
        culprit: The object.
        reason: What is wrong with it, continuing a sentence that names it.
    """

    def __init__(self, culprit: object, reason: str | None = None) -> None:
        super().__init__(culprit, reason)
        self.culprit = culprit
        self.reason = reason


def is_orm_object(value: object) -> bool:
    """Return True for an instance of a Django model or of a class that SQLAlchemy maps."""
    kind = type(value)
    return (
        hasattr(kind, "__mapper__")
        or "_sa_instance_state" in getattr(value, "__dict__", ())
        or (hasattr(kind, "_meta") and hasattr(kind, "pk"))
    )


def _primary_key(value: object) -> str:
    """Return the name of the attribute that holds the primary key, ``id`` where it cannot be told."""
    kind: Any = type(value)
    try:
        if hasattr(kind, "__mapper__"):
            return str(kind.__mapper__.primary_key[0].key)
        return str(kind._meta.pk.name)
    except Exception:  # whatever an unknown framework raises must not hide the error that is being described
        return "pk" if hasattr(kind, "pk") else "id"


def explain(subject: str, value: Any, refused: Refused, *, serializer: str, variable: str) -> SerializationError:
    """Return the error for ``refused``.

    Args:
        subject: What was to be encoded: ``argument 'user' of task 'proj.mail'``.
        value: The whole value.
        refused: What was wrong, somewhere inside it.
        serializer: The serializer's name.
        variable: What the value is called in the advice.
    """
    culprit = refused.culprit
    path = _path_to(value, culprit)
    place = f"{subject}{'' if not path else f', at {variable}{path},'}"
    kind = type(culprit)
    if refused.reason is not None:
        return SerializationError(f"{place} {refused.reason}")
    if is_orm_object(culprit):
        key = f"{variable}{path or ''}.{_primary_key(culprit)}"
        return SerializationError(
            f"{place} is a {kind.__name__} model instance: pass its primary key ({key}) and load it in the task"
        )
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    hint = _HINTS.get(kind.__name__, _GENERAL_HINT)
    return SerializationError(f"{place} is of type {name}, which {serializer} cannot carry: {hint}")


def _path_to(value: Any, culprit: object, depth: int = 0) -> str | None:
    """Return how to get from ``value`` to ``culprit`` in Python's notation; None if it is not found."""
    if value is culprit:
        return ""
    if depth > 50:
        return None
    for step, item in _children(value):
        rest = _path_to(item, culprit, depth + 1)
        if rest is not None:
            return step + rest
    return None


def _children(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict):
        return [(f"[{key!r}]", item) for key, item in cast("dict[object, object]", value).items()]
    if isinstance(value, (list, tuple)):
        return [(f"[{index}]", item) for index, item in enumerate(cast("Iterable[object]", value))]
    if dataclasses.is_dataclass(value):
        return [(f".{field.name}", getattr(value, field.name)) for field in dataclasses.fields(value)]
    return []
