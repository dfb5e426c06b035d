"""The processes of a run: each is started in a session of its own, and none of a session outlives the run.

Ctrl-C, SIGTERM and SIGHUP end the run as an exception does; while processes are being ended, further signals are
ignored, since that takes a few seconds at most.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final

import psutil

GRACE: Final = 10.0
STEP: Final = 0.02
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ProcessFailed(RuntimeError):
    """A process ended or did not do in time what was expected; the text shows the end of its log."""


@dataclass(eq=False)
class Running:
    """One process and its session."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    started: int = field(default_factory=time.monotonic_ns)

    def members(self) -> list[psutil.Process]:
        """Return the living processes of the session, itself included."""
        return [each for each in psutil.process_iter() if _belongs(each, self.process.pid)]

    def check(self) -> None:
        """Raise :class:`ProcessFailed` if it has ended."""
        if (code := self.process.poll()) is not None:
            raise self.failure(f"ended with exit code {code}")

    def failure(self, what: str) -> ProcessFailed:
        """Return the error that says what it did, with the end of its log."""
        lines = self.log.read_text(errors="replace").splitlines()[-20:]
        return ProcessFailed("\n".join([f"{self.name} {what}; the end of its log:", *(lines or ["(empty)"])]))


class Processes:
    """All processes of a run; a context manager that ends them.

    Args:
        logs: Folder for what they print.
        grace: Seconds that a process has to end after SIGTERM before its session is killed.
    """

    def __init__(self, logs: Path, *, grace: float = GRACE) -> None:
        self._logs = logs
        self._grace = grace
        self._running: list[Running] = []
        self._held = False
        self._interrupted = False
        self._previous: dict[signal.Signals, object] = {}

    def __enter__(self) -> Processes:
        """Turn signals into KeyboardInterrupt."""
        self._previous = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """End what still runs."""
        self._held = True
        for running in reversed(self._running.copy()):
            self._end(running)
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def start(self, name: str, command: Sequence[str], env: Mapping[str, str], *, cwd: Path | None = None) -> Running:
        """Start a process whose output goes to a log file."""
        log = self._logs / f"{len(list(self._logs.iterdir())):04}-{name}.log"
        # A signal between the start and the note of it would leave the process behind.
        self._held = True
        try:
            with log.open("wb") as out:
                process = subprocess.Popen(
                    command,
                    cwd=cwd,
                    env=env,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            running = Running(name, process, log)
            self._running.append(running)
        finally:
            self._release()
        return running

    def stop(self, running: Running) -> None:
        """End a process by SIGTERM and wait for its session.

        Raises:
            ProcessFailed: It had to be killed, or left processes behind; they are gone by then all the same.
        """
        self._held = True
        try:
            killed = self._end(running)
        finally:
            self._release()
        if killed:
            raise running.failure(f"did not end within {self._grace:.0f} s of SIGTERM and was killed")

    def wait(self, running: Running, timeout: float) -> None:
        """Wait until a process has ended by itself, with exit code 0.

        Raises:
            ProcessFailed: It failed, or did not end in time.
        """
        try:
            code = running.process.wait(timeout)
        except subprocess.TimeoutExpired:
            failure = running.failure(f"did not end within {timeout:.0f} s")
            self.stop(running)
            raise failure from None
        self.stop(running)
        if code:
            raise running.failure(f"ended with exit code {code}")

    def _release(self) -> None:
        self._held = False
        if self._interrupted:
            self._interrupted = False
            raise KeyboardInterrupt

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._held:
            self._interrupted = True
            return
        raise KeyboardInterrupt

    def _end(self, running: Running) -> bool:
        """End a session; return whether anything had to be killed."""
        killed = False
        if running.process.poll() is None:
            running.process.terminate()
        until = time.monotonic() + self._grace
        while running.process.poll() is None or running.members():
            if time.monotonic() > until:
                killed = True
                for member in running.members():
                    with contextlib.suppress(psutil.NoSuchProcess):
                        member.kill()
            time.sleep(STEP)
        self._running.remove(running)
        return killed


def _belongs(process: psutil.Process, session: int) -> bool:
    try:
        return os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, PermissionError, psutil.NoSuchProcess):
        return False


@dataclass(frozen=True)
class Usage:
    """What the processes of a session use together: bytes, and seconds of processor time so far.

    Attributes:
        rss: Resident size; pages that processes share count in each.
        pss: The same with each shared page split between its users; None where the system does not tell.
        cpu: User and system time of the living threads.
        processes: How many there are.
    """

    rss: int
    pss: int | None
    cpu: float
    processes: int


def usage(running: Running) -> Usage:
    """Return what a session uses now."""
    members = running.members()
    memory = [each.memory_full_info() for each in members]
    shares = [int(pss) for each in memory if (pss := getattr(each, "pss", None)) is not None]
    return Usage(
        rss=sum(each.rss for each in memory),
        pss=sum(shares) if len(shares) == len(memory) else None,
        cpu=sum(_cpu(each) for each in members),
        processes=len(members),
    )


def _cpu(process: psutil.Process) -> float:
    """Return seconds of processor time; the scheduler's nanoseconds where they are told, since ticks are 10 ms long."""
    try:
        threads = [path.read_text() for path in Path(f"/proc/{process.pid}/task").glob("*/schedstat")]
        nanoseconds = sum(int(text.split()[0]) for text in threads)
    except (OSError, ValueError, IndexError):
        nanoseconds = 0
    times = process.cpu_times()
    return nanoseconds / 1e9 if nanoseconds else float(times.user + times.system)
