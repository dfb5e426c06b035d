"""The part of the port that workflows need: joins, by the rules of :mod:`celeriac.core.workflow`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from celeriac.core.message import Arrival, Message
from celeriac.core.operation import Operation
from celeriac.core.workflow import LAST, Harvest, Join, Workflow, WorkflowRecord

ReqOut = TypeVar("ReqOut", covariant=True)
RepIn = TypeVar("RepIn", contravariant=True)


class WorkflowOperations(Protocol[ReqOut, RepIn]):
    """What workflows wait for.

    ``settle`` carries out the arrivals of its settlements in the same step. A driver without ``stored`` raises
    StoreNeeded for ``plant``, and knows no workflow.
    """

    def plant(self, workflow: Workflow, joins: Sequence[Join]) -> Operation[ReqOut, RepIn, None]:
        """Keep a workflow with joins, or further joins, and further messages of a join, of one that is there.

        All or none. Nothing becomes ready by it: whoever plants enqueues the first messages afterwards. Idempotent.
        """
        ...

    def arrive(self, arrivals: Sequence[Arrival]) -> Operation[ReqOut, RepIn, None]:
        """Put these into their slots, unless something lies there, and make ready what waits for a join that closes.

        An arrival for a workflow or join that is not there changes nothing. Idempotent.
        """
        ...

    def harvest(
        self, workflow: str, join: int, after: int, limit: int, until: int = LAST
    ) -> Operation[ReqOut, RepIn, Harvest]:
        """Return how far a join is, and up to ``limit`` of what lies in slots after ``after``; begin with -1.

        No slot after ``until`` is looked at, so that a look into one slot costs the same in a join of any size.
        """
        ...

    def workflows(
        self, ids: Sequence[str], cursor: float, limit: int
    ) -> Operation[ReqOut, RepIn, list[WorkflowRecord]]:
        """Return the workflows with these ids; without ids up to ``limit`` after the cursor, the oldest first."""
        ...

    def reopen(
        self, workflow: str, places: Sequence[tuple[int, int]], messages: Sequence[Message] = ()
    ) -> Operation[ReqOut, RepIn, int]:
        """Empty these slots (join, slot) where failures lie, and open what these had closed; return how many.

        In the same step, keep the messages, as ``enqueue`` does. Repeated, it finds nothing to empty, and the messages
        known, unless they have run by then.
        """
        ...

    def note(self, workflow: str, number: int, record: bytes) -> Operation[ReqOut, RepIn, None]:
        """Remember a part that a step has added to a workflow; nothing, if that is not there. Idempotent.

        Args:
            workflow: The workflow's id.
            number: Tells its parts from each other; below 2 to the 53rd.
            record: What there is to know of it.
        """
        ...

    def parts(self, workflow: str, after: int, limit: int) -> Operation[ReqOut, RepIn, list[tuple[int, bytes]]]:
        """Return up to ``limit`` of a workflow's parts after a cursor; each with its cursor, all greater than -1."""
        ...

    def uproot(self, ids: Sequence[str]) -> Operation[ReqOut, RepIn, int]:
        """Forget workflows, so that nothing more comes of them; return how many there were."""
        ...
