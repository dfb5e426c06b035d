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

_HEADER_SIZE: Final = 64
# Header cells of 8 bytes. Each is read and written as a whole, which packing with struct would not promise.
_POLL: Final = 0
_LEASE_BY_CLAIM: Final = 1
_LEASE_BY_KEEPER: Final = 2
_RUNS: Final = 3
_LOSS: Final = 4
_ROW: Final = struct.Struct(f"=BxHddQQ{MAX_ID_BYTES}s")  # state, id length, started, deadline, token, ref, id
_ROW_SIZE: Final = 256
_FREE: Final = 0
_RUNNING: Final = 1


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

    def __init__(self, path: Path | None, slots: int) -> None:
        """Map the table at ``path``, creating it if it does not exist; None makes one that only this process sees."""
        size = _HEADER_SIZE + slots * _ROW_SIZE
        self._map = mmap.mmap(-1, size) if path is None else _map_file(path, size)
        self._times = memoryview(self._map)[:_HEADER_SIZE].cast("d")
        self._counts = memoryview(self._map)[:_HEADER_SIZE].cast("Q")
        self.slots = slots
        self.losses = 0
        """How often this process has found that what it held may be others'."""

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
        self._times[_POLL] = now

    def note_claim(self, lease_until: float) -> None:
        """Record until when a claim that brought something leased it (written by the child)."""
        self._times[_LEASE_BY_CLAIM] = lease_until

    def note_lease(self, lease_until: float) -> None:
        """Record until when the child's lease was renewed (written by the keeper).

        After a loss nothing is recorded until the child has taken note of it: a new lease does not cover what was
        lost with the old one.
        """
        if not self._counts[_LOSS]:
            self._times[_LEASE_BY_KEEPER] = lease_until

    def note_loss(self) -> None:
        """Record that the child's lease had ended, so that what it holds is others' (written by the keeper)."""
        self._counts[_LOSS] = 1

    def take_loss(self) -> bool:
        """Return whether the lease had ended since the last call (asked by the child, which then gives back)."""
        lost = self._counts[_LOSS] != 0
        if lost:
            self._counts[_LOSS] = 0
            self.losses += 1
        return lost

    def lapsed(self, now: float) -> bool:
        """Return whether the lease had ended since the last call, or has run out by now; what was held may be lost."""
        if self.take_loss():
            return True
        if now <= self.lease_until:
            return False
        self.losses += 1
        return True

    def note_runs(self, count: int) -> None:
        """Record how many tasks the child has run so far."""
        self._counts[_RUNS] = count

    @property
    def last_poll(self) -> float:
        """When the child last claimed with success, even if nothing was there; 0.0 before the first."""
        return self._times[_POLL]

    @property
    def lease_until(self) -> float:
        """Until when the child may count on its lease."""
        times = self._times
        return max(times[_LEASE_BY_CLAIM], times[_LEASE_BY_KEEPER])

    @property
    def runs(self) -> int:
        """How many tasks the child has run so far."""
        return self._counts[_RUNS]

    def close(self) -> None:
        """Unmap the table."""
        self._times.release()
        self._counts.release()
        self._map.close()


def _map_file(path: Path, size: int) -> mmap.mmap:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(descriptor).st_size < size:
            os.ftruncate(descriptor, size)
        return mmap.mmap(descriptor, size)
    finally:
        os.close(descriptor)
