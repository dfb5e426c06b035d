"""How messages, results and lists travel in rows and parameters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from celeriac.brokers.rules import is_over
from celeriac.brokers.sql.records import NUMBERS
from celeriac.core import state
from celeriac.core.message import Arrival, Message, StoredResult, pack, pack_result

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


def arrival_row(arrival: Arrival) -> tuple[Any, ...]:
    """Return what arrive.sql takes of an arrival."""
    message = arrival.message
    return (
        arrival.workflow,
        arrival.join,
        arrival.slot,
        arrival.failed,
        pack_result(arrival.result),
        None if message is None else pack(message),
    )
