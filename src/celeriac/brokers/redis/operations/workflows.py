"""What workflows wait for, on Redis: a hash for each, in the partition of its id."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from celeriac.brokers.port import Sending
from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.operations.keeping import enqueue_all
from celeriac.brokers.redis.operations.records import Runs, payload_of, queue_of, stored
from celeriac.brokers.redis.requests import Argument, RedisOperation, Script
from celeriac.brokers.rules import arrived, opened, packed
from celeriac.core.message import Arrival, Message, pack, pack_result
from celeriac.core.workflow import LAST, Harvest, Join, Workflow, WorkflowRecord

RELEASE_MEMORY: Final = 86_400.0
"""Seconds for which a partition remembers that a join of another one has been closed."""


class WorkflowOperations:
    """What workflows wait for."""

    keys: Keys

    def plant(self, workflow: Workflow, joins: Sequence[Join]) -> RedisOperation[None]:
        keep: Argument = "" if workflow.keep is None else int(workflow.keep * 1000)
        args: list[Argument] = [workflow.id, workflow.size, keep, workflow.record]
        for join in joins:
            args += (join.number, join.size, join.first, len(join.messages))
            args += [_entry(message, payload) for message, payload in packed(join.messages)]
        yield Script("plant", (self._home(workflow.id),), args, repeatable=True)

    def arrive(self, arrivals: Sequence[Arrival]) -> RedisOperation[None]:
        yield from arrive_all(self.keys, arrivals)

    def harvest(self, workflow: str, join: int, after: int, limit: int, until: int = LAST) -> RedisOperation[Harvest]:
        args = (workflow, join, after, limit, until)
        reply = yield Script("harvest", (self._home(workflow),), args, repeatable=True)
        if reply is None:
            return Harvest(-1, None, [])
        size, failed, found = reply
        return Harvest(
            size,
            None if failed < 0 else failed,
            [
                arrived(int(slot), value[:1] == b"1", value[1:], message or None)
                for slot, value, message in zip(found[::3], found[1::3], found[2::3], strict=True)
            ],
        )

    def workflows(self, ids: Sequence[str], cursor: float, limit: int) -> RedisOperation[list[WorkflowRecord]]:
        records: list[WorkflowRecord] = []
        for partition in range(self.keys.partitions):
            own = [id for id in ids if self.keys.of_id(id) == partition]
            if ids and not own:
                continue
            args: list[Argument] = [repr(cursor), limit, *own]
            reply = yield Script("workflows", (self.keys.root(partition),), args, repeatable=True)
            records += [_record(reply[at : at + 8]) for at in range(0, len(reply), 8)]
        records.sort(key=lambda one: one.cursor)
        return records if ids else records[:limit]

    def reopen(
        self, workflow: str, places: Sequence[tuple[int, int]], messages: Sequence[Message] = ()
    ) -> RedisOperation[int]:
        """Empty slots and keep messages; with several partitions one after the other, and messages of others last."""
        home = self.keys.of_id(workflow)
        here = Runs()
        elsewhere: defaultdict[int, list[tuple[Message, bytes]]] = defaultdict(list)
        for message, payload in packed(messages):
            partition = self.keys.of_queue(message.queue)
            if partition == home:
                here.add(message, payload)
            else:
                elsewhere[partition].append((message, payload))
        args: list[Argument] = [workflow, len(places), *[number for place in places for number in place], *here.args]
        count: int = yield Script("reopen", (self._home(workflow),), args)
        for partition, group in elsewhere.items():
            yield from enqueue_all(self.keys.root(partition), group)
        return count

    def note(self, workflow: str, number: int, record: bytes) -> RedisOperation[None]:
        yield Script("note", (self._home(workflow),), (workflow, number, record), repeatable=True)

    def parts(self, workflow: str, after: int, limit: int) -> RedisOperation[list[tuple[int, bytes]]]:
        found = yield Script("parts", (self._home(workflow),), (workflow, after, limit), repeatable=True)
        return list(zip(found[::2], found[1::2], strict=True))

    def uproot(self, ids: Sequence[str]) -> RedisOperation[int]:
        total = 0
        for partition in range(self.keys.partitions):
            own = [id for id in ids if self.keys.of_id(id) == partition]
            if own:
                total += yield Script("uproot", (self.keys.root(partition),), own, repeatable=True)
        return total

    def _home(self, workflow: str) -> str:
        return self.keys.root(self.keys.of_id(workflow))


def arrival_args(arrival: Arrival) -> tuple[str, int, int, int, bytes, bytes]:
    """Return what scripts take for an arrival."""
    return (
        arrival.workflow,
        arrival.join,
        arrival.slot,
        1 if arrival.failed else 0,
        pack_result(arrival.result),
        b"" if arrival.message is None else pack(arrival.message),
    )


def arrive_all(keys: Keys, arrivals: Iterable[Arrival]) -> RedisOperation[None]:
    """Put outcomes into their slots; with several partitions, keep what that makes ready in the partition of its queue.

    A repetition finds that the join was closed by the same slot, and does the rest again; the partitions know what they
    had already.
    """
    homes: defaultdict[int, list[Argument]] = defaultdict(list)
    for arrival in arrivals:
        homes[keys.of_id(arrival.workflow)] += arrival_args(arrival)
    alone = keys.partitions == 1
    ready: defaultdict[tuple[int, str, int], list[tuple[Message, bytes]]] = defaultdict(list)
    for partition, args in homes.items():
        reply = yield Script("arrive", (keys.root(partition),), [1 if alone else 0, *args], repeatable=True)
        for at in range(0, len(reply), 4):
            workflow, join, time, entry = reply[at : at + 4]
            message, payload = _ready(entry)
            name = f"{workflow.decode()}/{join.decode()}"
            ready[keys.of_queue(message.queue), name, int(time)].append((message, payload))
    for (partition, name, time), messages in ready.items():
        yield from enqueue_all(keys.root(partition), messages, Sending(name, time, RELEASE_MEMORY))


def _entry(message: Message, payload: bytes) -> bytes:
    """Return what is kept of a message that waits for a join; parts/joins.lua reads it."""
    id = message.id.encode()
    delay = None if message.place is None else message.place.delay
    kind, number = ("d", delay) if delay is not None else ("-", 0.0) if message.eta is None else ("e", message.eta)
    return b"%03d%s%s%s" % (len(id), id, f"{kind}{number:24.6f}".encode(), stored(message, payload))


def _ready(entry: bytes) -> tuple[Message, bytes]:
    length = int(entry[:3])
    id = entry[3 : 3 + length].decode()
    kind, number, value = entry[3 + length : 4 + length], float(entry[4 + length : 28 + length]), entry[28 + length :]
    payload = payload_of(value)
    message = opened(payload, id) or Message(id=id, task="?", queue=queue_of(value))
    due = None if kind == b"-" else number
    return msgspec.structs.replace(message, eta=due), payload


def _record(reply: Sequence[bytes]) -> WorkflowRecord:
    number, id, created, ended, size, remaining, failed, record = reply
    return WorkflowRecord(
        id=id.decode(),
        created=int(created) / 1e6,
        ended=int(ended) / 1e6 if ended else None,
        size=int(size),
        remaining=int(remaining),
        failed=int(failed) == 1,
        record=record,
        cursor=float(number),
    )
