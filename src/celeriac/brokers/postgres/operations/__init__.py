"""The port's operations on PostgreSQL: which SQL is asked for, and what its rows mean. Pure.

An operation that decides in several steps is a function of the schema, so that it is one round trip and one
transaction: of its own, or a part of the caller's. Nothing here depends on what a session remembers, so that each
request may go through another connection of a pooler.
"""

from __future__ import annotations

from celeriac.brokers.postgres.operations.calls import Calls
from celeriac.brokers.postgres.operations.control import ControlOperations
from celeriac.brokers.postgres.operations.entries import ScheduleOperations
from celeriac.brokers.postgres.operations.examine import ExamineOperations
from celeriac.brokers.postgres.operations.inspect import InspectOperations
from celeriac.brokers.postgres.operations.queue import QueueOperations
from celeriac.brokers.postgres.operations.results import ResultOperations
from celeriac.brokers.postgres.operations.workflows import WorkflowOperations

__all__ = ["PostgresOperations"]


class PostgresOperations(
    QueueOperations,
    ControlOperations,
    InspectOperations,
    ExamineOperations,
    ResultOperations,
    ScheduleOperations,
    WorkflowOperations,
):
    """All operations.

    Args:
        schema: The name of the schema that they work in.
    """

    def __init__(self, schema: str) -> None:
        super().__init__(Calls(schema))
