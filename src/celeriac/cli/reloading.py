"""``worker --reload``: an outer process that runs the worker as an inner one, and again when a Python file changes.

The outer process imports none of the user's code, so what it starts is always the code of now. Signals that it gets go
on to the inner one. Neither outlives the other: the inner one holds one end of a pipe, and ends when the other end is
closed.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import os
import signal
import subprocess
import sys
import threading
import time
import types
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from celeriac.cli.output import Output
from celeriac.cli.session import Session
from celeriac.core.settings_table import SETTINGS

VARIABLE: Final = "CELERIAC_RELOADED"
"""Set in the inner process: the number of its end of the pipe."""
LOOK_EVERY: Final = 0.5
"""Seconds between two looks at the files; a change is acted on when two looks in a row find the same."""
PATIENCE: Final = 5.0
"""Seconds beyond the grace period before the inner process is killed."""
_STEP: Final = 0.05
_PASSED_ON: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
_SKIPPED: Final = frozenset({"__pycache__", "node_modules", "site-packages"})

Snapshot = dict[str, tuple[int, int]]
"""Path to (time of change, size)."""


def join() -> bool:
    """Return whether this is the inner process; if so, see to it that it ends when the outer one is gone."""
    number = os.environ.pop(VARIABLE, None)  # Not for what tasks start.
    if number is None:
        return False
    descriptor = int(number)
    os.set_inheritable(descriptor, False)

    def watch() -> None:
        while os.read(descriptor, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="celeriac-outer", daemon=True).start()
    return True


def run(session: Session, target: str, grace: float | None) -> int:
    """Run the worker until told to stop, and return its exit code.

    Args:
        session: Has the words of the command line, for the inner process.
        target: What ``-A`` named, to find its files.
        grace: Seconds that the worker takes to end; None means the default.
    """
    seconds = float(SETTINGS["worker_shutdown_grace"].default) if grace is None else grace
    roots = watched_roots(target)
    session.out.note(f"Reload: watching the Python files in {', '.join(map(str, roots))}")
    return Reloader(
        [sys.executable, "-m", "celeriac", *session.argv],
        folder=session.started_in,
        roots=roots,
        patience=seconds + PATIENCE,
        out=session.out,
    ).run()


class Reloader:
    """The outer process.

    Args:
        command: What starts the worker.
        folder: Where.
        roots: Folders and files to watch.
        patience: Seconds between TERM and KILL.
        out: Where to say what happens.
    """

    def __init__(
        self, command: Sequence[str], *, folder: str, roots: Sequence[Path], patience: float, out: Output
    ) -> None:
        self._command = tuple(command)
        self._folder = folder
        self._roots = tuple(roots)
        self._patience = patience
        self._out = out
        self._signals: deque[int] = deque()
        self._stopping = False

    def run(self) -> int:
        """Run until told to stop, or until the worker ends without having been told to; return its exit code."""
        previous = {number: signal.signal(number, self._on_signal) for number in _PASSED_ON}
        # Nothing is ever written: the inner process sees the end of the pipe when this one is gone, however it went.
        reading, writing = os.pipe()
        inner: subprocess.Popen[bytes] | None = None
        try:
            while True:
                seen = snapshot(self._roots)
                inner = self._start(reading)
                changed = self._watch(inner, seen)
                if changed is not None:
                    self._out.note(f"Reload: {', '.join(changed[:3])} changed; the worker starts anew")
                    inner.terminate()
                self._wait_for_end(inner)
                if changed is None or self._stopping:
                    return _exit_code(inner)
        finally:
            if inner is not None and inner.poll() is None:
                _kill(inner)
            os.close(reading)
            os.close(writing)
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _start(self, reading: int) -> subprocess.Popen[bytes]:
        # A group of its own: Ctrl-C reaches this process alone, which passes it on, so that one stays one.
        return subprocess.Popen(
            self._command,
            cwd=self._folder,
            env={**os.environ, VARIABLE: str(reading)},
            pass_fds=(reading,),
            process_group=0,
        )

    def _watch(self, inner: subprocess.Popen[bytes], seen: Snapshot) -> list[str] | None:
        """Return the files that changed; None when the worker has ended for good or was told to end."""
        told = False
        last = seen
        while True:
            self._pause(inner)
            if self._stopping or inner.poll() == 0:
                return None
            if inner.poll() is not None and not told:
                told = True
                self._out.note(f"Reload: the worker ended with exit code {_exit_code(inner)}; waiting for a change")
            now = snapshot(self._roots)
            if now != seen and now == last:
                return changes(seen, now)
            last = now

    def _wait_for_end(self, inner: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + self._patience
        while inner.poll() is None:
            if time.monotonic() > until:
                self._out.note("Reload: the worker did not end in time and is killed")
                _kill(inner)
            self._pause(inner)

    def _pause(self, inner: subprocess.Popen[bytes]) -> None:
        """Rest for a moment; end early when the worker has ended or a signal came, which is passed on."""
        until = time.monotonic() + LOOK_EVERY
        lived = inner.poll() is None
        while time.monotonic() < until and not (lived and inner.poll() is not None):
            if self._signals:
                self._stopping = True
                inner.send_signal(self._signals.popleft())
                return
            time.sleep(_STEP)

    def _on_signal(self, number: int, _frame: types.FrameType | None) -> None:
        self._signals.append(number)


def _kill(inner: subprocess.Popen[bytes]) -> None:
    """Kill the worker and whatever is in its group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(inner.pid, signal.SIGKILL)
    inner.wait()


def watched_roots(target: str) -> list[Path]:
    """Return what to watch: the working directory, and the app's package if that is elsewhere."""
    here = Path.cwd()
    top = target.partition(":")[0].partition(".")[0]
    spec = _spec_of(top, here)
    places = [] if spec is None else list(spec.submodule_search_locations or [spec.origin or ""])
    paths = [Path(place).resolve() for place in places if place]
    return [here, *dict.fromkeys(path for path in paths if here.resolve() not in path.parents and path.exists())]


def _spec_of(name: str, here: Path) -> importlib.machinery.ModuleSpec | None:
    try:
        return importlib.machinery.PathFinder.find_spec(name, [str(here), *sys.path])
    except (ImportError, ValueError):
        return None


def snapshot(roots: Sequence[Path]) -> Snapshot:
    """Return the state of every Python file below the roots; hidden folders and virtual environments are left out."""
    return dict(entry for root in roots for entry in _files(str(root)))


def _files(path: str) -> Iterator[tuple[str, tuple[int, int]]]:
    with contextlib.suppress(OSError):
        if os.path.isfile(path):
            status = os.stat(path)
            yield path, (status.st_mtime_ns, status.st_size)
            return
        with os.scandir(path) as entries:
            listed = list(entries)
        if any(entry.name == "pyvenv.cfg" for entry in listed):
            return
        for entry in listed:
            # A file may vanish between the two looks at it.
            with contextlib.suppress(OSError):
                if entry.name.endswith(".py"):
                    status = entry.stat()
                    yield entry.path, (status.st_mtime_ns, status.st_size)
                elif entry.name[0] != "." and entry.name not in _SKIPPED and entry.is_dir(follow_symlinks=False):
                    yield from _files(entry.path)


def changes(before: Snapshot, after: Snapshot) -> list[str]:
    """Return the files that are new, gone or different."""
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def _exit_code(process: subprocess.Popen[bytes]) -> int:
    code = process.returncode or 0
    return 128 - code if code < 0 else code
