"""The supervisor: starts children, watches them, and ends them.

It runs no task and no event loop. Its main thread waits for children (their exits, what they say) and for signals; its
keeper thread does everything that needs the broker. A child that dies is noticed at once, what it held is runnable
again within a second, and a new child takes its place.

Shutdown, by signal: TERM, INT or HUP stops claiming, gives back what has not started, and waits up to the grace period
for what runs; a second one, or the end of the grace period, gives back what still runs, with a record, and exits; QUIT
does that at once.
"""

from __future__ import annotations

import os
import selectors
import signal
import types
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from celeriac.app import Celeriac
from celeriac.events import Bus, ChildExited, ChildStarted, ShutdownPhase, WorkerReady, signals
from celeriac.execution.announce import Node
from celeriac.worker import logs
from celeriac.worker.autoscale import Autoscaler
from celeriac.worker.children import Child, Nursery
from celeriac.worker.health import Health, HealthFile, HealthServer
from celeriac.worker.keeper import Keeper
from celeriac.worker.link import Fatal, Ready, Retire
from celeriac.worker.memory import oom_kills
from celeriac.worker.options import WorkerOptions
from celeriac.worker.restarts import Restarts
from celeriac.worker.runs import monotonic
from celeriac.worker.verdicts import Cause, Death, describe_exit
from celeriac.worker.waker import Waker

TICK: Final = 0.1
"""Longest seconds between two looks at deadlines."""
IDLE_TICK: Final = 0.5
"""The same while nothing runs and nobody starts or ends; a hard time limit below it may end a task so much late."""
MAX_START_FAILURES: Final = 3
MAX_STUCK: Final = 3
REVOKE_PATIENCE: Final = 3.0
"""Seconds that a revoked task has to end by itself before its process is ended."""
FAREWELL: Final = 5.0
"""Longest seconds to tell the broker that this worker has ended."""


class Supervisor:
    """One worker."""

    def __init__(self, app: Celeriac, options: WorkerOptions) -> None:
        self._options = options
        self._nursery = Nursery(options)
        self._keeper = Keeper(
            app=app, options=options, name=self._nursery.keeper_name, handlers=self, info=self._describe
        )
        self._bus: Bus = self._keeper.surroundings.bus
        self._sender = Node(options.node, app)
        self._children: dict[str, Child] = {}
        self._selector = selectors.DefaultSelector()
        self._requests: deque[Callable[[], None]] = deque()
        self._waker = Waker()
        self._selector.register(self._waker, selectors.EVENT_READ, None)
        self._target = options.processes
        self._autoscaler = Autoscaler(options)
        self._started = monotonic()
        self._oom_kills = oom_kills()
        self._shutdown_deadline: float | None = None
        self._signals = 0
        self._restarts = Restarts()
        self._start_failures = 0
        self._runs_before = 0
        self._stuck = 0
        self._ready_told = False
        self._exit_code = 0
        self._next_second = 0.0
        self._health_file = HealthFile(options.health_file) if options.health_file else None
        self._probe = HealthServer(options.health_port, self.health) if options.health_port is not None else None

    @property
    def health_port(self) -> int | None:
        """The port of the HTTP probe; None without one."""
        return None if self._probe is None else self._probe.port

    # Life.

    def run(self) -> int:
        """Work until told to stop; return the exit code. Must be called in the main thread."""
        logs.subscribe(self._bus)
        previous = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        try:
            self._keeper.start()
            self._keeper.listen()
            if self._probe is not None:
                self._probe.start()
            while self._alive():
                self._turn()
        finally:
            self._end()
            for number, handler in previous.items():
                signal.signal(number, handler)
        return self._exit_code

    def _alive(self) -> bool:
        return self._shutdown_deadline is None or bool(self._children)

    def _turn(self) -> None:
        """One round of the main loop."""
        self._keep_number()
        for key, _ in self._selector.select(IDLE_TICK if self._calm() else TICK):
            child: Child | None = key.data
            if child is None:
                self._waker.clear()
                continue
            if child.owner not in self._children:
                continue  # Its exit was seen in this same round, a moment ago.
            if key.fileobj == child.process.sentinel:
                self._on_exit(child)
            else:
                self._on_words(child)
        while self._requests:
            self._requests.popleft()()
        now = monotonic()
        for child in list(self._children.values()):
            self._enforce(child, now)
        self._autoscaler.observe(list(self._children.values()))
        if self._shutdown_deadline is not None and now >= self._shutdown_deadline:
            self._kill_all("shutdown", "the worker shut down")
        if now >= self._next_second:
            self._next_second = now + 1.0
            self._each_second(now)

    def _calm(self) -> bool:
        """Return whether there is nothing to look at but what announces itself."""
        children = self._children.values()
        grown = self._options.processes_max == self._options.processes and len(children) == self._target
        return (
            grown
            and self._shutdown_deadline is None
            and all(child.state == "ready" and not child.running and not child.revoking for child in children)
        )

    def _end(self) -> None:
        for child in list(self._children.values()):
            child.kill("shutdown", "the worker ended")
            child.process.join(FAREWELL)
            self._on_exit(child)
        if not self._keeper.stop(FAREWELL):
            self._bus.emit(ShutdownPhase("the broker did not answer; leases will run out by themselves"))
        if self._probe is not None:
            self._probe.stop()
        if self._health_file is not None:
            self._health_file.remove()
        self._selector.close()
        self._waker.close()
        self._nursery.close()
        self._bus.emit(ShutdownPhase("ended"))
        signals.worker_shutdown.send(self._sender)

    # What commands ask for; called by the keeper's thread.

    def request_shutdown(self, reason: str) -> None:
        """Shut down as TERM does."""
        self._ask(lambda: self._begin_shutdown(reason))

    def request_revoke(self, ids: Sequence[str], terminate: bool, signal_name: str | None) -> None:
        """Drop these tasks, and with ``terminate`` stop those that run: with signal SIGKILL at once."""
        self._ask(lambda: self._revoke(tuple(ids), terminate, signal_name))

    def request_resize(self, change: int) -> None:
        """Run more or fewer children."""
        self._ask(lambda: self._resize(change))

    def pids(self) -> list[int]:
        """Return the process ids of the children."""
        return [child.pid for child in list(self._children.values())]

    def health(self) -> Health:
        """Return whether the worker does its work; from any thread."""
        now = monotonic()
        children = list(self._children.values())
        problems = [problem for child in children if (problem := self._problem(child, now)) is not None]
        ready = sum(child.state == "ready" for child in children)
        if self._shutdown_deadline is not None:
            problems.append("shutting down")
        elif ready == 0:
            problems.append("no child process is ready")
        problems += self._keeper.problems
        runs = sum(child.table.runs for child in children)
        return Health(not problems, tuple(problems), ready, runs, self._keeper.outbox, self._keeper.notes or None)

    # Children.

    def _keep_number(self) -> None:
        if self._shutdown_deadline is not None:
            return
        active = [child for child in self._children.values() if child.state != "draining"]
        for _ in range(self._target - len(active)):
            if not self._restarts.allowed(self._target, monotonic()):
                break
            if signals.worker_before_create_process.receivers:
                signals.worker_before_create_process.send(self._sender)
            child = self._nursery.start()
            self._children[child.owner] = child
            self._selector.register(child.process.sentinel, selectors.EVENT_READ, child)
            self._selector.register(child.link, selectors.EVENT_READ, child)
            self._keeper.adopt(child.owner, child.table)
        for child in active[self._target :]:
            child.drain()

    def _on_words(self, child: Child) -> None:
        words = child.receive()
        match words:
            case Ready():
                child.state = "ready" if child.state == "starting" else child.state
                self._start_failures = 0
                self._bus.emit(ChildStarted(child.owner, child.pid))
                self._tell_ready()
            case Retire(reason):
                child.why = reason
                child.drain()
            case Fatal():
                child.failure = words
            case None:
                # End of file: its exit is about to be seen through the sentinel.
                self._selector.unregister(child.link)

    def _tell_ready(self) -> None:
        if not self._ready_told and all(child.state == "ready" for child in self._children.values()):
            self._ready_told = True
            self._bus.emit(WorkerReady(self._options.node))
            signals.worker_ready.send(self._sender)

    def _on_exit(self, child: Child) -> None:
        if self._children.pop(child.owner, None) is None:
            return
        while (words := child.receive()) is not None:
            if isinstance(words, Fatal):
                child.failure = words
        self._selector.unregister(child.process.sentinel)
        if child.link in self._selector.get_map():
            self._selector.unregister(child.link)
        child.process.join()
        cause, reason = self._explain(child)
        expected = child.cause is not None or cause == "shutdown"
        if child.failure is not None:
            reason = f"{reason}\n{child.failure.error}"
        if not expected:
            self._restarts.died(monotonic())
        self._bus.emit(ChildExited(child.owner, child.pid, reason, expected))
        self._runs_before += child.table.runs
        death = Death(
            owner=child.owner,
            pid=child.pid,
            cause=cause,
            reason=reason.partition("\n")[0],
            running=tuple(child.table.running()),
            culprit=child.culprit,
            unsettled=child.failure.unsettled if child.failure is not None else (),
        )
        self._keeper.bury_child(death)
        if child.state == "starting" and not expected:
            self._start_failed()
        child.close()

    def _explain(self, child: Child) -> tuple[Cause, str]:
        code = child.process.exitcode
        text = f"process {child.pid} {describe_exit(code)}"
        if child.cause is not None:
            return child.cause, f"process {child.pid} was ended: {child.why}"
        if code == 0 and child.state == "draining":
            return "shutdown", f"process {child.pid} is done" + (f": {child.why}" if child.why else "")
        kills = oom_kills()
        if code == -signal.SIGKILL and kills > self._oom_kills:
            self._oom_kills = kills
            return "out of memory", f"{text}: the machine or its control group ran out of memory"
        return "crashed", text

    def _start_failed(self) -> None:
        self._start_failures += 1
        if self._start_failures >= MAX_START_FAILURES and self._shutdown_deadline is None:
            self._exit_code = 1
            self._begin_shutdown(f"{MAX_START_FAILURES} child processes in a row could not start")

    def _enforce(self, child: Child, now: float) -> None:
        """End a child that runs a task past its hard limit, or a revoked one that does not stop."""
        for run in child.table.running():
            if now >= run.deadline:
                child.kill("time limit", f"task {run.id} passed its hard time limit", run.id)
                return
            if now >= child.revoking.get(run.id, float("inf")):
                child.kill("revoked", f"task {run.id} was revoked and did not stop", run.id)
                return
        if child.revoking:
            child.revoking = {one: until for one, until in child.revoking.items() if now < until}

    def _problem(self, child: Child, now: float) -> str | None:
        """Return what is wrong with a child, or None."""
        patience = self._options.watchdog
        if child.state == "starting":
            return f"child {child.pid} has not started" if now - child.started > patience else None
        if now - max(child.table.last_poll, child.started) > patience and not child.running:
            return f"child {child.pid} has not claimed for {patience:.0f} s"
        if child.state == "ready" and now > max(child.table.lease_until, child.started + self._options.lease):
            return f"the lease of child {child.pid} is not being renewed"
        return None

    def _each_second(self, now: float) -> None:
        health = self.health()
        if self._health_file is not None:
            self._health_file.update(health)
        if self._shutdown_deadline is not None:
            return
        children = list(self._children.values())
        for child in children:
            if child.running or child.table.runs != child.seen_runs:
                child.idle_since = now
                child.seen_runs = child.table.runs
        self._target += self._autoscaler.advise(children, self._target, now)
        for child in children:
            silent = now - max(child.table.last_poll, child.started)
            if silent > self._options.watchdog and not child.running and child.cause is None:
                self._replace_stuck(child, silent)
            elif child.state == "ready" and silent < self._options.watchdog:
                self._stuck = 0

    def _replace_stuck(self, child: Child, silent: float) -> None:
        self._stuck += 1
        child.kill("stuck", f"it had not claimed for {silent:.0f} s (worker_watchdog_timeout)")
        if self._stuck >= MAX_STUCK * self._target:
            self._exit_code = 1
            self._begin_shutdown("new child processes do not get to claim, either")

    # Requests.

    def _ask(self, work: Callable[[], None]) -> None:
        """Have this done by the main loop, soon; from any thread and from signal handlers."""
        self._requests.append(work)
        self._waker.wake()

    def _revoke(self, ids: tuple[str, ...], terminate: bool, signal_name: str | None) -> None:
        now = monotonic()
        kill_at_once = signal_name in ("SIGKILL", "KILL")
        for child in list(self._children.values()):
            # What is to be killed must not hear of it before.
            child.revoke(ids, terminate and not kill_at_once)
            if terminate:
                for run in child.table.running():
                    if run.id in ids:
                        child.revoking[run.id] = now if kill_at_once else now + REVOKE_PATIENCE

    def _resize(self, change: int) -> None:
        self._target = max(1, self._target + change)

    def _begin_shutdown(self, reason: str, sig: str | None = None, how: str = "Warm") -> None:
        if self._shutdown_deadline is not None:
            return
        signals.worker_shutting_down.send(self._options.node, sig=sig, how=how, exitcode=self._exit_code)
        self._shutdown_deadline = monotonic() + self._options.grace
        running = sum(child.running for child in self._children.values())
        self._bus.emit(
            ShutdownPhase(
                f"{reason}; claiming has stopped, what has not started is given back,"
                f" {running} running task(s) have {self._options.grace:.0f} s"
            )
        )
        for child in list(self._children.values()):
            if child.state == "starting":
                child.kill("shutdown", reason)
            child.drain()

    def _kill_all(self, cause: Cause, why: str) -> None:
        for child in list(self._children.values()):
            child.kill(cause, why)

    def _on_signal(self, number: int, _frame: types.FrameType | None) -> None:
        self._signals += 1
        name = signal.Signals(number).name
        if number == signal.SIGQUIT or self._signals > 1:
            self._ask(lambda: self._hurry(name))
        else:
            self._ask(lambda: self._begin_shutdown(f"received {name}", name))

    def _hurry(self, name: str) -> None:
        self._begin_shutdown(f"received {name}", name, "Cold")
        self._bus.emit(ShutdownPhase(f"received {name}: running tasks are given back now"))
        self._shutdown_deadline = monotonic()

    def _describe(self) -> dict[str, Any]:
        """Return what the heartbeat tells."""
        children = list(self._children.values())
        return {
            "pid": os.getpid(),
            "pool": self._options.pool,
            "queues": list(self._options.queues),
            "children": [child.pid for child in children],
            "running": sum(child.running for child in children),
            "runs": self._runs_before + sum(child.table.runs for child in children),
            "uptime": monotonic() - self._started,
        }


_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
