"""Does without multiprocessing's resource tracker, a whole interpreter that waits for something to clean up.

The standard library starts one before it asks a fork server for a process, and hands its pipe to that process. A worker
leaves nothing that would have to be tracked. So it hands over the null device, and each child process forgets that:
where a task makes what must be tracked, a semaphore or shared memory, the child starts a tracker of its own then.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any, Final

_FD: Final = "_fd"
"""Where the standard library keeps the pipe (3.11 to 3.14). If that changes, a tracker is started as ever."""


def _state() -> dict[str, Any]:
    return getattr(getattr(resource_tracker, "_resource_tracker", None), "__dict__", {})


@contextmanager
def untracked() -> Generator[None]:
    """Start processes of a fork server in here. A tracker that runs already is used, as by anybody."""
    state = _state()
    if state.get(_FD, -1) is not None:
        resource_tracker.ensure_running()
        yield
        return
    null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    state[_FD] = null
    try:
        yield
    finally:
        if state[_FD] == null:
            state[_FD] = None
            os.close(null)


def forget() -> None:
    """Let this process start a tracker if it ever needs one, where it was started :func:`untracked`."""
    state = _state()
    given = state.get(_FD)
    if given is not None and _is_null(given):
        state[_FD] = None
        os.close(given)


def _is_null(fd: int) -> bool:
    found = os.fstat(fd)
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == os.stat(os.devnull).st_rdev
