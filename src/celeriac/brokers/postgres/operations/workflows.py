"""What workflows wait for, on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

from celeriac.brokers.postgres.operations.calls import Asking
from celeriac.brokers.postgres.operations.rows import (
    Columns,
    blobs,
    flags,
    message_columns,
    numbers,
    text,
    texts,
)
from celeriac.brokers.rules import arrived, packed
from celeriac.brokers.sql.requests import SqlOperation
from celeriac.core.message import Arrival, Message, pack, pack_result
from celeriac.core.workflow import LAST, ROOT, Harvest, Join, Workflow, WorkflowRecord


class WorkflowOperations(Asking):
    """What workflows wait for."""

    def plant(self, workflow: Workflow, joins: Sequence[Join]) -> SqlOperation[None]:
        waiting: list[tuple[int, int, tuple[Message, bytes]]] = [
            (join.number, seq, pair) for join in joins for seq, pair in enumerate(packed(join.messages), join.first)
        ]
        columns: Columns = (None,) * 9
        if waiting:
            delays = [pair[0].place.delay if pair[0].place is not None else None for _, _, pair in waiting]
            columns = (
                numbers([number for number, _, _ in waiting]),
                numbers([seq for _, seq, _ in waiting]),
                numbers(delays),
                *message_columns([pair for _, _, pair in waiting]),
            )
        all_joins = [(ROOT, workflow.size), *[(one.number, one.size) for one in joins]]
        yield self._calls.call(
            "plant",
            text(workflow.id),
            None if workflow.keep is None else float(workflow.keep),
            workflow.record,
            numbers([number for number, _ in all_joins]),
            numbers([size for _, size in all_joins]),
            *columns,
        )

    def arrive(self, arrivals: Sequence[Arrival]) -> SqlOperation[None]:
        if arrivals:
            yield self._calls.call("arrive", *arrival_columns(arrivals))

    def harvest(self, workflow: str, join: int, after: int, limit: int, until: int = LAST) -> SqlOperation[Harvest]:
        (rows,) = yield self._calls.read("harvest", workflow, join, after, limit, until)
        if not rows or rows[0][0] != -1:
            return Harvest(-1, None, [])
        _, size, failed, *_ = rows[0]
        return Harvest(size, failed, [arrived(slot, bad, result, again) for slot, _, _, bad, result, again in rows[1:]])

    def workflows(self, ids: Sequence[str], cursor: float, limit: int) -> SqlOperation[list[WorkflowRecord]]:
        (rows,) = yield self._calls.read("workflows", texts(list(ids)) if ids else None, int(cursor), limit)
        return [
            WorkflowRecord(
                id=id,
                created=created,
                ended=ended,
                size=size,
                remaining=remaining,
                failed=failed,
                record=record,
                cursor=seq,
            )
            for seq, id, created, ended, size, remaining, failed, record in rows
        ]

    def reopen(
        self, workflow: str, places: Sequence[tuple[int, int]], messages: Sequence[Message] = ()
    ) -> SqlOperation[int]:
        wanted = list(dict.fromkeys(places))
        columns: Columns = message_columns(packed(messages)) if messages else (None,) * 6
        ((row,),) = yield self._calls.call(
            "reopen",
            text(workflow),
            numbers([join for join, _ in wanted]),
            numbers([slot for _, slot in wanted]),
            *columns,
        )
        count: int = row[0]
        return count

    def note(self, workflow: str, number: int, record: bytes) -> SqlOperation[None]:
        yield self._calls.call("note", text(workflow), number, record)

    def parts(self, workflow: str, after: int, limit: int) -> SqlOperation[list[tuple[int, bytes]]]:
        (rows,) = yield self._calls.read("parts", workflow, after, limit)
        return [(number, record) for number, record in rows]

    def uproot(self, ids: Sequence[str]) -> SqlOperation[int]:
        if not ids:
            return 0
        ((row,),) = yield self._calls.call("uproot", texts(list(ids)))
        count: int = row[0]
        return count


def arrival_columns(arrivals: Sequence[Arrival]) -> Columns:
    """Return what arrive.sql takes of arrivals."""
    return (
        texts([one.workflow for one in arrivals]),
        numbers([one.join for one in arrivals]),
        numbers([one.slot for one in arrivals]),
        flags([one.failed for one in arrivals]),
        blobs([pack_result(one.result) for one in arrivals]),
        blobs([None if one.message is None else pack(one.message) for one in arrivals]),
    )
