"""Running a task here and now: its message is made as in production, and run by the engine of eager mode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from celeriac.app import loops
from celeriac.app.eager_run import EagerRun

if TYPE_CHECKING:
    from celeriac.app.eager_result import EagerResult
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
    run = EagerRun(app)
    run.run([message])
    result = run.results[message.id]
    if app.conf.task_eager_propagates if throw is None else throw:
        result.maybe_throw()
    return result


def call(task: Task[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Call a task's function, to its end if it is a coroutine function."""
    found = task(*args, **kwargs)
    return loops.finish(lambda: found) if task.is_async else found
