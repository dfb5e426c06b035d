"""The part of a task that lets a workflow take its place."""

from __future__ import annotations

from typing import Any, NoReturn

import msgspec

from celeriac.app import announcing, joining, nesting, planting
from celeriac.app.running import Running
from celeriac.core.message import Message
from celeriac.errors import Ignore, Terminated
from celeriac.execution.context import Request
from celeriac.execution.record import Replacement


class Replacing(Running):
    """``self.replace()``."""

    def replace(self, sig: Any) -> Any:
        """Let another task, or a workflow, take the place of this one: raise Ignore, which ends this run.

        What it comes to is this task's value: it has this task's id, its callbacks and errbacks, and its place in a
        workflow. Of a group that is the list of values. ``raise self.replace(...)`` and ``return self.replace(...)``
        say the same. It takes effect in the step that ends this run.

        Args:
            sig: A signature.

        Raises:
            Ignore: Always, but for what follows.
            Terminated: The workflow that this task is a step of was revoked or forgotten, so nothing takes its
                place.
            RuntimeError: The task was called like a function.
            StoreNeeded: Steps of it wait for each other, and the broker has no store for that.
        """
        request = self.request
        if request.called_directly:
            raise RuntimeError(f"task {self.name} was called like a function: there is nothing to replace")
        self._give_place(planting.with_one_end(sig, self.app), request)

    def _give_place(self, sig: Any, request: Request) -> NoReturn:
        message = request.message
        assert message is not None  # Only delivered runs have a place.
        embed = request.embed
        options: dict[str, Any] = {
            "task_id": message.id,
            "link": embed.get("callbacks") or None,
            "link_error": embed.get("errbacks") or None,
            "replaced_task_nesting": message.replaced_task_nesting + 1,
        }
        given = {name: value for name, value in options.items() if value is not None}
        found = planting.plan(sig, (), {}, given, eager=request.is_eager)
        plant = request.plant or self.app.broker.plant
        more: tuple[Message, ...] = ()
        if request.members:  # They wait for what takes the place, as they would for the task.
            message, more = joining.admit(self.app, request, plant)
        if found.workflow is None:
            (only,) = found.first
            request.replacement = Replacement(_placed(only, message), more)
        else:
            workflow = found.workflow
            step = request.message or message
            if message.place is not None and message.workflow is not None:
                workflow = msgspec.structs.replace(workflow, id=message.workflow)
                number = nesting.base(message, request.fencing_token)
                found = nesting.inside(found, message, message.place, number)
                if not request.is_eager:
                    nesting.note(self.app.broker, step, number, nesting.graph_of(found))
            for part in found.parts():
                plant(workflow, part)
            is_part = step.place is not None and step.workflow is not None and not request.is_eager
            if is_part and not nesting.wanted(self.app.broker, step):
                raise Terminated(f"workflow {step.workflow} was revoked or forgotten")
            if not request.is_eager:
                announcing.after_planting(found.joins)
            # The last step has this task's id. Where it waits for nothing it is this message, changed: a new one of an
            # id that is there already would be dropped.
            last = next((one for one in found.first if one.id == message.id), None)
            request.replacement = Replacement(last, (*[one for one in found.first if one is not last], *more))
        raise Ignore(f"replaced by {sig!r:.100}")


def _placed(only: Message, message: Message) -> Message:
    """Return a task in the place of another."""
    place = message.place
    return msgspec.structs.replace(
        only,
        workflow=message.workflow,
        node=message.node,
        place=None if place is None else nesting.here(place),
        group=message.group,
        group_index=message.group_index,
        parent_id=message.parent_id,
        root_id=message.root_id,
    )
