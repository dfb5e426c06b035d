"""Running a task here and now, through the very steps a worker takes.

The message is made, encoded, decoded and run as in production; a retry runs at once instead of after its delay, and
callbacks run in their turn. Nothing reaches a broker.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from celeriac.app import loops
from celeriac.app.eager_result import EagerResult
from celeriac.app.reading import value_of
from celeriac.core import state
from celeriac.core.message import Delivery, Lease, Message, Settlement, StoredResult
from celeriac.events import TaskSucceeded
from celeriac.events import log as event_log
from celeriac.execution.call import aexecute, execute, open_call
from celeriac.execution.record import Call

if TYPE_CHECKING:
    from celeriac.app.app import Celeriac
    from celeriac.app.task import Task

PLACEMENT: Final = frozenset(
    {"countdown", "eta", "queue", "priority", "retry", "retry_policy", "exchange", "routing_key"}
)
"""Options that say when and where; a task that runs here and now runs here and now."""


def apply(
    task: Task[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    options: Mapping[str, Any],
    *,
    throw: bool | None = None,
) -> EagerResult[Any]:
    """Run the task and return its result.

    Args:
        task: The task.
        args: Positional arguments.
        kwargs: Keyword arguments.
        options: As for ``apply_async``.
        throw: Raise what the task raises; None: as the setting ``task_eager_propagates`` says.
    """
    app = task.app
    kept = {name: value for name, value in options.items() if name not in PLACEMENT}
    message = app.publisher.plan(task).message(args, kwargs, kept)
    run = Run(app)
    settlement = run.complete(message)
    following = list(settlement.follow_ups)
    while following:
        following += run.complete(following.pop(0)).follow_ups
    result = run.result(settlement, message)
    stored = settlement.result
    if stored is not None and task.store_eager_result and app.results_enabled:
        app.backend.store([stored])
    if app.conf.task_eager_propagates if throw is None else throw:
        result.maybe_throw()
    return result


def call(task: Task[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Call a task's function, to its end if it is a coroutine function."""
    found = task(*args, **kwargs)
    return loops.finish(lambda: found) if task.is_async else found


class Run:
    """What one call of :func:`apply` runs: the task, again and again if it asks for it, and what follows."""

    def __init__(self, app: Celeriac) -> None:
        self._app = app
        self._surroundings = app.worker_surroundings(f"eager@{os.uname().nodename}", results=True)
        self.plant: Callable[..., None] | None = None
        """What keeps joins that a run adds to its workflow."""
        self._values: dict[str, Any] = {}
        bus = self._surroundings.bus
        bus.subscribe(TaskSucceeded, self._succeeded)
        event_log.subscribe(bus)

    def _succeeded(self, event: TaskSucceeded) -> None:
        self._values[event.id] = event.value

    def complete(self, message: Message, given: dict[int, StoredResult] | None = None) -> Settlement:
        """Run a message until it is over.

        Args:
            message: The message.
            given: What a step of a workflow is given.
        """
        token = 0
        while True:
            token += 1
            settlement = self._once(Delivery(message, Lease(message.id, "eager", token), given=given))
            if settlement.action != "retry" or settlement.message is None:
                return settlement
            message = settlement.message

    def _once(self, delivery: Delivery) -> Settlement:
        opened = open_call(delivery, self._surroundings)
        if not isinstance(opened, Call):
            return opened
        opened.request.is_eager = True
        opened.request.plant = self.plant
        if opened.task.is_async:
            return loops.finish(lambda: aexecute(opened, self._surroundings))
        return execute(opened, self._surroundings)

    def result(self, settlement: Settlement, message: Message) -> EagerResult[Any]:
        """Return what the run came to, as a store would tell it."""
        stored = settlement.result
        if stored is None:
            # The task's result is ignored, or the task raised Ignore. Callers of apply() want the value all the same.
            ended = state.SUCCESS if settlement.action == "done" else state.REJECTED
            return EagerResult(message.id, self._values.get(message.id), ended, name=message.task)
        value = value_of(stored, self._app)
        return EagerResult(message.id, value, stored.state, traceback=stored.traceback, name=message.task)
