"""A simulated worker: the real keeper, engines, slots and services, in processes that can be killed at any moment.

What is replaced is the supervisor's main loop, which starts processes and reads pipes. Its part here is as small as can
be: keep the number of children, tell the keeper of the dead, pass words on. Who died of what is judged by the worker's
own code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from celeriac.brokers.facade import AsyncBroker, SyncBroker
from celeriac.brokers.port import Operations
from celeriac.testing.simulation.climate import Climate
from celeriac.testing.simulation.machine import SimulatedThreads
from celeriac.testing.simulation.network import Wire, WireDriver
from celeriac.testing.simulation.process import Process
from celeriac.testing.simulation.tasks import QUEUES, SimulatedApp
from celeriac.testing.simulation.world import Host
from celeriac.worker.engine import Engine, Stores
from celeriac.worker.keeper import Keeper
from celeriac.worker.options import WorkerOptions
from celeriac.worker.slots import Running, SlotTable
from celeriac.worker.supervisor import FAREWELL, REVOKE_PATIENCE
from celeriac.worker.verdicts import Cause, Death

DELIVERY_LIMIT: Final = 3
PIPE: Final = 0.002
"""Longest seconds that a word takes between supervisor and child."""
WATCH: Final = 0.1
"""Seconds between two looks of a child at what runs. A real one looks more often, which would cost more than it tells.
"""
GRACE: Final = 1.0


class Site:
    """What all processes of a run share.

    Args:
        app: The app.
        wire: The network.
        operations: What drivers offer.
        climate: The circumstances.
        failed: Told of errors that nobody caught.
    """

    def __init__(
        self,
        app: SimulatedApp,
        wire: Wire,
        operations: Operations[Any, Any],
        climate: Climate,
        failed: Callable[[str], None],
    ) -> None:
        self.app = app
        self.wire = wire
        self.world = wire.world
        self.climate = climate
        self.failed = failed
        self._operations = operations

    def process(self, host: Host, name: str) -> Process:
        """Return a new process, connected to the store."""
        process = Process(self.world, host, name, self.failed)
        driver = WireDriver(self.wire, process, self._operations)
        self.app.sync_brokers[name] = SyncBroker(driver)
        self.app.async_brokers[name] = AsyncBroker(driver)
        return process

    def within(self, process: Process, act: Callable[[], Any]) -> Any:
        """Return ``act()``, called as the process's code, with its connections."""
        before, self.app.process = self.app.process, process
        host, self.world.host = self.world.host, process.host
        try:
            return act()
        finally:
            self.app.process = before
            self.world.host = host


class SimulatedChild:
    """A child process, seen from its supervisor."""

    def __init__(self, site: Site, worker: SimulatedWorker, owner: str) -> None:
        self.site = site
        self.owner = owner
        self.process = site.process(worker.process.host, owner)
        self.table = SlotTable(None, worker.options.slots)
        self.cause: Cause | None = None
        self.culprit: str | None = None
        self.draining = False
        self.running: tuple[Running, ...] = ()
        """What ran at its death."""
        self.engine: Engine | None = None
        self._worker = worker
        self.process.at_death.append(self._look)
        self.process.ended.append(lambda: worker.later(lambda: worker.child_ended(self)))
        self.process.post(self._start)

    def _look(self) -> None:
        self.running = tuple(self.table.running())

    def _start(self) -> None:
        loop = self.process.loop
        loop.enter(lambda: self.site.within(self.process, self._build))

    def _build(self) -> None:
        worker, app, loop = self._worker, self.site.app, self.process.loop
        engine = self.engine = Engine(
            options=worker.options,
            owner=self.owner,
            surroundings=app.worker_surroundings(worker.options.node, delivery_limit=DELIVERY_LIMIT),
            stores=Stores(app.async_broker()),
            table=self.table,
            threads=SimulatedThreads(self.process),
        )
        engine.watch_every = WATCH
        SimulatedThreads(self.process).thread(engine.sync_slots.run_main, "main").start()
        loop.create_task(self._run(engine))

    async def _run(self, engine: Engine) -> None:
        await engine.run(lambda reason: self._worker.later(lambda: self._worker.retire(self)))
        self.cause = self.cause or "shutdown"
        self.site.world.after(0.0, self.process.kill)

    def say(self, word: Callable[[Engine], None]) -> None:
        """Send a word through the pipe: do this in the child."""
        process = self.process

        def heard() -> None:
            engine = self.engine
            if engine is not None:
                process.loop.enter(lambda: word(engine))

        self.site.world.after(PIPE * self.site.world.rng.random(), lambda: process.post(heard))

    def drain(self) -> None:
        """Tell it to finish."""
        if not self.draining:
            self.draining = True
            self.say(lambda engine: _keep(self.process.loop.create_task(engine.drain())))

    def end(self, cause: Cause, culprit: str | None = None) -> None:
        """Kill it, and say why."""
        self.cause = self.cause or cause
        self.culprit = culprit
        self.process.kill()


def _keep(_task: object) -> None:
    """The loop keeps its tasks."""


class SimulatedWorker:
    """A worker: its supervisor process with the keeper in it, and its children."""

    def __init__(self, site: Site, host: Host, name: str) -> None:
        self.site = site
        self.name = name
        self.process = site.process(host, f"{name}/keeper")
        climate = site.climate
        self.options = WorkerOptions(
            target="simulation",
            node=name,
            queues=QUEUES,
            processes=climate.children,
            threads=climate.threads,
            coroutines=climate.coroutines,
            lease=climate.lease,
            claim_ahead=climate.claim_ahead,
            delivery_limit=DELIVERY_LIMIT,
            max_tasks_per_child=climate.recycle,
        )
        self.children: dict[str, SimulatedChild] = {}
        self.stopping = False
        self.over = False
        self._born = 0
        self.process.ended.append(self._orphan)
        self.keeper: Keeper = site.within(self.process, self._keeper)
        self.process.post(self._begin)

    def _keeper(self) -> Keeper:
        return Keeper(
            app=self.site.app,
            options=self.options,
            name=self.process.name,
            handlers=self,
            info=dict,
            threads=SimulatedThreads(self.process),
        )

    def _begin(self) -> None:
        self.keeper.start()
        self._keep_number()

    @property
    def alive(self) -> bool:
        """Whether its supervisor lives."""
        return self.process.alive

    # Children.

    def later(self, act: Callable[[], None]) -> None:
        """Do this in the supervisor, soon."""
        self.site.world.after(PIPE * self.site.world.rng.random(), lambda: self.process.post(act))

    def _keep_number(self) -> None:
        if self.stopping:
            return
        active = sum(not child.draining for child in self.children.values())
        for _ in range(self.options.processes - active):
            self._born += 1
            owner = f"{self.name}/{self._born}"
            child = self.children[owner] = SimulatedChild(self.site, self, owner)
            self.site.app.checker.process_begins(owner, child.process)
            self.keeper.adopt(owner, child.table)

    def retire(self, child: SimulatedChild) -> None:
        """Replace a child that has run its share."""
        child.drain()
        self._keep_number()

    def child_ended(self, child: SimulatedChild) -> None:
        """Tell the keeper of a death, and replace the child."""
        if self.children.pop(child.owner, None) is None:
            return
        cause = child.cause or "crashed"
        self.keeper.bury_child(
            Death(
                owner=child.owner,
                pid=self._born,
                cause=cause,
                reason=f"process {child.owner} ended ({cause})",
                running=child.running,
                culprit=child.culprit,
            )
        )
        self._keep_number()
        if self.stopping and not self.children:
            SimulatedThreads(self.process).thread(self._leave, "leave").start()

    def _leave(self) -> None:
        self.keeper.stop(FAREWELL)
        self.over = True
        self.site.world.after(0.0, self.process.kill)

    def _orphan(self) -> None:
        """The pipe closes, and the children end."""
        for child in self.children.values():
            if child.process.alive:
                self.site.world.after(PIPE * self.site.world.rng.random(), child.process.kill)

    def stop(self) -> None:
        """Shut down, as after TERM."""
        if self.stopping or not self.alive:
            return
        self.stopping = True
        for child in list(self.children.values()):
            child.drain()
            self.site.world.after(GRACE, partial(child.end, "shutdown"))
        if not self.children:
            SimulatedThreads(self.process).thread(self._leave, "leave").start()

    # What remote commands ask for.

    def request_shutdown(self, reason: str) -> None:
        """Shut down."""
        self.later(self.stop)

    def request_revoke(self, ids: Sequence[str], terminate: bool, signal_name: str | None) -> None:
        """Drop these tasks, and with ``terminate`` stop those that run."""
        for child in list(self.children.values()):
            child.say(lambda engine: engine.revoke(ids, terminate))
            if terminate:
                for run in child.table.running():
                    if run.id in ids:
                        self._insist(child, run)

    def _insist(self, child: SimulatedChild, run: Running) -> None:
        def look() -> None:
            if child.process.alive and any(
                one.token == run.token and one.id == run.id for one in child.table.running()
            ):
                child.end("revoked", run.id)

        self.site.world.after(REVOKE_PATIENCE, lambda: self.process.post(look))

    def request_resize(self, change: int) -> None:
        """Not simulated."""

    def pids(self) -> list[int]:
        """There are no process ids here."""
        return []
