"""The one tree of public exceptions.

Celery's names are kept, so that ``except celeriac.exceptions.Retry`` reads as it always did. Every error that Celeriac
raises on purpose derives from :class:`CeleriacError`; its text names the setting, task, queue or id concerned and says
what to do.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

__all__ = [
    "AlreadyRegistered",
    "BrokerError",
    "CeleriacError",
    "CeleriacWarning",
    "ChordError",
    "ContentDisallowed",
    "DecodeError",
    "Ignore",
    "ImproperlyConfigured",
    "IncompleteStream",
    "InvalidTaskError",
    "MaxRetriesExceededError",
    "NotRegistered",
    "OperationalError",
    "Reject",
    "ResultElsewhere",
    "ResultStoreDisabled",
    "Retry",
    "SchemaError",
    "SecurityError",
    "SerializationError",
    "SoftTimeLimitExceeded",
    "StoreCorrupt",
    "StoreFull",
    "TaskError",
    "TaskPredicate",
    "TaskRevokedError",
    "Terminated",
    "TimeLimitExceeded",
    "TimeoutError",
    "UnknownSettingWarning",
    "WorkerLostError",
]


class CeleriacError(Exception):
    """Root of every error that Celeriac raises on purpose."""


class CeleriacWarning(UserWarning):
    """Root of every warning that Celeriac gives."""


class UnknownSettingWarning(CeleriacWarning):
    """A setting has a name that Celeriac does not know; the text proposes the nearest known one."""


class ImproperlyConfigured(CeleriacError):
    """A setting, URL or option is wrong or missing."""


class SerializationError(CeleriacError, TypeError):
    """An argument or a result cannot be encoded; the text names it."""


class DecodeError(CeleriacError):
    """Bytes from a broker or a result store cannot be decoded."""


class ContentDisallowed(DecodeError):
    """The content type is not in ``accept_content``."""


class SecurityError(CeleriacError):
    """A message, result or remote command is not signed or encrypted as this app's keys demand, or was changed."""


class OperationalError(CeleriacError):
    """The broker or the result store cannot be reached or refused the operation for now; trying again may help."""


class BrokerError(CeleriacError):
    """The broker refused an operation for good; trying the same again will not help."""


class StoreNeeded(BrokerError):
    """The broker has no way to do this without a store beside it (RabbitMQ without a result backend)."""


class SchemaError(BrokerError):
    """The store's schema is missing, newer than this version of Celeriac, or not Celeriac's."""


class StoreCorrupt(BrokerError):
    """The store's file is damaged or is not a store at all."""


class StoreFull(OperationalError):
    """The disk or the store's quota is full; nothing was written."""


class ResultStoreDisabled(CeleriacError, NotImplementedError):
    """A result was asked for, and the app has no result backend."""


class ResultElsewhere(CeleriacError):
    """A result was asked for that went, or will go, to the process that sent the task (``rpc://``)."""


class TaskError(CeleriacError):
    """Something concerning the run of a task."""


class NotRegistered(TaskError, KeyError):
    """No task of that name is registered."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class AlreadyRegistered(TaskError):
    """Another task has that name already."""


class InvalidTaskError(TaskError):
    """A task message or a task definition is not valid."""


class TimeoutError(TaskError):  # Celery's public name shadows the built-in one on purpose.
    """The result did not arrive in time."""


class ChordError(TaskError):
    """A task whose value a later step of a workflow needs did not return one."""


class IncompleteStream(TaskError):
    """What a task sent is not known before it is over."""


class MaxRetriesExceededError(TaskError):
    """The task has been retried as often as it may."""


class TaskRevokedError(TaskError):
    """The task was revoked, or expired before it started."""


class WorkerLostError(TaskError):
    """The process that ran the task died."""


class Terminated(TaskRevokedError):
    """Raised inside a running task that was revoked with ``terminate``; the task ends as REVOKED."""


class TimeLimitExceeded(TaskError):
    """The task ran longer than its hard time limit."""


class SoftTimeLimitExceeded(TaskError):
    """Raised inside a task that ran longer than its soft time limit."""


class TaskPredicate(CeleriacError):
    """Root of what a task raises to tell the worker what to do, rather than to fail."""


class Retry(TaskPredicate):
    """The task is to be tried again.

    Args:
        message: What to show, usually None.
        exc: The exception that caused the retry.
        when: Seconds from now (float) or the absolute time (datetime).
        is_eager: The task ran in the calling process.
        sig: The signature to run again.
    """

    def __init__(
        self,
        message: str | None = None,
        exc: BaseException | None = None,
        when: float | datetime | None = None,
        is_eager: bool = False,
        sig: Any = None,
    ) -> None:
        super().__init__(message, exc, when)
        self.message = message
        self.exc = exc
        self.excs = repr(exc) if exc is not None else None
        self.when = when
        self.is_eager = is_eager
        self.sig = sig

    def humanize(self) -> str:
        """Return when the retry is due, as words."""
        return f"in {self.when}s" if isinstance(self.when, (int, float)) else f"at {self.when}"

    def __str__(self) -> str:
        if self.message:
            return self.message
        return f"Retry {self.humanize()}" + (f": {self.excs}" if self.excs else "")


class Ignore(TaskPredicate):
    """The task is over and its state is not to be touched by the worker."""


class Reject(TaskPredicate):
    """The task refuses its message.

    Args:
        reason: Why; shown in the log and with the dead letter.
        requeue: True gives the message back to its queue, False makes it a dead letter.
    """

    def __init__(self, reason: object = None, requeue: bool = False) -> None:
        super().__init__(reason, requeue)
        self.reason = reason
        self.requeue = requeue

    def __str__(self) -> str:
        return "rejected" if self.reason is None else str(self.reason)

    def __repr__(self) -> str:
        return f"reject requeue={self.requeue}: {self.reason}"
