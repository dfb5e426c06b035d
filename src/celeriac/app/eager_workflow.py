"""Running a workflow here and now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from celeriac.app.eager_result import EagerResult
from celeriac.app.eager_run import EagerRun
from celeriac.app.group_result import GroupResult
from celeriac.core import state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celeriac.app.result import AsyncResult
    from celeriac.core.message import Message
    from celeriac.core.workflow import Join, Workflow


class Planting(Protocol):
    """What this needs of :class:`celeriac.app.planting.Planting`."""

    @property
    def first(self) -> Sequence[Message]: ...

    @property
    def workflow(self) -> Workflow | None: ...

    @property
    def joins(self) -> Sequence[Join]: ...

    @property
    def result(self) -> Any: ...


def run(found: Planting, *, throw: bool | None) -> Any:
    """Run a workflow to its end and return its result.

    Args:
        found: The workflow: the messages that it begins with, what waits for them, and what a caller who sends it gets.
        throw: Raise what its last step raises; None: as the setting ``task_eager_propagates`` says.
    """
    app = found.result.app
    here = EagerRun(app)
    if found.workflow is not None:
        here.plant(found.workflow, found.joins)
    here.run(found.first)
    result = _eager(found.result, here.results)
    if app.conf.task_eager_propagates if throw is None else throw:
        _throw(result)
    return result


def _throw(found: Any) -> None:
    if isinstance(found, EagerResult):
        found.get(disable_sync_subtasks=False)
    else:
        found.maybe_throw()


def _eager(result: Any, known: Mapping[str, EagerResult[Any]]) -> Any:
    """Return the result with what its tasks came to in it."""
    line = [result]
    while line[-1].parent is not None:
        line.append(line[-1].parent)
    parent: Any = None
    for one in reversed(line):
        parent = _member(one, parent, known)
    return parent


def _member(one: AsyncResult[Any] | GroupResult, parent: Any, known: Mapping[str, EagerResult[Any]]) -> Any:
    if not isinstance(one, GroupResult):
        # A step is not known if the one before it went back to its queue.
        found = known.get(one.id) or EagerResult(one.id, None, state.PENDING)
        found.parent = parent
        return found
    members: list[Any] = []
    for member in one.results:
        # What comes before the group comes before each of its members, too.
        line = [member]
        while line[-1].parent is not None and line[-1].parent is not one.parent:
            line.append(line[-1].parent)
        above = parent
        for step in reversed(line):
            above = _member(step, above, known)
        members.append(above)
    return GroupResult(one.id, members, parent, app=one.app)
