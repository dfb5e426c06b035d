"""Stopping processes in their tracks (SIGSTOP), until they stand still: on a loaded machine that takes time."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from pathlib import Path

import psutil

from tests.support.waiting import wait_for


def freeze(pids: Iterable[int]) -> None:
    """Stop these processes and wait until every thread of theirs stands still."""
    frozen = list(pids)
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    for pid in frozen:
        wait_for(lambda: _stands_still(pid), 5, f"process {pid} to stand still")  # noqa: B023


def _stands_still(pid: int) -> bool:
    threads = Path(f"/proc/{pid}/task")
    if not threads.exists():  # No Linux: only the process as a whole can be looked at.
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    states = [thread.joinpath("stat").read_text().rpartition(")")[2].split()[0] for thread in threads.iterdir()]
    return set(states) <= {"T", "t"}
