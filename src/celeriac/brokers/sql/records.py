"""How the SQL drivers number the states of messages, and show their rows as records of the port."""

from __future__ import annotations

from typing import Any, Final

from celeriac.brokers.port import Record
from celeriac.brokers.rules import opened, raw_bytes
from celeriac.core import state

# The number of a state in the column message.state is its place here; the partial indexes know the numbers. In
# PostgreSQL the column has no STARTED, which is a mark on RECEIVED there.
STATES: Final[tuple[str, ...]] = (
    state.PENDING,
    state.SCHEDULED,
    state.RETRY,
    state.RECEIVED,
    state.STARTED,
    state.DEAD,
)
NUMBERS: Final = {name: number for number, name in enumerate(STATES)}


def record(row: tuple[Any, ...]) -> Record:
    """Return the row of get.sql and page.sql as the port shows it."""
    seq, id, number, queue, due, owner, token, crashes, reason, changed, payload = row
    message = opened(payload, id)
    return Record(
        id=id,
        state=STATES[int(number)],
        queue=queue,
        message=message,
        raw=raw_bytes(payload) if message is None else b"",
        due=due,
        owner=owner,
        token=token,
        crashes=crashes,
        reason=reason,
        changed=changed,
        cursor=seq,
    )
