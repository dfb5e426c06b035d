"""The part of a task that lets a workflow take its place."""

from __future__ import annotations

import zlib
from typing import Any, NoReturn

import msgspec

from celeriac.app import planting
from celeriac.app.running import Running
from celeriac.app.workflows import chord, group
from celeriac.core.message import Message, Place
from celeriac.core.workflow import Join, Workflow
from celeriac.errors import Ignore
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

        Returns:
            In eager mode, the value.

        Raises:
            Ignore: Always, but in eager mode.
            RuntimeError: The task was called like a function.
            StoreNeeded: Steps of it wait for each other, and the broker has no store for that.
        """
        request = self.request
        if request.called_directly:
            raise RuntimeError(f"task {self.name} was called like a function: there is nothing to replace")
        whole = chord(sig, self.app.signature("celery.accumulate")) if isinstance(sig, group) else sig
        if request.is_eager:
            return whole.apply().get(disable_sync_subtasks=False)
        self._give_place(whole, request)

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
        found = planting.plan(sig, (), {}, given)
        if found.workflow is None:
            (only,) = found.first
            request.replacement = Replacement(_placed(only, message), ())
        else:
            workflow, joins, first = found.workflow, found.joins, found.first
            if message.place is not None and message.workflow is not None:
                base = 1_000_000 + zlib.crc32(f"{message.id}/{request.fencing_token}".encode()) % 2_000_000_000
                workflow = msgspec.structs.replace(workflow, id=message.workflow)
                joins = [_moved_join(one, message, base) for one in joins]
                first = [_moved(one, message, base) for one in first]
            self._plant(workflow, msgspec.structs.replace(found, joins=joins))
            request.replacement = Replacement(None, tuple(first))
        raise Ignore(f"replaced by {sig!r:.100}")

    def _plant(self, workflow: Workflow, found: planting.Planting) -> None:
        for part in found.parts():
            self.app.broker.plant(workflow, part)


def _placed(only: Message, message: Message) -> Message:
    """Return a task in the place of another."""
    place = message.place
    if place is not None:
        place = Place(place.join, place.slot)
    return msgspec.structs.replace(
        only,
        workflow=message.workflow,
        node=message.node,
        place=place,
        group=message.group,
        group_index=message.group_index,
        parent_id=message.parent_id,
        root_id=message.root_id,
    )


def _moved_join(join: Join, message: Message, base: int) -> Join:
    moved = tuple([_moved(one, message, base) for one in join.messages])
    return Join(number=join.number + base, size=join.size, messages=moved, first=join.first)


def _moved(step: Message, message: Message, base: int) -> Message:
    """Return a step of a workflow within the workflow of the task whose place it takes; its last step arrives there."""
    place, outer = step.place, message.place
    if place is None or outer is None:
        return step
    awaits = None if place.awaits is None else place.awaits + base
    ends = place.join == 0
    return msgspec.structs.replace(
        step,
        workflow=message.workflow,
        place=msgspec.structs.replace(
            place,
            awaits=awaits,
            join=outer.join if ends else place.join + base,
            slot=outer.slot if ends else place.slot,
        ),
    )
