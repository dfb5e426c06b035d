"""The life of messages on PostgreSQL, but for settling: :mod:`celeriac.brokers.postgres.operations.settling` has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from celeriac.brokers.port import Cancelled, Promoted, Reclaimed, Sending
from celeriac.brokers.postgres.operations.calls import Asking, Sweep
from celeriac.brokers.postgres.operations.rows import (
    flags,
    message_columns,
    numbers,
    result_columns,
    text,
    texts,
)
from celeriac.brokers.postgres.operations.settling import settle
from celeriac.brokers.rules import OWNER_MEMORY, VERDICT_LEASE, delivery, first_of_each, packed
from celeriac.brokers.sql.requests import SqlOperation, Statement
from celeriac.core.message import Delivery, Lease, Message, Settlement, Start, StoredResult

SWEEP_ABOVE: Final = 50_000
"""Deleted rows that PostgreSQL counts in a table before a prune sweeps it (VACUUM)."""
SWEEP_PAUSE: Final = 10.0
"""Seconds since the last sweep of that table, whoever did it."""


class QueueOperations(Asking):
    """The life of messages."""

    def enqueue(self, messages: Sequence[Message], sending: Sending | None = None) -> SqlOperation[tuple[str, ...]]:
        if not messages:
            return ()
        columns = message_columns(packed(messages))
        if sending is None:
            ((row,),) = yield self._calls.call("enqueue", *columns)
        else:
            call = self._calls.call(
                "enqueue_from", text(sending.sender), sending.number, float(sending.memory), *columns
            )
            ((row,),) = yield msgspec.structs.replace(call, repeatable=True)
        known: list[int] = row[0]
        return tuple([messages[place - 1].id for place in known])

    def claim(self, queues: Sequence[str], limit: int, owner: str, lease: float) -> SqlOperation[list[Delivery]]:
        wanted = list(dict.fromkeys(queues))
        if not wanted or limit <= 0:
            return []
        (rows,) = yield self._calls.call("claim", texts(wanted), limit, text(owner), float(lease))
        rows.sort(key=_urgent_first)
        return [
            delivery(payload, Lease(id, owner, token, seq), crashes=crashes, suspect=suspect, cancelled=revoked)
            for _, seq, id, token, crashes, suspect, revoked, payload in rows
        ]

    def start(self, starts: Sequence[Start]) -> SqlOperation[tuple[str, ...]]:
        if not starts:
            return ()
        # In the order of their rows, as everybody locks them.
        starts = sorted(starts, key=lambda start: start.lease.ref)
        leases = [start.lease for start in starts]
        ((row,),) = yield self._calls.call(
            "start",
            numbers([lease.ref for lease in leases]),
            texts([lease.id for lease in leases]),
            numbers([lease.token for lease in leases]),
            texts([lease.owner for lease in leases]),
            flags([start.once for start in starts]),
        )
        lost: list[int] = row[0]
        return tuple([leases[place - 1].id for place in lost])

    def extend(self, owners: Sequence[str], lease: float) -> SqlOperation[tuple[str, ...]]:
        if not owners:
            return ()
        (((ended,),),) = yield self._calls.call("extend", texts(list(owners)), float(lease))
        return tuple([owner for owner in dict.fromkeys(owners) if owner in ended])

    def holdings(self, owner: str) -> SqlOperation[tuple[Lease, ...]]:
        (rows,) = yield self._calls.read("holdings", text(owner))
        return tuple([Lease(id, owner, token, seq) for seq, id, token in rows])

    def settle(self, settlements: Sequence[Settlement]) -> SqlOperation[tuple[str, ...]]:
        return settle(self._calls, settlements)

    def promote(self, limit: int) -> SqlOperation[Promoted]:
        (((count, next_in),),) = yield self._calls.call("promote", max(0, limit))
        return Promoted(count, None if next_in is None else max(0.0, next_in))

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
        blamed = (numbers([lease.ref for lease in guilty]), numbers([lease.token for lease in guilty]))
        named = None if owner is None else text(owner)
        (rows,) = yield self._calls.call(
            "reclaim", text(by), max(0, limit), crash_limit, named, VERDICT_LEASE, *blamed, before
        )
        ended = sorted([name for seq, name, *_ in rows if seq is None and name is not None])
        at = next(row[-1] for row in rows if row[-1] is not None)
        released: list[str] = []
        verdicts: list[Delivery] = []
        freed = sorted([row[:-1] for row in rows if row[0] is not None])
        for seq, id, verdict, token, crashes, revoked, payload in freed:
            if verdict:
                lease = Lease(id, by, token, seq)
                verdicts.append(delivery(payload, lease, crashes=crashes, suspect=True, cancelled=revoked))
            else:
                released.append(id)
        return Reclaimed(tuple(released), tuple(verdicts), tuple(ended), at)

    def cancel(self, revoked: Sequence[StoredResult]) -> SqlOperation[list[Cancelled]]:
        results = first_of_each(revoked)
        if not results:
            return []
        (rows,) = yield self._calls.call("cancel", *result_columns(results))
        found = {id: (held, owner) for id, held, owner in rows}
        return [_cancelled(result.id, found.get(result.id)) for result in results]

    def revive(self, ids: Sequence[str]) -> SqlOperation[tuple[str, ...]]:
        if not ids:
            return ()
        (((revived,),),) = yield self._calls.call("revive", texts(ids))
        return tuple([id for id in dict.fromkeys(ids) if id in revived])

    def prune(self, dead_letter_age: float | None, limit: int) -> SqlOperation[int]:
        """Forget what has expired; then begin to sweep a table of which much was deleted.

        PostgreSQL's own sweeper comes once a minute, and until then at full rate the tables grow to a minute's work.
        """
        calls = self._calls
        age = None if dead_letter_age is None else float(dead_letter_age)
        (((count,),),) = yield calls.call("prune", age, max(0, limit), OWNER_MEMORY)
        (((over,),),) = yield calls.call("uproot_over", max(0, limit))
        (tables,) = yield calls.read("dead_look", calls.schema, SWEEP_PAUSE, SWEEP_ABOVE)
        for (table,) in tables:
            # SKIP_LOCKED: another sweeps it now. Without the right to, PostgreSQL warns and does nothing.
            sql = f'VACUUM (SKIP_LOCKED, TRUNCATE false) "{calls.schema}"."{table}"'
            yield Sweep((Statement(sql),))
        return int(count) + int(over)


def _urgent_first(row: tuple[Any, ...]) -> tuple[int, int]:
    return -row[0], row[1]


def _cancelled(id: str, found: tuple[bool, str | None] | None) -> Cancelled:
    if found is None:
        return Cancelled(id, "unknown")
    held, owner = found
    return Cancelled(id, "running", owner) if held else Cancelled(id, "removed")
