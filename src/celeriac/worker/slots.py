"""The slot table: what a child process runs right now, in memory that outlives it.

A child writes a row before it calls a task's code and clears it afterwards. The supervisor reads the table: while the
child lives, to enforce hard time limits; after its death, to know which tasks were running and which were merely
claimed. The table is a small file mapped by both, so a SIGKILL loses nothing of it, and it works with every way to
start a process.

Times in it are CLOCK_MONOTONIC seconds, which all processes of a machine share.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from celeriac.core.ids import MAX_ID_BYTES
from celeriac.core.message import Lease

_HEADER: Final = struct.Struct("=dddQ")  # last claim poll, lease set by claim, lease set by keeper, tasks run
_HEADER_SIZE: Final = 64
_ROW: Final = struct.Struct(f"=BxHddQQ{MAX_ID_BYTES}s")  # state, id length, started, deadline, token, ref, id
_ROW_SIZE: Final = 256
_FREE: Final = 0
_RUNNING: Final = 1
_DOUBLE: Final = struct.Struct("=d")
_COUNT: Final = struct.Struct("=Q")


class Running(msgspec.Struct, frozen=True):
    """One row: a run in progress.

    Attributes:
        slot: The row's number.
        id, token, ref: The lease of what runs.
        started: When the run began.
        deadline: When the supervisor ends the process that runs it; infinity for never.
    """

    slot: int
    id: str
    token: int
    ref: int
    started: float
    deadline: float

    def lease(self, owner: str) -> Lease:
        """Return the lease of the run, which ``owner`` holds."""
        return Lease(self.id, owner, self.token, self.ref)


class SlotTable:
    """The mapped table. One writer for each row; any number of readers."""

    def __init__(self, path: Path, slots: int) -> None:
        """Map the table at ``path``, creating it if it does not exist."""
        size = _HEADER_SIZE + slots * _ROW_SIZE
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_size < size:
                os.ftruncate(descriptor, size)
            self._map = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)
        self.slots = slots

    def occupy(self, slot: int, lease: Lease, started: float, deadline: float) -> None:
        """Record that this slot runs this task now."""
        offset = _HEADER_SIZE + slot * _ROW_SIZE
        name = lease.id.encode()
        # The state byte is written last, so that a process killed in between leaves a free row.
        _ROW.pack_into(self._map, offset, _FREE, len(name), started, deadline, lease.token, lease.ref, name)
        self._map[offset] = _RUNNING

    def free(self, slot: int) -> None:
        """Record that this slot runs nothing."""
        self._map[_HEADER_SIZE + slot * _ROW_SIZE] = _FREE

    def running(self) -> Iterator[Running]:
        """Yield the rows in use. A row that changes while it is read is read again."""
        for slot in range(self.slots):
            offset = _HEADER_SIZE + slot * _ROW_SIZE
            if self._map[offset] != _RUNNING:
                continue
            first = self._map[offset : offset + _ROW_SIZE]
            while (again := self._map[offset : offset + _ROW_SIZE]) != first:
                first = again
            state, length, started, deadline, token, ref, name = _ROW.unpack_from(first)
            if state == _RUNNING:
                yield Running(slot, name[:length].decode(errors="replace"), token, ref, started, deadline)

    def note_poll(self, now: float) -> None:
        """Record a claim poll that succeeded (written by the child)."""
        _DOUBLE.pack_into(self._map, 0, now)

    def note_claim(self, lease_until: float) -> None:
        """Record until when a claim that brought something leased it (written by the child)."""
        _DOUBLE.pack_into(self._map, 8, lease_until)

    def note_lease(self, lease_until: float) -> None:
        """Record until when the child's lease was renewed (written by the keeper)."""
        _DOUBLE.pack_into(self._map, 16, lease_until)

    def note_runs(self, count: int) -> None:
        """Record how many tasks the child has run so far."""
        _COUNT.pack_into(self._map, 24, count)

    @property
    def last_poll(self) -> float:
        """When the child last claimed with success, even if nothing was there; 0.0 before the first."""
        value: float = _DOUBLE.unpack_from(self._map, 0)[0]
        return value

    @property
    def lease_until(self) -> float:
        """Until when the child may count on its lease."""
        values: tuple[float, float] = struct.unpack_from("=dd", self._map, 8)
        return max(values)

    @property
    def runs(self) -> int:
        """How many tasks the child has run so far."""
        value: int = _COUNT.unpack_from(self._map, 24)[0]
        return value

    def close(self) -> None:
        """Unmap the table."""
        self._map.close()
