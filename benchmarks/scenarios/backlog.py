"""Does a drain become slower because more is waiting, or because more processes or queues take part?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
    rounds = 1
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


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to drain: what it is called, the worker's arguments, and the queues that the tasks are in."""

    key: str
    title: str
    arguments: tuple[str, ...]
    queues: str = ""


@dataclass(frozen=True, kw_only=True)
class Variants:
    """The same drain in several ways, one after the other."""

    name: str
    variants: tuple[Variant, ...]

    @property
    def rounds(self) -> int:
        """In the first round only."""
        return 1

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """A rate of each."""
        return tuple(
            Metric(
                key=one.key,
                title=f"drain: sync, results ignored, {one.title}",
                unit="tasks/s",
                more_is_better=True,
                promise=AT_LEAST_ONCE,
            )
            for one in self.variants
        )

    def fits(self, system: System) -> bool:
        """How a worker is told is Celery's and ours."""
        return system.package in ("celeriac", "celery") and "noop" in system.tasks

    def measure(self, site: Site, effort: Effort) -> Mapping[str, float]:
        """Drain in each way."""
        tasks = round(effort.drain * site.system.scale)
        return {one.key: drained(site, tasks, *one.arguments, queues=one.queues) for one in self.variants}


def _processes(count: int) -> Variant:
    title = f"{count} process{'es' if count > 1 else ''}"
    return Variant(key=f"drain_{count}_processes", title=title, arguments=("-c", str(count)))


def _queues(count: int) -> Variant:
    names = ",".join(f"q{number}" for number in range(count))
    return Variant(key=f"drain_{count}_queues", title=f"from {count} queues", arguments=("-Q", names), queues=names)


VARIANTS: Final = (
    # On two cores more than two processes are a burden.
    Variants(name="processes", variants=tuple(_processes(count) for count in (1, 2, 4, 8))),
    Variants(name="queues", variants=tuple(_queues(count) for count in (4, 16))),
)


def drained(site: Site, tasks: int, *arguments: str, queues: str = "") -> float:
    """Send so many tasks, the same number to each queue, start a worker, and return its rate.

    Raises:
        ProcessFailed: Not all of them ran, once each, or some are left.
    """
    if queues:
        tasks -= tasks % len(queues.split(","))
    site.produce("preload", "noop", tasks, *([queues] if queues else []), timeout=TIMEOUT)
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
