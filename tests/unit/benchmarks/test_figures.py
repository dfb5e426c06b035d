"""Medians, percentiles, ratios and numbers of the benchmark tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.figures import Metric, Spread, number, percentile, spread, times_better

RATE = Metric(key="rate", title="rate", unit="tasks/s", more_is_better=True)
COST = Metric(key="cost", title="cost", unit="ms")


def test_spread_is_the_median_with_the_extremes() -> None:
    assert spread([5.0, 1.0, 9.0]) == Spread(5.0, 1.0, 9.0, 3)
    assert spread([1.0, 2.0]) == Spread(1.5, 1.0, 2.0, 2)


def test_spread_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no run"):
        spread([])


@pytest.mark.parametrize(("percent", "expected"), [(0.1, 1.0), (50, 100.0), (99, 198.0), (99.5, 199.0), (100, 200.0)])
def test_percentile_is_a_value_that_was_measured(percent: float, expected: float) -> None:
    assert percentile([float(value) for value in range(200, 0, -1)], percent) == expected


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.1, 100))
def test_percentile_covers_its_share(values: list[float], percent: float) -> None:
    found = percentile(values, percent)
    assert sum(value <= found for value in values) >= percent / 100 * len(values) - 1e-9
    assert sum(value < found for value in values) < percent / 100 * len(values) + 1e-9


@pytest.mark.parametrize("percent", [0, -1, 100.5])
def test_percentile_refuses_what_is_none(percent: float) -> None:
    with pytest.raises(ValueError, match="percent must be"):
        percentile([1.0], percent)
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_times_better_is_above_one_for_the_better_side() -> None:
    assert times_better(RATE, 20_000, 1_000) == 20
    assert times_better(COST, 2.0, 8.0) == 4
    assert times_better(COST, 8.0, 2.0) == 0.25


def test_times_better_says_nothing_of_nothing() -> None:
    assert times_better(COST, 0.0, 2.0) is None
    assert times_better(RATE, 2.0, 0.0) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (4.0, "4"),
        (123456.7, "123,457"),
        (1280.4, "1,280"),
        (99.95, "100.0"),
        (85.78, "85.8"),
        (2.284, "2.28"),
        (0.0123, "0.0123"),
    ],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text
