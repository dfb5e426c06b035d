"""The table and the page say what the record holds."""

from __future__ import annotations

import msgspec
import pytest

from benchmarks.figures import Metric
from benchmarks.report import Record, Row, merged, plain, render, table, tables
from benchmarks.system import CELERIAC, CELERIAC_REDIS, CELERY, System

SYSTEMS = [CELERIAC, CELERY]
RATE = Metric(key="rate", title="drain", unit="tasks/s", more_is_better=True, promise="at least once")
COST = Metric(key="cost", title="start-up", unit="s")
COUNT = Metric(key="count", title="processes", unit="", comparable=False)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_rate_and_a_cost_are_compared_the_right_way_round() -> None:
    rows = [
        Row(metric=RATE, values={CELERIAC.key: [9000, 10000, 12000], CELERY.key: [1000, 900, 1100]}),
        Row(metric=COST, values={CELERIAC.key: [1.0], CELERY.key: [0.5]}),
    ]
    head, _, rate, cost = table(rows, CELERIAC, [CELERY])
    assert cells(head)[2:5] == ["Celeriac on SQLite", "Celery on Redis", "x Celery on Redis"]
    assert cells(rate) == [
        *("drain", "tasks/s", "10,000 (9,000 to 12,000)", "1,000 (900 to 1,100)", "10"),
        "at least once; file / memory",
    ]
    assert cells(cost) == ["start-up", "s", "1", "0.500", "0.500", ""]


def test_what_one_system_does_not_have_is_not_compared() -> None:
    rows = [
        Row(metric=RATE, values={CELERIAC.key: [5.0]}),
        Row(metric=COUNT, values={CELERIAC.key: [4.0], CELERY.key: [3.0]}),
    ]
    _, _, alone, count = table(rows, CELERIAC, [CELERY])
    assert cells(alone)[3:] == ["-", "-", "at least once; file"]
    assert cells(count)[2:] == ["4", "3", "-", ""]


def test_each_of_ours_has_a_table_with_its_peers() -> None:
    systems = [CELERIAC, CELERIAC_REDIS, CELERY]
    rows = [Row(metric=RATE, values={CELERIAC.key: [5.0], CELERIAC_REDIS.key: [8.0], CELERY.key: [2.0]})]
    found = tables(rows, systems)
    assert list(found) == ["SQLite", "Redis"]
    for lines, times in zip(found.values(), ("2.50", "4"), strict=True):
        head, _, row = lines
        assert cells(head)[4] == "x Celery on Redis"
        assert cells(row)[4] == times


def test_what_nobody_of_a_table_was_measured_for_is_no_row_of_it() -> None:
    rows = [Row(metric=RATE, values={CELERIAC.key: [5.0]}), Row(metric=COST, values={CELERIAC_REDIS.key: [5.0]})]
    assert len(table(rows, CELERIAC, [CELERY])) == 3


def test_one_system_alone_makes_a_table() -> None:
    head, _, row = table([Row(metric=RATE, values={CELERIAC.key: [5.0]})], CELERIAC, [])
    assert len(cells(head)) == len(cells(row)) == 4


def test_the_terminal_gets_columns_of_one_width() -> None:
    rows = [Row(metric=RATE, values={CELERIAC.key: [5.0, 7.0], CELERY.key: [1.0]})]
    _, title, head, row, *_ = plain(rows, SYSTEMS)
    assert title == "SQLite"
    end = head.index("Celery on Redis") + len("Celery on Redis")
    assert row[:end].endswith("1")


@pytest.fixture
def record() -> Record:
    return Record(
        date="2026-01-02",
        command="make bench",
        seconds=90,
        machine={"Processor": "one, 2 cores"},
        versions={"Python": "3.11"},
        systems=SYSTEMS,
        rows=[Row(metric=RATE, values={CELERIAC.key: [5.0, 7.0], CELERY.key: [1.0]})],
        notes=["Only 2 of 5 runs fitted into 1 s."],
    )


def test_the_page_says_how_and_where_it_was_made(record: Record) -> None:
    page = render(record, samples=60)
    for text in ("`make bench`", "2026-01-02, 2 runs", "1.5 minutes", "Processor: one, 2 cores", "Python 3.11"):
        assert text in page
    assert "Only 2 of 5 runs fitted into 1 s." in page
    assert "60 tasks a run" in page
    assert all(system.settings in page for system in SYSTEMS)
    assert "{" not in page


def test_a_record_is_read_back_as_it_was_written(record: Record) -> None:
    assert msgspec.json.decode(msgspec.json.encode(record), type=Record) == record


def test_parts_become_one_record_in_which_each_row_is_of_one_run() -> None:
    def part(rows: list[Row], systems: list[System], note: str) -> Record:
        return Record(
            date="2026-01-02",
            command="make bench ARGS='--add'",
            seconds=60.0,
            machine={"Processor": "one"},
            versions={"Python": "3.11"},
            systems=systems,
            rows=rows,
            notes=[note],
        )

    old = part(
        [
            Row(metric=RATE, values={CELERIAC.key: [1.0], CELERY.key: [2.0]}),
            Row(metric=COST, values={CELERY.key: [3.0]}),
        ],
        [CELERIAC, CELERY],
        "first",
    )
    whole = merged(old, part([Row(metric=RATE, values={CELERIAC.key: [9.0]})], [CELERIAC], "second"))
    assert {row.metric.key: row.values for row in whole.rows} == {
        "cost": {CELERY.key: [3.0]},
        "rate": {CELERIAC.key: [9.0]},
    }
    assert {system.key for system in whole.systems} == {CELERIAC.key, CELERY.key}
    assert whole.seconds == 120.0
    assert whole.notes[0] == "first"
    assert whole.notes[-1] == "second"
