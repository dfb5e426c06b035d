"""Blocking code that takes turns: threads of which only one runs, and only when the world says so.

A strand is a thread of the simulated worker (a slot, a thread of the keeper). It runs in a carrier, a real thread, and
hands control back whenever it blocks, so the world decides who goes on, and when. Carriers are used again: a run needs
dozens of strands, and starting a real thread costs more than all the turns of a short one.
"""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable
from typing import Final, Protocol

from celeriac.testing.simulation.world import Life


class Killed(BaseException):
    """The simulated process of this code has been killed: unwind, and do nothing more."""


class Home(Life, Protocol):
    """What strands need of their process."""

    strand: Strand | None
    strands: list[Strand]

    def here(self) -> Strand:
        """Return the strand whose code this is called from."""
        ...


class _Carrier:
    """A real thread that runs strands, one at a time, handing control back and forth."""

    def __init__(self) -> None:
        self._go = _thread.allocate_lock()
        self._back = _thread.allocate_lock()
        self._go.acquire()
        self._back.acquire()
        self._job: Callable[[], None] | None = None
        self.free = True
        threading.Thread(target=self._main, name="simulated", daemon=True).start()

    def _main(self) -> None:
        while True:
            self._go.acquire()
            job = self._job
            if job is None:
                return
            job()
            self._job = None
            self.free = True
            self._back.release()

    def take(self, job: Callable[[], None]) -> None:
        """Be told what to run with the next :meth:`enter`."""
        self.free = False
        self._job = job

    def enter(self) -> None:
        """Let it run until it leaves or ends; called by the world's thread."""
        self._go.release()
        self._back.acquire()

    def leave(self) -> None:
        """Hand control back and wait for the next turn; called by the strand."""
        self._back.release()
        self._go.acquire()


_idle: Final[list[_Carrier]] = []


class Strand:
    """One thread of a simulated process.

    Args:
        process: Whose.
        target: What it runs.
        name: Its name.
    """

    def __init__(self, process: Home, target: Callable[[], None], name: str) -> None:
        self._process = process
        self._target = target
        self._name = name
        self._carrier: _Carrier | None = None
        self._turn = 0
        self._waits = False
        self._woken = False
        self._thrown: BaseException | None = None
        self._joining: list[Strand] = []
        self.started = False
        self.ended = False

    # As a thread.

    def start(self) -> None:
        """Begin, in a moment."""
        self.started = True
        self._process.strands.append(self)
        self._process.post(self._begin)

    def join(self, timeout: float | None = None) -> None:
        """Block the calling strand until this one has ended, or for so many seconds."""
        if not self.ended:
            caller = self._process.here()
            self._joining.append(caller)
            caller.pause(timeout)

    def is_alive(self) -> bool:
        """Return whether it has begun and not ended."""
        return self.started and not self.ended

    # Taking turns.

    def _begin(self) -> None:
        carrier = _idle.pop() if _idle else _Carrier()
        self._carrier = carrier
        carrier.take(self._run)
        self._enter(carrier)

    def _run(self) -> None:
        try:
            self._target()
        except Killed:
            pass
        except BaseException as exc:
            self._process.failed(self._name, exc)
        self.ended = True

    def _enter(self, carrier: _Carrier) -> None:
        process = self._process
        process.strand, before = self, process.strand
        carrier.enter()
        process.strand = before
        if self.ended:
            self._carrier = None
            _idle.append(carrier)
            process.strands.remove(self)
            for one in self._joining:
                one.wake()

    def pause(self, timeout: float | None) -> bool:
        """Block this strand, the calling one, until :meth:`wake`; return False if ``timeout`` seconds passed first."""
        process = self._process
        carrier = self._carrier
        if not process.alive or carrier is None:
            raise Killed
        self._turn += 1
        self._waits, self._woken = True, False
        turn = self._turn
        if timeout is not None:
            process.world.after(max(0.0, timeout), lambda: process.post(lambda: self._resume(turn, woken=False)))
        carrier.leave()
        if not process.alive:
            raise Killed
        if self._thrown is not None:
            thrown, self._thrown = self._thrown, None
            raise thrown
        return self._woken

    def wake(self) -> None:
        """End the pause that the strand is in, if it is in one."""
        if self._waits:
            turn = self._turn
            self._process.post(lambda: self._resume(turn, woken=True))

    def throw(self, exc: BaseException) -> None:
        """End the pause that the strand is in, if it is in one, by raising this."""
        if self._waits:
            self._thrown = exc
            self.wake()

    def _resume(self, turn: int, *, woken: bool) -> None:
        if self._waits and turn == self._turn and self._carrier is not None:
            self._waits = False
            self._woken = woken
            self._enter(self._carrier)

    def unwind(self) -> None:
        """Let what the strand runs end, now that its process is dead."""
        while self._carrier is not None and not self.ended:
            self._waits = False
            self._enter(self._carrier)
