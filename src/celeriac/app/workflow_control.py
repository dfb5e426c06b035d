"""Workflows that were sent: listing them, looking into one, going on after a failure, ending and forgetting them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from celeriac.core import state
from celeriac.core.codec import encode, encode_exception
from celeriac.core.message import Arrival, Message, StoredResult
from celeriac.core.workflow import PARTS, ROOT, Arrived, Graph, Node, Part, WorkflowRecord, unpack_graph, unpack_part
from celeriac.errors import CeleriacError, TaskRevokedError

if TYPE_CHECKING:
    from celeriac.app.app import Celeriac
    from celeriac.brokers.port import Cancelled

PAGE: Final = 500
PATIENCE: Final = 2.0
"""Seconds for which a revoke waits for runs that are about to begin a part."""
LOOK_AGAIN: Final = 0.05
"""Seconds between two looks while it does."""
WAITING: Final = "WAITING"
"""The state of a step that waits for others."""
_Place: TypeAlias = tuple[int, int]
"""A join, and a slot in it."""


class StepRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a workflow.

    Attributes:
        id: The task id.
        task: Its name.
        state: Its state; WAITING before the steps that it waits for are over.
        done: When it was over, seconds since the epoch.
        result: What it came to, where it is over.
    """

    id: str
    task: str
    state: str
    done: float | None = None
    result: StoredResult | None = None


class PartView(msgspec.Struct, frozen=True, kw_only=True):
    """A part that a step has added to its workflow.

    Attributes:
        step: The id of that step.
        replaces: It took the place of the step, whose id its last step has; else it was added beside the step.
        steps, form: As the workflow's.
    """

    step: str
    replaces: bool
    steps: list[StepRecord]
    form: Any


class WorkflowView(msgspec.Struct, frozen=True, kw_only=True):
    """One workflow with all its steps.

    Attributes:
        id: Its id.
        state: PENDING while it runs, SUCCESS or FAILURE once it is over.
        created, ended: Seconds since the epoch.
        steps: Its steps.
        form: Their order as nested lists: a number is the place of a step in ``steps``; ``["chain", ...]`` and
            ``["group", ...]`` hold others.
        parts: What steps have added while they ran, with ``replace`` or ``add_to_chord``.
    """

    id: str
    state: str
    created: float
    ended: float | None
    steps: list[StepRecord]
    form: Any
    parts: list[PartView]


class Workflows:
    """The workflows of an app's broker: ``app.control.workflows``.

    Args:
        app: The app.
    """

    def __init__(self, app: Celeriac) -> None:
        self._app = app

    def list(self, limit: int = 100) -> Sequence[WorkflowRecord]:
        """Return the first so many workflows, the oldest first."""
        found: list[WorkflowRecord] = []
        while len(found) < limit:
            asked = min(PAGE, limit - len(found))
            page = self._app.broker.workflows([], found[-1].cursor if found else 0.0, asked)
            found += page
            if len(page) < asked:
                break
        return found

    def show(self, id: str) -> WorkflowView:
        """Return a workflow and the states of its steps.

        Raises:
            CeleriacError: There is none with this id.
        """
        record, graph = self._found(id)
        look = self._look(id, [graph], [part for _, part in self._parts(id)])
        live = look.live
        return WorkflowView(
            id=id,
            state=state_of(record),
            created=record.created,
            ended=record.ended,
            steps=look.steps(graph),
            form=graph.form,
            parts=[
                PartView(step=one.step, replaces=one.replaces, steps=look.steps(one.graph), form=one.graph.form)
                for one in live
            ],
        )

    def resume(self, id: str) -> int:
        """Try the steps again that failed, and go on from there; return how many.

        Raises:
            CeleriacError: There is no workflow with this id, or nothing in it that could be tried again; or a step
                was revoked before it ran, so that what waits for it could never go on.
        """
        _, graph = self._found(id)
        arrived = self._arrived(id, [graph])
        failed, messages = self._failed(id, arrived)
        again = [_fresh(message) for message in messages]
        if not again:
            raise CeleriacError(f"no step of workflow {id} has failed by itself, so there is none to try again")
        added = [part.graph for _, part in self._parts(id)]
        gone = _gone([graph], arrived) or _gone(added, self._arrived(id, added) if added else {})
        if gone is not None:
            raise CeleriacError(f"step {gone} of workflow {id} was revoked and is gone, so the workflow cannot go on")
        broker = self._app.broker
        self._app.backend.discard([one.result.id for one in failed.values()])
        broker.reopen(id, list(failed), again)
        return len(again)

    def revoke(self, id: str, *, terminate: bool = False, signal: str | None = None) -> Sequence[Cancelled]:
        """See to it that no step runs any more that has not begun; what waits for them ends as REVOKED.

        What steps have added while they ran is reached as well. A step that is just adding something is waited for,
        two seconds at most.

        Args:
            id: The workflow's id.
            terminate: End the runs of steps that run.
            signal: The signal to end them with; default TERM.

        Raises:
            CeleriacError: There is none with this id.
        """
        _, graph = self._found(id)
        arrived = self._arrived(id, [graph])
        found = [*self._end(id, [(graph, None)], arrived, terminate=terminate, signal=signal)]
        ended: set[int] = set()
        patience = time.monotonic() + PATIENCE
        while True:
            parts = {cursor: part for cursor, part in self._parts(id) if cursor not in ended}
            look = self._look(id, [], list(parts.values()))
            live = {cursor: part for cursor, part in parts.items() if look.is_live(part)}
            added = [(part.graph, part.place) for part in live.values()]
            found += self._end(id, added, look.arrived, terminate=terminate, signal=signal)
            ended.update(live)
            # A run that has noted its part and has not settled is about to begin it.
            beginning = any(look.known.get(part.step) in state.OWNED_STATES for part in parts.values())
            if not live and not (beginning and time.monotonic() < patience):
                return [*{one.id: one for one in found}.values()]
            if not live:
                time.sleep(LOOK_AGAIN)

    def _end(
        self,
        id: str,
        graphs: Sequence[tuple[Graph, _Place | None]],
        arrived: Mapping[_Place, Arrived],
        *,
        terminate: bool,
        signal: str | None,
    ) -> Sequence[Cancelled]:
        """See to it that no step of these graphs runs any more that has not begun: of all in the same few round trips.

        Args:
            id: The workflow's id.
            graphs: Each with where its last step arrives, if it is a part's. That slot is also that of the step the
                part belongs to, and was filled with that one's; the last step itself is put into its queue only here,
                by the failure of what it awaits.
            arrived: What lies in the slots.
            terminate: End the runs of steps that run.
            signal: The signal to end them with.
        """
        unfilled: list[Node] = []
        ids: dict[str, None] = {}
        for graph, end in graphs:
            own = [node for node in graph.nodes if (node.join, node.slot) not in arrived]
            if own:
                unfilled += own
                ids.update(dict.fromkeys(node.id for node in [*own, *_queued(graph, end, arrived)]))
        if not unfilled:
            return []
        body = encode(encode_exception(TaskRevokedError("revoked")), "json").body
        self._app.broker.arrive([_revoked(id, node, body) for node in unfilled])
        return self._app.control.revoke(ids, terminate=terminate, signal=signal)

    def forget(self, id: str) -> None:
        """Remove what is stored of a workflow; nothing more comes of what has not become ready.

        Raises:
            CeleriacError: There is none with this id.
        """
        if not self._app.broker.uproot([id]):
            raise _unknown(id)

    def _found(self, id: str) -> tuple[WorkflowRecord, Graph]:
        records = self._app.broker.workflows([id], 0.0, 1)
        if not records:
            raise _unknown(id)
        return records[0], unpack_graph(records[0].record)

    def _parts(self, id: str) -> Iterator[tuple[int, Part]]:
        """Yield what is known of parts, each with the cursor that tells it from the others."""
        after = -1
        while page := self._app.broker.parts(id, after, PAGE):
            yield from [(cursor, unpack_part(record)) for cursor, record in page]
            after = page[-1][0]

    def _look(self, id: str, graphs: Sequence[Graph], parts: Sequence[Part]) -> _Look:
        graphs = [*graphs, *[one.graph for one in parts]]
        arrived = self._arrived(id, graphs)
        nodes = [node for graph in graphs for node in graph.nodes if (node.join, node.slot) not in arrived]
        open_ids = dict.fromkeys([*[node.id for node in nodes], *[part.step for part in parts]])
        return _Look(arrived, {one.id: one.state for one in self._app.broker.get([*open_ids])}, parts)

    def _arrived(self, id: str, graphs: Sequence[Graph]) -> dict[_Place, Arrived]:
        joins = {ROOT, *[node.join for graph in graphs for node in graph.nodes]}
        return {(join, one.slot): one for join in sorted(joins) for one in self._slots(id, join)}

    def _failed(self, id: str, arrived: dict[_Place, Arrived]) -> tuple[dict[_Place, Arrived], Sequence[Message]]:
        """Return what has failed, and the messages of the steps that did so by themselves."""
        failed = {place: one for place, one in arrived.items() if one.failed}
        messages: list[Message] = []
        open_places = list(failed.values())
        while open_places:
            message = open_places.pop().message
            if message is None:
                continue
            awaits = None if message.place is None else message.place.awaits
            inner = {}
            if awaits is not None and awaits >= PARTS:
                inner = {(awaits, one.slot): one for one in self._slots(id, awaits) if one.failed}
            if inner:
                failed.update(inner)
                open_places += inner.values()
            else:
                messages.append(message)
        return failed, messages

    def _slots(self, id: str, join: int) -> Iterator[Arrived]:
        after = -1
        while page := self._app.broker.harvest(id, join, after, PAGE).arrived:
            yield from page
            after = page[-1].slot


class _Look:
    """What the store says of the steps of graphs.

    Attributes:
        arrived: What lies in their slots.
        known: The states of those that have not arrived, by their ids, where the store has them.
    """

    def __init__(self, arrived: dict[_Place, Arrived], known: dict[str, str], parts: Sequence[Part] = ()) -> None:
        self.arrived = arrived
        self.known = known
        self.live = [part for part in parts if self.is_live(part)]
        self._replaced = {part.step for part in self.live if part.replaces}

    def is_live(self, part: Part) -> bool:
        """Return whether a part has begun: a run that was lost has left one that never will."""
        return any(
            node.id in self.known or (node.join, node.slot) in self.arrived
            for node in part.graph.nodes
            if (node.join, node.slot) != part.place
        )

    def steps(self, graph: Graph) -> list[StepRecord]:
        """Return the steps of a graph."""
        return [self._step(node) for node in graph.nodes]

    def _step(self, node: Node) -> StepRecord:
        arrived = self.arrived.get((node.join, node.slot))
        if arrived is not None:
            result = arrived.result
            return StepRecord(id=node.id, task=node.task, state=result.state, done=result.date_done, result=result)
        known = self.known.get(node.id)
        if known is None or (known == state.IGNORED and node.id in self._replaced):
            waits = node.awaits is not None or node.id in self._replaced
            known = WAITING if waits else state.PENDING
        return StepRecord(id=node.id, task=node.task, state=known)


def state_of(record: WorkflowRecord) -> str:
    """Return the state of a workflow."""
    if record.ended is None:
        return state.PENDING
    return state.FAILURE if record.failed else state.SUCCESS


def _unknown(id: str) -> CeleriacError:
    return CeleriacError(f"there is no workflow {id}: it was never sent, or was forgotten some time after its end")


def _queued(graph: Graph, end: _Place | None, arrived: Mapping[_Place, Arrived]) -> list[Node]:
    """Return the last step of a part whose slot a revocation has filled."""
    if end is None or end not in arrived or arrived[end].result.state != state.REVOKED:
        return []
    return [node for node in graph.nodes if (node.join, node.slot) == end]


def _gone(graphs: Sequence[Graph], arrived: Mapping[_Place, Arrived]) -> str | None:
    """Return the id of a step of which nothing is left to try again: one that a revocation took out of its queue."""
    for graph in graphs:
        for node in graph.nodes:
            one = arrived.get((node.join, node.slot))
            if one is not None and node.awaits is None and one.message is None and one.result.state == state.REVOKED:
                return node.id
    return None


def _fresh(message: Message) -> Message:
    return msgspec.structs.replace(message, retries=0, eta=None, expires=None, parked_at=None)


def _revoked(workflow: str, node: Node, body: bytes) -> Arrival:
    told = StoredResult(id=node.id, state=state.REVOKED, body=body, task=node.task)
    return Arrival(workflow=workflow, join=node.join, slot=node.slot, result=told, failed=True)
