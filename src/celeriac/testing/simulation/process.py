"""A simulated process: an event loop and strands that live, stand still and die together."""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable
from typing import Final

from celeriac.testing.simulation.loop import VirtualLoop
from celeriac.testing.simulation.strands import Killed, Strand
from celeriac.testing.simulation.world import Host, World

STEP: Final = 1e-4
"""Longest seconds until a process that has something to do does it."""


class Process:
    """One process.

    Args:
        world: Where it lives.
        host: The machine it runs on.
        name: For the trace.
        failed: Told of errors in its code that no part of the worker has caught: bugs, all of them.
    """

    def __init__(self, world: World, host: Host, name: str, failed: Callable[[str], None]) -> None:
        self.world = world
        self.host = host
        self.name = name
        self.alive = True
        self.loop = VirtualLoop(self)  # type: ignore[abstract]  # Nothing in a worker asks for more of a loop.
        self.strands: list[Strand] = []
        self.strand: Strand | None = None
        """The strand whose code runs at the moment."""
        self.at_death: list[Callable[[], None]] = []
        """Called at the moment of death, before anything unwinds."""
        self.ended: list[Callable[[], None]] = []
        """Called when it has ended, whichever way."""
        self._failed = failed
        self._ready: deque[Callable[[], None]] = deque()
        self._scheduled = False
        self._frozen_until = 0.0
        host.add(self.freeze)

    def post(self, act: Callable[[], None]) -> None:
        """Do this in this process, after what it was asked to do before."""
        if not self.alive:
            return
        self._ready.append(act)
        if not self._scheduled:
            self._scheduled = True
            self.world.after(STEP * self.world.rng.random(), self._step)

    def _step(self) -> None:
        self._scheduled = False
        if not self.alive:
            return
        if self.world.now < self._frozen_until:
            self._scheduled = True
            self.world.at(self._frozen_until, self._step)
            return
        world = self.world
        before, world.host = world.host, self.host
        try:
            for _ in range(len(self._ready)):
                if self._ready:  # Its death clears them.
                    self._ready.popleft()()
        finally:
            world.host = before
        if self._ready and not self._scheduled and self.alive:
            self._scheduled = True
            world.after(STEP * world.rng.random(), self._step)

    def here(self) -> Strand:
        """Return the strand whose code this is called from."""
        if self.strand is None:
            raise AssertionError(f"{self.name}: blocking code runs outside of any strand")
        if not self.alive:
            raise Killed
        return self.strand

    def freeze(self, seconds: float) -> None:
        """Stand still for so long, as after SIGSTOP."""
        self._frozen_until = max(self._frozen_until, self.world.now + seconds)

    def kill(self) -> None:
        """End at once, as by SIGKILL. Code of this very process must then raise :class:`Killed`."""
        if not self.alive:
            return
        for act in self.at_death:
            act()
        self.alive = False
        self._ready.clear()
        world = self.world
        before, world.host = world.host, self.host
        for strand in list(self.strands):
            if strand is not self.strand:
                strand.unwind()
        self.loop.abandon()
        world.host = before
        for act in self.ended:
            act()

    def failed(self, where: str, exc: BaseException) -> None:
        """Take note of an error that nobody caught."""
        if self.alive:
            self._failed(f"{self.name}: {where}: {''.join(traceback.format_exception(exc))}")
