"""How lists, messages, results and records travel in parameters and rows.

A list is one parameter: the text of a PostgreSQL array. That is the same for every client library, so that a caller's
own connection can carry it, and it is quicker to make than what libraries make of a list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias, TypeVar, cast

from celeriac.brokers.rules import is_over
from celeriac.core.message import Message, StoredResult, pack_result
from celeriac.errors import InvalidTaskError

T = TypeVar("T")
Columns: TypeAlias = tuple[str | None, ...]


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


def blobs(values: Iterable[bytes | None]) -> str:
    """Return an array of byte strings."""
    return "{" + ",".join(["NULL" if value is None else f'"\\\\x{value.hex()}"' for value in values]) + "}"


def numbers(values: Iterable[int | float | None]) -> str:
    """Return an array of numbers."""
    return "{" + ",".join(["NULL" if value is None else repr(value) for value in values]) + "}"


def flags(values: Iterable[bool]) -> str:
    """Return an array of truth values."""
    return "{" + ",".join(["t" if value else "f" for value in values]) + "}"


def unless_empty(make: Callable[[Sequence[T]], str], values: Sequence[T], nothing: T) -> str | None:
    """Return an array, or None for one that has nothing but ``nothing`` in it."""
    return None if all(value == nothing for value in values) else make(values)


def message_columns(messages: Sequence[tuple[Message, bytes]]) -> Columns:
    """Return what enqueue.sql takes of messages."""
    return (
        texts([message.id for message, _ in messages]),
        texts([message.queue for message, _ in messages]),
        texts([message.task for message, _ in messages]),
        numbers([message.priority for message, _ in messages]),
        numbers([message.eta for message, _ in messages]),
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
