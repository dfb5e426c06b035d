"""The port's operations on SQLite: which SQL is asked for, and what its rows mean. Pure.

What must be decided inside a transaction is decided by the SQL, so that one request is one atomic step. An operation
that usually finds nothing to do (a claim of an idle worker, a promotion, a reclaim) reads first and asks for the write
lock only if there is something to write: a write that changes nothing would keep other writers out, and one that
changes something wakes every waiter.
"""

from __future__ import annotations

from celeriac.brokers.sqlite.operations.control import ControlOperations
from celeriac.brokers.sqlite.operations.entries import ScheduleOperations
from celeriac.brokers.sqlite.operations.examine import ExamineOperations
from celeriac.brokers.sqlite.operations.inspect import InspectOperations
from celeriac.brokers.sqlite.operations.queue import QueueOperations
from celeriac.brokers.sqlite.operations.results import ResultOperations
from celeriac.brokers.sqlite.operations.workflows import WorkflowOperations

__all__ = ["SqliteOperations"]


class SqliteOperations(
    QueueOperations,
    ControlOperations,
    InspectOperations,
    ExamineOperations,
    ResultOperations,
    ScheduleOperations,
    WorkflowOperations,
):
    """All operations."""
