"""Judges what became of hostile bytes: refused in a documented way, or read; and nothing else happened.

While a reader is at work, Python's audit hooks report what the process does. Running code, importing a module,
starting a process, unpickling, connecting and writing files are none of a reader's business.
"""

from __future__ import annotations

import signal
import sys
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

LIMIT: Final = 10.0
"""Seconds that one reading may take on a loaded machine; a good one takes microseconds."""
_FORBIDDEN: Final = frozenset(
    {
        "code.__new__",
        "compile",
        "ctypes.dlopen",
        "exec",
        "import",
        "marshal.loads",
        "os.exec",
        "os.fork",
        "os.posix_spawn",
        "os.remove",
        "os.rename",
        "os.system",
        "pickle.find_class",
        "shutil.rmtree",
        "socket.connect",
        "subprocess.Popen",
    }
)

_seen: list[str] | None = None


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if _seen is None:
        return
    if event == "compile" and args[1] == "<unknown>":
        return  # traceback parses the line it shows, to point at the place; the text is ours.
    writes = event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")
    if event in _FORBIDDEN or writes:
        _seen.append(f"{event} {args!r:.200}")


sys.addaudithook(_audit)


@contextmanager
def watched() -> Iterator[list[str]]:
    """Collect what the process does that a reader must not."""
    global _seen
    found: list[str] = []
    _seen = found
    try:
        yield found
    finally:
        _seen = None


class TooLong(BaseException):
    """The reader was still at work at the limit. No ``except Exception`` stops it."""


@contextmanager
def limited(seconds: float = LIMIT) -> Iterator[None]:
    """Raise TooLong in the main thread after so many seconds."""

    def strike(number: int, frame: types.FrameType | None) -> None:
        raise TooLong

    previous = signal.signal(signal.SIGALRM, strike)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def judge(read: Callable[[bytes], object], data: bytes, refuses: tuple[type[Exception], ...]) -> bool:
    """Let a reader read; return whether it did, and not refused.

    Args:
        read: The reader.
        data: What to read.
        refuses: The errors by which it says that it will not.

    Raises:
        AssertionError: It did something else.
    """
    shown = f"{len(data)} bytes: {data[:400]!r}"
    start = time.perf_counter()
    with watched() as done:
        try:
            with limited():
                read(data)
            taken = True
        except refuses:
            taken = False
        except TooLong:
            raise AssertionError(f"after {time.perf_counter() - start:.1f} s it was still reading {shown}") from None
        except BaseException as exc:
            raise AssertionError(f"{type(exc).__name__}: {exc!s:.300} came of {shown}") from exc
    assert not done, f"it did {done} for {shown}"
    return taken
