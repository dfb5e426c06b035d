"""The folder for what a worker shares with its children by files; it goes with the worker, however that ends.

A worker that is killed leaves its folder behind. The next worker of the same user on the machine removes it: each holds
a lock in its folder for as long as it lives, and what nobody holds is nobody's.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
import weakref
from pathlib import Path
from typing import Final

PREFIX: Final = "celeriac-worker-"
LOCK: Final = "lock"
YOUNG: Final = 60.0
"""Seconds for which a folder without a lock may be that of a worker that is about to make one."""


class RuntimeFolder:
    """A new folder, in the system's folder for temporary files.

    Attributes:
        name: Its path.
    """

    def __init__(self) -> None:
        sweep()
        self.name: Final = tempfile.mkdtemp(prefix=PREFIX)
        # Locked before it has its name, so that nobody can find it unlocked.
        descriptor, path = tempfile.mkstemp(dir=self.name)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.rename(path, Path(self.name, LOCK))
        self._finalizer = weakref.finalize(self, _remove, self.name, descriptor, os.getpid())

    def cleanup(self) -> None:
        """Remove it. Safe to call twice."""
        self._finalizer()


def sweep() -> None:
    """Remove the folders of this user's workers that are gone. What cannot be removed stays, and is no error."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            _sweep(folder)


def _sweep(folder: Path) -> None:
    found = folder.lstat()
    if folder.is_symlink() or not folder.is_dir() or found.st_uid != os.geteuid():
        return
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        if time.time() - found.st_mtime > YOUNG:
            shutil.rmtree(folder, ignore_errors=True)
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # Raises where its worker lives.
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)


def _remove(name: str, descriptor: int, owner: int) -> None:
    if os.getpid() == owner:  # A forked child has a copy of this, and the folder is not its own.
        shutil.rmtree(name, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.close(descriptor)
