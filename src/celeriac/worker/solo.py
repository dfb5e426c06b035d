"""A worker in one process: the main thread runs the tasks, so that a debugger can stop in them.

There are no children, so no hard time limit can be enforced, nothing is recycled (``max_tasks_per_child`` and
``max_memory_per_child`` say nothing here), and a task that kills the process ends the worker; the leases then run out,
and another worker goes on. Everything else is as in the other pools.
"""

from __future__ import annotations

import itertools
import os
import signal
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from celeriac.app import Celeriac
from celeriac.events import ShutdownPhase, WorkerReady, signals
from celeriac.execution.announce import Node
from celeriac.worker import logs
from celeriac.worker.child import ChildProcess
from celeriac.worker.folder import RuntimeFolder
from celeriac.worker.health import Health, HealthBeat, HealthFile
from celeriac.worker.keeper import Keeper
from celeriac.worker.options import WorkerOptions, boot_id
from celeriac.worker.runs import monotonic
from celeriac.worker.slots import SlotTable
from celeriac.worker.verdicts import Death

FAREWELL = 5.0


class Solo:
    """One worker without children."""

    def __init__(self, app: Celeriac, options: WorkerOptions) -> None:
        options = msgspec.structs.replace(options, max_tasks_per_child=None, max_memory_per_child=None)
        self._options = options
        owner = f"{options.node}#{boot_id()}/solo"
        self._folder = RuntimeFolder()
        self._table = SlotTable(Path(self._folder.name) / "slots", options.slots)
        self._health_file = HealthFile(options.health_file) if options.health_file else None
        beats = (HealthBeat(self._health_file, self.health),) if self._health_file is not None else ()
        self._keeper = Keeper(
            app=app, options=options, name=f"{owner}/keeper", handlers=self, info=self._describe, extra=beats
        )
        self._owner = owner
        self._sender = Node(options.node, app)
        self._child = ChildProcess(app, options, owner, self._table)
        # Counted in one step: a signal may come while another is being handled.
        self._signals = itertools.count(1)

    def run(self) -> int:
        """Work until told to stop; return the exit code. Must be called in the main thread."""
        bus = self._keeper.surroundings.bus
        logs.subscribe(bus)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, self._on_signal)
        self._keeper.start()
        self._keeper.adopt(self._owner, self._table)
        signals.worker_process_init.send(self._options.node)
        bus.emit(WorkerReady(self._options.node))
        signals.worker_ready.send(self._sender)
        try:
            self._child.run(None)
        finally:
            self._leave()
            if self._health_file is not None:
                self._health_file.remove()
        bus.emit(ShutdownPhase("ended"))
        signals.worker_shutdown.send(self._sender)
        return 0

    def health(self) -> Health:
        """Return whether the worker does its work; from any thread."""
        silent = monotonic() - self._table.last_poll
        stuck = silent > self._options.watchdog and not any(self._table.running())
        problems = ((f"it has not claimed for {silent:.0f} s",) if stuck else ()) + self._keeper.problems
        return Health(not problems, problems, 1, self._table.runs, self._keeper.outbox, self._keeper.notes or None)

    def request_shutdown(self, reason: str) -> None:
        """Stop claiming, finish what runs, end."""
        self._child.drain()

    def request_revoke(self, ids: Sequence[str], terminate: bool, signal_name: str | None) -> None:
        """Drop these tasks; with ``terminate`` interrupt the one that runs."""
        self._child.revoke(tuple(ids), terminate)

    def request_resize(self, change: int) -> None:
        """Does nothing: there is one process."""

    def pids(self) -> list[int]:
        """Return this process's id."""
        return [os.getpid()]

    def _on_signal(self, number: int, _frame: types.FrameType | None) -> None:
        first = next(self._signals) == 1
        if first:
            how = "Cold" if number == signal.SIGQUIT else "Warm"
            name = signal.Signals(number).name
            signals.worker_shutting_down.send(self._options.node, sig=name, how=how, exitcode=0)
        self._child.drain()  # What is given back now must not be claimed here again.
        if first and number != signal.SIGQUIT:
            return
        self._leave()
        os._exit(0)

    def _leave(self) -> None:
        running = tuple(self._table.running())
        self._keeper.bury_child(
            Death(owner=self._owner, pid=os.getpid(), cause="shutdown", reason="the worker shut down", running=running)
        )
        self._keeper.stop(FAREWELL)
        self._folder.cleanup()

    def _describe(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "pool": "solo",
            "queues": list(self._options.queues),
            "children": [],
            "running": sum(1 for _ in self._table.running()),
            "runs": self._table.runs,
        }
