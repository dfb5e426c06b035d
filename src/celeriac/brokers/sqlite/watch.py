"""Hears that somebody writes to a file, where the operating system says so: inotify, on Linux.

It saves a waiter most of its looking. It is a hint and nothing more: a write is heard when it begins, so what it wrote
may not be visible yet, and where there is no watch (another system, no more watches to be had) nothing is lost but
time.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from typing import Any, Final

IN_MODIFY: Final = 0x2
FLAGS: Final = os.O_CLOEXEC | os.O_NONBLOCK if sys.platform == "linux" else 0
"""inotify's own flags have these values."""
BUFFER: Final = 4096


def _library() -> Any:
    """Return the C library if it has inotify."""
    if sys.platform != "linux":
        return None
    try:
        library = ctypes.CDLL(None)
    except OSError:
        return None
    return library if hasattr(library, "inotify_init1") and hasattr(library, "inotify_add_watch") else None


_libc: Final = _library()


class Watch:
    """Hears writes to one file until it is closed.

    Attributes:
        fd: Becomes readable when somebody has written; :meth:`hear` makes it unreadable again.
    """

    def __init__(self, fd: int) -> None:
        self.fd: Final = fd

    def hear(self) -> bool:
        """Tell whether somebody has written since the last call."""
        heard = False
        with contextlib.suppress(BlockingIOError):
            while os.read(self.fd, BUFFER):
                heard = True
        return heard

    def close(self) -> None:
        """Stop listening."""
        os.close(self.fd)


def watch(path: str) -> Watch | None:
    """Return a watch on the file, or None where there is none to be had."""
    if _libc is None:
        return None
    fd: int = _libc.inotify_init1(FLAGS)
    if fd < 0:
        return None
    if _libc.inotify_add_watch(fd, os.fsencode(path), IN_MODIFY) < 0:
        os.close(fd)
        return None
    return Watch(fd)
