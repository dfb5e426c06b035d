"""How fast a worker with two processes runs tasks that are waiting already.

The time is from the first to the last task's own note that it ran, so start-up does not count. Afterwards the worker is
stopped and it is checked that each task ran exactly once and that the broker holds nothing any more: a drain that lost
or doubled a task, or never acknowledged it, is an error and not a figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.arena import Effort, Site, wait_until
from benchmarks.figures import Metric
from benchmarks.processes import ProcessFailed
from benchmarks.scenarios.scenario import ALL, AT_LEAST_ONCE, AT_MOST_ONCE
from benchmarks.system import System
from benchmarks.tally import read_count

TIMEOUT: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Drain:
    """A drain of one task.

    Attributes:
        task: Its name in the app modules.
        title: What the row says.
        promise: What the systems promise about it.
        stored: Its result is stored.
        most: Most tasks of one drain, where one takes so long that fewer are enough.
        logged: The worker logs each task at level INFO.
    """

    task: str
    title: str
    promise: str = AT_LEAST_ONCE
    stored: bool = False
    most: int = 100_000
    logged: bool = False

    @property
    def rounds(self) -> int:
        """In each round."""
        return ALL

    @property
    def name(self) -> str:
        """How the command line calls it."""
        return f"drain-{self.task}-info" if self.logged else f"drain-{self.task}"

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The rate."""
        return (Metric(key=self._key, title=self.title, unit="tasks/s", more_is_better=True, promise=self.promise),)

    @property
    def _key(self) -> str:
        return self.name.replace("-", "_")

    def fits(self, system: System) -> bool:
        """A system may not have the task: Celery runs no ``async def``. Levels of logging are Celery's and ours."""
        return self.task in system.tasks and not (self.logged and system.package not in ("celeriac", "celery"))

    def measure(self, site: Site, effort: Effort) -> Mapping[str, float]:
        """Send the tasks, start the worker, and watch."""
        tasks = min(self.most, round(effort.drain * site.system.scale))
        last = site.produce("preload", self.task, tasks)
        with site.worker(*(("-l", "INFO") if self.logged else ())) as worker:
            wait_until(
                lambda: read_count(site.folder).tasks >= tasks,
                worker,
                what=f"did not run {tasks} tasks",
                timeout=TIMEOUT,
            )
        count = read_count(site.folder)
        left = site.produce("check", last if self.stored else "")
        if count.tasks != tasks or left["left"]:
            raise ProcessFailed(
                f"{site.system.title}: {self.name} ran {count.tasks} of {tasks} tasks, {left['left']} are left"
            )
        if self.stored and left["state"] != "SUCCESS":
            raise ProcessFailed(f"{site.system.title}: {self.name} left the last result in state {left['state']}")
        return {self._key: count.rate}


DRAINS: Final = (
    Drain(task="noop", title="drain: sync, results ignored"),
    Drain(task="noop_stored", title="drain: sync, results stored", stored=True),
    Drain(task="noop_early", title="drain: sync, results ignored, `acks_late=False`", promise=AT_MOST_ONCE, most=5_000),
    Drain(task="noop", title="drain: sync, results ignored, each task logged (`-l INFO`)", logged=True),
    Drain(task="async_noop", title="drain: `async def`, results ignored"),
    Drain(task="async_noop_stored", title="drain: `async def`, results stored", stored=True),
)
