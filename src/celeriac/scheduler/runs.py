"""What became of an entry so far: a few numbers and its latest runs, in the bytes that its row carries as its state.

A firing replaces them in the same step in which it enqueues and advances, so that the history of an entry costs no row
of its own, grows to its limit and no further, and can never disagree with what was enqueued.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

import msgspec

KEPT_RUNS: Final = 20
"""Runs that an entry remembers unless it says how many."""


class Run(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One run.

    Attributes:
        due: The due time that it is for, seconds since the epoch.
        fired: When it was enqueued, by the store's clock.
        task_id: Of its task; None: the id that belongs to the entry and the due time.
    """

    due: float
    fired: float
    task_id: str | None = None


class History(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What became of an entry so far.

    Attributes:
        total: How many runs there were.
        runs: The latest, the oldest of them first.
        missed: Due times that passed without a run, as the entry's policies say.
        waiting: The due time of a run that waits for the one before it to end.
        problem: Why the entry was put aside.
        problem_edition: In which edition.
        looks: When it is looked whether the run that waits may go. An entry that is due at another time has been
            stopped or given another time since, and the run waits no more.
    """

    total: int = 0
    runs: tuple[Run, ...] = ()
    missed: int = 0
    waiting: float | None = None
    problem: str | None = None
    problem_edition: int = 0
    looks: float | None = None

    def problem_of(self, edition: int) -> str | None:
        """Return why the entry was put aside in this edition; None if it was not."""
        return self.problem if self.problem_edition == edition else None

    def waits(self, due: float) -> bool:
        """Tell whether a run waits, for an entry that is due at this time."""
        return self.waiting is not None and self.looks == due


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(History)
NEW: Final = History()


def pack_history(history: History) -> bytes:
    """Return the state to keep."""
    return _encoder.encode(history)


def unpack_history(state: bytes) -> History:
    """Return what a state says; bytes that cannot be read are an entry's that never ran."""
    if not state:
        return NEW
    try:
        return _decoder.decode(state)
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError):
        return NEW


def newest(runs: tuple[Run, ...], keep: int, overlap: str) -> tuple[Run, ...]:
    """Return as many of the latest runs as an entry keeps; one at least, if it matters whether it goes on."""
    most = keep if overlap == "allow" else max(1, keep)
    return runs[-most:] if most else ()


def run_id(name: str, due: float) -> str:
    """Return the task id of the run of an entry for a due time: the same for whoever fires it, a UUID of version 8.

    It begins with the milliseconds of the due time, as other ids begin with those of their making, so that what is sent
    together stands together in a store's index; the rest is a hash of both.
    """
    digits = blake2b(
        f"{due!r}/{name}".encode("utf-8", "surrogatepass"), digest_size=10, person=b"celeriac.entry"
    ).hexdigest()
    moment = f"{int(due % _ERA * 1000) & _MOMENT:012x}"
    return f"{moment[:8]}-{moment[8:]}-8{digits[:3]}-{_VARIANT[digits[3]]}{digits[4:7]}-{digits[7:19]}"


_MOMENT: Final = (1 << 48) - 1
_ERA: Final = (1 << 48) / 1000
"""Seconds that 48 bits of milliseconds count."""
_VARIANT: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def id_of(name: str, run: Run) -> str:
    """Return the task id of a run."""
    return run.task_id or run_id(name, run.due)
