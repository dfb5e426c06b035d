"""Identifiers.

Task ids are UUIDs as Celery's are. Ids of messages that follow from another message are derived from it, so that the
same step done twice names the same message twice and a store can drop the second.
"""

from __future__ import annotations

import os
import uuid
from typing import Final

from celeriac.core.clock import SYSTEM

MAX_ID_BYTES = 200
"""Longest task id in UTF-8 bytes: what a worker's slot table can hold."""

_FOLLOW_UP_NAMESPACE = uuid.UUID("6f1dd0c4-5b0a-5c53-9c55-3a3f5ee6a2f1")
_WITH_SLASH_NAMESPACE = uuid.UUID("0d2f5c1e-8f0a-5d7b-9a63-f1f0b7c2f9d4")


_BATCH = 256
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
_MOMENT: Final = (1 << 48) - 1
_tails: list[str] = []
"""Random ends of ids. A system call for each id would cost more than all the rest of sending a task."""
_head: tuple[int, str] = (-1, "")
"""The last millisecond in which an id was made, and how it begins."""


def new_id() -> str:
    """Return a new UUID of version 7 as text: milliseconds since the epoch, then 74 random bits.

    Ids of one time stand beside each other in an index, so that a batch changes a few pages of it rather than
    hundreds: on SQLite that doubles what enqueueing and settling reach. Nothing relies on their order. Safe in threads
    and after a fork.
    """
    global _head
    try:
        tail = _tails.pop()
    except IndexError:
        tail = _more_tails()
    moment = int(SYSTEM.now() * 1000)
    before, head = _head
    if moment != before:
        text = f"{moment & _MOMENT:012x}"
        head = f"{text[:8]}-{text[8:]}-7"
        _head = (moment, head)
    return head + tail


def _more_tails() -> str:
    """Make more ends of ids; return one that is not among them."""
    # uuid.UUID spends most of its time in __init__; the fields are put together by hand (RFC 9562, section 5.7).
    text = os.urandom(16 * _BATCH).hex()
    made = [
        f"{text[at + 13 : at + 16]}-{_VARIANT[text[at + 16]]}{text[at + 17 : at + 20]}-{text[at + 20 : at + 32]}"
        for at in range(0, len(text), 32)
    ]
    tail = made.pop()
    _tails.extend(made)
    return tail


if hasattr(os, "register_at_fork"):
    # A child process must not hand out the ids that its parent hands out.
    os.register_at_fork(after_in_child=_tails.clear)


def follow_up_id(parent_id: str, step: str) -> str:
    """Return the id of the message that ``step`` of task ``parent_id`` sends; the same for the same two alone."""
    if "/" in parent_id:
        # The first slash would not tell where the parent's id ends; its length does.
        return str(uuid.uuid5(_WITH_SLASH_NAMESPACE, f"{len(parent_id)}:{parent_id}/{step}"))
    return str(uuid.uuid5(_FOLLOW_UP_NAMESPACE, f"{parent_id}/{step}"))
