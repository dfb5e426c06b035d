"""Counting what a fault did: lost, doubled, superseded, and how long until work went on.

What may run twice is read, not estimated: at a fault its victims stand still, and the diary (what they have started)
is compared with the store (what it still holds for them).
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from celeriac.core import state
from scripts.reliability import ROWS_VARIABLE, SIZE_VARIABLE, Row
from tests.support.fleet import Entry, Project, tell
from tests.support.freezing import freeze

CHILD_PROMISE: Final = 1.0
HOST_PROMISE: Final = 10.0
"""Seconds of the design's second promise."""


def sized(small: int, full: int) -> int:
    """Return a size for CI, or the one for the page."""
    return full if os.environ.get(SIZE_VARIABLE) == "full" else small


def every_driver() -> bool:
    """Return whether each scenario runs on every driver that it applies to."""
    return os.environ.get(SIZE_VARIABLE) in ("full", "wide")


class Incident(NamedTuple):
    """One fault: when (monotonic), which tasks may run again for it, and which of them had not ended either."""

    at: float
    unsettled: frozenset[str] = frozenset()
    running: frozenset[str] = frozenset()


def strike(project: Project, victims: Mapping[int, str]) -> Incident:
    """Stop these children (owner names by pid) and note what they have started and not settled."""
    freeze(victims)
    diary = [entry for entry in project.diary() if entry.pid in victims]
    started = {entry.id for entry in diary if entry.word == "start"}
    unsettled = frozenset(started & project.backing.owned_by(victims.values()))
    ended = {(entry.id, entry.token) for entry in diary if entry.word == "end"}
    running = {entry.id for entry in diary if (entry.id, entry.token) not in ended}
    return Incident(time.monotonic(), unsettled, unsettled & running)


@dataclass(kw_only=True)
class Figures:
    """What a run came to.

    Attributes:
        tasks: How many were accepted.
        incidents: The faults.
        lost: Ids without a SUCCESS.
        unkept: Those of them that the store had not promised to keep.
        doubled: Runs beyond the first, by id.
        excess: Those of them that nothing allows, by id.
        superseded: Ids whose stored result is not of their newest attempt.
        recovery: Seconds, sorted.
    """

    tasks: int
    incidents: Sequence[Incident]
    lost: Collection[str]
    unkept: Collection[str]
    doubled: Mapping[str, int]
    excess: Mapping[str, int]
    superseded: Collection[str]
    recovery: list[float]
    running: int = field(init=False)

    def __post_init__(self) -> None:
        self.running = sum(len(one.running) for one in self.incidents)

    @property
    def allowed(self) -> int:
        """How many runs beyond the first the faults allow."""
        return sum(len(one.unsettled) for one in self.incidents)


def count(
    project: Project,
    ids: Sequence[str],
    incidents: Sequence[Incident],
    *,
    unkept: Collection[str] = frozenset(),
    recovery: Iterable[float] | None = None,
) -> Figures:
    """Count what became of these tasks; all of them must be over.

    Args:
        project: Where they ran.
        ids: All that were accepted.
        incidents: The faults.
        unkept: What the store had not promised to keep: may be missing.
        recovery: Seconds of each recovery; by default, until each task that a fault hit ran again.
    """
    results = project.results(ids)
    missing = {one for one in ids if one not in results or results[one].state != state.SUCCESS}
    starts = project.starts()
    ended = {(entry.id, entry.token): entry.at for entry in project.diary() if entry.word == "end"}
    allowed: Counter[str] = Counter(task_id for one in incidents for task_id in one.unsettled)
    doubled = {task_id: len(runs) - 1 for task_id, runs in starts.items() if len(runs) > 1}
    if recovery is None:
        recovery = [
            min(run.at for run in starts[task_id] if run.at > one.at) - one.at
            for one in incidents
            for task_id in one.unsettled
        ]
    return Figures(
        tasks=len(ids),
        incidents=incidents,
        lost=missing - set(unkept),
        unkept=missing & set(unkept),
        doubled=doubled,
        excess={task_id: number for task_id, number in doubled.items() if number > allowed[task_id]},
        superseded=[
            one
            for one in ids
            if one not in missing
            and int(results[one].body) != _newest(starts[one], ended, whole=project.backing.traits.whole)
        ],
        recovery=sorted(recovery),
    )


def _newest(runs: Sequence[Entry], ended: Mapping[tuple[str, int], float], *, whole: bool) -> int:
    """Return the token of the newest attempt.

    What RabbitMQ has twice is a new task of its store once the first is over, and its tokens begin anew: there it is
    the attempt that began last, if the one with the greatest token had ended by then.
    """
    newest, last = max(runs, key=lambda run: run.token), max(runs, key=lambda run: run.at)
    anew = not whole and ended.get((newest.id, newest.token), last.at) < last.at
    return last.token if anew else newest.token


def quantile(values: Sequence[float], q: float) -> float | None:
    """Return a quantile of sorted values by nearest rank; None of none."""
    return values[min(len(values) - 1, int(q * len(values)))] if values else None


def conclude(
    project: Project, section: str, fault: str, figures: Figures, *, promise: float | None = None, note: str = ""
) -> None:
    """Write the row of a scenario, show it, and check what every scenario must keep to."""
    p50, p99 = quantile(figures.recovery, 0.5), quantile(figures.recovery, 0.99)
    row = Row(
        driver=project.backing.name,
        section=section,
        fault=fault,
        tasks=figures.tasks,
        faults=len(figures.incidents),
        lost=len(figures.lost),
        unkept=len(figures.unkept),
        doubled=sum(figures.doubled.values()),
        allowed=figures.allowed,
        superseded=len(figures.superseded),
        p50=None if p50 is None else round(p50, 3),
        p99=None if p99 is None else round(p99, 3),
        promise=promise,
        note=note,
    )
    tell(str(row))
    if path := os.environ.get(ROWS_VARIABLE):
        with Path(path).open("ab") as file:
            file.write(msgspec.json.encode(row) + b"\n")
    assert set(figures.lost) == set(), f"lost: {set(figures.lost)} of {row}"
    assert figures.excess == {}, f"doubled without a fault: {figures.excess} of {row}"
    assert list(figures.superseded) == [], f"superseded: {figures.superseded} of {row}"
    assert promise is None or p99 is None or p99 < promise, f"too late: {figures.recovery} of {row}"
