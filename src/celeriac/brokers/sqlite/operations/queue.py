"""The life of messages on SQLite, but for settling, which :mod:`celeriac.brokers.sqlite.operations.settling` has."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from celeriac.brokers.port import Cancelled, Promoted, Reclaimed, Sending
from celeriac.brokers.rules import OWNER_MEMORY, VERDICT_LEASE, delivery, first_of_each, packed
from celeriac.brokers.sql.requests import Many, SqlOperation, Statement, Step, Transaction, for_items
from celeriac.brokers.sqlite.operations.rows import VERDICT_STATE, array, message_row, result_row
from celeriac.brokers.sqlite.operations.settling import settle
from celeriac.brokers.sqlite.operations.workflows import expired
from celeriac.brokers.sqlite.queries import query
from celeriac.core.message import Delivery, Lease, Message, Settlement, Start, StoredResult

ENQUEUE: Final = query("enqueue")
ENQUEUE_FROM: Final = query("enqueue_from")
ENQUEUE_SENT: Final = query("enqueue_sent")
ENQUEUE_ONE: Final = ENQUEUE + "RETURNING 1"
KNOWN: Final = query("known")
CLAIM_LOOK: Final = query("claim_look")
CLAIM: Final = query("claim")
CLAIM_MANY: Final = query("claim_many")
CLAIM_ORPHAN: Final = query("claim_orphan")
CLAIM_OWN: Final = query("claim_own")
OWN: Final = query("own")
ENDED: Final = query("ended")
ORPHAN: Final = query("orphan")
START: Final = query("start")
START_HELD: Final = query("held")
HOLDINGS: Final = query("holdings")
DUE_LOOK: Final = query("due_look")
PROMOTE: Final = query("promote")
RECLAIM_LOOK: Final = query("reclaim_look")
RECLAIM_END: Final = query("reclaim_end")
RECLAIM: Final = query("reclaim")
RECLAIM_OWN: Final = query("reclaim_own")
NOW: Final = "SELECT now()"
CANCEL_LOOK: Final = query("cancel_look")
CANCEL_RESULT: Final = query("cancel_result")
CANCEL_MARK: Final = query("cancel_mark")
CANCEL: Final = query("cancel")
REVIVE: Final = query("revive")
REVIVE_RESULTS: Final = query("revive_results")
PRUNE_DEAD: Final = query("prune_dead")
PRUNE_OWNERS: Final = query("prune_owners")
PRUNE: Final = tuple(query(f"prune_{what}") for what in ("results", "commands", "replies", "workers", "senders"))

CLAIM_PROMOTES: Final = 1000
"""Most messages that one claim makes ready because they are due."""


class QueueOperations:
    """The life of messages."""

    def enqueue(self, messages: Sequence[Message], sending: Sending | None = None) -> SqlOperation[tuple[str, ...]]:
        rows = [message_row(message, payload) for message, payload in packed(messages)]
        if not rows:
            return ()
        if len(rows) == 1 and sending is None:
            (kept,) = yield Transaction((Statement(ENQUEUE_ONE, rows[0]),))
            return () if kept else (rows[0][0],)
        ids = [row[0] for row in rows]
        steps: list[Step] = [for_items(KNOWN, ids)]
        if sending is None:
            steps.append(Many(ENQUEUE, rows))
        else:
            steps.append(Statement(ENQUEUE_FROM, (sending.sender, sending.number, sending.memory)))
            steps.append(Many(ENQUEUE_SENT, [(*row, sending.sender, sending.number) for row in rows]))
        reply = yield Transaction(steps)
        if sending is not None and not reply[1][0][0]:
            return tuple(ids)
        taken = {id for (id,) in reply[0]}
        known: list[str] = []
        for id in ids:
            if id in taken:
                known.append(id)
            taken.add(id)
        return tuple(known)

    def claim(self, queues: Sequence[str], limit: int, owner: str, lease: float) -> SqlOperation[list[Delivery]]:
        wanted = list(dict.fromkeys(queues))
        if not wanted or limit <= 0:
            return []
        reply = yield Transaction((for_items(CLAIM_LOOK, wanted, owner),), writes=False)
        ((due, ended, ready),) = reply[0]
        if not due and not ready:
            return []
        steps: list[Step] = []
        if due:
            steps.append(Statement(PROMOTE, (CLAIM_PROMOTES,)))
        if ended:
            steps.append(for_items(CLAIM_ORPHAN, wanted, owner))
        if len(wanted) == 1:
            steps.append(Statement(CLAIM, (owner, limit, wanted[0])))
        else:
            steps.append(for_items(CLAIM_MANY, wanted, owner, limit))
        steps.append(Statement(CLAIM_OWN, (owner, lease)))
        rows = (yield Transaction(steps))[-2]
        with suppress(TypeError):  # A priority that is no number, in a file that somebody edited: any order will do.
            rows.sort(key=_urgent_first)
        return [
            delivery(
                payload, Lease(id, owner, token, seq), crashes=crashes, suspect=suspect == 1, cancelled=revoked == 1
            )
            for _, seq, id, token, crashes, suspect, revoked, payload in rows
        ]

    def start(self, starts: Sequence[Start]) -> SqlOperation[tuple[str, ...]]:
        if not starts:
            return ()
        leases = [start.lease for start in starts]
        rows = [(start.once, start.lease.ref, start.lease.token, start.lease.owner) for start in starts]
        held = Statement(START_HELD, (array(lease.ref for lease in leases),))
        reply = yield Transaction((held, Many(START, rows)))
        owned = {(seq, id, token, owner) for seq, id, token, owner in reply[0]}
        return tuple([lease.id for lease in leases if (lease.ref, lease.id, lease.token, lease.owner) not in owned])

    def extend(self, owners: Sequence[str], lease: float) -> SqlOperation[tuple[str, ...]]:
        if not owners:
            return ()
        renewed = Many(OWN, [(owner, lease) for owner in owners])
        reply = yield Transaction((for_items(ENDED, owners), for_items(ORPHAN, owners), renewed))
        ended = {name for (name,) in reply[0]}
        return tuple([owner for owner in dict.fromkeys(owners) if owner in ended])

    def holdings(self, owner: str) -> SqlOperation[tuple[Lease, ...]]:
        (rows,) = yield Transaction((Statement(HOLDINGS, (owner,)),), writes=False)
        return tuple([Lease(id, owner, token, seq) for seq, id, token in rows])

    def settle(self, settlements: Sequence[Settlement]) -> SqlOperation[tuple[str, ...]]:
        return settle(settlements)

    def promote(self, limit: int) -> SqlOperation[Promoted]:
        (looked,) = yield Transaction((Statement(DUE_LOOK),), writes=False)
        count = 0
        if looked and looked[0][0] <= 0:
            promoted, looked = yield Transaction((Statement(PROMOTE, (max(0, limit),)), Statement(DUE_LOOK)))
            count = len(promoted)
        return Promoted(count, max(0.0, looked[0][0]) if looked else None)

    def reclaim(
        self,
        by: str,
        limit: int,
        *,
        crash_limit: int,
        owner: str | None = None,
        guilty: Sequence[Lease] = (),
        before: float | None = None,
    ) -> SqlOperation[Reclaimed]:
        if owner is None:
            (((at, something),),) = yield Transaction((Statement(RECLAIM_LOOK),), writes=False)
            if not something or (before is not None and at > before):
                return Reclaimed(at=at)
        blamed = array([lease.ref, lease.token] for lease in guilty)
        ended, freed, _, ((at,),) = yield Transaction(
            (
                Statement(RECLAIM_END, (owner, before)),
                Statement(RECLAIM, (owner, max(0, limit), by, crash_limit, blamed, before)),
                Statement(RECLAIM_OWN, (by, VERDICT_LEASE)),
                Statement(NOW),
            )
        )
        freed.sort()
        released: list[str] = []
        verdicts: list[Delivery] = []
        for seq, id, state, token, crashes, revoked, payload in freed:
            if state == VERDICT_STATE:
                lease = Lease(id, by, token, seq)
                verdicts.append(delivery(payload, lease, crashes=crashes, suspect=True, cancelled=revoked == 1))
            else:
                released.append(id)
        return Reclaimed(tuple(released), tuple(verdicts), tuple(sorted([name for (name,) in ended])), at)

    def cancel(self, revoked: Sequence[StoredResult]) -> SqlOperation[list[Cancelled]]:
        results = first_of_each(revoked)
        if not results:
            return []
        ids = [result.id for result in results]
        rows = [result_row(result) for result in results]
        reply = yield Transaction(
            (
                for_items(CANCEL_LOOK, ids),
                Many(CANCEL_RESULT, rows),
                Many(CANCEL_MARK, [(id, expires, payload) for id, _, expires, payload in rows]),
                for_items(CANCEL, ids),
            )
        )
        found = {id: (held, owner) for id, held, owner in reply[0]}
        return [_cancelled(id, found.get(id)) for id in ids]

    def revive(self, ids: Sequence[str]) -> SqlOperation[tuple[str, ...]]:
        if not ids:
            return ()
        reply = yield Transaction((for_items(REVIVE_RESULTS, ids), for_items(REVIVE, ids)))
        revived = {id for (id,) in reply[1]}
        return tuple([id for id in dict.fromkeys(ids) if id in revived])

    def prune(self, dead_letter_age: float | None, limit: int) -> SqlOperation[int]:
        limit = max(0, limit)
        steps = [Statement(sql, (limit,)) for sql in PRUNE]
        steps.append(Statement(PRUNE_OWNERS, (limit, OWNER_MEMORY)))
        if dead_letter_age is not None:
            steps.append(Statement(PRUNE_DEAD, (limit, dead_letter_age)))
        reply = yield Transaction(steps)
        return sum([len(rows) for rows in reply]) + (yield from expired(limit))


def _urgent_first(row: tuple[Any, ...]) -> tuple[int, int]:
    return -row[0], row[1]


def _cancelled(id: str, found: tuple[int, str | None] | None) -> Cancelled:
    if found is None:
        return Cancelled(id, "unknown")
    held, owner = found
    return Cancelled(id, "running", owner) if held else Cancelled(id, "removed")
