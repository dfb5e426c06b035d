"""Does a drain become slower because more is waiting, or because more processes or queues take part?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from benchmarks.arena import Effort, Site, wait_until
from benchmarks.figures import Metric
from benchmarks.processes import ProcessFailed
from benchmarks.scenarios.scenario import AT_LEAST_ONCE
from benchmarks.system import System
from benchmarks.tally import read_count

TIMEOUT: Final = 240.0


class Backlog:
    """A million tasks that wait."""

    name = "backlog"
    once = True
    metrics = (
        Metric(
            key="drain_million",
            title="drain: sync, results ignored, 1,000,000 waiting",
            unit="tasks/s",
            more_is_better=True,
            promise=AT_LEAST_ONCE,
        ),
    )

    def fits(self, system: System) -> bool:
        """Others would take a quarter of an hour."""
        return not system.peer

    def measure(self, site: Site, effort: Effort) -> Mapping[str, float]:
        """Send them and watch."""
        return {"drain_million": drained(site, round(1_000_000 * effort.share))}


class Processes:
    """One worker with more and fewer processes; on two cores more than two are a burden."""

    name = "processes"
    once = True
    counts: Final = (1, 2, 4, 8)
    metrics = tuple(
        Metric(
            key=f"drain_{count}_processes",
            title=f"drain: sync, results ignored, {count} process{'es' if count > 1 else ''}",
            unit="tasks/s",
            more_is_better=True,
            promise=AT_LEAST_ONCE,
        )
        for count in counts
    )

    def fits(self, system: System) -> bool:
        """How a worker is told is Celery's and ours."""
        return system.package in ("celeriac", "celery") and "noop" in system.tasks

    def measure(self, site: Site, effort: Effort) -> Mapping[str, float]:
        """Drain with each number, one after the other."""
        found: dict[str, float] = {}
        for count in self.counts:
            tasks = round(effort.drain * site.system.scale)
            found[f"drain_{count}_processes"] = drained(site, tasks, "-c", str(count))
        return found


class Queues:
    """The same tasks in more queues, all of one worker."""

    name = "queues"
    once = True
    counts: Final = (4, 16)
    metrics = tuple(
        Metric(
            key=f"drain_{count}_queues",
            title=f"drain: sync, results ignored, from {count} queues",
            unit="tasks/s",
            more_is_better=True,
            promise=AT_LEAST_ONCE,
        )
        for count in counts
    )

    def fits(self, system: System) -> bool:
        """How a worker is told is Celery's and ours."""
        return system.package in ("celeriac", "celery") and "noop" in system.tasks

    def measure(self, site: Site, effort: Effort) -> Mapping[str, float]:
        """Drain from each number, one after the other."""
        found: dict[str, float] = {}
        for count in self.counts:
            tasks = round(effort.drain * site.system.scale) // count * count
            names = ",".join(f"q{number}" for number in range(count))
            found[f"drain_{count}_queues"] = drained(site, tasks, "-Q", names, queues=names)
        return found


def drained(site: Site, tasks: int, *arguments: str, queues: str = "") -> float:
    """Send so many tasks, start a worker, and return its rate.

    Raises:
        ProcessFailed: Not all of them ran, once each, or some are left.
    """
    site.produce("preload", "noop", tasks, *([queues] if queues else []))
    site.forget_counts()
    with site.worker(*arguments) as worker:
        wait_until(
            lambda: read_count(site.folder).tasks >= tasks, worker, what=f"did not run {tasks} tasks", timeout=TIMEOUT
        )
    count = read_count(site.folder)
    left = site.produce("check", "")["left"]
    if count.tasks != tasks or left:
        raise ProcessFailed(f"{site.system.title}: ran {count.tasks} of {tasks} tasks, {left} are left")
    return count.rate
