"""How calls with more items than one operation takes are cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from celeriac.brokers.port import MAX_BATCH, Sending
from celeriac.core.message import Message

T = TypeVar("T")


def parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Cut a batch into batches of at most MAX_BATCH; nothing for an empty one."""
    if 0 < len(items) <= MAX_BATCH:
        yield items
        return
    for start in range(0, len(items), MAX_BATCH):
        yield items[start : start + MAX_BATCH]


def sendings(
    messages: Sequence[Message], sending: Sending | None
) -> Iterable[tuple[Sequence[Message], Sending | None]]:
    """Cut a call of enqueue into batches, each with what it is sent as."""
    if sending is None:
        return ((part, None) for part in parts(messages))
    return ((part, sending.part(place)) for place, part in enumerate(parts(messages)))
