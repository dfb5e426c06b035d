"""The worker of the demo: started in a process group of its own, and stopped so that none of the group is left.

The own group keeps the terminal's Ctrl-C away from the worker, so that only the demo decides when it ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from examples.mosaic.interruption import Interruption
    from examples.mosaic.storage import Folder

_PROJECT: Final = Path(__file__).parents[2]
_READY_WITHIN: Final = 30.0
_GRACE: Final = 10.0
_GONE_WITHIN: Final = 2.0
_STEP: Final = 0.05


class WorkerFailed(Exception):
    """The worker did not start, ended on its own, or had to be killed; the text shows the end of its log."""


class WorkerProcess:
    """A running worker with its children.

    Args:
        folder: Where its database, health file and log lie.
        processes: How many child processes run tasks.
        interruption: Asked during every wait.
    """

    def __init__(self, folder: Folder, processes: int, interruption: Interruption) -> None:
        self._folder = folder
        self._interruption = interruption
        self._ready = False
        options = ["-c", str(processes), "-l", "WARNING", "-n", "mosaic@%h"]
        with folder.worker_log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "celeriac", "-A", "examples.mosaic.tasks", "worker", *options],
                cwd=_PROJECT,
                env={**os.environ, "MOSAIC_DIR": str(folder.root)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
            )

    @property
    def pid(self) -> int:
        """Id of the worker's process, and of its group."""
        return self._process.pid

    def wait_until_ready(self) -> None:
        """Wait for the worker's health file.

        Raises:
            WorkerFailed: It ended, or was not ready in time.
            Interrupted: A signal came.
        """
        until = time.monotonic() + _READY_WITHIN
        while not self._folder.health.exists():
            self.check()
            if time.monotonic() > until:
                raise WorkerFailed(f"the worker was not ready within {_READY_WITHIN:.0f} s\n{self._log_end()}")
            self._interruption.wait(_STEP)
        self._ready = True

    def check(self) -> None:
        """Raise :class:`WorkerFailed` if the worker has ended."""
        if (code := self._process.poll()) is not None:
            raise WorkerFailed(f"the worker ended on its own with exit code {code}\n{self._log_end()}")

    def stop(self) -> None:
        """End the worker: SIGTERM, then SIGKILL to its whole group for what is still there after the grace period.

        A second signal to the demo ends the grace period at once. A worker that has ended on its own is not asked
        anything; what it left of its group is killed all the same.

        Raises:
            WorkerFailed: Something had to be killed, or a worker that was ready ended with another exit code than 0.
                The group is gone by then all the same.
        """
        runs = self._process.poll() is None
        if runs:
            self._process.terminate()
        until = time.monotonic() + _GRACE
        while self._process.poll() is None and time.monotonic() < until and self._interruption.count < 2:
            time.sleep(_STEP)
        if self._kill_group():
            raise WorkerFailed(f"the worker left processes behind, which were killed\n{self._log_end()}")
        if runs and self._ready and self._process.returncode != 0:
            raise WorkerFailed(f"the worker stopped with exit code {self._process.returncode}\n{self._log_end()}")

    def _kill_group(self) -> bool:
        """Kill what is left of the group; return whether anything was."""
        # Helpers of the worker end by themselves when they see it gone; that takes a moment.
        until = time.monotonic() + _GONE_WITHIN
        ended = self._process.poll() is not None
        while ended and _group_lives(self.pid) and time.monotonic() < until and self._interruption.count < 2:
            time.sleep(_STEP)
        if ended and not _group_lives(self.pid):
            return False
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        until = time.monotonic() + _GONE_WITHIN
        while _group_lives(self.pid) and time.monotonic() < until:
            time.sleep(_STEP)
        return True

    def _log_end(self) -> str:
        lines = self._folder.worker_log.read_text(errors="replace").splitlines()
        return "\n".join(["End of the worker's log:", *lines[-20:]]) if lines else "Its log is empty."


def _group_lives(group: int) -> bool:
    """Return whether a process of the group is alive."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):  # macOS says "not permitted" of a group of dead processes.
        return False
    # On Linux the dead answer too, until the system has cleared them away, which may take seconds in a container.
    seen = list(Path("/proc").glob("[0-9]*/stat"))
    return not seen or any(_is_alive_in(group, stat) for stat in seen)


def _is_alive_in(group: int, stat: Path) -> bool:
    try:
        state, _, its_group = stat.read_text(errors="replace").rpartition(")")[2].split()[:3]
    except (OSError, ValueError):  # It has just gone.
        return False
    return int(its_group) == group and state not in "ZX"
