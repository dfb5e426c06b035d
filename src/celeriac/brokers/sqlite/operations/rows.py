"""How messages, results and lists travel in rows and parameters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from celeriac.brokers.port import Record
from celeriac.brokers.rules import is_over, opened, raw_bytes
from celeriac.core import state
from celeriac.core.message import Message, StoredResult, pack_result

# The number of a state in the column message.state is its place here; the partial indexes know the numbers.
STATES: Final[tuple[str, ...]] = (
    state.PENDING,
    state.SCHEDULED,
    state.RETRY,
    state.RECEIVED,
    state.STARTED,
    state.DEAD,
)
NUMBERS: Final = {name: number for number, name in enumerate(STATES)}
VERDICT_STATE: Final = NUMBERS[state.RECEIVED]

_encode: Final = msgspec.json.encode


def array(numbers: Iterable[Any]) -> str:
    """Return a JSON array, for json_each. Not for text: SQLite's JSON ends a text at a NUL character."""
    return _encode(list(numbers)).decode()


def message_row(message: Message, payload: bytes) -> tuple[Any, ...]:
    """Return what enqueue.sql takes."""
    return (message.id, message.queue, message.task, message.priority, message.eta, payload)


def result_row(result: StoredResult) -> tuple[Any, ...]:
    """Return what store.sql takes."""
    return (result.id, is_over(result), result.expires, pack_result(result))


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
