"""Ends processes that a task forked and that came back from the task's code.

``os.fork`` inside a task gives two processes that both return from it. Only the first is the worker's: the other has
copies of everything that was claimed and of what tells the worker apart from it, and would run and report it all a
second time. It ends here instead, with the exit code that a Python program would end with.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn


def call(invoke: Callable[[], Any]) -> Any:
    """Return ``invoke()`` in this process; end any other process in which it returns or raises."""
    pid = os.getpid()
    try:
        value = invoke()
    except BaseException as exc:
        if os.getpid() != pid:
            leave(exc)
        raise
    if os.getpid() != pid:
        leave(None)
    return value


def leave(exc: BaseException | None) -> NoReturn:
    """End this process at once, without cleaning up what is the worker's.

    Args:
        exc: What the task's code raised in this process: SystemExit gives the exit code, another one is shown.
    """
    code = 0
    if isinstance(exc, SystemExit):
        code = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
    elif exc is not None:
        code = 1
        with contextlib.suppress(Exception):
            traceback.print_exception(exc)
    exit_now(code & 0xFF)


def exit_now(code: int) -> NoReturn:
    """End this process at once, with what it has printed, whatever a task has made of its streams."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # Closed, or no stream at all.
            stream.flush()
    os._exit(code)
