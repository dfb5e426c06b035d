"""Where one measurement happens: an empty folder and an empty store, the sending process, and the worker.

Every measurement gets a fresh one, so that none sees what another left.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.processes import Processes, ProcessFailed, Running
from benchmarks.stores import Stores
from benchmarks.system import System
from benchmarks.tally import FOLDER, read_stamps

ROOT: Final = Path(__file__).resolve().parent.parent
STEP: Final = 0.02
FOREIGN: Final = frozenset({"PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONDEBUG", "PYTHONPROFILEIMPORTTIME"})
"""Variables of the caller's environment that would change what is measured."""
FIRST_TASK_WITHIN: Final = 30.0
BROKER: Final = "CELERIAC_BENCH_BROKER"
BACKEND: Final = "CELERIAC_BENCH_BACKEND"
"""Variables that tell an app module the URLs of its stores."""


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much is measured.

    Attributes:
        drain: Tasks of a drain, times the scale of the system.
        send_seconds: Seconds of an enqueue measurement.
        samples: Latency samples of one run.
        load_seconds: Seconds for which a worker is kept half busy.
        idle_seconds: Seconds over which an idle worker is watched.
        settle_seconds: Seconds after start-up before that.
        share: Of what is measured once in a run, where it is much.
    """

    drain: int
    send_seconds: float
    samples: int
    load_seconds: float
    idle_seconds: float
    settle_seconds: float
    share: float


FULL: Final = Effort(
    drain=4_000, send_seconds=0.8, samples=30, load_seconds=2.5, idle_seconds=5.0, settle_seconds=1.0, share=1.0
)
QUICK: Final = Effort(
    drain=1_500, send_seconds=0.5, samples=25, load_seconds=2.0, idle_seconds=2.5, settle_seconds=0.5, share=0.1
)


class Site:
    """The place of one measurement."""

    def __init__(self, processes: Processes, system: System, folder: Path, env: Mapping[str, str]) -> None:
        self.system = system
        self.folder = folder
        self._processes = processes
        self._env = env

    def run(self, name: str, *command: str, timeout: float = 60.0) -> str:
        """Run Python to its end and return the last line it printed.

        Raises:
            ProcessFailed: It failed or took too long.
        """
        return self._last_line(name, [sys.executable, *command], timeout)

    def _last_line(self, name: str, command: Sequence[str], timeout: float) -> str:
        running = self._processes.start(name, command, self._env, cwd=ROOT)
        self._processes.wait(running, timeout)
        lines = running.log.read_text().splitlines()
        if not lines:
            raise running.failure("printed nothing")
        return lines[-1]

    def produce(self, command: str, *arguments: object, timeout: float = 60.0) -> Any:
        """Run a command of :mod:`benchmarks.producer`, or of what the system has instead; return what it measured."""
        words = (str(each) for each in arguments)
        last = self._last_line(command, [*self.system.producer(), command, *words], timeout)
        try:
            return json.loads(last)
        except ValueError:
            raise ProcessFailed(f"{command} ended with {last[:200]!r} where its measurement should stand") from None

    def forget_counts(self) -> None:
        """Begin to count tasks anew; no worker runs."""
        for path in self.folder.glob("counts-*"):
            path.unlink()

    @contextlib.contextmanager
    def worker(self, *more: str) -> Iterator[Running]:
        """Start a worker, with more arguments if need be, and stop it, whatever happens.

        Raises:
            ProcessFailed: It ended too early, or did not stop when told to.
        """
        command = [*self.system.command(), *more]
        running = self._processes.start(f"{self.system.key}-worker", command, self._env, cwd=ROOT)
        try:
            yield running
            running.check()
        finally:
            self._processes.stop(running)


class Arena:
    """Makes the places of a run's measurements, one at a time."""

    def __init__(self, processes: Processes, folder: Path, stores: Stores) -> None:
        self._processes = processes
        self._folder = folder
        self._stores = stores
        self._numbers = itertools.count(1)

    @contextlib.contextmanager
    def site(self, system: System) -> Iterator[Site]:
        """Make an empty place, and remove it."""
        folder = self._folder / f"{next(self._numbers):04}"
        folder.mkdir()
        env = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        urls = self._stores.empty(system.stores, folder)
        env |= {
            FOLDER: str(folder),
            BROKER: urls[system.broker],
            BACKEND: urls[system.backend],
            # One place for the bytecode of all: a library that was installed with its bytecode has no advantage.
            "PYTHONPYCACHEPREFIX": str(self._folder / "bytecode"),
        }
        try:
            yield Site(self._processes, system, folder, env)
        finally:
            shutil.rmtree(folder)


def warm_up(arena: Arena, systems: Iterable[System]) -> dict[str, ProcessFailed]:
    """Run one task on each system, so that the bytecode of everything is cached before anything is measured.

    Returns:
        The failures of systems that do not run, by their keys.
    """
    failures: dict[str, ProcessFailed] = {}
    for system in systems:
        try:
            with arena.site(system) as site:
                site.produce("preload", "stamp", 1)
                with site.worker() as worker:
                    wait_for_first_task(site, worker)
        except ProcessFailed as failure:
            failures[system.key] = failure
    return failures


def wait_for_first_task(site: Site, worker: Running) -> int:
    """Wait until the task ``stamp`` has run, and return when it did, in nanoseconds of CLOCK_MONOTONIC."""
    wait_until(
        lambda: bool(read_stamps(site.folder)), worker, what="did not run its first task", timeout=FIRST_TASK_WITHIN
    )
    return read_stamps(site.folder)[0][1]


def wait_until(done: Callable[[], bool], running: Running, *, what: str, timeout: float) -> None:
    """Wait for a condition while a process runs.

    Raises:
        ProcessFailed: The process ended, or the condition did not come true in time.
    """
    until = time.monotonic() + timeout
    while not done():
        running.check()
        if time.monotonic() > until:
            raise running.failure(f"{what} within {timeout:.0f} s")
        time.sleep(STEP)
