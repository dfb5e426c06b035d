"""The pid file of a worker or a scheduler: who runs, and that only one does."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from celeriac.errors import ImproperlyConfigured


class PidFile:
    """Holds this process's id while the ``with`` block runs. A file of a process that is gone is replaced.

    Args:
        path: Where; None keeps no file.
        note: Told of a file that was left behind.
    """

    def __init__(self, path: str | None, note: Callable[[str], None] = lambda text: None) -> None:
        self._path = None if path is None else Path(path)
        self._note = note

    def __enter__(self) -> None:
        """Raises ImproperlyConfigured if the file cannot be written, or names another process that lives."""
        path = self._path
        if path is None:
            return
        try:
            for _ in range(2):
                with contextlib.suppress(FileExistsError):
                    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
                    with os.fdopen(descriptor, "w") as file:
                        file.write(f"{os.getpid()}\n")
                    return
                self._remove_stale(path)
        except OSError as exc:
            raise ImproperlyConfigured(f"--pidfile {str(path)!r} cannot be written: {exc.strerror or exc}") from exc
        raise ImproperlyConfigured(f"--pidfile {str(path)!r}: another process is just starting with it")

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._path is not None and _pid_in(self._path) == os.getpid():
            self._path.unlink(missing_ok=True)

    def _remove_stale(self, path: Path) -> None:
        pid = _pid_in(path)
        if pid is not None and pid != os.getpid() and _lives(pid):
            raise ImproperlyConfigured(
                f"--pidfile {str(path)!r} names process {pid}, which lives: stop that one first, or give this one"
                " another file"
            )
        self._note(f"Note: the pid file {path} was left behind by a process that is gone; it is replaced.")
        path.unlink(missing_ok=True)


def _pid_in(path: Path) -> int | None:
    try:
        pid = int(path.read_text())
    except (OSError, ValueError):
        return None
    return pid if pid > 0 else None  # Others would name whole groups of processes.


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
