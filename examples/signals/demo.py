"""See in which order signals come, in the sender and in the worker: ``python -m examples.signals.demo``.

The exit code is 0 only if each task ended as it was to end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).parents[2]
Line = tuple[int, str | None, str]


def start_worker(folder: Path) -> subprocess.Popen[bytes]:
    """Start a worker with one child process and a scheduler; its log is in the folder."""
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "celeriac", "-A", "examples.signals.app", "worker", "-c", "1", "-B"],
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


class Notes:
    """What the receivers have noted so far."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "notes"

    def lines(self) -> list[Line]:
        """Return the notes: process, task id or None, signal."""
        if not self._path.exists():
            return []
        return [(pid, task_id, word) for pid, task_id, word in map(json.loads, self._path.read_text().splitlines())]

    def wait(self, condition: Callable[[list[Line]], object], what: str, seconds: float = 30.0) -> None:
        """Wait until the notes satisfy a condition.

        Raises:
            TimeoutError: They do not, in time.
        """
        end = time.monotonic() + seconds
        while not condition(self.lines()):
            if time.monotonic() > end:
                raise TimeoutError(f"not after {seconds:.0f} s: {what}")
            time.sleep(0.02)

    def has(self, task_id: str, word: str) -> None:
        """Wait for a signal about a task."""
        self.wait(lambda lines: any(line[1:] == (task_id, word) for line in lines), f"{word} of {task_id}")

    def of(self, task_id: str | None, ours: Callable[[int], bool]) -> str:
        """Return the signals about a task, or about none, in the processes for which ``ours`` is true."""
        return " → ".join([word for pid, one, word in self.lines() if one == task_id and ours(pid)])


def send_all(notes: Notes) -> bool:
    """Send a task of each fate, one after the other; return whether each ended as planned."""
    from celeriac.core.message import Message
    from examples.signals.app import app, work

    ended: dict[str, str] = {}
    for fate in ("returns", "is retried", "fails"):
        result = work.apply_async((), {"fate": fate}, task_id=fate)
        result.get(timeout=30, propagate=False)
        ended[fate] = result.state
    work.apply_async(countdown=0.3, expires=0.1, task_id="has expired")
    notes.has("has expired", "task_revoked")
    app.send_task("nobody.knows", task_id="is unknown")
    notes.has("is unknown", "task_unknown")
    # What no worker can read comes from elsewhere: here, from a message that is made by hand.
    app.broker.enqueue([Message(id="cannot be read", task=work.name, content_type="application/x-unknown")])
    notes.has("cannot be read", "task_rejected")
    work.apply_async(task_id="has a callback", link=work.s().set(task_id="the callback"))
    notes.has("the callback", "task_postrun")
    chained = (work.s().set(task_id="first of a chain") | work.s().set(task_id="second of a chain")).apply_async()
    ended["chain"] = chained.get(timeout=30)
    return ended == {"returns": "SUCCESS", "is retried": "SUCCESS", "fails": "FAILURE", "chain": "returns"}


def run(folder: Path) -> int:
    """Play the story in this folder; return the exit code."""
    os.environ["SIGNALS_DIR"] = str(folder)
    notes = Notes(folder)
    worker = start_worker(folder)
    try:
        notes.wait(lambda lines: any(word == "worker_ready" for _, _, word in lines), "the worker ready")
        fine = send_all(notes)
    finally:
        worker.terminate()
        worker.wait(30)
    from examples.signals.app import app

    app.close()
    here = os.getpid()
    child = next(pid for pid, _, word in notes.lines() if word == "worker_process_init")
    print(f"The sender: {notes.of(None, lambda pid: pid == here)}")
    print(f"The worker: {notes.of(None, lambda pid: pid == worker.pid)}")
    print(f"Its child process: {notes.of(None, lambda pid: pid == child)}")
    for task_id in dict.fromkeys(one for _, one, _ in notes.lines() if one is not None):
        print(f"\n{task_id}:")
        print(f"  sender: {notes.of(task_id, lambda pid: pid == here)}")
        print(f"  worker: {notes.of(task_id, lambda pid: pid != here)}")
    return 0 if fine else 1


def main() -> int:
    """Run the demo as a command."""
    with tempfile.TemporaryDirectory(prefix="signals-") as folder:
        return run(Path(folder))


if __name__ == "__main__":
    sys.exit(main())
