"""A clock that a test moves by hand, so that leases expire and tasks become due without anybody sleeping."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime


class VirtualClock:
    """A :class:`celeriac.core.clock.Clock` that stands still until it is told to move. Safe to share between threads.

    Args:
        now: The wall time to start at, seconds since the epoch.
    """

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._lock = threading.Lock()
        self._wall = now
        self._steady = 0.0
        self._followers: list[Callable[[datetime], object]] = []

    def now(self) -> float:
        """Return seconds since the epoch."""
        with self._lock:
            return self._wall

    def monotonic(self) -> float:
        """Return seconds since this clock was made; never steps back."""
        with self._lock:
            return self._steady

    def advance(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            ValueError: ``seconds`` is negative; to set the wall clock back, use :meth:`step`.
        """
        if seconds < 0:
            raise ValueError(f"time cannot pass by {seconds} seconds; step() sets the wall clock back")
        with self._lock:
            self._wall += seconds
            self._steady += seconds
        self._tell()

    def step(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an administrator would; steady time does not notice."""
        with self._lock:
            self._wall += seconds
        self._tell()

    def follow(self, move: Callable[[datetime], object]) -> None:
        """Call ``move`` with the time now and after each step, so that the clock of the machine can be made to agree.

        Args:
            move: Takes an aware datetime: ``move_to`` of a frozen time of ``freezegun`` or ``time-machine``.
        """
        self._followers.append(move)
        move(self.datetime)

    @property
    def datetime(self) -> datetime:
        """The wall time, in UTC."""
        return datetime.fromtimestamp(self.now(), UTC)

    def _tell(self) -> None:
        for move in self._followers:
            move(self.datetime)
