"""Virtual time: what happens next, and in whose name.

The world is a heap of moments. Nothing in it reads the machine's clock or its randomness, and no set or hash decides an
order, so that a seed means the same on every machine and in every process.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Final, Protocol

EPOCH: Final = 1_800_000_000.0
"""When every run begins, seconds since the epoch."""
_LOOK: Final = 8
"""Moments between two looks whether all is over."""


class Host:
    """A machine with a clock of its own.

    Args:
        name: Its name.
        skew: Seconds by which its wall clock is ahead of the store's.
        booted: What its monotonic clock showed when the run began.
    """

    def __init__(self, name: str, *, skew: float = 0.0, booted: float = 1000.0) -> None:
        self.name = name
        self.skew = skew
        self.booted = booted
        self._stops: list[Callable[[float], None]] = []

    def add(self, stop: Callable[[float], None]) -> None:
        """Know of a process: what lets it stand still for so many seconds."""
        self._stops.append(stop)

    def freeze(self, seconds: float) -> None:
        """Let every process of this machine stand still."""
        for stop in self._stops:
            stop(seconds)


class World:
    """Virtual time and seeded chance.

    Args:
        seed: Decides everything.
    """

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now = EPOCH
        self.host: Host | None = None
        """Whose code runs at the moment; None for the world's own."""
        self._moments: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, moment: float, act: Callable[[], None]) -> None:
        """Do this then; what is due at the same moment is done in the order in which it was asked for."""
        self._count += 1
        heapq.heappush(self._moments, (max(moment, self.now), self._count, act))

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Do this so many seconds from now."""
        self.at(self.now + seconds, act)

    def run(self, over: Callable[[], bool], until: float) -> bool:
        """Let time pass until ``over()``; False if the moment ``until`` came first."""
        moments, pop = self._moments, heapq.heappop
        while not over():
            for _ in range(_LOOK):
                if not moments or moments[0][0] > until:
                    return over()
                self.now, _, act = pop(moments)
                act()
        return True

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return probability > 0 and self.rng.random() < probability


class Life(Protocol):
    """What belongs to a process, as far as its loop and its threads know it."""

    world: World
    alive: bool

    def post(self, act: Callable[[], None]) -> None:
        """Do this in the process, after what it was asked to do before."""
        ...

    def failed(self, where: str, exc: BaseException) -> None:
        """Take note of an error that nobody caught."""
        ...


class HostClock:
    """The clock of whoever's code runs at the moment: a :class:`celeriac.core.clock.Clock`."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> float:
        host = self._world.host
        return self._world.now + (host.skew if host is not None else 0.0)

    def monotonic(self) -> float:
        host = self._world.host
        return self._world.now - EPOCH + (host.booted if host is not None else 0.0)


class StoreClock:
    """The store's clock: true time."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> float:
        return self._world.now

    def monotonic(self) -> float:
        return self._world.now - EPOCH
