"""The app of the simulation, and its tasks: each does what its only argument, a script, says, and takes note of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from celeriac.app import Celeriac
from celeriac.brokers.facade import AsyncBroker, SyncBroker
from celeriac.core.retry import Rng
from celeriac.results import AsyncResults, SyncResults
from celeriac.testing.simulation.process import Process
from celeriac.testing.simulation.strands import Killed
from celeriac.testing.simulation.world import HostClock, World

if TYPE_CHECKING:
    from celeriac.execution.context import Request
    from celeriac.testing.simulation.checker import Checker

URL: Final = "memory://simulated"
QUEUES: Final = ("celery", "low")
UNKNOWN: Final = "nobody.knows"


class Boom(Exception):
    """What a task raises that is to be tried again."""


class Broken(Exception):
    """What a task raises that has failed for good."""


class Script(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a task does.

    Attributes:
        seconds: How long it runs.
        boom: How many of its first tries raise Boom, which is retried.
        broken: It then fails.
        crash: How many of its runs kill their process. More than the delivery limit: a poison.
    """

    seconds: float = 0.0
    boom: int = 0
    broken: bool = False
    crash: int = 0


class SimulatedApp(Celeriac):
    """An app whose connections are those of the process that uses it.

    Args:
        world: Time and chance.
        checker: Who is told what tasks do.
    """

    def __init__(self, world: World, checker: Checker) -> None:
        super().__init__(
            "simulation",
            broker=URL,
            backend=URL,
            set_as_current=False,
            clock=HostClock(world),
            rng=cast("Rng", world.rng),
            worker_unknown_task_window=3.0,
            worker_unknown_task_delay=0.5,
        )
        self.world = world
        self.checker = checker
        self.process: Process | None = None
        """Whose code is being set up; what it asks for is connected to this process."""
        self.sync_brokers: dict[str, SyncBroker[Any, Any]] = {}
        self.async_brokers: dict[str, AsyncBroker[Any, Any]] = {}
        _define(self)
        self.finalize()

    def _of(self, brokers: dict[str, Any]) -> Any:
        assert self.process is not None
        return brokers[self.process.name]

    @property
    def broker(self) -> SyncBroker[Any, Any]:
        return cast("SyncBroker[Any, Any]", self._of(self.sync_brokers))

    def async_broker(self) -> AsyncBroker[Any, Any]:
        return cast("AsyncBroker[Any, Any]", self._of(self.async_brokers))

    @property
    def backend(self) -> SyncResults:
        return self.broker

    def async_backend(self) -> AsyncResults:
        return self.async_broker()

    @property
    def results_share_broker(self) -> bool:
        return True


class Body:
    """One run of a task: where it runs, and what it does."""

    def __init__(self, app: SimulatedApp, request: Request, script: Script) -> None:
        assert request.delivery is not None
        self.process = app.checker.process_of(request.delivery.lease.owner)
        self._checker = app.checker
        self._lease = request.delivery.lease
        self._retries = request.retries
        self._script = script
        self._crashes = app.checker.run_began(self._lease, self._retries, self.process) <= script.crash

    def end(self) -> dict[str, Any]:
        """Return, raise or die as the script says."""
        if not self.process.alive:
            raise Killed
        if self._crashes:
            self._checker.task_kills(self._lease, self.process)
            self.process.kill()
            raise Killed
        self._checker.run_ended(self._lease)
        if self._retries < self._script.boom:
            raise Boom(f"try {self._retries}")
        if self._script.broken:
            raise Broken(f"token {self._lease.token}")
        return {"token": self._lease.token}


def _define(app: SimulatedApp) -> None:
    retrying: dict[str, Any] = {
        "bind": True,
        "autoretry_for": (Boom,),
        "max_retries": 3,
        "default_retry_delay": 0.3,
        "throws": (Boom, Broken),
    }

    def plain(task: Any, script: dict[str, Any]) -> dict[str, Any]:
        body = Body(app, task.request, msgspec.convert(script, Script))
        body.process.here().pause(msgspec.convert(script, Script).seconds)
        return body.end()

    async def coroutine(task: Any, script: dict[str, Any]) -> dict[str, Any]:
        body = Body(app, task.request, msgspec.convert(script, Script))
        await asyncio.sleep(msgspec.convert(script, Script).seconds)
        return body.end()

    for name, function in (("plain", plain), ("coroutine", coroutine)):
        app.task(name=name, **retrying)(function)
        app.task(name=f"{name}.once", acks_late=False, **retrying)(function)
        app.task(name=f"{name}.tracked", track_started=True, retry_backoff=0.2, **retrying)(function)
