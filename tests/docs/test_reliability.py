"""The page about reliability is what its generator makes of the rows of a run; nobody edits either."""

from __future__ import annotations

import msgspec
import pytest

from scripts.reliability import PAGE, ROWS, SECTIONS, Row, Run, page
from tests.support.backings import BACKINGS


def recorded() -> Run:
    return msgspec.json.decode(ROWS.read_bytes(), type=Run)


def test_the_page_is_what_the_generator_makes_of_the_rows() -> None:
    assert PAGE.read_text() == page(recorded()), "run `python -m scripts.reliability --page`"


def test_the_rows_are_of_every_driver_and_every_section() -> None:
    run = recorded()
    assert {row.driver for row in run.rows} == set(BACKINGS)
    assert {row.section for row in run.rows} == set(SECTIONS)


def test_nothing_in_the_rows_breaks_a_promise() -> None:
    run = recorded()
    assert [row for row in run.rows if row.lost or row.superseded or row.doubled > row.allowed] == []
    assert [row for row in run.rows if None not in (row.promise, row.p99) and row.p99 > row.promise] == []  # type: ignore[operator]


@pytest.mark.parametrize("name", ["lost", "unkept", "doubled", "superseded"])
def test_what_was_lost_or_doubled_is_on_the_page(name: str) -> None:
    fields = {"lost": 0, "unkept": 0, "doubled": 0, "superseded": 0, "allowed": 0, name: 77}
    row = Row(driver="sqlite", section="processes", fault="a fault", tasks=100, faults=1, note="a note", **fields)
    shown = page(Run(command="make reliability", seconds=61.0, machine={"2 cores": ""}, rows=[row]))
    (line,) = [line for line in shown.splitlines() if line.startswith("| a fault (1)")]
    assert " 77 |" in line
    assert "1. a fault, sqlite: a note" in shown


def test_one_table_has_every_fault_on_every_broker() -> None:
    row = Row(
        driver="redis",
        section="server",
        fault="another",
        tasks=1234,
        faults=2,
        lost=7,
        doubled=0,
        superseded=0,
        allowed=9,
    )
    fine = msgspec.structs.replace(row, fault="a fault", lost=0)
    recovered = msgspec.structs.replace(fine, doubled=3, p50=0.25, p99=1.5)
    rows = [row, recovered, msgspec.structs.replace(fine, driver="postgresql")]
    shown = page(Run(command="make reliability", seconds=61.0, machine={"2 cores": ""}, rows=rows))
    assert "| fault | postgresql | redis |" in shown
    assert "| a fault | 1,234: 0, 0 | 1,234: 0, 3; 0.25, 1.50 s |" in shown
    assert "| another |  | 1,234: 7, 0 |" in shown
