"""Short representations of arguments, for logs, events and pages.

:func:`saferepr` never raises, whatever the objects in it do, is bounded in time and size, and hides the values of keys
that look like secrets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, cast

from celeriac.core.redact import HIDDEN, is_secret

LIMIT: Final = 1024
"""Characters kept by default, as in Celery's ``argsrepr``."""

_SHORT: Final = frozenset({int, float, bool, str, type(None)})
_HIDDEN: Final = repr(HIDDEN)
_MORE: Final = "..."
_BRACKETS: Final[Mapping[type, tuple[str, str]]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    set: ("{", "}"),
    frozenset: ("frozenset({", "})"),
}


class _Full(Exception):
    """The limit is reached."""


def saferepr(value: object, limit: int = LIMIT, *, levels: int = 3, redact: bool = True) -> str:
    """Return ``repr(value)``, cut to ``limit`` characters (then ``...`` follows).

    Args:
        value: Usually a task's args or kwargs.
        limit: The most characters to return, ``...`` apart.
        levels: How deep containers are shown; deeper ones appear as ``...``.
        redact: Show ``'***'`` for the value of a key that looks like a secret, such as ``password`` or ``api_key``.
    """
    kind: type[object] = type(value)
    if kind is tuple:
        items = cast("tuple[object, ...]", value)
        if not items:
            return _cut("()", limit)
        kinds = {*map(type, items)}
        if len(items) < 20 and kinds <= _SHORT and (str not in kinds or not _any_long(items, limit)):
            try:
                return _cut(repr(items), limit)
            except Exception:  # an integer of too many digits
                pass
    elif kind is dict and not value:
        return "{}"
    writer = _Writer(limit, redact)
    try:
        writer.write(value, levels)
    except _Full:
        pass
    except RecursionError:
        writer.parts.append(_MORE)
    return _cut("".join(writer.parts), limit)


def _any_long(items: tuple[object, ...], limit: int) -> bool:
    """Tell whether one is a text too long to be written out, only to be cut."""
    return any(type(item) is str and len(item) > limit for item in items)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit] + _MORE


class _Writer:
    """Collects text up to a limit."""

    def __init__(self, limit: int, redact: bool) -> None:
        self.parts: list[str] = []
        self._room = limit
        self._redact = redact

    def write(self, value: object, levels: int) -> None:
        """Write one value."""
        kind = type(value)
        if kind is dict:
            self._write_dict(cast("dict[object, object]", value), levels)
        elif kind in _BRACKETS:
            self._write_items(cast("Iterable[object]", value), levels, *_BRACKETS[kind])
        elif kind is str or kind is bytes:
            # No need to write out a megabyte to show its beginning.
            self._add(repr(cast("str", value)[: self._room + 1]))
        else:
            self._add(_repr_of(value))

    def _write_items(self, items: Iterable[object], levels: int, opening: str, closing: str) -> None:
        if not items and closing != "]":
            self._add({")": "()", "}": "set()"}.get(closing, "frozenset()"))
            return
        self._add(opening)
        if levels <= 0 and items:
            self._add(_MORE)
        else:
            count = 0
            for item in items:
                if count:
                    self._add(", ")
                self.write(item, levels - 1)
                count += 1
            if count == 1 and closing == ")":
                self._add(",")
        self._add(closing)

    def _write_dict(self, mapping: dict[object, object], levels: int) -> None:
        self._add("{")
        if levels <= 0 and mapping:
            self._add(_MORE)
        else:
            first = True
            for key, item in mapping.items():
                if not first:
                    self._add(", ")
                first = False
                self.write(key, levels - 1)
                self._add(": ")
                if self._redact and is_secret(key):
                    self._add(_HIDDEN)
                else:
                    self.write(item, levels - 1)
        self._add("}")

    def _add(self, text: str) -> None:
        self.parts.append(text)
        self._room -= len(text)
        if self._room < 0:
            raise _Full


def _repr_of(value: object) -> str:
    try:
        return repr(value)
    except Exception as exc:  # a task must not fail because its argument cannot show itself
        return f"<{type(value).__name__}: its repr raised {type(exc).__name__}>"
