"""A workflow that takes the place of a step of another one, and so becomes a part of that.

The joins of the part get numbers of their own, which depend on the step and the claim under which it ran: what a run
plants that is lost is in nobody's way, and goes with the whole. What is known of the part is kept beside the workflow's
graph, for whoever looks into it or revokes it.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import msgspec

from celeriac.core import state
from celeriac.core.message import Message, Place
from celeriac.core.workflow import PARTS, ROOT, Graph, Join, Node, Part, pack_part, unpack_graph

if TYPE_CHECKING:
    from celeriac.app.planting import Planting
    from celeriac.brokers.facade import SyncBroker

_BITS: Final = 52
"""Of the hash: as many as every store counts exactly, and enough for a million parts of one workflow."""


def base(message: Message, token: int, what: str = "") -> int:
    """Return what to add to the numbers of joins.

    Args:
        message: The step.
        token: The fencing token of its run.
        what: Tells several parts of the same run from each other.
    """
    # The last step of a replacement has the id of what it replaces; if it asks for another, that is one nesting deeper.
    run = f"{message.id}/{message.replaced_task_nesting}/{message.retries}/{token}{what}"
    return PARTS + (int.from_bytes(blake2b(run.encode(), digest_size=8).digest(), "big") >> (64 - _BITS))


def inside(found: Planting, message: Message, end: Place, base: int) -> Planting:
    """Return a part with its joins renumbered and its end where it belongs.

    Args:
        found: A part with a single end, as it would be planted by itself.
        message: The step of the whole that makes it a part.
        end: Where in the whole its last step arrives.
        base: What to add to the numbers of its joins.
    """
    joins = [
        Join(
            number=one.number + base,
            size=one.size,
            messages=tuple([_moved(step, message, end, base) for step in one.messages]),
            first=one.first,
        )
        for one in found.joins
    ]
    first = [_moved(one, message, end, base) for one in found.first]
    return msgspec.structs.replace(found, joins=joins, first=first)


def _moved(step: Message, message: Message, end: Place, base: int) -> Message:
    place = step.place
    if place is None:  # A task alone is no workflow; it is a part all the same.
        place, node = here(end), message.node
    else:
        node = step.node
        awaits = None if place.awaits is None else place.awaits + base
        if place.join == ROOT:
            place = msgspec.structs.replace(
                place, awaits=awaits, join=end.join, slot=end.slot, then=end.then, shares=end.shares
            )
        else:
            place = msgspec.structs.replace(place, awaits=awaits, join=place.join + base)
    return msgspec.structs.replace(step, workflow=message.workflow, node=node, place=place)


def here(place: Place) -> Place:
    """Return the place of a step that waits for nothing and arrives there."""
    return Place(place.join, place.slot, then=place.then, shares=place.shares)


def graph_of(found: Planting) -> Graph:
    """Return the graph of a part whose steps are where they belong."""
    steps = [*found.first, *[one for join in found.joins for one in join.messages]]
    if found.workflow is None:
        return Graph([node_of(one) for one in steps], 0)
    steps.sort(key=lambda one: int(one.node or 0))
    return Graph([node_of(one) for one in steps], unpack_graph(found.workflow.record).form)


def node_of(step: Message) -> Node:
    """Return a step that has a place as a graph has it."""
    place = step.place
    assert place is not None
    return Node(step.id, step.task, place.join, place.slot, place.awaits)


def note(broker: SyncBroker[Any, Any], message: Message, number: int, graph: Graph) -> None:
    """Keep what is known of a part that a run is about to plant.

    Args:
        broker: The broker.
        message: The step that runs.
        number: Tells the part from all others of the workflow.
        graph: The part.
    """
    place = message.place
    assert place is not None
    broker.note(message.workflow or "", number, pack_part(Part(message.id, (place.join, place.slot), graph)))


def wanted(broker: SyncBroker[Any, Any], message: Message) -> bool:
    """Tell whether a part that a run has noted and planted may begin: not if its workflow was revoked or forgotten.

    Whoever revokes a workflow ends its steps first and then looks for parts; a run does it the other way round. So
    either the one sees the part or the other that there shall be none. What was planted of a workflow that had been
    forgotten has brought it back, as one that never ends; so it is forgotten again.

    Args:
        broker: The broker.
        message: The step that runs.
    """
    place, workflow = message.place, message.workflow or ""
    assert place is not None
    harvest = broker.harvest(workflow, place.join, place.slot - 1, 1, until=place.slot)
    if harvest.size < 0:
        broker.uproot([workflow])
        return False
    return not any(one.result.state == state.REVOKED for one in harvest.arrived)
