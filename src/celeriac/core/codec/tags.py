"""Values that JSON has no word for, written as tagged objects, and read back.

A tagged object has exactly the two keys ``__type__`` and ``__value__``. The tags ``datetime``, ``date``, ``time``,
``decimal``, ``uuid``, ``bytes`` and ``base64`` are those of Celery's peers and are written as they write them. Two are
Celeriac's own: ``timedelta`` (days, seconds, microseconds, so that nothing is rounded) and ``dict`` (pairs; for a
dictionary that would itself look like a tagged object). A peer that does not know a tag must refuse the message, and so
does Celeriac: handing a task a dictionary where it expects a date would be a silent error.

What has a natural plain form is written in that form and comes back by annotation (:mod:`celeriac.core.codec.convert`):
an Enum as its value; a dataclass, a pydantic model and a msgspec Struct as a dictionary; a tuple as a list.
"""

from __future__ import annotations

import binascii
import dataclasses
import enum
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from math import isfinite
from typing import Any, Final, cast
from uuid import UUID

import msgspec

from celeriac.core.codec.refusal import Refused, is_orm_object
from celeriac.errors import DecodeError

TYPE: Final = "__type__"
VALUE: Final = "__value__"

_SCALARS: Final = frozenset({str, int, bool, type(None)})
_STR: Final = frozenset({str})
_NOTHING: Final[frozenset[type]] = frozenset()
_CONTAINERS: Final[frozenset[type]] = frozenset({list, dict})
_TAG_KEYS: Final = frozenset({TYPE, VALUE})


def is_plain(value: object) -> bool:
    """Return True if JSON can say ``value`` with no tag and no loss, tuples apart, which become lists.

    Raises:
        RecursionError: It is nested too deeply, or refers to itself.
    """
    kind = type(value)
    if kind is dict:
        mapping = cast("dict[object, object]", value)
        for key, item in mapping.items():
            kind = type(item)
            if type(key) is not str or not (kind in _SCALARS or is_plain(item)):
                return False
        return TYPE not in mapping
    if kind is list or kind is tuple:
        items = cast("Iterable[object]", value)
        # The first is 15 ns an item, the second 50.
        return _SCALARS.issuperset(map(type, items)) or all(map(is_plain, items))
    return kind in _SCALARS or (kind is float and isfinite(cast("float", value)))


class NotFinite(Exception):
    """There is a NaN or an infinity, and the format at hand has no word for it."""


def to_plain(value: object, native: frozenset[type] = _NOTHING) -> Any:
    """Return ``value`` made of dict, list, str, int, float, bool and None only, with tags where needed.

    Args:
        value: Anything.
        native: Further types that the format at hand can say by itself; ``float`` stands for NaN and infinities.

    Raises:
        Refused: There is something in it that has no such form; the exception holds it.
        NotFinite: There is a NaN or an infinity, and ``native`` has no ``float``.
        RecursionError: It is nested too deeply, or refers to itself.
    """
    kind = type(value)
    if kind in _SCALARS or kind in native:
        return value
    if kind is float:
        if isfinite(cast("float", value)):
            return value
        raise NotFinite
    if kind is list or kind is tuple:
        return [to_plain(item, native) for item in cast("Iterable[object]", value)]
    if kind is dict:
        return _plain_dict(cast("dict[object, object]", value), native)
    leaf = _LEAVES.get(kind)
    if leaf is not None:
        return leaf(value)
    return _plain_other(value, native)


def _plain_dict(value: Mapping[object, object], native: frozenset[type]) -> dict[str, Any]:
    out: dict[str, Any] = {_key(key, value): to_plain(item, native) for key, item in value.items()}
    if len(out) != len(value.keys()):  # A chain counts its steps, not its keys.
        raise Refused(value, "has two keys that become the same text, such as 1 and '1'")
    if out.keys() == _TAG_KEYS:
        return {TYPE: "dict", VALUE: [[key, item] for key, item in out.items()]}
    return out


def _key(key: object, owner: object) -> str:
    """Return a dictionary's key as text, in the same way as every JSON writer of Python does."""
    kind = type(key)
    if kind is str:
        return cast("str", key)
    if isinstance(key, enum.Enum):
        return _key(cast("object", key.value), owner)
    if isinstance(key, str):
        return str.__str__(key)
    if key is None:
        return "null"
    if kind is bool:
        return "true" if key else "false"
    if isinstance(key, int):
        return int.__repr__(key)
    if isinstance(key, float):
        return float.__repr__(key)
    raise Refused(owner, f"has a key of type {kind.__name__}, and keys must be text or numbers")


def _plain_other(value: object, native: frozenset[type]) -> Any:
    """Return the plain form of what is not exactly one of the built-in types."""
    kind = type(value)
    if isinstance(value, enum.Enum):
        return to_plain(value.value, native)
    to_json = getattr(kind, "__json__", None)
    if callable(to_json):
        return to_plain(to_json(value), native)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return to_plain(float.__float__(value), native)
    if isinstance(value, (list, tuple)):
        return [to_plain(item, native) for item in cast("Iterable[Any]", value)]
    if isinstance(value, dict):
        return _plain_dict(cast("dict[object, Any]", value), native)
    for base, leaf in _LEAVES.items():
        if isinstance(value, base):
            return leaf(value)
    if not is_orm_object(value):
        fields = fields_of(value)
        if fields is not None:
            return to_plain(fields, native)
        if any(base.__module__ == "django.utils.functional" and base.__name__ == "Promise" for base in kind.__mro__):
            return str(value)  # a translation that has waited for its language
    raise Refused(value)


def fields_of(value: Any) -> Any:
    """Return the dictionary (or list) that a model stands for; None if ``value`` is no model."""
    kind: type[object] = type(cast("object", value))
    if is_pydantic_model(kind):
        # round_trip leaves out what could not be read back, such as computed fields.
        return value.model_dump(mode="json", by_alias=True, round_trip=True)
    if isinstance(value, msgspec.Struct):
        return _struct_fields(value)
    if dataclasses.is_dataclass(kind):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(kind)}
    return None


def _struct_fields(value: msgspec.Struct) -> Any:
    config = value.__struct_config__
    names = msgspec.structs.fields(value)
    if config.array_like:
        start = [] if config.tag is None else [config.tag]
        return [*start, *(getattr(value, field.name) for field in names)]
    out = {field.encode_name: getattr(value, field.name) for field in names}
    out = {name: item for name, item in out.items() if item is not msgspec.UNSET}
    return out if config.tag is None or config.tag_field is None else {config.tag_field: config.tag, **out}


def is_pydantic_model(kind: type) -> bool:
    """Return True for a class made by pydantic, without importing pydantic."""
    return hasattr(kind, "__pydantic_validator__") and hasattr(kind, "model_validate")


def _tag(name: str, value: Any) -> dict[str, Any]:
    return {TYPE: name, VALUE: value}


def _tag_bytes(value: bytes) -> dict[str, Any]:
    try:
        return _tag("bytes", value.decode("utf-8"))
    except UnicodeDecodeError:
        return _tag("base64", binascii.b2a_base64(value, newline=False).decode("ascii"))


# datetime before date: a datetime is a date too.
_LEAVES: Final[Mapping[type, Callable[[Any], dict[str, Any]]]] = {
    datetime: lambda value: _tag("datetime", value.isoformat()),
    date: lambda value: _tag("date", value.isoformat()),
    time: lambda value: _tag("time", value.isoformat()),
    timedelta: lambda value: _tag("timedelta", [value.days, value.seconds, value.microseconds]),
    Decimal: lambda value: _tag("decimal", str(value)),
    UUID: lambda value: _tag("uuid", {"hex": value.hex}),
    bytes: _tag_bytes,
}


def _read_date(value: str) -> date:
    # A peer may have written a datetime's text.
    return datetime.fromisoformat(value).date()


def _read_timedelta(value: Any) -> timedelta:
    if isinstance(value, (int, float)):
        return timedelta(seconds=value)
    days, seconds, microseconds = value
    return timedelta(days=days, seconds=seconds, microseconds=microseconds)


def _read_dict(value: Any) -> dict[str, Any]:
    out = dict(cast("Iterable[tuple[str, Any]]", value))
    if not _STR.issuperset(map(type, out)):
        raise TypeError("a key is not text")
    return out


_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "datetime": datetime.fromisoformat,
    "date": _read_date,
    "time": time.fromisoformat,
    "timedelta": _read_timedelta,
    "decimal": lambda value: Decimal(_text(value)),
    "uuid": lambda value: UUID(hex=_text(value["hex"])),
    "bytes": lambda value: _text(value).encode("utf-8"),
    "base64": lambda value: binascii.a2b_base64(_text(value)),
    "dict": _read_dict,
}


def _text(value: object) -> str:
    if type(value) is not str:
        raise TypeError(f"text expected, not {type(value).__name__}")
    return value


def read_tag(value: dict[str, Any]) -> Any:
    """Return what a tagged object stands for; any other dictionary is returned as it is.

    Raises:
        DecodeError: The tag is unknown, or its value is not one of that type.
    """
    if len(value) != 2 or TYPE not in value or VALUE not in value:
        return value
    name = value[TYPE]
    reader = _READERS.get(name) if isinstance(name, str) else None
    if reader is None:
        raise DecodeError(f"unknown type tag {str(name)[:80]!r}; known are {', '.join(_READERS)}")
    try:
        return reader(value[VALUE])
    except (ValueError, TypeError, KeyError, OverflowError, InvalidOperation) as exc:
        raise DecodeError(f"the value tagged {name!r} is not one: {exc}") from exc


def read_tags(value: Any) -> Any:
    """Return ``value`` with every tagged object in it read. Lists and dictionaries are changed in place.

    Args:
        value: A tree: no list or dictionary is in it twice.

    Raises:
        DecodeError: As :func:`read_tag`.
        RecursionError: It is nested too deeply.
    """
    if type(value) is dict:
        mapping = cast("dict[str, Any]", value)
        for name, item in mapping.items():
            if type(item) in _CONTAINERS:
                mapping[name] = read_tags(item)
        return read_tag(mapping) if TYPE in mapping else mapping
    if type(value) is list:
        items = cast("list[object]", value)
        for place, item in enumerate(items):
            if type(item) in _CONTAINERS:
                items[place] = read_tags(item)
    return cast("object", value)


MOST_SHARED: Final = 1_000_000
"""Items that a value may have, each counted as often as it is in it, if some are in it more than once."""


def read_shared_tags(value: object) -> Any:
    """Do the same for a value in which a list or dictionary may be many times, and return a new one.

    Each is visited once: a few bytes of YAML can name one list a billion times. To read such a value costs nothing, but
    to show it, or to encode it again, would fill the memory, so it is refused.

    Raises:
        DecodeError: As :func:`read_tag`; or a list or dictionary contains itself, or is contained too often.
        RecursionError: It is nested too deeply.
    """
    return _read_shared(value, {})[0]


def _read_shared(value: object, seen: dict[int, tuple[Any, int]]) -> tuple[Any, int]:
    """Return the value, read, and how many items it has."""
    if type(value) not in _CONTAINERS:
        return value, 1
    key = id(value)
    if key in seen:
        found = seen[key]
        if found is _OPEN:
            raise DecodeError("a list or dictionary contains itself")
        if found[1] > MOST_SHARED:
            raise DecodeError(f"it names a list or dictionary of over {MOST_SHARED} items more than once")
        return found
    seen[key] = _OPEN
    out: Any
    if type(value) is list:
        parts = [_read_shared(item, seen) for item in cast("list[object]", value)]
        out, size = [part for part, _ in parts], sum([size for _, size in parts])
    else:
        read = {name: _read_shared(item, seen) for name, item in cast("dict[str, object]", value).items()}
        out, size = read_tag({name: part for name, (part, _) in read.items()}), sum([n for _, n in read.values()])
    seen[key] = out, size + 1
    return seen[key]


_OPEN: Final[tuple[Any, int]] = (object(), 0)
