"""The worker of the demo: started in a process group of its own, and stopped so that none of the group is left.

The own group keeps the terminal's Ctrl-C away from the worker, so that only the demo decides when it ends.
"""

from __future__ import annotations

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

    def check(self) -> None:
        """Raise :class:`WorkerFailed` if the worker has ended."""
        if (code := self._process.poll()) is not None:
            raise WorkerFailed(f"the worker ended on its own with exit code {code}\n{self._log_end()}")

    def stop(self) -> None:
        """End the worker: SIGTERM, then SIGKILL to its whole group for what is still there after the grace period.

        A second signal to the demo ends the grace period at once.

        A worker that has ended on its own is not asked anything; what it left of its group is killed all the same.

        Raises:
            WorkerFailed: Something had to be killed, or the exit code is not 0. The group is gone by then all the same.
        """
        runs = self._process.poll() is None
        if runs:
            self._process.terminate()
        until = time.monotonic() + _GRACE
        while self._process.poll() is None and time.monotonic() < until and self._interruption.count < 2:
            time.sleep(_STEP)
        if self._kill_group():
            raise WorkerFailed(f"the worker left processes behind, which were killed\n{self._log_end()}")
        if runs and self._process.returncode != 0:
            raise WorkerFailed(f"the worker stopped with exit code {self._process.returncode}\n{self._log_end()}")

    def _kill_group(self) -> bool:
        """Kill what is left of the group; return whether anything was."""
        found = False
        until = time.monotonic() + _GONE_WITHIN
        while time.monotonic() < until:
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):  # macOS says "not permitted" of a group of zombies.
                break
            found = True
            self._process.poll()
            time.sleep(_STEP)
        self._process.wait()
        return found

    def _log_end(self) -> str:
        lines = self._folder.worker_log.read_text(errors="replace").splitlines()
        return "\n".join(["End of the worker's log:", *lines[-20:]]) if lines else "Its log is empty."
