"""What workflows wait for, on SQLite. What follows from an arrival is done by triggers of the schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from celeriac.brokers.rules import arrived, packed
from celeriac.brokers.sql.requests import Many, SqlOperation, Statement, Step, Transaction, for_items
from celeriac.brokers.sqlite.operations.rows import arrival_row, message_row
from celeriac.brokers.sqlite.queries import query
from celeriac.core.message import Arrival, Message
from celeriac.core.workflow import LAST, ROOT, Harvest, Join, Workflow, WorkflowRecord

PLANT: Final = query("plant")
PLANT_JOIN: Final = query("plant_join")
PLANT_MESSAGE: Final = query("plant_message")
ARRIVE: Final = query("arrive")
HARVEST_JOIN: Final = query("harvest_join")
HARVEST: Final = query("harvest")
WORKFLOWS: Final = query("workflows")
WORKFLOWS_BY_ID: Final = query("workflows_by_id")
REOPEN: Final = query("reopen")
ENQUEUE: Final = query("enqueue")
REOPEN_JOIN: Final = query("reopen_join")
REOPEN_ROOT: Final = query("reopen_root")
NOTE: Final = query("note")
PARTS: Final = query("parts")
UPROOT: Final = tuple(query(name) for name in ("uproot_part", "uproot_slot", "uproot_message", "uproot_join", "uproot"))
EXPIRED: Final = query("expired_workflows")


class WorkflowOperations:
    """What workflows wait for."""

    def plant(self, workflow: Workflow, joins: Sequence[Join]) -> SqlOperation[None]:
        rows: list[Sequence[Any]] = []
        for join in joins:
            for seq, (message, payload) in enumerate(packed(join.messages), join.first):
                place = message.place
                row = message_row(message, payload)
                rows.append((workflow.id, join.number, seq, *row, None if place is None else place.delay))
        steps: list[Step] = [
            Statement(PLANT, (workflow.id, workflow.keep, workflow.record)),
            Many(
                PLANT_JOIN,
                [(workflow.id, ROOT, workflow.size), *[(workflow.id, one.number, one.size) for one in joins]],
            ),
        ]
        if rows:
            steps.append(Many(PLANT_MESSAGE, rows))
        yield Transaction(steps)

    def arrive(self, arrivals: Sequence[Arrival]) -> SqlOperation[None]:
        if arrivals:
            yield Transaction((Many(ARRIVE, [arrival_row(one) for one in arrivals]),))

    def harvest(self, workflow: str, join: int, after: int, limit: int, until: int = LAST) -> SqlOperation[Harvest]:
        found, rows = yield Transaction(
            (Statement(HARVEST_JOIN, (workflow, join)), Statement(HARVEST, (workflow, join, after, limit, until))),
            writes=False,
        )
        if not found:
            return Harvest(-1, None, [])
        ((size, failed),) = found
        return Harvest(size, failed, [arrived(*row) for row in rows])

    def workflows(self, ids: Sequence[str], cursor: float, limit: int) -> SqlOperation[list[WorkflowRecord]]:
        looked = for_items(WORKFLOWS_BY_ID, ids) if ids else Statement(WORKFLOWS, (cursor, limit))
        (rows,) = yield Transaction((looked,), writes=False)
        return [
            WorkflowRecord(
                id=id,
                created=created,
                ended=ended,
                size=size,
                remaining=remaining,
                failed=failed == 1,
                record=record,
                cursor=seq,
            )
            for seq, id, created, ended, size, remaining, failed, record in rows
        ]

    def reopen(
        self, workflow: str, places: Sequence[tuple[int, int]], messages: Sequence[Message] = ()
    ) -> SqlOperation[int]:
        wanted = list(dict.fromkeys(places))
        steps: list[Step] = [Statement(REOPEN, (workflow, join, slot)) for join, slot in wanted]
        steps.append(Many(REOPEN_JOIN, [(workflow, join) for join in dict.fromkeys(join for join, _ in wanted)]))
        steps.append(Statement(REOPEN_ROOT, (workflow,)))
        if messages:
            steps.append(Many(ENQUEUE, [message_row(message, payload) for message, payload in packed(messages)]))
        reply = yield Transaction(steps)
        return sum([len(rows) for rows in reply[: len(wanted)]])

    def note(self, workflow: str, number: int, record: bytes) -> SqlOperation[None]:
        yield Transaction((Statement(NOTE, (workflow, number, record)),))

    def parts(self, workflow: str, after: int, limit: int) -> SqlOperation[list[tuple[int, bytes]]]:
        (rows,) = yield Transaction((Statement(PARTS, (workflow, after, limit)),), writes=False)
        return [(number, record) for number, record in rows]

    def uproot(self, ids: Sequence[str]) -> SqlOperation[int]:
        if not ids:
            return 0
        reply = yield Transaction([for_items(sql, list(ids)) for sql in UPROOT])
        return len(reply[-1])


def expired(limit: int) -> SqlOperation[int]:
    """Forget workflows that are over for long enough; return how many. Part of prune."""
    (rows,) = yield Transaction((Statement(EXPIRED, (limit,)),), writes=False)
    if not rows:
        return 0
    return (yield from WorkflowOperations().uproot([id for (id,) in rows]))
