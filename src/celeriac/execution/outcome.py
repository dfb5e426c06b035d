"""How a run can end, as values, and the one place that decides which it was.

:func:`classify` is the only ladder from exceptions to outcomes in the code base. The first rung that fits holds.
"""

from __future__ import annotations

import traceback as tracebacks
from types import TracebackType
from typing import TypeAlias

import msgspec

from celeriac.errors import Ignore, Reject, Retry, Terminated, TimeLimitExceeded
from celeriac.execution.context import Request
from celeriac.execution.runnable import Runnable

_OWN_MODULES = ("celeriac.execution.", "celeriac.worker.")
"""Frames of these above the task's own tell a user nothing."""


class Succeeded(msgspec.Struct, frozen=True):
    """The task returned this value."""

    value: object


class Failed(msgspec.Struct, frozen=True):
    """The task raised and is over."""

    exception: BaseException
    traceback: str | None = None
    expected: bool = False


class Retried(msgspec.Struct, frozen=True):
    """The task is to be tried again."""

    retry: Retry
    traceback: str | None = None


class Ignored(msgspec.Struct, frozen=True):
    """The task raised Ignore."""


class Rejected(msgspec.Struct, frozen=True):
    """The task raised Reject."""

    reason: str
    requeue: bool


class Revoked(msgspec.Struct, frozen=True):
    """The task expired, or was revoked before it ran or while it ran."""

    reason: str
    terminated: bool = False


Outcome: TypeAlias = Succeeded | Failed | Retried | Ignored | Rejected | Revoked


class ExceptionInfo:
    """What failure hooks get as ``einfo``: ``type``, ``exception``, ``tb`` and ``traceback`` (text)."""

    def __init__(self, exception: BaseException, traceback: str | None) -> None:
        self.type: type[BaseException] = type(exception)
        self.exception = exception
        self.tb: TracebackType | None = exception.__traceback__
        self.traceback = traceback or ""

    def __str__(self) -> str:
        return self.traceback

    def __repr__(self) -> str:
        return f"<ExceptionInfo: {self.exception!r}>"


def classify(task: Runnable, request: Request, exc: BaseException) -> Outcome:
    """Return the outcome of a run that ended with this exception."""
    match exc:
        case Retry():
            return Retried(exc, format_traceback(exc.exc) if exc.exc is not None else None)
        case Ignore():
            return Ignored()
        case Reject():
            return Rejected(str(exc.reason) if exc.reason is not None else "rejected by the task", exc.requeue)
        case Terminated():  # Not its base class, which get() raises for a revoked task that this one waited for.
            return Revoked(str(exc) or "terminated", terminated=True)
        case TimeLimitExceeded():
            return Failed(exc, format_traceback(exc))
        case _:
            pass  # An error of the task's own.
    if task.autoretry_for and isinstance(exc, task.autoretry_for) and not isinstance(exc, task.dont_autoretry_for):
        limit = task.retry_policy.max_retries
        if limit is None or request.retries < limit:
            return Retried(Retry(exc=exc), format_traceback(exc))
    return Failed(exc, format_traceback(exc), expected=isinstance(exc, task.throws))


def format_traceback(exc: BaseException) -> str:
    """Return the traceback as text, without the frames that led to the task's code; never raises."""
    try:
        top = exc.__traceback__
        while top is not None and top.tb_next is not None and _is_own(top):
            top = top.tb_next
        text = "".join(tracebacks.format_exception(type(exc), exc, top))
        # A lone surrogate (a file's name that is not UTF-8 has them) could be kept by no store.
        return text.encode("utf-8", "backslashreplace").decode()
    except Exception:  # A hostile __str__ or __repr__ must not cost the task its outcome.
        return f"{type(exc).__module__}.{type(exc).__qualname__} (its text could not be formatted)"


def _is_own(frame: TracebackType) -> bool:
    return str(frame.tb_frame.f_globals.get("__name__", "")).startswith(_OWN_MODULES)
