"""How lists, messages, results and records travel in parameters and rows.

A list is one parameter: the text of a PostgreSQL array. That is the same for every client library, so that a caller's
own connection can carry it, and it is quicker to make than what libraries make of a list. Byte strings have a form for
our own connections, too, which neither side has to translate.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias, TypeVar, cast

from celeriac.brokers.rules import is_over
from celeriac.core.message import Message, StoredResult, pack_result
from celeriac.errors import InvalidTaskError

T = TypeVar("T")


def text(value: str) -> str:
    """Return a text that PostgreSQL can keep.

    Raises:
        InvalidTaskError: It cannot: it has a NUL character.
    """
    if "\0" in value:
        raise InvalidTaskError(
            f"{value[:40]!r} has a NUL character, which PostgreSQL cannot keep in names and ids: use another"
        )
    return value


def shown(value: str | None) -> str | None:
    """Return a text for people without what PostgreSQL cannot keep."""
    return value if value is None or "\0" not in value else value.replace("\0", "\N{REPLACEMENT CHARACTER}")


def texts(values: Sequence[str | None]) -> str:
    """Return an array of texts."""
    if len(values) == 1:
        return "{" + _quoted(values[0]) + "}"
    try:
        # In most lists nothing needs to be quoted one by one.
        joined = '","'.join(cast("Sequence[str]", values))
    except TypeError:  # One is None.
        return "{" + ",".join([_quoted(value) for value in values]) + "}"
    if "\\" in joined or joined.count('"') != 2 * (len(values) - 1):
        return "{" + ",".join([_quoted(value) for value in values]) + "}"
    return '{"' + text(joined) + '"}'


def _quoted(value: str | None) -> str:
    if value is None:
        return "NULL"
    return '"' + text(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


class Blobs:
    """An array of byte strings."""

    __slots__ = ("values",)

    def __init__(self, values: Sequence[bytes | None]) -> None:
        self.values: Final = values

    def text(self) -> str:
        """Return what any client library can say."""
        return "{" + ",".join(["NULL" if one is None else f'"\\\\x{one.hex()}"' for one in self.values]) + "}"

    def binary(self) -> bytes:
        """Return what the protocol says, as array_recv reads it: dimensions, then each length and value."""
        if not self.values:
            return _NO_BLOBS
        size = _LENGTH.pack
        parts = [_NULL_LENGTH if one is None else size(len(one)) + one for one in self.values]
        return _BLOBS.pack(1, None in self.values, BYTEA, len(parts), 1) + b"".join(parts)


BYTEA: Final = 17
"""The number of the type bytea, in every PostgreSQL (pg_type.dat); that of its arrays is 1001."""
BYTEA_ARRAY: Final = 1001
_BLOBS: Final = struct.Struct("!iiIii")
_NO_BLOBS: Final = struct.pack("!iiI", 0, 0, BYTEA)
_LENGTH: Final = struct.Struct("!i")
_NULL_LENGTH: Final = struct.pack("!i", -1)


Column: TypeAlias = str | Blobs | None
Columns: TypeAlias = tuple[Column, ...]


def blobs(values: Iterable[bytes | None]) -> Blobs:
    """Return an array of byte strings."""
    return Blobs(list(values))


def numbers(values: Iterable[int | float | None]) -> str:
    """Return an array of numbers."""
    return "{" + ",".join(["NULL" if value is None else repr(value) for value in values]) + "}"


def flags(values: Iterable[bool]) -> str:
    """Return an array of truth values."""
    return "{" + ",".join(["t" if value else "f" for value in values]) + "}"


def _once(values: list[T]) -> list[T]:
    """Return a list of one if all are the same."""
    return values[:1] if values.count(values[0]) == len(values) else values


def unless_empty(make: Callable[[Sequence[T]], Column], values: Sequence[T], nothing: T) -> Column:
    """Return an array, or None for one that has nothing but ``nothing`` in it."""
    return None if all(value == nothing for value in values) else make(values)


def message_columns(messages: Sequence[tuple[Message, bytes]]) -> Columns:
    """Return what keep.sql takes of messages, at least one; a list of one stands for all."""
    etas = [message.eta for message, _ in messages]
    return (
        texts([message.id for message, _ in messages]),
        texts(_once([message.queue for message, _ in messages])),
        texts(_once([message.task for message, _ in messages])),
        numbers(_once([message.priority for message, _ in messages])),
        "{}" if etas.count(None) == len(etas) else numbers(etas),
        blobs([payload for _, payload in messages]),
    )


def result_columns(results: Sequence[StoredResult]) -> Columns:
    """Return what store.sql takes of results."""
    return (
        texts([result.id for result in results]),
        flags([is_over(result) for result in results]),
        numbers([result.expires for result in results]),
        blobs([pack_result(result) for result in results]),
    )
