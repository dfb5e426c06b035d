"""What the memory broker keeps of one message and of one owner."""

from __future__ import annotations

from dataclasses import dataclass

from celeriac.brokers.port import Record
from celeriac.brokers.rules import opened
from celeriac.core.message import StoredResult


@dataclass(slots=True)
class Entry:
    """One message and where it is in its life; what the fields mean stands in :mod:`celeriac.brokers.port`."""

    seq: int
    id: str
    queue: str
    priority: int
    task: str
    payload: bytes
    state: str
    changed: float
    due: float | None = None
    owner: str | None = None
    token: int = 0
    crashes: int = 0
    suspect: bool = False
    once: bool = False
    cancelled: StoredResult | None = None
    reason: str | None = None


@dataclass(slots=True)
class OwnerLease:
    """An owner's lease; ``ended`` until the owner has been told that a reclaim ended it."""

    expires: float
    ended: bool = False


def record(entry: Entry) -> Record:
    """Return the entry as the port shows it."""
    message = opened(entry.payload, entry.id)
    return Record(
        id=entry.id,
        state=entry.state,
        queue=entry.queue,
        message=message,
        raw=entry.payload if message is None else b"",
        due=entry.due,
        owner=entry.owner,
        token=entry.token,
        crashes=entry.crashes,
        reason=entry.reason,
        changed=entry.changed,
        cursor=entry.seq,
    )
