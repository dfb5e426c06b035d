"""The life of messages on Redis, but for settling, which :mod:`celeriac.brokers.redis.operations.settling` has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any, Final

from celeriac.brokers.port import Cancelled, Promoted, Reclaimed, Sending
from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.operations.keeping import enqueue_all
from celeriac.brokers.redis.operations.records import (
    MAX_SCRIPT_BYTES,
    base,
    micros,
    payload_of,
    result_args,
    sending_args,
    stored,
)
from celeriac.brokers.redis.operations.settling import settle
from celeriac.brokers.redis.requests import Argument, RedisOperation, Request, Script, Scripts
from celeriac.brokers.rules import OWNER_MEMORY, VERDICT_LEASE, delivery, first_of_each, packed
from celeriac.core.message import Delivery, Lease, Message, Settlement, Start, StoredResult

CANCEL_STEP: Final = 100
"""Ids that one script looks for among all owners: some hundred owners may have to be asked for each."""


class QueueOperations:
    """The life of messages."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self._turns = count()  # Which partition is looked at first.

    def enqueue(self, messages: Sequence[Message], sending: Sending | None = None) -> RedisOperation[tuple[str, ...]]:
        """Keep the messages: those of one partition, up to some megabytes, all or none."""
        if len(messages) == 1 and messages[0].eta is None:
            return (yield from self._enqueue_one(messages[0], sending))
        groups: defaultdict[int, dict[str, tuple[Message, bytes]]] = defaultdict(dict)
        taken: set[str] = set()
        known: set[str] = set()
        for message, payload in packed(messages):
            if message.id not in taken:
                taken.add(message.id)
                groups[self.keys.of_queue(message.queue)][message.id] = (message, payload)
        for partition, group in groups.items():
            known |= yield from enqueue_all(self.keys.root(partition), group.values(), sending)
        if not known and len(taken) == len(messages):
            return ()
        repeated: list[str] = []
        for message in messages:
            if message.id in known:
                repeated.append(message.id)
            known.add(message.id)
        return tuple(repeated)

    def _enqueue_one(self, message: Message, sending: Sending | None) -> RedisOperation[tuple[str, ...]]:
        ((_, payload),) = packed((message,))
        args: list[Argument] = [
            *sending_args(sending),
            message.queue,
            base(message.priority),
            message.id,
            stored(message, payload),
        ]
        root = self.keys.root(self.keys.of_queue(message.queue))
        kept = yield Script("enqueue_one", (root,), args, repeatable=sending is not None)
        return () if kept else (message.id,)

    def claim(self, queues: Sequence[str], limit: int, owner: str, lease: float) -> RedisOperation[list[Delivery]]:
        """Lease ready messages; with several partitions, those of one after the other, each time another one first."""
        groups: defaultdict[int, list[str]] = defaultdict(list)
        for queue in dict.fromkeys(queues):
            groups[self.keys.of_queue(queue)].append(queue)
        partitions = list(groups)
        idles = int(self.keys.wakes_one)
        if limit <= 0 and not idles:
            return []
        if len(partitions) > 1:
            first = next(self._turns) % len(partitions)
            partitions = partitions[first:] + partitions[:first]
        found: list[Delivery] = []
        for partition in partitions:
            left = limit - len(found)
            if left <= 0 < limit:
                break
            args: list[Argument] = [owner, micros(lease), max(0, left), MAX_SCRIPT_BYTES, idles, *groups[partition]]
            reply = yield Script("claim", (self.keys.root(partition),), args)
            if reply:
                found += _deliveries(reply, owner, partition)
        return found

    def joined(self, first: Request, second: Request) -> Request | None:
        """Return both in one round trip, if the same server has their keys; see ``brokers/optional.py``, Joining."""
        if isinstance(first, Script) and isinstance(second, Script) and first.keys == second.keys:
            return Scripts((first, second))
        return None

    def start(self, starts: Sequence[Start]) -> RedisOperation[tuple[str, ...]]:
        groups: defaultdict[int, list[Start]] = defaultdict(list)
        lost: list[str] = []
        for one in starts:
            groups[one.lease.ref].append(one)
        for partition, group in groups.items():
            if not 0 <= partition < self.keys.partitions:
                lost += [one.lease.id for one in group]
                continue
            args: list[Argument] = []
            for one in group:
                args += (*_lease_args(one.lease), 1 if one.once else 0)
            places: list[int] = yield Script("start", (self.keys.root(partition),), args, repeatable=True)
            lost += [group[place].lease.id for place in places]
        return tuple(lost)

    def extend(self, owners: Sequence[str], lease: float) -> RedisOperation[tuple[str, ...]]:
        wanted = list(dict.fromkeys(owners))
        ended: set[str] = set()
        for root in self._roots() if wanted else ():
            reply = yield Script("extend", (root,), [micros(lease), *wanted])
            ended.update(name.decode() for name in reply)
        return tuple([owner for owner in wanted if owner in ended])

    def holdings(self, owner: str) -> RedisOperation[tuple[Lease, ...]]:
        leases: list[Lease] = []
        for partition in range(self.keys.partitions):
            reply = yield Script("holdings", (self.keys.root(partition),), (owner,), repeatable=True)
            pairs = zip(reply[::2], reply[1::2], strict=True)
            leases += [Lease(id.decode(), owner, int(token), partition) for id, token in pairs]
        return tuple(leases)

    def settle(self, settlements: Sequence[Settlement]) -> RedisOperation[tuple[str, ...]]:
        return settle(self.keys, settlements)

    def promote(self, limit: int) -> RedisOperation[Promoted]:
        total = 0
        waits: list[float] = []
        for root in self._roots():
            reply = yield Script("promote", (root,), (max(0, limit - total),), repeatable=True)
            total += reply[0]
            if len(reply) > 1:
                waits.append(max(0.0, float(reply[1]) - reply[2] / 1e6))
        return Promoted(total, min(waits) if waits else None)

    def reclaim(
        self,
        by: str,
        limit: int,
        *,
        crash_limit: int,
        owner: str | None = None,
        guilty: Sequence[Lease] = (),
        before: float | None = None,
    ) -> RedisOperation[Reclaimed]:
        released: list[str] = []
        verdicts: list[Delivery] = []
        owners: set[str] = set()
        named: tuple[int, str] = (0, "") if owner is None else (1, owner)
        until: str | int = "" if before is None or owner is not None else micros(before)
        at = 0.0
        blamed = [arg for lease in guilty for arg in (lease.id, f"{lease.token:016d}")]
        for partition in range(self.keys.partitions):
            left = limit - len(released) - len(verdicts)
            args: list[Argument] = [by, micros(VERDICT_LEASE), max(0, left), crash_limit, *named, until, *blamed]
            freed, judged, token, ended, now = yield Script("reclaim", (self.keys.root(partition),), args)
            at = max(at, now / 1e6)
            released += [id.decode() for id in freed]
            owners.update(name.decode() for name in ended)
            for at in range(0, len(judged), 4):
                id, value, crashes, cancelled = judged[at : at + 4]
                lease = Lease(id.decode(), by, token, partition)
                payload = payload_of(value)
                verdicts.append(delivery(payload, lease, crashes=crashes, suspect=True, cancelled=cancelled == 1))
        return Reclaimed(tuple(released), tuple(verdicts), tuple(sorted(owners)), at)

    def cancel(self, revoked: Sequence[StoredResult]) -> RedisOperation[list[Cancelled]]:
        results = first_of_each(revoked)
        found: dict[str, Cancelled] = {}
        for first in range(0, len(results), CANCEL_STEP):
            some = results[first : first + CANCEL_STEP]
            for partition in range(self.keys.partitions):
                left = [result for result in some if result.id not in found]
                args: list[Argument] = [1 if self.keys.partitions == 1 else 0]
                args += [arg for result in left for arg in result_args(result)]
                reply = yield Script("cancel", (self.keys.root(partition),), args)
                for result, owner in zip(left, reply, strict=True):
                    if owner is not None:
                        found[result.id] = _cancelled(result.id, owner)
                if self.keys.partitions > 1:
                    yield from self._store_removed([result for result in left if result.id in found], found)
        return [found.get(result.id, Cancelled(result.id, "unknown")) for result in results]

    def _store_removed(self, results: Sequence[StoredResult], found: dict[str, Cancelled]) -> RedisOperation[None]:
        for result in results:
            if found[result.id].outcome == "removed":
                root = self.keys.root(self.keys.of_id(result.id))
                yield Script("store", (root,), result_args(result), repeatable=True)

    def revive(self, ids: Sequence[str]) -> RedisOperation[tuple[str, ...]]:
        wanted = list(dict.fromkeys(ids))
        revived: set[str] = set()
        for partition in range(self.keys.partitions) if wanted else ():
            root = self.keys.root(partition)
            some = wanted
            if self.keys.partitions > 1:  # Their results are elsewhere, and go first: what follows may store new ones.
                reply = yield Script("dead", (root,), wanted, repeatable=True)
                some = [id.decode() for id in reply]
                for id in some:
                    yield Script("discard", (self.keys.root(self.keys.of_id(id)),), (id,))
            reply = yield Script("revive", (root,), some)
            revived.update(id.decode() for id in reply)
        return tuple([id for id in wanted if id in revived])

    def prune(self, dead_letter_age: float | None, limit: int) -> RedisOperation[int]:
        """Forget what does not expire by itself; only that is counted."""
        total = 0
        age = "" if dead_letter_age is None else micros(dead_letter_age)
        owners: set[bytes] = set()
        for root in self._roots():
            gone, more = yield Script("prune", (root,), (age, max(0, limit), micros(OWNER_MEMORY)), repeatable=True)
            owners.update(gone)
            total += more
            total += yield Script("uproot", (root,), ("", max(0, limit)), repeatable=True)
        return total + len(owners)

    def _roots(self) -> Iterator[str]:
        return map(self.keys.root, range(self.keys.partitions))


def _lease_args(lease: Lease) -> tuple[str, str, str]:
    return lease.owner, lease.id, f"{lease.token:016d}"


def handed_over(published: bytes, owner: str) -> Delivery:
    """Return the delivery that was handed over; ``keys.py`` says how it is published."""
    end = 19 + int(published[16:19])
    lease = Lease(published[19:end].decode(), owner, int(published[:16]), 0)
    return delivery(payload_of(published[end:]), lease)


def _deliveries(reply: Sequence[Any], owner: str, partition: int) -> list[Delivery]:
    token, ids, values, odd = reply
    found = [
        delivery(payload_of(value), Lease(id.decode(), owner, token, partition))
        for id, value in zip(ids, values, strict=True)
    ]
    for at in range(0, len(odd), 3):
        place, crashes, suspect = odd[at] - 1, odd[at + 1], odd[at + 2]
        lease = Lease(ids[place].decode(), owner, token, partition)
        found[place] = delivery(payload_of(values[place]), lease, crashes=crashes, suspect=suspect == b"1")
    return found


def _cancelled(id: str, owner: bytes) -> Cancelled:
    """An empty owner: it waited, and is gone. Otherwise a sign and who owns it, or just a sign where nobody does."""
    if owner == b"":
        return Cancelled(id, "removed")
    return Cancelled(id, "running", owner[1:].decode() if owner[:1] == b"+" else None)
