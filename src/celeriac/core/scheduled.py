"""What a store knows of schedule entries: a name, bytes that it does not read, a due time.

A store keeps entries by name and finds those that are due. What an entry says, and when it is due next, is worked out
by whoever fires it (:mod:`celeriac.scheduler`); the store sees to it that each due time is fired once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Final

import msgspec

from celeriac.core.message import Message
from celeriac.core.seal import Seal
from celeriac.errors import InvalidTaskError

ENTRIES: Final = "celeriac.entries"
"""Waiters on this id are woken when entries change."""
MAX_ENTRY_BYTES: Final = 200
"""Longest name of an entry, in UTF-8 bytes."""
MAX_EDITION: Final = (1 << 52) - 1


class StoredEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One schedule entry as a store keeps it.

    Attributes:
        name: Its name; entries are in the order of their names' bytes.
        body: What it says, for whoever fires it.
        edition: A number, 1 to MAX_EDITION, that no other version of an entry of this name ever has: random.
        due: When it is due next, seconds since the epoch; None if it waits for nothing.
        state: What became of it so far, for whoever fires it. Only firing changes it.
        seal: As a message's, over name, body and edition.
        refused: Why nobody may act on it; never kept.
    """

    name: str
    body: bytes
    edition: int
    due: float | None = None
    state: bytes = b""
    seal: Seal | None = None
    refused: str | None = None


class Writing(msgspec.Struct, frozen=True, gc=False):
    """One entry to write.

    Attributes:
        entry: What it is to be. Its ``state`` is taken only if there is no entry of this name.
        replaces: The edition that it may replace; 0: there must be none; None: whatever is there.
        keeps_due: Leave the due time of what is there as it is.
    """

    entry: StoredEntry
    replaces: int | None = None
    keeps_due: bool = False


class Turn(msgspec.Struct, frozen=True, gc=False):
    """An entry whose time has come: its name, edition, due time and state."""

    name: str
    edition: int
    due: float
    state: bytes


class Turns(msgspec.Struct, frozen=True, gc=False):
    """What is due.

    Attributes:
        turns: The entries, those that are due longest first.
        now: The store's time.
        next_in: Seconds until the next one is due that is not among them; 0.0 if it is due already, None if none waits.
    """

    turns: tuple[Turn, ...]
    now: float
    next_in: float | None


class Firing(msgspec.Struct, frozen=True, gc=False):
    """What is to happen to one entry, if it still is of this edition and has this due time.

    Attributes:
        name, edition, due: Of the entry, as they were seen.
        next_due: When it is due next; None if it waits for nothing any more.
        state: What replaces its state.
        messages: What is enqueued in the same step.
    """

    name: str
    edition: int
    due: float | None
    next_due: float | None
    state: bytes
    messages: tuple[Message, ...] = ()


class _Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What of an entry changes only when it is written."""

    body: bytes
    seal: Seal | None = None


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Record)


def pack_entry(entry: StoredEntry) -> bytes:
    """Return what a store keeps of an entry beside its name, edition, due time and state."""
    return _encoder.encode(_Record(entry.body, entry.seal))


def unpack_entry(name: str, edition: int, due: float | None, state: bytes, record: bytes) -> StoredEntry:
    """Return the entry that was kept; one that cannot be read is refused, and keeps nobody from the others."""
    try:
        kept = _decoder.decode(record)
    except (msgspec.MsgspecError, RecursionError, ValueError, OverflowError, TypeError) as exc:
        return StoredEntry(
            name=name, body=b"", edition=edition, due=due, state=state, refused=f"its record cannot be read: {exc}"
        )
    return StoredEntry(name=name, body=kept.body, edition=edition, due=due, state=state, seal=kept.seal)


def check_name(name: str) -> None:
    """See to it that a store can keep an entry of this name.

    Raises:
        InvalidTaskError: It cannot.
    """
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        size = MAX_ENTRY_BYTES + 1
    if not 0 < size <= MAX_ENTRY_BYTES or "\0" in name:
        raise InvalidTaskError(
            f"the name of schedule entry {name[:40]!r} must have 1 to {MAX_ENTRY_BYTES} bytes in UTF-8 and no NUL"
            " character"
        )


def check_entry(entry: StoredEntry) -> StoredEntry:
    """Return the entry if a store can keep it.

    Raises:
        InvalidTaskError: Its name, edition or due time is out of bounds.
    """
    check_name(entry.name)
    if not 0 < entry.edition <= MAX_EDITION:
        raise InvalidTaskError(
            f"schedule entry {entry.name!r} has an edition that is no number from 1: {entry.edition}"
        )
    if entry.due is not None and not isfinite(entry.due):
        raise InvalidTaskError(f"schedule entry {entry.name!r} must be due at a finite time, not {entry.due!r}")
    return entry


def last_of_each(writings: Iterable[Writing]) -> list[Writing]:
    """Return the writings as a store carries them out: checked, and of several of one name the last."""
    return list({check_entry(one.entry).name: one for one in writings}.values())


def first_firings(firings: Sequence[Firing]) -> tuple[list[Firing], list[str]]:
    """Return the first firing of each entry, in the order of their names, and the names of the others.

    In one order, so that two who fire the same entries wait for each other, and never in a circle.
    """
    first: dict[str, Firing] = {}
    repeated: list[str] = []
    for firing in firings:
        if firing.next_due is not None and not isfinite(firing.next_due):
            raise InvalidTaskError(f"schedule entry {firing.name!r} cannot be due at {firing.next_due!r}")
        if first.setdefault(firing.name, firing) is not firing:
            repeated.append(firing.name)
    return [first[name] for name in sorted(first)], repeated
