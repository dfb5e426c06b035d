"""The figures of the page about brokers are those that were measured; nobody types them."""

from __future__ import annotations

import msgspec
import pytest

from scripts import broker_figures
from scripts.broker_figures import BEGIN, DRIVERS, END, FAULTS, METRICS, Measured, Metric, Record, System, block
from scripts.reliability import ROWS, Row, Run


def record(**values: list[float]) -> Record:
    systems = [
        System("celeriac-sqlite", "Celeriac on SQLite", "celeriac", "a file"),
        System("celeriac-new", "Celeriac on Something", "celeriac", "new"),
        System("celery-redis", "Celery on Redis", "celery", "a peer"),
    ]
    found = {key.replace("_", "-"): one for key, one in values.items()}
    rows = [
        Measured(Metric("drain_noop", "drain: no-op", "tasks/s"), found),
        Measured(Metric("other", "x", "s"), found),
    ]
    return Record("2026-01-02", systems, rows)


def run(*rows: Row) -> Run:
    return Run(command="make reliability", seconds=1.0, machine={}, rows=list(rows))


def row(driver: str, **changes: object) -> Row:
    fields = {"section": "processes", "fault": FAULTS[0], "tasks": 4000, "faults": 3, "lost": 0, "superseded": 0}
    return msgspec.convert({**fields, "doubled": 15, "allowed": 15, "driver": driver, **changes}, Row)


def test_the_page_has_the_figures_that_were_measured() -> None:
    assert broker_figures.main(["--check"]) == 0, "run `python -m scripts.broker_figures` and commit the page"


def test_what_is_shown_is_what_is_measured_and_counted() -> None:
    measured = msgspec.json.decode(broker_figures.MEASURED.read_bytes(), type=Record)
    assert set(METRICS) <= {one.metric.key for one in measured.rows}
    counted = msgspec.json.decode(ROWS.read_bytes(), type=Run)
    assert set(FAULTS) <= {one.fault for one in counted.rows}
    assert set(DRIVERS) == {one.driver for one in counted.rows}


def test_each_system_of_ours_has_a_column_and_peers_have_none() -> None:
    shown = block(record(celeriac_sqlite=[1000.0, 3000.0], celery_redis=[77.0]), run())
    assert "|  | unit | SQLite | Something |" in shown
    assert "| drain: no-op | tasks/s | 2,000 | - |" in shown
    assert "77" not in shown
    assert "| x |" not in shown
    assert "- Something: new." in shown
    assert "Celery" not in shown


def test_what_was_lost_doubled_or_not_kept_is_shown() -> None:
    shown = block(record(), run(row("redis", p99=0.0351), row("sqlite", lost=2, unkept=37)))
    lost, fine = "2 of 4,000 lost, 37 not kept by the store, 15 again", "0 of 4,000 lost, 15 again; 0.04 s"
    assert f"| {FAULTS[0]} | {lost} | {fine} |  |  |" in shown
    assert FAULTS[1] not in shown


def test_only_what_stands_between_the_marks_changes() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert broker_figures.replaced(page, "new\n") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    for broken in ("", BEGIN, f"{END}{BEGIN}", page + page):
        with pytest.raises(ValueError, match="once each"):
            broker_figures.replaced(broken, "new")
