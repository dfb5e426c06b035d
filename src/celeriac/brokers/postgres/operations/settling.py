"""Settling on PostgreSQL: one call of one function, given a list for each column.

A list that says the same for every settlement of the batch, as most do for most batches, is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from celeriac.brokers.postgres.operations.calls import Calls
from celeriac.brokers.postgres.operations.rows import (
    Columns,
    blobs,
    flags,
    message_columns,
    numbers,
    result_columns,
    shown,
    texts,
    unless_empty,
)
from celeriac.brokers.postgres.operations.workflows import arrival_columns
from celeriac.brokers.rules import checked, goes_if_cancelled, kept_state, packed, tally_state
from celeriac.brokers.sql.records import NUMBERS
from celeriac.brokers.sql.requests import SqlOperation
from celeriac.core.message import Settlement, pack


def settle(calls: Calls, settlements: Sequence[Settlement]) -> SqlOperation[tuple[str, ...]]:
    """Carry out what the leases allow; see the port."""
    valid, lost = checked(settlements)
    if not valid:
        return ()
    # In the order of their rows, as everybody locks them.
    valid.sort(key=lambda settlement: settlement.lease.ref)
    leases = [settlement.lease for settlement in valid]
    arrivals = _arrivals(valid)
    ((row,),) = yield calls.call(
        "settle_arriving" if arrivals else "settle",
        numbers([lease.ref for lease in leases]),
        texts([lease.id for lease in leases]),
        numbers([lease.token for lease in leases]),
        texts([lease.owner for lease in leases]),
        texts([tally_state(settlement) for settlement in valid]),
        *_kept(valid),
        *_results(valid),
        *_follow_ups(valid),
        *arrivals,
    )
    places: list[int] = row[0]
    return (*lost, *[leases[place - 1].id for place in places])


def _kept(settlements: Sequence[Settlement]) -> Columns:
    if all(settlement.action == "done" for settlement in settlements):
        return (None,) * 9
    states = [None if one.action == "done" else NUMBERS[kept_state(one)] for one in settlements]
    # What is done takes nothing over.
    messages: list[Any] = [None if one.action == "done" else one.message for one in settlements]
    return (
        numbers(states),
        flags([goes_if_cancelled(one) for one in settlements]),
        unless_empty(numbers, [one.due for one in settlements], None),
        unless_empty(texts, [message and message.queue for message in messages], None),
        unless_empty(numbers, [message and message.priority for message in messages], None),
        unless_empty(texts, [message and message.task for message in messages], None),
        unless_empty(blobs, [message and pack(message) for message in messages], None),
        unless_empty(flags, [one.crashed for one in settlements], False),
        unless_empty(texts, [shown(one.reason) for one in settlements], None),
    )


def _results(settlements: Sequence[Settlement]) -> Columns:
    found = [(place, one.result) for place, one in enumerate(settlements, 1) if one.result is not None]
    if not found:
        return (None,) * 5
    return (numbers([place for place, _ in found]), *result_columns([result for _, result in found]))


def _follow_ups(settlements: Sequence[Settlement]) -> Columns:
    found = [
        (place, pair) for place, one in enumerate(settlements, 1) if one.follow_ups for pair in packed(one.follow_ups)
    ]
    if not found:
        return (None,) * 7
    return (numbers([place for place, _ in found]), *message_columns([pair for _, pair in found]))


def _arrivals(settlements: Sequence[Settlement]) -> Columns:
    found = [(place, one.arrival) for place, one in enumerate(settlements, 1) if one.arrival is not None]
    if not found:
        return ()
    return (numbers([place for place, _ in found]), *arrival_columns([arrival for _, arrival in found]))
