"""Running a workflow here and now, by the same rules of joins that stores follow."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from celeriac.app.eager import Run
from celeriac.app.eager_result import EagerResult
from celeriac.app.group_result import GroupResult
from celeriac.core.message import Arrival, Message, StoredResult
from celeriac.core.workflow import ROOT, Join, Tally, Workflow, arrive

if TYPE_CHECKING:
    from celeriac.app.result import AsyncResult


def run(first: Sequence[Message], joins: Mapping[int, Join], result: Any, *, throw: bool | None) -> Any:
    """Run a workflow to its end and return its result.

    Args:
        first: The messages that it begins with.
        joins: What waits for them.
        result: What a caller who sends it gets.
        throw: Raise what its last step raises; None: as the setting ``task_eager_propagates`` says.
    """
    app = result.app
    here = _Here(Run(app), joins)
    here.ready.extend(first)
    while here.ready:
        here.step(here.ready.popleft())
    found = _eager(result, here.results)
    if app.conf.task_eager_propagates if throw is None else throw:
        found.maybe_throw()
    return found


class _Here:
    def __init__(self, runner: Run, joins: Mapping[int, Join]) -> None:
        self._runner = runner
        runner.plant = self._plant
        self._joins: dict[int, Join] = {}
        self._tallies: dict[int, Tally] = {}
        self._slots: dict[int, dict[int, StoredResult]] = {}
        self._plant(None, joins.values())
        self.ready: deque[Message] = deque()
        self.results: dict[str, EagerResult[Any]] = {}

    def _plant(self, _: Workflow | None, joins: Iterable[Join]) -> None:
        for join in joins:
            self._joins[join.number] = join
            self._tallies[join.number] = Tally(join.size)
            self._slots[join.number] = {}

    def step(self, message: Message) -> None:
        """Run one message, and take in what follows."""
        settlement = self._runner.complete(message, self._given(message))
        self.results[message.id] = self._runner.result(settlement, message)
        self.ready.extend(settlement.follow_ups)
        if settlement.arrival is not None and settlement.arrival.join != ROOT:
            self._arrive(settlement.arrival)

    def _arrive(self, arrival: Arrival) -> None:
        slots = self._slots[arrival.join]
        if arrival.slot in slots:
            return
        slots[arrival.slot] = arrival.result
        tally, closes = arrive(self._tallies[arrival.join], arrival.slot, failed=arrival.failed, root=False)
        self._tallies[arrival.join] = tally
        if closes:
            self.ready.extend(self._joins[arrival.join].messages)

    def _given(self, message: Message) -> dict[int, StoredResult] | None:
        place = message.place
        if place is None or place.awaits is None:
            return None
        failed = self._tallies[place.awaits].failed
        slots = self._slots[place.awaits]
        return slots if failed is None else {failed: slots[failed]}


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
        found = known[one.id]
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
