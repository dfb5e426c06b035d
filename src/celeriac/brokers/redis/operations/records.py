"""How messages, results and what is known of them look in Redis; ``scripts/parts/records.lua`` is the other side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

from celeriac.brokers.port import Record, Sending
from celeriac.brokers.rules import is_over, opened, raw_bytes
from celeriac.core import state
from celeriac.core.message import Message, StoredResult, pack, pack_result
from celeriac.errors import InvalidTaskError

PLACE_BITS: Final = 49
EPOCH: Final = 1_577_836_800.0
"""2020, where the counter begins, in seconds since the epoch."""
TICK: Final = 4e-6
"""Seconds of one unit of the counter."""
MAX_TASK_BYTES: Final = 60_000
"""Longest name of a task: it is in the header, whose length has two bytes."""
MAX_SCRIPT_BYTES: Final = 8 * 1024 * 1024
"""Most bytes of messages and results that one script is given, or claims, unless a single one has more."""
STATES: Final = {
    "P": state.PENDING,
    "S": state.SCHEDULED,
    "T": state.RETRY,
    "D": state.DEAD,
}


def base(priority: int) -> int:
    """Return what to add to a number to have the place of a message of this priority."""
    return (11 - priority) << PLACE_BITS


@lru_cache(4096)
def _header(priority: int, queue: str, task: str) -> bytes:
    name = queue.encode()
    label = task.encode("utf-8", "surrogatepass")
    if len(label) > MAX_TASK_BYTES:
        raise InvalidTaskError(f"the task name {task[:40]!r}... has {len(label)} bytes; Redis keeps {MAX_TASK_BYTES}")
    header = bytes((48 + priority, len(name))) + name + label
    return len(header).to_bytes(2, "big") + header


def stored(message: Message, payload: bytes | None = None) -> bytes:
    """Return what is kept of a message: the header that scripts read, and its bytes."""
    return _header(message.priority, message.queue, message.task) + (pack(message) if payload is None else payload)


def payload_of(value: bytes) -> bytes:
    """Return the packed message in what is kept."""
    return value[2 + int.from_bytes(value[:2], "big") :]


def moment(seconds: float | None) -> str:
    """Return when something is due, exactly; '' for never or at once."""
    return "" if seconds is None else repr(seconds)


def expiry(seconds: float | None) -> str:
    """Return when something expires, in milliseconds; '' for never."""
    return "" if seconds is None else str(min(max(1, int(seconds * 1000)), 1 << 53))


def sending_args(sending: Sending | None) -> tuple[str, int | str, str]:
    """Return what scripts take for a sending."""
    return ("", "", "") if sending is None else (sending.sender, sending.number, expiry(sending.memory))


def micros(seconds: float) -> int:
    """Return a duration in microseconds."""
    return int(seconds * 1e6)


def result_value(result: StoredResult) -> bytes:
    """Return what is kept of a result."""
    return (b"1" if is_over(result) else b"0") + pack_result(result)


def result_args(result: StoredResult) -> tuple[str, str, bytes]:
    """Return what scripts take for a result."""
    return result.id, expiry(result.expires), result_value(result)


class Runs:
    """Messages as ``parts/add.lua`` reads them: those of one queue, priority and due time that follow each other.

    Attributes:
        args: The arguments.
        count: How many runs.
        size: Their bytes.
    """

    def __init__(self, messages: Iterable[tuple[Message, bytes]] = ()) -> None:
        self.args: list[Any] = []
        self.count = 0
        self.size = 0
        self._last: tuple[str, int, float | None] | None = None
        self._length_at = 0
        for message, payload in messages:
            self.add(message, payload)

    def add(self, message: Message, payload: bytes) -> None:
        """Add one message."""
        key = (message.queue, message.priority, message.eta)
        args = self.args
        if key != self._last:
            self._last = key
            self.count += 1
            self._length_at = len(args) + 3
            args += (message.queue, base(message.priority), moment(message.eta), 0)
        args[self._length_at] += 1
        value = stored(message, payload)
        self.size += len(value)
        args.append(message.id)
        args.append(value)

    def ids(self) -> list[str]:
        """Return the ids of all."""
        found: list[str] = []
        at = 0
        while at < len(self.args):
            end = at + 4 + 2 * self.args[at + 3]
            found += self.args[at + 4 : end : 2]
            at = end
        return found


def seconds_of(number: int) -> float:
    """Return the time at which the counter gave a number, seconds since the epoch."""
    return EPOCH + number * TICK


def record(row: Sequence[Any], partition: int, partitions: int) -> Record:
    """Return what get.lua, page.lua and owned.lua found of one message as the port shows it.

    A row is: id, kind, place, details, due, owner, value. The kind tells what the details are: ``f``, ``w``: as it was
    sent, and ready or waiting; ``k``: parts/records.lua's kept_record; ``h``: the record of who holds it.
    """
    id, kind, place, details, due, owner, value = row
    number = int(place) % (1 << PLACE_BITS)
    shown = _details(kind.decode(), details, number)
    payload = payload_of(value)
    message = opened(payload, id.decode("utf-8", "surrogateescape"))
    queue = queue_of(value)
    return Record(
        id=id.decode("utf-8", "surrogateescape"),
        queue=queue,
        message=message,
        raw=raw_bytes(payload) if message is None else b"",
        due=float(due) if due and shown["state"] in (state.SCHEDULED, state.RETRY) else None,
        owner=owner.decode("utf-8", "surrogateescape") if owner is not None else None,
        cursor=number * partitions + partition,
        **shown,
    )


def queue_of(value: bytes) -> str:
    """Return the queue in a header."""
    return value[4 : 4 + value[3]].decode("utf-8", "surrogateescape") if len(value) > 3 else ""


def _details(kind: str, details: bytes, number: int) -> dict[str, Any]:
    if kind == "f":
        return {"state": state.PENDING, "changed": seconds_of(number)}
    if kind == "w":
        return {"state": state.SCHEDULED, "changed": seconds_of(number)}
    if kind == "k":
        return {
            "state": STATES[chr(details[0])],
            "token": int(details[17:33]),
            "changed": int(details[33:49]) / 1e6,
            "crashes": int(details[50:56]),
            "reason": _reason(details[56:]),
        }
    token = int(details[:16])
    if details[32:33] == b"r":
        return {"state": state.RECEIVED, "token": token, "changed": seconds_of(token)}
    length = int(details[58:63])
    return {
        "state": state.STARTED if details[33:34] == b"S" else state.RECEIVED,
        "token": token,
        "changed": int(details[42:58]) / 1e6,
        "crashes": int(details[36:42]),
        "reason": _reason(details[63 + length :]),
    }


def _reason(text: bytes) -> str | None:
    return text[1:].decode("utf-8", "surrogateescape") if text[:1] == b"+" else None
