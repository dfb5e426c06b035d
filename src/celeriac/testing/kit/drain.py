"""Runs what a kit's store holds, in the caller's own thread, through the steps of a worker.

A message is claimed, opened, run and settled by the very code that a worker runs (:mod:`celeriac.execution` and the
operations of the broker), so retries, dead letters, workflows, results, signals and fencing are those of production.
What is left out is what a worker does beside it: processes, threads, claims ahead, time limits. Time stands still
while tasks run and jumps to the next moment at which something is due.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Coroutine, Generator, Sequence
from typing import Any, Final, TypeVar

from celeriac.app import Celeriac, announcing, loops
from celeriac.core import state
from celeriac.core.message import Delivery, Message, Settlement, Start
from celeriac.core.workflow import Harvest
from celeriac.errors import NotRegistered, WorkerLostError
from celeriac.events import Bus, TaskFailed, TaskReceived, TaskRetried, TaskSucceeded, signals
from celeriac.events import log as event_log
from celeriac.execution import announce, steps
from celeriac.execution import results as stored_results
from celeriac.execution.call import aexecute, execute, open_call
from celeriac.execution.record import Call
from celeriac.testing.clock import VirtualClock
from celeriac.testing.kit.records import Ran, Told
from celeriac.testing.kit.store import KitStore
from celeriac.worker.given import with_given
from celeriac.worker.runs import must_start_first
from celeriac.worker.verdicts import judge_expired

LIMIT: Final = 10_000
"""Runs after which a drain is taken for endless."""
_LEASE: Final = 86_400.0
_BATCH: Final = 500
_NAMED: Final = 3
OWNER: Final = "kit"
JUDGE: Final = "kit/judge"

T = TypeVar("T")
Running = Generator[Call, Settlement, list[Ran]]
"""Yields what is to be run, and is sent how it ended."""


class TooManyRuns(AssertionError):
    """A drain has run as many tasks as it may, and more are due: most likely tasks that send themselves."""


class Drainer:
    """Runs tasks.

    Args:
        app: Whose.
        clock: The kit's clock.
        store: The kit's store.
        queues: Those to take tasks from; None: all.
    """

    def __init__(self, app: Celeriac, clock: VirtualClock, store: KitStore, queues: Sequence[str] | None) -> None:
        self._app = app
        self._clock = clock
        self._store = store
        self._queues = None if queues is None else tuple(queues)
        self._surroundings = app.worker_surroundings("kit@localhost")
        self._told = Told()
        self._losses: Counter[str] = Counter()
        self._scheduler = app.schedule.scheduler(self._surroundings.bus, OWNER)
        self.beat = False
        self.runs: list[Ran] = []
        self._listen(self._surroundings.bus)

    def _listen(self, bus: Bus) -> None:
        event_log.subscribe(bus)

        def succeeded(event: TaskSucceeded) -> None:
            self._told = Told(value=event.value)

        def failed(event: TaskFailed) -> None:
            self._told = Told(exception=event.exception, expected=event.expected)

        def retried(event: TaskRetried) -> None:
            self._told = Told(exception=event.exception)

        bus.subscribe(TaskSucceeded, succeeded)
        bus.subscribe(TaskFailed, failed)
        bus.subscribe(TaskRetried, retried)

    # Driving.

    def drain(self, until: float | None, limit: float) -> list[Ran]:
        """Run what is due, and until that moment what becomes due; return what ended."""
        running = self._run(until, limit)
        try:
            call = next(running)
            while True:
                call = running.send(self._execute(call))
        except StopIteration as stop:
            ended: list[Ran] = stop.value
            return ended

    async def adrain(self, until: float | None, limit: float) -> list[Ran]:
        """Run what is due; coroutine tasks run in the caller's event loop."""
        running = self._run(until, limit)
        try:
            call = next(running)
            while True:
                ended = await aexecute(call, self._surroundings) if call.task.is_async else self._execute(call)
                call = running.send(ended)
        except StopIteration as stop:
            runs: list[Ran] = stop.value
            return runs

    def _execute(self, call: Call) -> Settlement:
        if call.task.is_async:
            return loops.finish(lambda: aexecute(call, self._surroundings))
        return execute(call, self._surroundings)

    # What is run.

    def _run(self, until: float | None, limit: float) -> Running:
        ended: list[Ran] = []
        broker = self._app.broker
        while True:
            claimed = broker.claim(self._queues or self._store.queues, 1, OWNER, _LEASE)
            if not claimed:
                if self._find_more(until):
                    continue
                return ended
            if len(ended) >= limit:
                broker.settle([Settlement(lease=claimed[0].lease, action="release")])
                raise TooManyRuns(self._complaint(ended))
            delivery = self._received(claimed[0])
            opened = open_call(delivery, self._surroundings)
            given = None
            if isinstance(opened, Call):
                given = opened.args, opened.kwargs
                self._note_start(opened)
                opened = yield opened
            if delivery.message is not None and given is not None and self._is_lost(delivery.message):
                new = self._lose(delivery, delivery.message, given)
            else:
                announcing.after_settling([opened], broker.settle([opened]))
                new = [] if delivery.message is None else [self._ran(delivery.message, opened, given)]
            ended += new
            self.runs += new
            interrupt = next((one.exception for one in new if isinstance(one.exception, KeyboardInterrupt)), None)
            if interrupt is not None:
                raise interrupt  # Whoever presses Ctrl-C wants the test to end, not this task.

    def _received(self, delivery: Delivery) -> Delivery:
        message = delivery.message
        if message is not None:
            self._surroundings.bus.emit(TaskReceived(message.id, message.task, message.argsrepr, message.kwargsrepr))
            if signals.task_received.receivers:
                announce.received(delivery, message, self._surroundings)
        if steps.awaits(delivery):
            (delivery,) = _at_once(with_given(_Harvester(self._app), [delivery]))
        return delivery

    def _note_start(self, call: Call) -> None:
        """Record a start where a worker does."""
        if must_start_first(call):
            self._app.broker.start([Start(call.delivery.lease, call.task.at_most_once)])
            if call.task.track_started and self._surroundings.stores_results:
                self._app.backend.progress([stored_results.started(call.message, self._surroundings)])

    # Workers that die.

    def lose(self, name: str, times: int) -> None:
        """Let the worker die at the end of the next runs of a task."""
        self._losses[name] = times

    def _is_lost(self, message: Message) -> bool:
        left = self._losses[message.task]
        self._losses[message.task] = max(0, left - 1)
        return left > 0

    def _lose(self, delivery: Delivery, message: Message, given: tuple[Any, Any]) -> list[Ran]:
        """Do what others do when a worker has died at the end of a run, before it could tell the broker."""
        limit = self._surroundings.delivery_limit
        self._told = Told()
        found = [Ran(message, self._clock.now(), state.PENDING, told=Told(), given=given, reason="its worker died")]
        reclaimed = self._app.broker.reclaim(JUDGE, 1, crash_limit=limit, owner=OWNER, guilty=(delivery.lease,))
        for verdict in reclaimed.verdicts:
            settlement = judge_expired(verdict, self._surroundings, limit)
            announcing.after_settling([settlement], self._app.broker.settle([settlement]))
            found.append(self._ran(message, settlement, None))
        return found

    def _ran(self, message: Message, settlement: Settlement, given: tuple[Any, Any] | None) -> Ran:
        told, self._told = self._told, Told()
        ended = {"retry": state.RETRY, "release": state.PENDING, "dead": state.DEAD}.get(settlement.action)
        if settlement.result is not None and settlement.action in ("done", "dead"):
            ended = settlement.result.state
        elif settlement.action == "done":
            ended = settlement.state
        if ended == state.DEAD and told.exception is None:
            known = message.task in self._app.tasks
            reason = f"task {message.task!r} is a dead letter: {settlement.reason}"
            told = Told(exception=WorkerLostError(reason) if known else NotRegistered(reason))
        return Ran(message, self._clock.now(), ended or state.SUCCESS, told=told, given=given, reason=settlement.reason)

    # Time.

    def _find_more(self, until: float | None) -> bool:
        """Find what is due, now or by a jump of the clock; False if nothing will be until then."""
        broker = self._app.broker
        promoted = broker.promote(_BATCH)
        if promoted.count:
            return True
        waits = [promoted.next_in] if promoted.next_in is not None else []
        if self.beat:
            before = len(self._store.sent)
            self._scheduler.turn()
            if len(self._store.sent) != before:
                return True
            entries = broker.due_entries(1)
            if until is not None and until != float("inf") and entries.next_in is not None:
                waits.append(entries.next_in)
        if until is None:
            return False
        wait = min(waits, default=None)
        left = until - self._clock.now()
        if wait is None or wait > left:
            if left > 0 and left != float("inf"):
                self._clock.advance(left)
            return False
        self._clock.advance(wait)
        return True

    def _complaint(self, ended: Sequence[Ran]) -> str:
        counts = Counter(one.task for one in ended).most_common(_NAMED)
        names = ", ".join(f"{name} ({count} times)" for name, count in counts)
        return (
            f"{len(ended):,} tasks have run and more are due at {self._clock.datetime.isoformat()}. Most of them:"
            f" {names}. Does it send itself, or is it tried again without end? If so many are right, give a greater"
            " limit= (math.inf for none)"
        )


class _Harvester:
    """The broker's ``harvest`` for code that awaits; nothing in memory takes time."""

    def __init__(self, app: Celeriac) -> None:
        self._broker = app.broker

    async def harvest(self, workflow: str, join: int, after: int, limit: int) -> Harvest:
        return self._broker.harvest(workflow, join, after, limit)


def _at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        value: T = stop.value
        return value
    coroutine.close()
    raise AssertionError(f"{inspect.getcoroutinelocals(coroutine)} waited")
