"""Workflows that were sent: listing them, looking into one, going on after a failure, ending and forgetting them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from celeriac.core import state
from celeriac.core.codec import encode, encode_exception
from celeriac.core.message import Arrival, Message, StoredResult
from celeriac.core.workflow import PARTS, ROOT, Arrived, Graph, Node, WorkflowRecord, unpack_graph
from celeriac.errors import CeleriacError, TaskRevokedError

if TYPE_CHECKING:
    from celeriac.app.app import Celeriac
    from celeriac.brokers.port import Cancelled

PAGE: Final = 500


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


class WorkflowView(msgspec.Struct, frozen=True, kw_only=True):
    """One workflow with all its steps.

    Attributes:
        id: Its id.
        state: PENDING while it runs, SUCCESS or FAILURE once it is over.
        created, ended: Seconds since the epoch.
        steps: Its steps.
        form: Their order as nested lists: a number is the place of a step in ``steps``; ``["chain", ...]`` and
            ``["group", ...]`` hold others.
    """

    id: str
    state: str
    created: float
    ended: float | None
    steps: list[StepRecord]
    form: Any


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
        arrived = self._arrived(id, graph)
        open_ids = [node.id for node in graph.nodes if (node.join, node.slot) not in arrived]
        known = {one.id: one.state for one in self._app.broker.get(open_ids)}
        return WorkflowView(
            id=id,
            state=state_of(record),
            created=record.created,
            ended=record.ended,
            steps=[_step(node, arrived.get((node.join, node.slot)), known.get(node.id)) for node in graph.nodes],
            form=graph.form,
        )

    def resume(self, id: str) -> int:
        """Try the steps again that failed, and go on from there; return how many.

        Raises:
            CeleriacError: There is no workflow with this id, or nothing in it that could be tried again.
        """
        _, graph = self._found(id)
        failed, messages = self._failed(id, self._arrived(id, graph))
        again = [_fresh(message) for message in messages]
        if not again:
            raise CeleriacError(f"no step of workflow {id} has failed by itself, so there is none to try again")
        broker = self._app.broker
        self._app.backend.discard([one.result.id for one in failed.values()])
        broker.reopen(id, list(failed), again)
        return len(again)

    def revoke(self, id: str, *, terminate: bool = False, signal: str | None = None) -> Sequence[Cancelled]:
        """See to it that no step runs any more that has not begun; what waits for them ends as REVOKED.

        Args:
            id: The workflow's id.
            terminate: End the runs of steps that run.
            signal: The signal to end them with; default TERM.

        Raises:
            CeleriacError: There is none with this id.
        """
        _, graph = self._found(id)
        arrived = self._arrived(id, graph)
        unfilled = [node for node in graph.nodes if (node.join, node.slot) not in arrived]
        self._app.broker.arrive([_revoked(id, node) for node in unfilled])
        if not unfilled:
            return []
        return self._app.control.revoke([node.id for node in unfilled], terminate=terminate, signal=signal)

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

    def _arrived(self, id: str, graph: Graph) -> dict[tuple[int, int], Arrived]:
        joins = {ROOT, *[node.join for node in graph.nodes]}
        return {(join, one.slot): one for join in sorted(joins) for one in self._slots(id, join)}

    def _failed(
        self, id: str, arrived: dict[tuple[int, int], Arrived]
    ) -> tuple[dict[tuple[int, int], Arrived], Sequence[Message]]:
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


def state_of(record: WorkflowRecord) -> str:
    """Return the state of a workflow."""
    if record.ended is None:
        return state.PENDING
    return state.FAILURE if record.failed else state.SUCCESS


def _unknown(id: str) -> CeleriacError:
    return CeleriacError(f"there is no workflow {id}: it was never sent, or was forgotten some time after its end")


def _step(node: Node, arrived: Arrived | None, known: str | None) -> StepRecord:
    if arrived is not None:
        result = arrived.result
        return StepRecord(id=node.id, task=node.task, state=result.state, done=result.date_done, result=result)
    if known is None:
        known = "WAITING" if node.awaits is not None else state.PENDING
    return StepRecord(id=node.id, task=node.task, state=known)


def _fresh(message: Message) -> Message:
    return msgspec.structs.replace(message, retries=0, eta=None, expires=None, parked_at=None)


def _revoked(workflow: str, node: Node) -> Arrival:
    body = encode(encode_exception(TaskRevokedError("revoked")), "json")
    told = StoredResult(id=node.id, state=state.REVOKED, body=body.body, task=node.task)
    return Arrival(workflow=workflow, join=node.join, slot=node.slot, result=told, failed=True)
