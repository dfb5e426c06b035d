"""The record of one delivery on its way from opening to settlement."""

from __future__ import annotations

from typing import Any, NamedTuple

from celeriac.core.message import Delivery, Message
from celeriac.execution.context import DeliveredRequest
from celeriac.execution.outcome import Failed
from celeriac.execution.runnable import Runnable


class Replacement(NamedTuple):
    """What takes the place of a task that asked for it.

    Attributes:
        again: A task under the same id; None where it is a workflow whose last step waits for
            others.
        first: The messages that the workflow begins with, and those of members that the task added to its chord.
    """

    again: Message | None
    first: tuple[Message, ...]


class Call:
    """One delivery that can run: the decoded message with its task."""

    __slots__ = ("args", "delivery", "failed", "kwargs", "message", "request", "started", "task")

    def __init__(self, delivery: Delivery, message: Message, task: Runnable, request: DeliveredRequest) -> None:
        self.delivery = delivery
        self.message = message
        self.task = task
        self.request = request
        self.args: Any = request.args
        self.kwargs: Any = request.kwargs
        self.started = 0.0
        self.failed: Failed | None = None
        """How it failed, once that is certain."""

    @property
    def time_limits(self) -> tuple[float | None, float | None]:
        """Return (hard, soft) in seconds: the message's where it has them, else the task's."""
        hard, soft = self.message.timelimit or (None, None)
        return (
            hard if hard is not None else self.task.time_limit,
            soft if soft is not None else self.task.soft_time_limit,
        )
