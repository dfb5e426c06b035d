"""The port's operations on Redis: which scripts are asked for, and what their replies mean. Pure.

What must be decided in one step is decided by the script. Batches are cut so that no script holds the server for more
than a few milliseconds; ``docs/explanation/redis.md`` has the numbers.
"""

from __future__ import annotations

from celeriac.brokers.port import Finding
from celeriac.brokers.redis import health
from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.operations.control import ControlOperations
from celeriac.brokers.redis.operations.entries import ScheduleOperations
from celeriac.brokers.redis.operations.inspect import InspectOperations
from celeriac.brokers.redis.operations.queue import QueueOperations
from celeriac.brokers.redis.operations.results import ResultOperations
from celeriac.brokers.redis.operations.workflows import WorkflowOperations
from celeriac.brokers.redis.requests import RedisOperation

__all__ = ["RedisOperations"]


class RedisOperations(
    QueueOperations, ControlOperations, InspectOperations, ResultOperations, ScheduleOperations, WorkflowOperations
):
    """All operations, on the keys of one broker."""

    def __init__(self, keys: Keys | None = None) -> None:
        keys = keys or Keys()
        QueueOperations.__init__(self, keys)
        ControlOperations.__init__(self, keys)
        ScheduleOperations.__init__(self, keys)

    def examine(self) -> RedisOperation[list[Finding]]:
        return health.examine(self.keys)
