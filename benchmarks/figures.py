"""The arithmetic of the tables: medians, percentiles, ratios, and how a number is written.

Pure, so that it can be tested without measuring anything.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One row of the table.

    Attributes:
        key: Name in the JSON file; never changes its meaning.
        title: What the row says.
        unit: Of the values, as printed.
        more_is_better: A rate rather than a cost.
        promise: What both systems promise about the tasks of this row; empty where it is not about running tasks.
        comparable: Whether more or less of it is better at all.
    """

    key: str
    title: str
    unit: str
    more_is_better: bool = False
    promise: str = ""
    comparable: bool = True


@dataclass(frozen=True)
class Spread:
    """What several runs gave."""

    median: float
    low: float
    high: float
    runs: int


def spread(values: Sequence[float]) -> Spread:
    """Return the spread of at least one value.

    Raises:
        ValueError: There are none.
    """
    if not values:
        raise ValueError("no run gave a value")
    return Spread(statistics.median(values), min(values), max(values), len(values))


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least ``percent`` of 100 values do not exceed (nearest rank).

    Raises:
        ValueError: There are no values, or ``percent`` is not above 0 and at most 100.
    """
    if not values:
        raise ValueError("no values")
    if not 0 < percent <= 100:
        raise ValueError(f"percent must be above 0 and at most 100, not {percent}")
    return sorted(values)[math.ceil(percent / 100 * len(values)) - 1]


def times_better(metric: Metric, ours: float, theirs: float) -> float | None:
    """Return how many times better ``ours`` is than ``theirs``; below 1 it is worse, None if it cannot be said.

    Of a rate it is ours / theirs, of a cost theirs / ours.
    """
    above, below = (ours, theirs) if metric.more_is_better else (theirs, ours)
    return above / below if above > 0 and below > 0 else None


def number(value: float) -> str:
    """Return a whole number as it is, another with three significant digits or all of those before the point."""
    digits = 0 if float(value).is_integer() else max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"
