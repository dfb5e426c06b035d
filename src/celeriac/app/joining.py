"""The part of a task that adds members to the chord it belongs to.

The store keeps a join's size, so it is not the join that grows but the slot: the task's own outcome and those of what
it added arrive in a join of their own, and a task of the app's hands their list on to the slot. Whoever reads that list
puts the first value where it belongs and the others behind those of the group
(:func:`celeriac.core.workflow.taken`). The members become ready in the step that settles the run, so that one that is
lost, repeated or superseded adds nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from celeriac.app import announcing, nesting, planting
from celeriac.app.canvas import Signature
from celeriac.app.result import AsyncResult
from celeriac.app.running import Running
from celeriac.core.ids import follow_up_id, new_id
from celeriac.core.message import Message, Place
from celeriac.core.workflow import ALL, MEMBERS, Graph, Join, Node, Workflow, shifted

if TYPE_CHECKING:
    from celeriac.app.app import Celeriac
    from celeriac.execution.context import Request

Plant = Callable[[Workflow, Sequence[Join]], object]
"""Keeps joins of a workflow."""


class Joining(Running):
    """``self.add_to_chord()``."""

    def add_to_chord(self, sig: Any, lazy: bool = False) -> AsyncResult[Any]:
        """Add a member to the chord that this task belongs to: the body waits for it and is given its value as well.

        Its value comes behind those of the header, in the order in which members were added. It is sent in the step
        that ends this run, if the run succeeds or is replaced: a run that is lost, or tried again, adds nothing.

        Args:
            sig: A signature: a task, or a workflow.
            lazy: Must be False: when the member is sent is not up to the caller.

        Returns:
            The result of the member.

        Raises:
            ValueError: This task belongs to no chord.
            TypeError: ``sig`` is no signature.
        """
        request = self.request
        if request.chord is None or request.message is None:
            raise ValueError(f"task {self.name} is not a member of any chord: add_to_chord() has nothing to add to")
        if not isinstance(sig, Signature):
            raise TypeError(f"add_to_chord() takes a signature such as task.s(1, 2), not {sig!r:.200}")
        if lazy:
            raise TypeError("add_to_chord(lazy=True) has no meaning here: members are sent when this run ends")
        whole = planting.with_one_end(sig, self.app)
        task_id = str(whole.options.get("task_id") or new_id())
        request.members.append(whole.clone(task_id=task_id))
        request.children.append(task_id)
        return AsyncResult(task_id, None, sig.task, self.app)


def admit(app: Celeriac, request: Request, plant: Plant) -> tuple[Message, tuple[Message, ...]]:
    """Keep what the members of a run that has ended arrive in.

    Args:
        app: The app.
        request: The run.
        plant: Keeps joins.

    Returns:
        The run's message, as it arrives now, and the messages of the members.
    """
    message = request.message
    assert message is not None
    assert message.place is not None
    number = nesting.base(message, request.fencing_token, "/members")
    place, workflow = message.place, message.workflow or ""
    gathered = Place(number, 0, then=place.then, shares=True)
    found: list[planting.Planting] = []
    for slot, one in enumerate(request.members, 1):
        member = planting.plan(
            one, (), {}, {"group_id": message.group} if message.group else {}, eager=request.is_eager
        )
        end = msgspec.structs.replace(gathered, slot=slot)
        base = nesting.base(message, request.fencing_token, f"/members/{slot}")
        found.append(nesting.inside(member, message, end, base))
    hands_on = app.publisher.plan(MEMBERS).message((), {}, {"task_id": follow_up_id(message.id, f"members/{number}")})
    hands_on = msgspec.structs.replace(
        hands_on,
        queue=message.queue,
        workflow=workflow,
        node=message.node,
        root_id=message.root_id,
        parent_id=message.id,
        ignore_result=True,
        place=msgspec.structs.replace(nesting.here(place), awaits=number, takes=ALL),
    )
    if not request.is_eager:
        nesting.note(app.broker, message, number, _graph(found, hands_on))
    whole = Workflow(id=workflow, size=0, record=b"")  # It is there; only joins are added to it.
    for member in found:
        for part in member.parts() if member.joins else ():
            plant(whole, part)
        if not request.is_eager:
            announcing.after_planting(member.joins)
    plant(whole, [Join(number=number, size=1 + len(request.members), messages=(hands_on,))])
    if not request.is_eager and not nesting.wanted(app.broker, message):
        return message, ()  # Nobody waits for them.
    first = tuple([one for member in found for one in member.first])
    return msgspec.structs.replace(message, place=gathered), first


def _graph(members: Sequence[planting.Planting], hands_on: Message) -> Graph:
    """Return members, and the task that waits for them, as one graph."""
    nodes: list[Node] = []
    forms: list[Any] = []
    for one in members:
        graph = nesting.graph_of(one)
        forms.append(shifted(graph.form, len(nodes)))
        nodes += graph.nodes
    return Graph([*nodes, nesting.node_of(hands_on)], ["chain", ["group", *forms], len(nodes)])
