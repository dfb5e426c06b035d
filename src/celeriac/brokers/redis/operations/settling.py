"""Settling on Redis.

With one partition all that a settlement says is one script, hence one step. Where a result or what follows belongs to
another partition, or what follows is too large for one script, the order is: which leases hold; results; follow-ups;
the settlement itself. Each step may be repeated without harm, so that a crash between two of them loses and doubles
nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.operations.keeping import enqueue_all
from celeriac.brokers.redis.operations.records import MAX_SCRIPT_BYTES, Runs, base, moment, result_args, stored
from celeriac.brokers.redis.operations.workflows import arrival_args, arrive_all
from celeriac.brokers.redis.requests import Argument, RedisOperation, Script
from celeriac.brokers.rules import checked, goes_if_cancelled, packed, tally_state
from celeriac.core.message import Arrival, Message, Settlement

ACTIONS: Final = {"done": "d", "retry": "r", "release": "l", "dead": "x"}
ResultArgs = tuple[str, str, bytes]


class _Item:
    """One settlement, sorted into what its own partition is told, and what is done elsewhere before."""

    __slots__ = ("args", "arrival", "follow_ups", "result", "settlement", "size")

    def __init__(self, settlement: Settlement) -> None:
        self.settlement = settlement
        self.args: list[Argument] = []
        self.size = 0
        self.result: ResultArgs | None = None
        self.follow_ups: list[tuple[Message, bytes]] = []
        self.arrival: Arrival | None = None


def settle(keys: Keys, settlements: Sequence[Settlement]) -> RedisOperation[tuple[str, ...]]:
    """Carry out what the leases allow; see the port."""
    valid, lost = checked(settlements)
    groups: defaultdict[int, list[_Item]] = defaultdict(list)
    for settlement in valid:
        partition = settlement.lease.ref
        if 0 <= partition < keys.partitions:
            groups[partition].append(_item(keys, partition, settlement))
        else:
            lost.append(settlement.lease.id)
    for partition, items in groups.items():
        for part in _parts(items):
            lost += yield from _settle_part(keys, partition, part)
    return tuple(lost)


def _item(keys: Keys, partition: int, settlement: Settlement) -> _Item:
    item = _Item(settlement)
    here = Runs()
    for follow_up, payload in packed(settlement.follow_ups):
        if keys.of_queue(follow_up.queue) == partition:
            here.add(follow_up, payload)
        else:
            item.follow_ups.append((follow_up, payload))
    if here.size > MAX_SCRIPT_BYTES:
        item.follow_ups = packed(settlement.follow_ups)
        here = Runs()
    result = None if settlement.result is None else result_args(settlement.result)
    if result is not None and keys.of_id(result[0]) != partition:
        item.result, result = result, None
    action, message = settlement.action, settlement.message
    counted = tally_state(settlement) or ""
    if message is not None and action != "done" and keys.of_queue(message.queue) != partition:
        moved = msgspec.structs.replace(message, eta=settlement.due)
        item.follow_ups += packed((moved,))
        action = "done"
    keeps = action != "done"
    value = stored(message) if message is not None and keeps else None
    arrival = settlement.arrival
    if arrival is not None and keys.partitions > 1:
        item.arrival, arrival = arrival, None
    plan = (
        f"{settlement.lease.token:016d}{ACTIONS[action]}{'c' if settlement.crashed else '-'}"
        f"{'-' if result is None else 'r'}{'-' if value is None else 'm'}{'-' if arrival is None else 'a'}{counted}"
    )
    args = item.args
    args += (settlement.lease.id, plan)
    if result is not None:
        args += result
        item.size += len(result[2])
    if arrival is not None:
        told = arrival_args(arrival)
        args += told
        item.size += len(told[4]) + len(told[5])
    args.append(here.count)
    args += here.args
    item.size += here.size
    if keeps:
        args += (moment(settlement.due), "-" if settlement.reason is None else f"+{settlement.reason}")
    if value is not None and message is not None:
        args += (base(message.priority), value)
        item.size += len(value)
    return item


def _parts(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    """Cut a batch so that no script has too many bytes, unless one settlement has."""
    part: list[_Item] = []
    size = 0
    for item in items:
        if part and size + item.size > MAX_SCRIPT_BYTES:
            yield part
            part, size = [], 0
        part.append(item)
        size += item.size
    if part:
        yield part


def _settle_part(keys: Keys, partition: int, items: list[_Item]) -> RedisOperation[list[str]]:
    root = keys.root(partition)
    lost: list[str] = []
    if any(item.result is not None or item.follow_ups or item.arrival is not None for item in items):
        items, lost = yield from _go_before(keys, root, items)
    by_owner: defaultdict[str, list[_Item]] = defaultdict(list)
    for item in items:
        by_owner[item.settlement.lease.owner].append(item)
    args: list[Argument] = [1 if keys.partitions == 1 else 0]
    ids: list[str] = []
    for owner, group in by_owner.items():
        args += (owner, len(group))
        for item in group:
            args += item.args
            ids.append(item.settlement.lease.id)
    places, revoked = yield Script("settle", (root,), args)
    for at in range(0, len(revoked), 3):
        id, expires, value = revoked[at : at + 3]
        home = keys.root(keys.of_id(id.decode()))
        yield Script("store", (home,), (id, expires, value), repeatable=True)
    return lost + [ids[place] for place in places]


def _go_before(keys: Keys, root: str, items: list[_Item]) -> RedisOperation[tuple[list[_Item], list[str]]]:
    """Keep what belongs elsewhere, of those whose lease holds; return these, and the ids of the others."""
    leases = [item.settlement.lease for item in items]
    args = [arg for lease in leases for arg in (lease.owner, lease.id, f"{lease.token:016d}")]
    unheld: list[int]
    marked: list[int]
    unheld, marked = yield Script("held", (root,), args, repeatable=True)
    lost, cancelled = set(unheld), set(marked)
    good = [item for place, item in enumerate(items) if place not in lost]
    arrivals: list[Arrival] = []
    results: defaultdict[int, list[Argument]] = defaultdict(list)
    follow_ups: defaultdict[int, list[tuple[Message, bytes]]] = defaultdict(list)
    for place, item in enumerate(items):
        if place in lost:
            continue
        if place in cancelled and goes_if_cancelled(item.settlement):
            item.args = _as_release(item)
            if item.arrival is not None:
                arrivals.append(item.arrival)
            continue
        if item.arrival is not None and not goes_if_cancelled(item.settlement):
            arrivals.append(item.arrival)
        if item.result is not None:
            results[keys.of_id(item.result[0])] += item.result
        for message, payload in item.follow_ups:
            follow_ups[keys.of_queue(message.queue)].append((message, payload))
    for partition, stored_args in results.items():
        yield Script("store", (keys.root(partition),), stored_args, repeatable=True)
    for partition, messages in follow_ups.items():
        yield from enqueue_all(keys.root(partition), messages)
    if arrivals:
        yield from arrive_all(keys, arrivals)
    return good, [leases[place].id for place in sorted(lost)]


def _as_release(item: _Item) -> list[Argument]:
    """Return the arguments of a plain release: the script sees that the task was cancelled, and lets it go."""
    lease = item.settlement.lease
    return [lease.id, f"{lease.token:016d}l----", 0, "", "-"]
