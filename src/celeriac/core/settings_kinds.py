"""Kinds of setting values: what each accepts, and the error for what it does not.

A value may come from code, a settings module or an environment variable, so numbers and switches are understood as
text too. What is stored has always the one type that the kind says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from math import isnan
from typing import Any, Final, cast

import msgspec

from celeriac.core.codec import COMPRESSIONS, SERIALIZERS, accept_types, compression_type, content_type_of
from celeriac.core.redact import HIDDEN, is_secret, redact
from celeriac.core.security.keys import key_sources
from celeriac.errors import ImproperlyConfigured

_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})


class Kind(msgspec.Struct, frozen=True):
    """What a setting's value may be.

    Attributes:
        name: For the reference page: ``whole number``.
        check: Returns the value to store; raises ValueError with what was expected.
    """

    name: str
    check: Callable[[Any], Any]


def checked(name: str, kind: Kind, default: object, value: object) -> Any:
    """Return the value to store for a setting.

    Args:
        name: The setting's name, for the error.
        kind: What it accepts.
        default: Its default; where that is None, None is accepted.
        value: What was given.

    Raises:
        ImproperlyConfigured: The value is not of that kind; the text names the setting, the value and what is wanted.
    """
    if value is None and default is None:
        return None
    try:
        return kind.check(value)
    except ValueError as exc:
        also = " or None" if default is None else ""
        # A URL in a form that is none may hold its password anywhere.
        hidden = is_secret(name) or (kind.name == "URL" and isinstance(value, (bytes, bytearray, Mapping)))
        shown = HIDDEN if hidden else repr(redact(value, name=name))
        shown = shown if len(shown) <= 100 else f"{shown[:100]}..."
        raise ImproperlyConfigured(f"setting {name} = {shown}: must be {exc}{also}") from None


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise ValueError("text")


def _switch(value: object) -> bool:
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
    elif isinstance(value, (bool, int)) and value in (0, 1):
        return bool(value)
    raise ValueError("True or False")


def _number(value: object, what: str) -> float:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            raise ValueError(what) from None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    raise ValueError(what)


def _seconds(value: object) -> float:
    what = "a number of seconds of at least 0, or a timedelta"
    number = value.total_seconds() if isinstance(value, timedelta) else _number(value, what)
    if isnan(number) or number < 0:
        raise ValueError(what)
    return number


def _duration(value: object) -> float:
    number = _seconds(value)
    if number == 0:
        raise ValueError("a number of seconds above 0, or a timedelta")
    return number


def _any_number(value: object) -> float:
    number = _number(value, "a number")
    if isnan(number):
        raise ValueError("a number")
    return number


def _whole(value: object, least: int, most: int | None, what: str) -> int:
    if isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            raise ValueError(what) from None
    if not isinstance(value, int) or isinstance(value, bool) or value < least or (most is not None and value > most):
        raise ValueError(what)
    return value


def whole_number(least: int = 0, most: int | None = None) -> Kind:
    """Return the kind of whole numbers from ``least`` to ``most``."""
    span = f"of at least {least}" if most is None else f"from {least} to {most}"
    return Kind("whole number", lambda value: _whole(value, least, most, f"a whole number {span}"))


def choice(*allowed: str) -> Kind:
    """Return the kind of one text among several."""

    def check(value: object) -> str:
        if isinstance(value, str) and value in allowed:
            return value
        raise ValueError(f"one of {', '.join(map(repr, allowed))}")

    return Kind(" | ".join(f"`{one}`" for one in allowed), check)


def _concurrency(value: object) -> int | None:
    # Celery's word for one process for each core, which is what None says.
    return None if value == "auto" else _whole(value, 1, None, "a whole number of at least 1")


def _names(value: object) -> tuple[str, ...]:
    """A tuple of texts; one text stands for itself, or for several with commas between."""
    what = "a list of texts"
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if not isinstance(value, Iterable) or isinstance(value, (bytes, Mapping)):
        raise ValueError(what)
    items = tuple(cast("Iterable[object]", value))
    if not all(isinstance(item, str) for item in items):
        raise ValueError(what)
    return cast("tuple[str, ...]", items)


def _mapping(value: object) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(cast("Mapping[object, Any]", value))
    raise ValueError("a dictionary")


def _anything(value: object) -> object:
    return value


def _url(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)) and value:
        parts = cast("list[object]", value)
        if all(isinstance(part, str) for part in parts):
            return ";".join(cast("list[str]", parts))
    raise ValueError("a URL, or a list of URLs")


def _serializer(value: object) -> str:
    try:
        content_type_of(cast("str", value))
    except (ImproperlyConfigured, TypeError):
        raise ValueError(f"one of {', '.join(SERIALIZERS)}") from None
    return cast("str", value)


def _compression(value: object) -> str:
    try:
        compression_type(cast("str", value))
    except (ImproperlyConfigured, TypeError):
        raise ValueError(f"one of {', '.join(COMPRESSIONS)}") from None
    return cast("str", value)


def _content(value: object) -> tuple[str, ...]:
    names = _names(sorted(cast("set[str]", value)) if isinstance(value, (set, frozenset)) else value)
    try:
        accept_types(names)
    except ImproperlyConfigured as exc:
        raise ValueError(f"a list of serializer names ({exc})") from None
    return names


TEXT: Final = Kind("text", _text)
SWITCH: Final = Kind("True or False", _switch)
SECONDS: Final = Kind("seconds", _seconds)
DURATION: Final = Kind("seconds above 0", _duration)
NUMBER: Final = Kind("number", _any_number)
COUNT: Final = whole_number(0)
WHOLE: Final = whole_number(-(2**63))
POSITIVE: Final = whole_number(1)
PRIORITY: Final = whole_number(0, 9)
PORT: Final = whole_number(0, 65535)
CONCURRENCY: Final = Kind("whole number", _concurrency)
NAMES: Final = Kind("list of texts", _names)
MAPPING: Final = Kind("dictionary", _mapping)
ANYTHING: Final = Kind("any", _anything)
URL: Final = Kind("URL", _url)
SERIALIZER: Final = Kind("serializer", _serializer)
COMPRESSION: Final = Kind("compression", _compression)
CONTENT: Final = Kind("list of serializers", _content)
KEYS: Final = Kind("dictionary of keys", key_sources)


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table.

    Attributes:
        name: Its name.
        kind: What it accepts.
        default: Its value unless set.
        doc: What it does, one sentence.
        nullable: None is accepted.
        own: It is Celeriac's; Celery has no such setting.
        works: It has an effect; else it is only accepted.
        note: Why it has none.
    """

    name: str
    kind: Kind
    default: Any
    doc: str
    nullable: bool = False
    own: bool = False
    works: bool = True
    note: str = ""
