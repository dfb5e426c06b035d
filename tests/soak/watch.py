"""Samples of what a process and a server take up, and whether that grows."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import psutil

WARM_UP: Final = 0.3
"""Share of the samples that are left out: caches fill, allocators find their size."""


@dataclass(frozen=True)
class Bound:
    """How much a quantity may grow from the end of the warm-up to the end of the run.

    Attributes:
        share: Of its mean.
        slack: In its own unit; the larger of the two counts.
    """

    share: float
    slack: float


@dataclass(frozen=True)
class Trend:
    """What a straight line through the samples says.

    Attributes:
        name: Of the quantity.
        mean, least, most: Of the samples after the warm-up.
        growth: By how much the line rises over them.
        allowed: By how much it may.
        samples: How many there are.
    """

    name: str
    mean: float
    least: float
    most: float
    growth: float
    allowed: float
    samples: int

    @property
    def flat(self) -> bool:
        """Whether it grows by no more than it may."""
        return self.growth <= self.allowed


class Watch:
    """Takes samples of named quantities.

    Args:
        bounds: Name of a quantity to its bound, by the part of the name after the last blank: ``rss``.
        warm_up: Least seconds to leave out.
    """

    def __init__(self, bounds: Mapping[str, Bound], warm_up: float) -> None:
        self._bounds = dict(bounds)
        self._warm_up = warm_up
        self._samples: dict[str, list[tuple[float, float]]] = {}

    def note(self, name: str, value: float) -> None:
        """Take one sample of one quantity."""
        self._samples.setdefault(name, []).append((time.monotonic(), value))

    def note_process(self, name: str, process: psutil.Process) -> None:
        """Take samples of a process: resident MiB, open files, threads."""
        with process.oneshot():
            self.note(f"{name} rss", process.memory_info().rss / 2**20)
            self.note(f"{name} files", process.num_fds())
            self.note(f"{name} threads", process.num_threads())

    def trends(self) -> list[Trend]:
        """Return the trend of each quantity that has enough samples for one."""
        found: list[Trend | None] = []
        for name, samples in self._samples.items():
            start, end = samples[0][0], samples[-1][0]
            warm = start + max(WARM_UP * (end - start), self._warm_up)
            found.append(self._trend(name, [sample for sample in samples if sample[0] >= warm]))
        return [trend for trend in found if trend is not None]

    def _trend(self, name: str, samples: Sequence[tuple[float, float]]) -> Trend | None:
        if len(samples) < 5:
            return None
        times, values = zip(*samples, strict=True)
        slope, _ = statistics.linear_regression(times, values)
        mean = statistics.fmean(values)
        bound = self._bounds[name.rpartition(" ")[2]]
        allowed = max(bound.share * abs(mean), bound.slack)
        return Trend(name, mean, min(values), max(values), slope * (times[-1] - times[0]), allowed, len(samples))


def table(trends: Sequence[Trend]) -> str:
    """Return the trends as text."""
    head = f"{'quantity':<24}{'mean':>12}{'least':>12}{'most':>12}{'growth':>10}{'allowed':>10}{'samples':>9}"
    rows = [
        f"{one.name:<24}{one.mean:>12,.1f}{one.least:>12,.1f}{one.most:>12,.1f}{one.growth:>+10,.1f}{one.allowed:>10,.1f}"
        f"{one.samples:>9}{'' if one.flat else '  GROWS'}"
        for one in trends
    ]
    return "\n".join([head, *rows])


def until(condition: Callable[[], bool], seconds: float, meanwhile: Callable[[], None]) -> bool:
    """Wait for a condition for at most so many seconds; return whether it came."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        meanwhile()
    return True
