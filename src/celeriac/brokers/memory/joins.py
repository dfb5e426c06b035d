"""What the memory broker keeps of workflows: their joins, by the rules of :mod:`celeriac.core.workflow`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice

from celeriac.brokers.rules import packed
from celeriac.core.clock import Clock
from celeriac.core.message import Arrival, Message, check, pack_result, unpack_result
from celeriac.core.workflow import (
    ROOT,
    Arrived,
    Harvest,
    Join,
    Tally,
    Workflow,
    WorkflowRecord,
    arrive,
)

Ready = Callable[[Iterable[tuple[Message, float | None]]], object]
"""Keeps messages, each after so many seconds."""


@dataclass(slots=True)
class _Join:
    size: int
    tally: Tally
    messages: dict[str, Message] = field(default_factory=dict[str, Message])
    slots: dict[int, tuple[bool, bytes, Message | None]] = field(
        default_factory=dict[int, tuple[bool, bytes, Message | None]]
    )


@dataclass(slots=True)
class _Planted:
    workflow: Workflow
    created: float
    number: int
    ended: float | None = None
    joins: dict[int, _Join] = field(default_factory=dict[int, _Join])
    parts: dict[int, bytes] = field(default_factory=dict[int, bytes])


class Joins:
    """All workflows of a store.

    Args:
        clock: Says what time it is.
        ready: What to do with the messages of a join that is closed.
    """

    def __init__(self, clock: Clock, ready: Ready) -> None:
        self._clock = clock
        self._ready = ready
        self._planted: dict[str, _Planted] = {}
        self._number = 0

    def plant(self, workflow: Workflow, joins: Sequence[Join]) -> None:
        """Keep a workflow, or another part of one."""
        for one in joins:
            packed(one.messages)  # What cannot be kept is refused whole.
        planted = self._planted.get(workflow.id)
        if planted is None:
            self._number += 1
            planted = self._planted[workflow.id] = _Planted(workflow, self._clock.now(), self._number)
            planted.joins[ROOT] = _Join(workflow.size, Tally(workflow.size))
        for part in joins:
            join = planted.joins.setdefault(part.number, _Join(part.size, Tally(part.size)))
            for message in part.messages:
                join.messages.setdefault(message.id, message)

    def arrive(self, arrivals: Sequence[Arrival]) -> None:
        """Fill slots, and do what follows from that."""
        for arrival in arrivals:
            planted = self._planted.get(arrival.workflow)
            join = None if planted is None else planted.joins.get(arrival.join)
            if planted is None or join is None or arrival.slot in join.slots:
                continue
            join.slots[arrival.slot] = (arrival.failed, pack_result(arrival.result), arrival.message)
            is_root = arrival.join == ROOT
            join.tally, closes = arrive(join.tally, arrival.slot, failed=arrival.failed, root=is_root)
            if closes and is_root:
                planted.ended = self._clock.now()
            elif closes:
                self._release(join)

    def _release(self, join: _Join) -> None:
        self._ready((one, one.place.delay if one.place is not None else None) for one in join.messages.values())

    def harvest(self, workflow: str, join: int, after: int, limit: int, until: int) -> Harvest:
        """Return a page of what lies in a join."""
        planted = self._planted.get(workflow)
        found = None if planted is None else planted.joins.get(join)
        if found is None:
            return Harvest(-1, None, [])
        filled = sorted(slot for slot in found.slots if after < slot <= until)
        page = [
            Arrived(slot, failed, unpack_result(value), message)
            for slot in filled[:limit]
            for failed, value, message in (found.slots[slot],)
        ]
        return Harvest(found.size, found.tally.failed, page)

    def workflows(self, ids: Sequence[str], cursor: float, limit: int) -> list[WorkflowRecord]:
        """Return the workflows with these ids, or those after the cursor, oldest first."""
        found = (self._planted[one] for one in ids if one in self._planted) if ids else self._planted.values()
        return [self._record(one) for one in islice((one for one in found if ids or one.number > cursor), limit)]

    def _record(self, planted: _Planted) -> WorkflowRecord:
        root = planted.joins[ROOT].tally
        return WorkflowRecord(
            id=planted.workflow.id,
            created=planted.created,
            size=planted.workflow.size,
            remaining=root.remaining,
            failed=root.failed is not None,
            record=planted.workflow.record,
            ended=planted.ended,
            cursor=float(planted.number),
        )

    def reopen(self, workflow: str, places: Sequence[tuple[int, int]], messages: Sequence[Message]) -> int:
        """Empty slots in which failures lie, and keep the messages; return how many were emptied."""
        self._ready([(check(one), None) for one in messages])
        planted = self._planted.get(workflow)
        count = 0
        for number, slot in places if planted is not None else ():
            join = planted.joins.get(number) if planted is not None else None
            if planted is None or join is None or not join.slots.get(slot, (False,))[0]:
                continue
            del join.slots[slot]
            count += 1
            failed = next((one for one, content in sorted(join.slots.items()) if content[0]), None)
            closed = number != ROOT and failed is not None
            join.tally = Tally(join.tally.remaining + 1, failed, closed)
            if number == ROOT:
                planted.ended = None
        return count

    def note(self, workflow: str, number: int, record: bytes) -> None:
        """Remember a part of a workflow."""
        planted = self._planted.get(workflow)
        if planted is not None:
            planted.parts.setdefault(number, record)

    def parts(self, workflow: str, after: int, limit: int) -> list[tuple[int, bytes]]:
        """Return a page of what is known of a workflow's parts."""
        planted = self._planted.get(workflow)
        found = sorted(planted.parts.items()) if planted is not None else []
        return [one for one in found if one[0] > after][:limit]

    def uproot(self, ids: Sequence[str]) -> int:
        """Forget workflows; return how many."""
        return sum([self._planted.pop(one, None) is not None for one in ids])

    def prune(self, limit: int) -> int:
        """Forget up to ``limit`` workflows that are over for long enough; return how many."""
        now = self._clock.now()
        gone = [
            id
            for id, one in self._planted.items()
            if one.ended is not None and one.workflow.keep is not None and one.ended + one.workflow.keep <= now
        ]
        return self.uproot(gone[:limit])
