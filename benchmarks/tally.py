"""What the measured tasks leave behind: a count with two times in shared memory, or stamps in a file.

It is written so that a task costs well under a microsecond and no two processes write to the same place: each process
has files of its own in the folder that ``CELERIAC_BENCH_DIR`` names. Times are of CLOCK_MONOTONIC, which all processes
of a machine share.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic_ns
from typing import Final

FOLDER: Final = "CELERIAC_BENCH_DIR"
_COUNTS: Final = struct.Struct("=QQQ")
_STAMP: Final = struct.Struct("=QQ")


@dataclass(frozen=True)
class Count:
    """Tasks run so far by all processes; times in nanoseconds, 0 if none has run."""

    tasks: int
    first: int
    last: int

    @property
    def rate(self) -> float:
        """Tasks per second between the first and the last one."""
        return (self.tasks - 1) / (self.last - self.first) * 1e9 if self.last > self.first else 0.0


class Tally:
    """The files of this process; made when the first task of the process runs, also after a fork."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._counts: memoryview | None = None
        self._stamps: int | None = None
        self._opening = threading.Lock()
        os.register_at_fork(after_in_child=self._forget)

    def hit(self) -> None:
        """Count one task."""
        counts = self._counts
        if counts is None:
            counts = self._open_counts()
        counts[0] += 1
        counts[2] = monotonic_ns()

    def stamp(self, sent: int) -> None:
        """Note that a task which was sent at ``sent`` runs now."""
        now = monotonic_ns()
        if self._stamps is None:
            path = self._folder / f"stamps-{os.getpid()}"
            self._stamps = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
        os.write(self._stamps, _STAMP.pack(sent, now))

    def _open_counts(self) -> memoryview:
        with self._opening:  # The first tasks of several threads come at once, and opening empties the file.
            if self._counts is not None:
                return self._counts
            path = self._folder / f"counts-{os.getpid()}"
            with path.open("w+b") as file:
                file.truncate(_COUNTS.size)
                counts = memoryview(mmap.mmap(file.fileno(), _COUNTS.size)).cast("Q")
            counts[1] = monotonic_ns()
            self._counts = counts
            return counts

    def _forget(self) -> None:
        self._counts = self._stamps = None
        self._opening = threading.Lock()


def tally_from_environment() -> Tally:
    """Return the tally of the folder that the harness named.

    Raises:
        RuntimeError: It named none.
    """
    folder = os.environ.get(FOLDER)
    if not folder:
        raise RuntimeError(f"Set {FOLDER} to the folder that counts go to; `python -m benchmarks` does it.")
    return Tally(Path(folder))


def read_count(folder: Path) -> Count:
    """Return what the processes of a folder have counted so far."""
    rows = [_COUNTS.unpack(raw) for path in folder.glob("counts-*") if len(raw := path.read_bytes()) == _COUNTS.size]
    # A row whose count is still 0 is just being made.
    rows = [row for row in rows if row[0]]
    if not rows:
        return Count(0, 0, 0)
    return Count(sum(row[0] for row in rows), min(row[1] for row in rows), max(row[2] for row in rows))


def count_stamps(folder: Path) -> int:
    """Return how many stamps there are so far; it costs next to nothing."""
    return sum(path.stat().st_size // _STAMP.size for path in folder.glob("stamps-*"))


def read_stamps(folder: Path) -> list[tuple[int, int]]:
    """Return (sent, ran) of every stamp so far, in nanoseconds, in the order they were sent."""
    return sorted(stamp for path in folder.glob("stamps-*") for stamp in _whole_stamps(path.read_bytes()))


def _whole_stamps(raw: bytes) -> Iterator[tuple[int, int]]:
    return _STAMP.iter_unpack(raw[: len(raw) - len(raw) % _STAMP.size])
