"""Looking into a Redis broker, clearing away, and its version."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from celeriac.brokers.port import QueueStats, Record
from celeriac.brokers.redis.keys import SCHEMA_VERSION, Keys
from celeriac.brokers.redis.operations.records import record
from celeriac.brokers.redis.requests import Argument, RedisOperation, Script
from celeriac.core import state
from celeriac.errors import SchemaError

GET_STEP: Final = 100
"""Ids that one script looks for: some hundred owners may have to be asked for each."""
OWNED_STEP: Final = 2000
"""Messages of owners that one script looks through, unless a single owner holds more."""
PURGE_STEP: Final = 1000
"""Messages that one script drops: a few milliseconds."""

LINES: Final = {state.PENDING: "q", state.SCHEDULED: "l", state.RETRY: "y", state.DEAD: "dead"}
HELD: Final = {state.RECEIVED: "R", state.STARTED: "S"}


class InspectOperations:
    """Looking, clearing away, and the version."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys

    def stats(self) -> RedisOperation[list[QueueStats]]:
        found: list[QueueStats] = []
        for root in self._roots():
            rows, now = yield Script("stats", (root,), repeatable=True)
            for queue, ready, scheduled, owned, dead, since in rows:
                oldest = None if since is None else max(0.0, now / 1e6 - float(since))
                found.append(
                    QueueStats(
                        queue=queue.decode(), ready=ready, scheduled=scheduled, owned=owned, dead=dead, oldest=oldest
                    )
                )
        return sorted(found, key=lambda one: one.queue)

    def tallies(self) -> RedisOperation[dict[tuple[str, str], int]]:
        counts: Counter[tuple[str, str]] = Counter()
        for root in self._roots():
            reply = yield Script("tallies", (root,), repeatable=True)
            for field, count in zip(reply[::2], reply[1::2], strict=True):
                length, _, names = field.partition(b":")
                name, task = names[: int(length)], names[int(length) :]
                counts[task.decode("utf-8", "surrogatepass"), name.decode()] += int(count)
        return dict(counts)

    def page(self, states: Sequence[str], queue: str | None, cursor: int, limit: int) -> RedisOperation[list[Record]]:
        """Return what one script for the messages that wait, and some for those that are owned, have found.

        A message that is claimed or given back in between may be left out, or shown as it was.
        """
        if limit <= 0:
            return []
        lines = [LINES[name] for name in dict.fromkeys(states) if name in LINES]
        held = "".join(HELD[name] for name in dict.fromkeys(states) if name in HELD)
        which: tuple[int, str] = (0, "") if queue is None else (1, queue)
        partitions = range(self.keys.partitions) if queue is None else (self.keys.of_queue(queue),)
        found: dict[str, Record] = {}
        for partition in partitions:
            root = self.keys.root(partition)
            after = max(0, (cursor - partition) // self.keys.partitions)
            rows: list[Any] = []
            if lines:
                rows += yield Script("page", (root,), (after, limit, ",".join(lines), *which), repeatable=True)
            if held:
                holders = yield Script("owners", (root,), repeatable=True)
                for part in _parts(holders):
                    rows += yield Script("owned", (root,), (after, limit, held, *which, *part), repeatable=True)
            for row in rows:
                one = record(row, partition, self.keys.partitions)
                found.setdefault(one.id, one)
        return sorted(found.values(), key=lambda one: one.cursor)[:limit]

    def get(self, ids: Sequence[str]) -> RedisOperation[list[Record]]:
        wanted = list(dict.fromkeys(ids))
        found: dict[str, Record] = {}
        for first in range(0, len(wanted), GET_STEP):
            some = wanted[first : first + GET_STEP]
            for partition in range(self.keys.partitions):
                rows = yield Script("get", (self.keys.root(partition),), some, repeatable=True)
                for row in rows:
                    one = record(row, partition, self.keys.partitions)
                    found.setdefault(one.id, one)
        return [found[id] for id in wanted if id in found]

    def purge(self, queue: str, *, dead: bool = False) -> RedisOperation[int]:
        """Drop what there was when the purge began, some hundreds in one script, so that nobody waits for long."""
        root = self.keys.root(self.keys.of_queue(queue))
        lines = "dead" if dead else "q,l,y"
        count, end = 0, ""
        while True:
            dropped, last = yield Script("purge", (root,), (queue, lines, PURGE_STEP, end))
            end = last.decode()
            count += int(dropped)
            if dropped < PURGE_STEP:
                return count

    def now(self) -> RedisOperation[float]:
        reply = yield Script("now", (self.keys.root(0),), repeatable=True)
        return int(reply) / 1e6

    def install(self) -> RedisOperation[int]:
        for partition in range(self.keys.partitions):
            root = self.keys.root(partition)
            found = yield Script("install", (root,), (SCHEMA_VERSION,), repeatable=True)
            _check(found, self.keys.tag(partition))
        return SCHEMA_VERSION

    def verify(self) -> RedisOperation[int]:
        for partition in range(self.keys.partitions):
            found = yield Script("version", (self.keys.root(partition),), repeatable=True)
            _check(found, self.keys.tag(partition))
        return SCHEMA_VERSION

    def _roots(self) -> Iterator[str]:
        return map(self.keys.root, range(self.keys.partitions))


def _parts(holders: Sequence[Any]) -> Iterator[list[Argument]]:
    """Cut the owners so that no script looks through too many messages; yield what owned.lua takes for them."""
    part: list[Argument] = []
    size = 0
    for at in range(0, len(holders), 3):
        name, owner, count = holders[at : at + 3]
        if part and size + count > OWNED_STEP:
            yield part
            part, size = [], 0
        part += (name, owner or b"")
        size += count
    if part:
        yield part


def _check(found: bytes | None, tag: str) -> None:
    if found is None:
        raise SchemaError(
            f"this Redis has no Celeriac broker under {tag}: if it is a new one, start a worker, send a task, or run"
            " `celeriac db upgrade`; if not, all keys were deleted, or the URL names another database or prefix"
        )
    if found != str(SCHEMA_VERSION).encode():
        newer = found.isdigit() and int(found) > SCHEMA_VERSION
        raise SchemaError(
            f"the keys under {tag} were written by version {found.decode('utf-8', 'replace')!r} of the schema, and this"
            f" Celeriac knows version {SCHEMA_VERSION}: "
            + ("upgrade Celeriac" if newer else "choose another prefix in the URL, as in ?prefix=celeriac2")
        )
