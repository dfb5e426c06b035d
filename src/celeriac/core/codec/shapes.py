"""From an annotation to a function that restores such a value from its wire form.

One entry point, :func:`converter_for`. It knows the scalar types that have a textual form, Enum classes, dataclasses,
msgspec Structs and pydantic models, and lists, tuples, sets, dictionaries and Optionals of these.
"""

from __future__ import annotations

import base64
import collections.abc
import dataclasses
import enum
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeAlias, cast
from uuid import UUID

import msgspec

from celeriac.core.codec.tags import is_pydantic_model

Convert: TypeAlias = Callable[[Any], Any]
"""Restores a value, or returns it as it is; raises ValueError or TypeError for one that is not what it seems."""

_SEQUENCES: Final[Mapping[Any, Callable[[Iterable[Any]], Any]]] = {
    list: list,
    set: set,
    frozenset: frozenset,
    collections.abc.Sequence: list,
    collections.abc.MutableSequence: list,
    collections.abc.Iterable: list,
    collections.abc.Collection: list,
    collections.abc.Set: set,
}
_MAPPINGS: Final = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


def converter_for(hint: Any, *, strict: bool | None = None, context: Mapping[str, Any] | None = None) -> Convert | None:
    """Return what converts a plain value to the annotated type; None if there is nothing to convert.

    Args:
        hint: A resolved annotation.
        strict, context: For pydantic's ``model_validate``.
    """
    return _Shapes(strict, context).of(hint)


class _Shapes:
    """Builds converters; remembers the classes on the way, because a class may contain itself."""

    def __init__(self, strict: bool | None, context: Mapping[str, Any] | None) -> None:
        self._options: dict[str, Any] = {"strict": strict, "context": dict(context) if context else None}
        self._fields: dict[type, dict[str, Convert]] = {}

    def of(self, hint: Any) -> Convert | None:
        """Return the converter for ``hint``, or None."""
        hint = _bare(hint)
        origin = typing.get_origin(hint)
        if origin is None:
            return self._of_class(hint) if isinstance(hint, type) else None
        arguments = typing.get_args(hint)
        if origin is typing.Union or origin is types.UnionType:
            members = [one for one in arguments if one is not type(None)]
            # Which of several types a dictionary or a text was meant to be cannot be told.
            return self.of(members[0]) if len(members) == 1 else None
        if origin is tuple:
            return self._of_tuple(arguments)
        if origin in _SEQUENCES:
            return self._of_sequence(_SEQUENCES[origin], arguments[0])
        if origin in _MAPPINGS and len(arguments) == 2:
            return self._of_mapping(*arguments)
        return self._of_class(cast("type[Any]", origin)) if isinstance(origin, type) else None

    def _of_class(self, kind: type[Any]) -> Convert | None:
        scalar = _SCALARS.get(kind)
        if scalar is not None:
            return scalar
        if issubclass(kind, enum.Enum):
            return _enum(kind)
        if is_pydantic_model(kind):
            return self._model(kind)
        if issubclass(kind, msgspec.Struct):
            return self._struct(kind)
        if dataclasses.is_dataclass(kind):
            return self._dataclass(kind)
        return None

    def _model(self, kind: Any) -> Convert:
        options = self._options

        def convert(value: Any) -> Any:
            return value if isinstance(value, kind) or value is None else kind.model_validate(value, **options)

        return convert

    def _struct(self, kind: type[msgspec.Struct]) -> Convert:
        def hook(wanted: type, value: Any) -> Any:
            convert = self.of(wanted)
            return value if convert is None else convert(value)

        def restore(value: Any) -> Any:
            if not isinstance(value, (dict, list)):
                return value
            return msgspec.convert(cast("object", value), kind, strict=False, dec_hook=hook)

        return restore

    def _dataclass(self, kind: type[Any]) -> Convert:
        names = {field.name for field in dataclasses.fields(kind) if field.init}
        computed = {field.name for field in dataclasses.fields(kind) if not field.init}

        def restore(value: Any) -> Any:
            if not isinstance(value, dict):
                return value
            given = cast("dict[str, Any]", value)
            unknown = given.keys() - names - computed
            if unknown:
                raise TypeError(f"{kind.__name__} has no field {sorted(map(str, unknown))[0]!r}")
            converters = self._field_converters(kind)
            data: dict[str, Any] = {}
            for name, item in given.items():
                convert = converters.get(name)
                if name in names:
                    data[name] = item if convert is None else convert(item)
            return kind(**data)

        return restore

    def _field_converters(self, kind: type[Any]) -> dict[str, Convert]:
        """Return the converters of a class's fields; found out at the first use, when the class is complete."""
        found = self._fields.get(kind)
        if found is None:
            found = self._fields[kind] = {}
            try:
                hints = typing.get_type_hints(kind, include_extras=True)
            except Exception:  # an annotation may be any expression
                hints = {}
            for name, hint in hints.items():
                convert = self.of(hint)
                if convert is not None:
                    found[name] = convert
        return found

    def _of_sequence(self, make: Callable[[Iterable[Any]], Any], hint: Any) -> Convert | None:
        convert = self.of(hint)
        if convert is None:
            return None

        def restore(value: Any) -> Any:
            return make(map(convert, cast("list[Any]", value))) if isinstance(value, (list, tuple)) else value

        return restore

    def _of_tuple(self, hints: tuple[Any, ...]) -> Convert | None:
        if len(hints) == 2 and hints[1] is Ellipsis:
            return self._of_sequence(tuple, hints[0])
        converters = [self.of(hint) for hint in hints]
        if not any(converters):
            return None

        def restore(value: Any) -> Any:
            if not isinstance(value, (list, tuple)):
                return value
            items = cast("list[Any]", value)
            if len(items) != len(converters):
                raise ValueError(f"{len(converters)} items expected, not {len(items)}")
            pairs = zip(converters, items, strict=True)
            return tuple(item if convert is None else convert(item) for convert, item in pairs)

        return restore

    def _of_mapping(self, key_hint: Any, value_hint: Any) -> Convert | None:
        # JSON has text keys only; a whole number that was a key comes back as one.
        to_key = _int_key if _bare(key_hint) is int else None
        to_value = self.of(value_hint)
        if to_key is None and to_value is None:
            return None

        def restore(value: Any) -> Any:
            if not isinstance(value, dict):
                return value
            return {
                key if to_key is None else to_key(key): item if to_value is None else to_value(item)
                for key, item in cast("dict[object, Any]", value).items()
            }

        return restore


def _bare(hint: Any) -> Any:
    """Return the annotation without Annotated, NewType and alias around it."""
    while True:
        if typing.get_origin(hint) is typing.Annotated:
            hint = typing.get_args(hint)[0]
        elif isinstance(hint, typing.NewType):
            hint = hint.__supertype__
        elif type(hint).__name__ == "TypeAliasType":
            hint = hint.__value__
        else:
            return hint


def _int_key(key: Any) -> Any:
    return int(key) if isinstance(key, str) and key.removeprefix("-").isdecimal() else key


def _enum(kind: type[enum.Enum]) -> Convert:
    def restore(value: Any) -> Any:
        return value if value is None or isinstance(value, kind) else kind(value)

    return restore


def _from_text(kind: type[Any], read: Callable[[str], Any]) -> Convert:
    def restore(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return read(value)
        except (ValueError, InvalidOperation):
            raise ValueError(f"{value[:80]!r} is not a {kind.__name__}") from None

    return restore


def _to_datetime(value: Any) -> Any:
    # A peer's JSON may say a date where a datetime is wanted, but a date object here was one at the sender too.
    return datetime.fromisoformat(value)


def _to_timedelta(value: Any) -> Any:
    """Seconds, as a number, are a duration; a duration has no other wire form but its tag."""
    return timedelta(seconds=value) if type(value) in (int, float) else value


def _to_decimal(value: Any) -> Any:
    return Decimal(value) if type(value) is int else _decimal_text(value)


def _to_bytes(value: Any) -> Any:
    return base64.b64decode(value, validate=True)


_decimal_text: Final = _from_text(Decimal, Decimal)
_SCALARS: Final[Mapping[type, Convert]] = {
    datetime: _from_text(datetime, _to_datetime),
    date: _from_text(date, lambda text: datetime.fromisoformat(text).date()),
    time: _from_text(time, time.fromisoformat),
    timedelta: _to_timedelta,
    Decimal: _to_decimal,
    UUID: _from_text(UUID, UUID),
    bytes: _from_text(bytes, _to_bytes),
}
