"""Settling on SQLite: one transaction, in which every statement sees for itself whether the lease still holds.

The kinds of change are made one after the other: results, follow-ups, counts, then the messages. What is the same for
many settlements of a batch (messages that are over, counts) is one statement for all that have the same owner and
token, which in practice means one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from celeriac.brokers.rules import checked, goes_if_cancelled, kept_state, packed, tally_state
from celeriac.brokers.sql.records import NUMBERS
from celeriac.brokers.sql.requests import Many, SqlOperation, Statement, Step, Transaction
from celeriac.brokers.sqlite.operations.rows import array, arrival_row, message_row, result_row
from celeriac.brokers.sqlite.queries import query
from celeriac.core.message import Settlement, pack

HELD: Final = query("held")
RESULT: Final = query("settle_result")
FOLLOW_UP: Final = query("settle_follow_up")
ARRIVAL: Final = query("settle_arrival")
TALLY: Final = query("settle_tally")
REVOKED: Final = (query("settle_revoked_result"), query("settle_revoked_tally"), query("settle_revoked"))
DONE: Final = query("settle_done")
KEEP: Final = query("settle_keep")


def settle(settlements: Sequence[Settlement]) -> SqlOperation[tuple[str, ...]]:
    """Carry out what the leases allow; see the port."""
    valid, lost = checked(settlements)
    if not valid:
        return ()
    leases = [settlement.lease for settlement in valid]
    held = Statement(HELD, (array(lease.ref for lease in leases),))
    steps = [held, *_results(valid), *_follow_ups(valid), *_arrivals(valid), *_tallies(valid), *_messages(valid)]
    reply = yield Transaction(steps)
    owned = {(seq, id, token, owner) for seq, id, token, owner in reply[0]}
    lost += [lease.id for lease in leases if (lease.ref, lease.id, lease.token, lease.owner) not in owned]
    return tuple(lost)


def _condition(settlement: Settlement) -> tuple[Any, ...]:
    """Return the parameters by which a statement sees whether the settlement may take effect."""
    lease = settlement.lease
    return (lease.ref, lease.token, lease.owner, goes_if_cancelled(settlement))


def _results(settlements: Sequence[Settlement]) -> list[Step]:
    rows = [
        (*result_row(settlement.result), *_condition(settlement))
        for settlement in settlements
        if settlement.result is not None
    ]
    return [Many(RESULT, rows)] if rows else []


def _follow_ups(settlements: Sequence[Settlement]) -> list[Step]:
    rows = [
        (*message_row(message, payload), *_condition(settlement))
        for settlement in settlements
        for message, payload in packed(settlement.follow_ups)
    ]
    return [Many(FOLLOW_UP, rows)] if rows else []


def _arrivals(settlements: Sequence[Settlement]) -> list[Step]:
    rows = [
        (*arrival_row(settlement.arrival), *_condition(settlement))
        for settlement in settlements
        if settlement.arrival is not None
    ]
    return [Many(ARRIVAL, rows)] if rows else []


def _tallies(settlements: Sequence[Settlement]) -> list[Step]:
    groups: defaultdict[tuple[str, int, str, bool], list[int]] = defaultdict(list)
    for settlement in settlements:
        state = tally_state(settlement)
        if state is not None:
            lease = settlement.lease
            groups[lease.owner, lease.token, state, goes_if_cancelled(settlement)].append(lease.ref)
    return [
        Statement(TALLY, (state, array(seqs), token, owner, overruled))
        for (owner, token, state, overruled), seqs in groups.items()
    ]


def _messages(settlements: Sequence[Settlement]) -> list[Step]:
    done: defaultdict[tuple[int, str], list[int]] = defaultdict(list)
    going_on: defaultdict[tuple[int, str], list[int]] = defaultdict(list)
    kept: list[Sequence[Any]] = []
    for settlement in settlements:
        lease = settlement.lease
        if settlement.action == "done":
            done[lease.token, lease.owner].append(lease.ref)
            continue
        kept.append(_kept_row(settlement))
        if goes_if_cancelled(settlement):
            going_on[lease.token, lease.owner].append(lease.ref)
    steps: list[Step] = [Statement(DONE, (array(seqs), *lease)) for lease, seqs in done.items()]
    steps += [Statement(sql, (array(seqs), *lease)) for lease, seqs in going_on.items() for sql in REVOKED]
    if kept:
        steps.append(Many(KEEP, kept))
    return steps


def _kept_row(settlement: Settlement) -> Sequence[Any]:
    message = settlement.message
    replaced = (
        (None, None, None, None) if message is None else (message.queue, message.priority, message.task, pack(message))
    )
    lease = settlement.lease
    return (
        NUMBERS[kept_state(settlement)],
        settlement.due,
        *replaced,
        settlement.crashed,
        settlement.reason,
        lease.ref,
        lease.token,
        lease.owner,
    )
