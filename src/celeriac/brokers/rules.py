"""What all drivers decide alike, so that it is decided once.

The values here are part of the port's meaning where the port leaves a number open. All of it is pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, cast

import msgspec

from celeriac.brokers.port import Command, CommandReply, WorkerRecord
from celeriac.core import state
from celeriac.core.message import (
    Delivery,
    Lease,
    Message,
    Settlement,
    StoredResult,
    check,
    pack,
    unpack,
    unpack_result,
)
from celeriac.core.workflow import Arrived
from celeriac.errors import DecodeError, InvalidTaskError

VERDICT_LEASE: Final = 30.0
"""Seconds of lease that whoever is given a verdict by ``reclaim`` gets with it, if it has no lease that runs."""
OWNER_MEMORY: Final = 3600.0
"""Seconds for which an owner whose lease was ended is remembered, so that it can be told when it comes back."""
REPLY_TTL: Final = 300.0
"""Seconds for which answers to a remote command are kept."""


def packed(messages: Iterable[Message]) -> list[tuple[Message, bytes]]:
    """Return each message with its bytes.

    Raises:
        InvalidTaskError: A message cannot be kept.
    """
    return [(message, pack(check(message))) for message in messages]


def opened(payload: bytes, id: str) -> Message | None:
    """Return the message of this id in these bytes; None if there is none, or if a store has no bytes there.

    A message that somebody put under another one's id is none: to run it would store its outcome under an id that
    nobody claimed, over the outcome of the task that has it.
    """
    try:
        message = unpack(payload)
    except (DecodeError, TypeError):
        return None
    return message if message.id == id else None


def delivery(
    payload: bytes, lease: Lease, *, crashes: int = 0, suspect: bool = False, cancelled: bool = False
) -> Delivery:
    """Return what a claim hands out for a stored message."""
    message = opened(payload, lease.id)
    raw = raw_bytes(payload) if message is None else b""
    return Delivery(message, lease, crashes, suspect, raw, cancelled)


def raw_bytes(payload: object) -> bytes:
    """Return what a store has in the place of a message, for people to look at: bytes, or anything as text."""
    return payload if isinstance(payload, bytes) else str(payload).encode("utf-8", "backslashreplace")


_command: Final = msgspec.msgpack.Decoder(Command)
_reply: Final = msgspec.msgpack.Decoder(CommandReply)
_worker: Final = msgspec.msgpack.Decoder(WorkerRecord)
_UNREADABLE: Final = (msgspec.MsgspecError, RecursionError, ValueError, OverflowError, TypeError)


def opened_command(payload: bytes, cursor: int) -> Command | None:
    """Return the remote command in these bytes; None if there is none that this version could carry out.

    Who sent it is then not answered. It must not keep the commands behind it from being read.
    """
    try:
        return msgspec.structs.replace(_command.decode(payload), cursor=cursor)
    except _UNREADABLE:
        return None


def opened_reply(payload: bytes) -> CommandReply | None:
    """Return the answer to a command in these bytes; None if there is none, not to hide the others."""
    try:
        return _reply.decode(payload)
    except _UNREADABLE:
        return None


def opened_worker(payload: bytes, age: float) -> WorkerRecord | None:
    """Return the record of a worker in these bytes; None if there is none, not to hide the others."""
    try:
        return msgspec.structs.replace(_worker.decode(payload), age=max(0.0, age))
    except _UNREADABLE:
        return None


def queues_of(worker: WorkerRecord) -> tuple[str, ...]:
    """Return the queues that a worker says it works on; its record may say anything."""
    told = worker.info.get("queues")
    return tuple([one for one in cast("list[object]", told) if isinstance(one, str)]) if isinstance(told, list) else ()


def opened_result(id: str, payload: bytes) -> StoredResult:
    """Return the result in these bytes.

    Raises:
        DecodeError: They are not one; the text names the task id.
    """
    try:
        return unpack_result(payload)
    except DecodeError as exc:
        raise DecodeError(f"the stored result of task {id!r} cannot be read: {exc}") from exc


def arrived(slot: int, failed: object, result: bytes, message: bytes | None) -> Arrived:
    """Return what lies in a slot, of what a store keeps of it.

    Raises:
        DecodeError: It is no result.
    """
    kept = unpack_result(result)
    try:
        again = None if message is None else unpack(message)
    except DecodeError:  # It cannot be tried again by hand; what became of it is known all the same.
        again = None
    return Arrived(slot, bool(failed), kept, again)


def is_over(result: StoredResult) -> bool:
    """Tell whether the result says that its task is over."""
    return result.state in state.READY_STATES


def kept_state(settlement: Settlement) -> str:
    """Return the state of a message that the settlement leaves in the broker."""
    if settlement.action == "retry":
        return state.RETRY
    if settlement.action == "dead":
        return state.DEAD
    return state.PENDING if settlement.due is None else state.SCHEDULED


def tally_state(settlement: Settlement) -> str | None:
    """Return the state that the settlement is counted under; None for a release, which settles nothing for good."""
    if settlement.counted is not None:
        return settlement.counted
    if settlement.action == "release":
        return None
    if settlement.action == "done":
        return settlement.result.state if settlement.result is not None else settlement.state
    return kept_state(settlement)


def goes_if_cancelled(settlement: Settlement) -> bool:
    """Tell whether a cancelled message goes rather than doing what the settlement says."""
    return settlement.action in ("retry", "release")


def first_of_each(results: Iterable[StoredResult]) -> list[StoredResult]:
    """Return the first result for each task id, in the order given."""
    first: dict[str, StoredResult] = {}
    for result in results:
        first.setdefault(result.id, result)
    return list(first.values())


def checked(settlements: Sequence[Settlement]) -> tuple[list[Settlement], list[str]]:
    """Return the settlements to carry out, and the ids of repeated ones, of which only the first counts.

    Raises:
        InvalidTaskError: A settlement would replace a message by one with another id, or by one that cannot be kept.
    """
    first: dict[Lease, Settlement] = {}
    repeated: list[str] = []
    for settlement in settlements:
        lease = settlement.lease
        message = settlement.message
        if message is not None and check(message).id != lease.id:
            raise InvalidTaskError(
                f"task {lease.id!r} cannot be settled with a message of another id, {message.id!r}:"
                " what follows a task belongs into follow_ups"
            )
        if lease in first:
            repeated.append(lease.id)
        else:
            first[lease] = settlement
    return list(first.values()), repeated
