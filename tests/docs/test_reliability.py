"""The page about reliability is what its generator makes of the rows of a run; nobody edits either."""

from __future__ import annotations

import msgspec
import pytest

from scripts.reliability import PAGE, ROWS, SECTIONS, Row, Run, page
from tests.support.backing import BACKINGS


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
