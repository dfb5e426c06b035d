"""Schedule entries on Redis.

An entry is in the partition of its name. With one partition, its messages are too. Where they are not, they go first,
as the first call of a sender that is named after their id, which their partition remembers for an hour: whoever repeats
a firing that was not finished then sends nothing twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from celeriac.brokers.port import Sending
from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.operations.keeping import enqueue_all
from celeriac.brokers.redis.operations.records import MAX_SCRIPT_BYTES, Runs, moment
from celeriac.brokers.redis.requests import Argument, RedisOperation, Script
from celeriac.brokers.rules import packed
from celeriac.core.message import Message
from celeriac.core.scheduled import (
    ENTRIES,
    Firing,
    StoredEntry,
    Turn,
    Turns,
    Writing,
    first_firings,
    last_of_each,
    pack_entry,
    unpack_entry,
)

FIRED_MEMORY: Final = 3600.0
"""Seconds for which another partition remembers what was sent to it."""
EDITION_DIGITS: Final = 16
_Packed: TypeAlias = list[tuple[Message, bytes]]
_Plan: TypeAlias = tuple[Firing, _Packed, _Packed]
"""A firing, its messages in the entry's own partition, and the others."""


class ScheduleOperations:
    """Schedule entries."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self._channel = keys.done_channel(ENTRIES)

    def put_entries(self, writings: Sequence[Writing]) -> RedisOperation[tuple[str, ...]]:
        groups: defaultdict[int, list[Argument]] = defaultdict(list)
        for writing in last_of_each(writings):
            entry = writing.entry
            replaces: str | int = "" if writing.replaces is None else writing.replaces
            groups[self.keys.of_id(entry.name)] += (
                entry.name,
                _digits(entry.edition),
                moment(entry.due),
                entry.state,
                pack_entry(entry),
                replaces,
                int(writing.keeps_due),
            )
        refused: list[str] = []
        for partition, args in groups.items():
            root = (self.keys.root(partition),)
            reply = yield Script("put_entries", root, (self._channel, *args), repeatable=True)
            refused += [name.decode() for name in reply]
        return tuple(refused)

    def drop_entries(self, names: Sequence[str]) -> RedisOperation[tuple[str, ...]]:
        gone: list[str] = []
        for partition, some in self._by_partition(names).items():
            reply = yield Script("drop_entries", (self.keys.root(partition),), (self._channel, *some))
            gone += [name.decode() for name in reply]
        return tuple(gone)

    def due_entries(self, limit: int) -> RedisOperation[Turns]:
        turns: list[Turn] = []
        waits: list[float] = []
        now = 0.0
        for partition in range(self.keys.partitions):
            root = (self.keys.root(partition),)
            at, names, known, after = yield Script("due_entries", root, (max(0, limit),), repeatable=True)
            now = at / 1e6
            for name, value in zip(names, known, strict=True):
                if value is not None:
                    edition, due, state = _known(value)
                    turns.append(Turn(name.decode(), edition, now if due is None else due, state))
            if after:
                waits.append(max(0.0, float(after) - now))
        turns.sort(key=_due)
        if len(turns) > limit:
            waits.append(0.0)
        return Turns(tuple(turns[: max(0, limit)]), now, min(waits, default=None))

    def fire_entries(self, firings: Sequence[Firing]) -> RedisOperation[tuple[str, ...]]:
        valid, refused = first_firings(firings)
        groups: defaultdict[int, list[Firing]] = defaultdict(list)
        for firing in valid:
            groups[self.keys.of_id(firing.name)].append(firing)
        plans = {
            partition: [(one, *self._sorted(one.messages, partition)) for one in some]
            for partition, some in groups.items()
        }
        for partition, plan in plans.items():
            if any(elsewhere for _, _, elsewhere in plan):
                plan, stale = yield from self._go_before(partition, plan)
                refused += stale
            part: list[_Plan] = []
            size = 0
            for one in plan:
                bytes_of = sum([len(payload) for _, payload in one[1]])
                if part and size + bytes_of > MAX_SCRIPT_BYTES:
                    refused += yield from self._fire(partition, part)
                    part, size = [], 0
                part.append(one)
                size += bytes_of
            if part:
                refused += yield from self._fire(partition, part)
        return tuple(refused)

    def _go_before(self, partition: int, plan: list[_Plan]) -> RedisOperation[tuple[list[_Plan], list[str]]]:
        """Send what belongs into other partitions, for entries that have not moved on; return these, and the others."""
        names = [firing.name for firing, _, _ in plan]
        _, known = yield Script("get_entries", (self.keys.root(partition),), names, repeatable=True)
        kept: list[_Plan] = []
        stale: list[str] = []
        for one, value in zip(plan, known, strict=True):
            firing, _, elsewhere = one
            if value is None or _known(value)[:2] != (firing.edition, firing.due):
                stale.append(firing.name)
                continue
            kept.append(one)
            for message, payload in elsewhere:
                root = self.keys.root(self.keys.of_queue(message.queue))
                sending = Sending(f"entry:{message.id}", 1, FIRED_MEMORY)
                yield from enqueue_all(root, [(message, payload)], sending)
        return kept, stale

    def _sorted(self, messages: Iterable[Message], partition: int) -> tuple[_Packed, _Packed]:
        """Return the messages of this partition, and the others."""
        here: _Packed = []
        elsewhere: _Packed = []
        for message, payload in packed(messages):
            (here if self.keys.of_queue(message.queue) == partition else elsewhere).append((message, payload))
        return here, elsewhere

    def _fire(self, partition: int, plan: list[_Plan]) -> RedisOperation[list[str]]:
        """Fire all, or else all but those that are refused: what is the same for many messages is said once for all."""
        refused: list[str] = []
        while plan:
            args: list[Argument] = [len(plan)]
            runs = Runs()
            for firing, here, _ in plan:
                seen = f"{_digits(firing.edition)}{moment(firing.due)}\0"
                args += (firing.name, seen, moment(firing.next_due), firing.state)
                for message, payload in here:
                    runs.add(message, payload)
            reply = yield Script("fire_entries", (self.keys.root(partition),), (*args, *runs.args))
            if not reply:
                break
            names = {name.decode() for name in reply}
            refused += names
            plan = [one for one in plan if one[0].name not in names]
        return refused

    def get_entries(self, names: Sequence[str]) -> RedisOperation[list[StoredEntry]]:
        found: list[StoredEntry] = []
        for partition, some in self._by_partition(names).items():
            reply = yield Script("get_entries", (self.keys.root(partition),), some, repeatable=True)
            for name, record, known in zip(some, *reply, strict=True):
                if record is not None and known is not None:
                    edition, due, state = _known(known)
                    found.append(unpack_entry(name, edition, due, state, record))
        return found

    def page_entries(self, after: str, limit: int) -> RedisOperation[list[StoredEntry]]:
        names: list[bytes] = []
        for partition in range(self.keys.partitions):
            root = (self.keys.root(partition),)
            names += yield Script("page_entries", root, (after, max(0, limit)), repeatable=True)
        names.sort()
        wanted = [name.decode() for name in names[: max(0, limit)]]
        found = yield from self.get_entries(wanted)
        return sorted(found, key=_name)

    def _by_partition(self, names: Iterable[str]) -> dict[int, list[str]]:
        groups: defaultdict[int, list[str]] = defaultdict(list)
        for name in dict.fromkeys(names):
            groups[self.keys.of_id(name)].append(name)
        return groups


def _digits(edition: int) -> str:
    return f"{edition:016d}"


def _due(turn: Turn) -> float:
    return turn.due


def _name(entry: StoredEntry) -> bytes:
    return entry.name.encode()


def _known(value: bytes) -> tuple[int, float | None, bytes]:
    """Return edition, due time and state, which stand in one value."""
    end = value.index(b"\0", EDITION_DIGITS)
    due = value[EDITION_DIGITS:end]
    return int(value[:EDITION_DIGITS]), float(due) if due else None, value[end + 1 :]
