"""A figure is worse if it is worse beside Celery's of the same run."""

from __future__ import annotations

from benchmarks.compare import TOLERANCE, changes
from benchmarks.figures import Metric
from benchmarks.report import Record, Row
from benchmarks.system import CELERIAC, CELERIAC_REDIS, CELERY

RATE = Metric(key="rate", title="drain", unit="tasks/s", more_is_better=True)
COST = Metric(key="cost", title="start-up", unit="s")
COUNT = Metric(key="count", title="processes", unit="", comparable=False)


def record(*rows: Row) -> Record:
    return Record(
        date="2026-01-02",
        command="make bench",
        seconds=1,
        machine={},
        versions={},
        systems=[CELERIAC, CELERIAC_REDIS, CELERY],
        rows=list(rows),
        notes=[],
    )


def test_a_slower_machine_is_no_change() -> None:
    then = record(Row(metric=RATE, values={CELERIAC.key: [50_000.0], CELERY.key: [1_000.0]}))
    (change,) = changes([Row(metric=RATE, values={CELERIAC.key: [25_000.0], CELERY.key: [500.0]})], then)
    assert (change.before, change.now, change.worse) == (50, 50, False)


def test_a_rate_that_fell_and_a_cost_that_rose_are_worse() -> None:
    then = record(
        Row(metric=RATE, values={CELERIAC.key: [50.0], CELERY.key: [1.0]}),
        Row(metric=COST, values={CELERIAC_REDIS.key: [1.0], CELERY.key: [2.0]}),
    )
    now = [
        Row(metric=RATE, values={CELERIAC.key: [50.0 * TOLERANCE - 1], CELERY.key: [1.0]}),
        Row(metric=COST, values={CELERIAC_REDIS.key: [1.1 / TOLERANCE], CELERY.key: [2.0]}),
    ]
    found = changes(now, then)
    assert [change.system for change in found] == [CELERIAC.title, CELERIAC_REDIS.title]
    assert all(change.worse for change in found)
    assert str(found[0]).startswith("WORSE")


def test_chance_is_no_change() -> None:
    then = record(Row(metric=RATE, values={CELERIAC.key: [50.0], CELERY.key: [1.0]}))
    (change,) = changes([Row(metric=RATE, values={CELERIAC.key: [45.0], CELERY.key: [1.0]})], then)
    assert not change.worse
    assert str(change).startswith("ok")


def test_what_one_run_does_not_have_is_not_compared() -> None:
    then = record(
        Row(metric=RATE, values={CELERIAC.key: [50.0], CELERY.key: [1.0]}),
        Row(metric=COUNT, values={CELERIAC.key: [5.0], CELERY.key: [3.0]}),
    )
    now = [
        Row(metric=RATE, values={CELERIAC_REDIS.key: [50.0], CELERY.key: [1.0]}),
        Row(metric=COST, values={CELERIAC.key: [1.0], CELERY.key: [1.0]}),
        Row(metric=COUNT, values={CELERIAC.key: [9.0], CELERY.key: [3.0]}),
    ]
    assert changes(now, then) == []
