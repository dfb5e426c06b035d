"""Has something become slower? A run beside the figures that were committed last. Pure.

Seconds mean nothing on another machine, or on the same one on another day. So each figure is divided by that of Celery
on Redis of the same run, and these ratios are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.figures import number, spread, times_better
from benchmarks.report import Record, Row
from benchmarks.system import CELERY

TOLERANCE: Final = 0.7
"""Below this share of the committed ratio a figure counts as worse: a short run on two cores varies by a fifth."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One figure then and now, as so many times better than Celery's."""

    title: str
    system: str
    before: float
    now: float

    @property
    def worse(self) -> bool:
        """Whether it is more than chance."""
        return self.now < TOLERANCE * self.before

    def __str__(self) -> str:
        mark = "WORSE" if self.worse else "ok"
        return f"{mark:<6} {self.system:<20} {self.title}: {number(self.now)} x Celery, was {number(self.before)}"


def changes(rows: Sequence[Row], committed: Record) -> list[Change]:
    """Return what both runs have of our systems, in the order of this one."""
    then = {row.metric.key: row for row in committed.rows}
    titles = {system.key: system.title for system in committed.systems if not system.peer}
    found: list[Change] = []
    for row in rows:
        old = then.get(row.metric.key)
        if old is None or not row.metric.comparable:
            continue
        for key in titles.keys() & row.values.keys():
            before, now = _ratio(old, key), _ratio(row, key)
            if before is not None and now is not None:
                found.append(Change(title=row.metric.title, system=titles[key], before=before, now=now))
    return found


def _ratio(row: Row, key: str) -> float | None:
    ours, theirs = row.values.get(key), row.values.get(CELERY.key)
    if not ours or not theirs:
        return None
    return times_better(row.metric, spread(ours).median, spread(theirs).median)
