"""The engine of eager mode: runs messages here and now, one after the other, through the very steps a worker takes.

A message is decoded and run as in production; a retry runs at once instead of after its delay, callbacks run in their
turn, and steps of workflows wait for each other by the same rules of joins that stores follow. Nothing reaches a
broker.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from celeriac.app import loops
from celeriac.app.eager_result import EagerResult
from celeriac.app.reading import value_of
from celeriac.core import state
from celeriac.core.message import Arrival, Delivery, Lease, Message, Settlement, StoredResult
from celeriac.core.workflow import ROOT, Join, Tally, Workflow, arrive
from celeriac.events import TaskFailed, TaskSucceeded
from celeriac.events import log as event_log
from celeriac.execution.call import aexecute, execute, open_call
from celeriac.execution.record import Call

if TYPE_CHECKING:
    from celeriac.app.app import Celeriac

_Place = tuple[str, int]
"""A workflow and one of its joins."""


class EagerRun:
    """What one eager call runs: its messages, and everything that follows from them.

    Attributes:
        results: What each task that ran came to, by its id.
    """

    def __init__(self, app: Celeriac) -> None:
        self.results: dict[str, EagerResult[Any]] = {}
        self._app = app
        self._surroundings = app.worker_surroundings(f"eager@{os.uname().nodename}", results=True, plant=self.plant)
        self._values: dict[str, Any] = {}
        self._ready: deque[Message] = deque()
        self._joins: dict[_Place, Join] = {}
        self._tallies: dict[_Place, Tally] = {}
        self._slots: dict[_Place, dict[int, StoredResult]] = {}
        bus = self._surroundings.bus
        self._interrupt: KeyboardInterrupt | None = None
        bus.subscribe(TaskSucceeded, self._succeeded)
        bus.subscribe(TaskFailed, self._failed)
        event_log.subscribe(bus)

    def _succeeded(self, event: TaskSucceeded) -> None:
        self._values[event.id] = event.value

    def _failed(self, event: TaskFailed) -> None:
        if isinstance(event.exception, KeyboardInterrupt):
            self._interrupt = event.exception

    def plant(self, workflow: Workflow, joins: Sequence[Join]) -> None:
        """Know of steps that wait for others."""
        for join in joins:
            place = workflow.id, join.number
            self._joins[place] = join
            self._tallies[place] = Tally(join.size)
            self._slots[place] = {}

    def run(self, first: Sequence[Message]) -> None:
        """Run messages, and what follows from them, to the end.

        Raises:
            NotRegistered: The code of one is not here.
        """
        self._ready.extend(first)
        while self._ready:
            self._step(self._ready.popleft())

    def _step(self, message: Message) -> None:
        task = self._app.tasks[message.task]
        settlement = self._complete(message)
        self.results[message.id] = self._result(settlement, message)
        if settlement.result is not None and task.store_eager_result and self._app.results_enabled:
            self._app.backend.store([settlement.result])
        if self._interrupt is not None:  # Whoever presses Ctrl-C wants the program to end, not this task.
            raise self._interrupt
        self._ready.extend(settlement.follow_ups)
        if settlement.arrival is not None and settlement.arrival.join != ROOT:
            self._arrive(settlement.arrival)

    def _complete(self, message: Message) -> Settlement:
        """Run a message until it is over."""
        given = self._given(message)
        token = 0
        while True:
            token += 1
            settlement = self._once(Delivery(message, Lease(message.id, "eager", token), given=given))
            if settlement.action != "retry" or settlement.message is None:
                return settlement
            self._ready.extend(settlement.follow_ups)
            message = settlement.message

    def _once(self, delivery: Delivery) -> Settlement:
        opened = open_call(delivery, self._surroundings)
        if not isinstance(opened, Call):
            return opened
        opened.request.is_eager = True
        opened.request.plant = self.plant
        if opened.task.is_async:
            return loops.finish(lambda: aexecute(opened, self._surroundings))
        return execute(opened, self._surroundings)

    def _arrive(self, arrival: Arrival) -> None:
        place = arrival.workflow, arrival.join
        slots = self._slots[place]
        if arrival.slot in slots:
            return
        slots[arrival.slot] = arrival.result
        tally, closes = arrive(self._tallies[place], arrival.slot, failed=arrival.failed, root=False)
        self._tallies[place] = tally
        if closes:
            self._ready.extend(self._joins[place].messages)

    def _given(self, message: Message) -> dict[int, StoredResult] | None:
        step = message.place
        if step is None or step.awaits is None:
            return None
        place = message.workflow or "", step.awaits
        failed = self._tallies[place].failed
        slots = self._slots[place]
        return slots if failed is None else {failed: slots[failed]}

    def _result(self, settlement: Settlement, message: Message) -> EagerResult[Any]:
        """Return what a message came to, as a store would tell it."""
        stored = settlement.result
        if stored is None:
            # The task's result is ignored, or the task raised Ignore. Callers of apply() want the value all the same.
            ended = state.SUCCESS if settlement.action == "done" else state.REJECTED
            return EagerResult(message.id, self._values.get(message.id), ended, name=message.task)
        value = value_of(stored, self._app)
        return EagerResult(message.id, value, stored.state, traceback=stored.traceback, name=message.task)
