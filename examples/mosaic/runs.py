"""Notes of runs: a result tells how a task ended, the notes tell how often it ran until then, and for how long."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Run:
    """One attempt at a task.

    Args:
        task: Short name of the task.
        id: Id of the task.
        state: How the attempt ended: SUCCESS, FAILURE or RETRY.
        seconds: How long it took.
    """

    task: str
    id: str
    state: str
    seconds: float


def note(path: Path, run: Run) -> None:
    """Add ``run`` to the file; one write call, so lines of two processes do not mix."""
    line = json.dumps(asdict(run)) + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def read_runs(path: Path) -> list[Run]:
    """Return all runs noted so far, oldest first."""
    if not path.exists():
        return []
    return [Run(**json.loads(line)) for line in path.read_text().splitlines()]
