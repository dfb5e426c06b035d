"""Wakes a thread that waits in a selector, from any other thread and from signal handlers."""

from __future__ import annotations

import os


class Waker:
    """A pipe whose reading end is for the selector."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)

    def fileno(self) -> int:
        """Return what to wait for."""
        return self._reader

    def wake(self) -> None:
        """Let the selector return, now or when it waits next."""
        try:
            os.write(self._writer, b"\0")
        except OSError:  # Full, so it will wake anyway; or closed, and nobody waits any more.
            return

    def clear(self) -> None:
        """Forget every call of :meth:`wake` so far."""
        try:
            while os.read(self._reader, 4096):
                continue
        except BlockingIOError:
            return

    def close(self) -> None:
        """Close the pipe; whoever still calls :meth:`wake` does no harm."""
        ends = self._reader, self._writer
        self._reader = self._writer = -1
        for end in ends:
            os.close(end)
