"""Meet a task that kills every process that runs it, and see where it ends: ``python -m examples.poison.demo``.

The exit code is 0 only if the healthy tasks succeeded, the poison task became a dead letter, and the task that must not
run twice did not.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from celeriac import AsyncResult

PROJECT: Final = Path(__file__).parents[2]
HEALTHY: Final = 20


def start_worker(folder: Path) -> subprocess.Popen[bytes]:
    """Start a worker with two processes; its log is in the folder."""
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "celeriac", "-A", "examples.poison.app", "worker", "-c", "2"],
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def wait_until_over(results: list[AsyncResult[Any]], seconds: float = 60.0) -> None:
    """Wait until each task has ended, well or not.

    Raises:
        TimeoutError: One has not, in time.
    """
    end = time.monotonic() + seconds
    while not all(result.ready() for result in results):
        if time.monotonic() > end:
            raise TimeoutError(f"not over after {seconds:.0f} s: {[one.id for one in results if not one.ready()]}")
        time.sleep(0.05)


def run(folder: Path) -> int:
    """Play the story in this folder; return the exit code."""
    os.environ["POISON_DIR"] = str(folder)
    # Only now: the app reads the variable when it is imported.
    from examples.poison.app import app, render, send_letter

    worker = start_worker(folder)
    try:
        healthy = [render.delay(f"report-{number}") for number in range(HEALTHY // 2)]
        poison = render.delay("huge")
        letter = send_letter.delay("Mill Lane 3")
        healthy += [render.delay(f"report-{number}") for number in range(HEALTHY // 2, HEALTHY)]
        wait_until_over([*healthy, poison, letter])
        (dead,) = app.broker.get([poison.id])
        print(f"Healthy tasks that succeeded: {sum(one.successful() for one in healthy)} of {HEALTHY}")
        print(f"The poison task: {poison.state} after {dead.crashes} lost runs, because: {dead.reason}")
        print(f"The letter: {letter.state}, {letter.result!r}")
        fine = all(one.successful() for one in healthy) and dead.state == "DEAD" and letter.state == "FAILURE"
        return 0 if fine else 1
    finally:
        worker.terminate()
        worker.wait(30)
        app.close()


def main() -> int:
    """Run the demo as a command."""
    with tempfile.TemporaryDirectory(prefix="poison-") as folder:
        return run(Path(folder))


if __name__ == "__main__":
    sys.exit(main())
