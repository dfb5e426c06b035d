from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from celeriac.core.ids import MAX_ID_BYTES
from celeriac.core.message import Lease
from celeriac.worker.slots import Running, SlotTable
from tests.support.waiting import wait_for

FOREVER = float("inf")

SCRIBBLER = """
import itertools, sys
from pathlib import Path
from celeriac.core.message import Lease
from celeriac.worker.slots import SlotTable

table = SlotTable(Path(sys.argv[1]), 2)
for count in itertools.count(1):
    # Every part of a row tells the same number, and ids differ in length: a mixture of two rows shows.
    text = str(count) * (1 + count % 20)
    table.occupy(1, Lease(text, "me", count, count), float(count), float(count))
    if count % 3 == 0:
        table.free(1)
    table.note_poll((1.0e-300, 1.0e300)[count % 2])
    table.note_runs(count)
"""


@pytest.fixture
def table(tmp_path: Path) -> Iterator[SlotTable]:
    table = SlotTable(tmp_path / "slots", 3)
    yield table
    table.close()


@contextmanager
def scribbling(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Have another process change row 1 of the table as fast as it can."""
    process = subprocess.Popen([sys.executable, "-c", SCRIBBLER, str(path)])
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def assert_consistent(row: Running) -> None:
    number = row.token
    assert row.id == str(number) * (1 + number % 20)
    assert (row.ref, row.started, row.deadline) == (number, float(number), float(number))


def test_new_table_runs_nothing(table: SlotTable) -> None:
    assert list(table.running()) == []
    assert (table.last_poll, table.lease_until, table.runs) == (0.0, 0.0, 0)


def test_row_tells_all_of_a_run(table: SlotTable) -> None:
    table.occupy(1, Lease("task-1", "w#1/1", 7, 42), 100.5, FOREVER)
    (row,) = table.running()
    assert row == Running(1, "task-1", 7, 42, 100.5, FOREVER)
    assert row.lease("w#1/1") == Lease("task-1", "w#1/1", 7, 42)


def test_freed_row_is_gone_and_others_stay(table: SlotTable) -> None:
    for slot in range(3):
        table.occupy(slot, Lease(f"task-{slot}", "w", slot, 0), 1.0, FOREVER)
    table.free(1)
    assert [row.id for row in table.running()] == ["task-0", "task-2"]


@pytest.mark.parametrize(
    "task_id",
    [
        "a",
        "x" * MAX_ID_BYTES,
        "ü" * (MAX_ID_BYTES // 2),
        "任务" * (MAX_ID_BYTES // 6),
        "\U0001f955" * (MAX_ID_BYTES // 4),
        "with blanks, \n lines and \x00 a zero",
    ],
)
def test_ids_of_every_length_and_script(table: SlotTable, task_id: str) -> None:
    table.occupy(2, Lease(task_id, "w", 1, 1), 1.0, FOREVER)
    assert [row.id for row in table.running()] == [task_id]


def test_short_id_after_a_long_one(table: SlotTable) -> None:
    table.occupy(0, Lease("long" * 50, "w", 1, 1), 1.0, FOREVER)
    table.occupy(0, Lease("s", "w", 2, 2), 1.0, FOREVER)
    assert [row.id for row in table.running()] == ["s"]


def test_largest_numbers(table: SlotTable) -> None:
    table.occupy(0, Lease("a", "w", 2**63 - 1, 2**63 - 1), 1e9, 1e12)
    (row,) = table.running()
    assert (row.token, row.ref) == (2**63 - 1, 2**63 - 1)


def test_notes_reach_every_map_of_the_file(table: SlotTable, tmp_path: Path) -> None:
    other = SlotTable(tmp_path / "slots", 3)
    table.note_poll(10.0)
    table.note_claim(16.0)
    table.note_runs(123_456_789_012)
    table.occupy(0, Lease("a", "w", 1, 1), 1.0, FOREVER)
    assert (other.last_poll, other.lease_until, other.runs) == (10.0, 16.0, 123_456_789_012)
    assert [row.id for row in other.running()] == ["a"]
    other.close()


def test_lease_is_the_later_of_claim_and_renewal(table: SlotTable) -> None:
    table.note_poll(10.0)
    table.note_claim(16.0)
    table.note_lease(15.0)
    assert table.lease_until == 16.0
    table.note_lease(17.5)
    assert table.lease_until == 17.5
    assert table.last_poll == 10.0


def test_reader_never_sees_a_mixture_of_two_rows(table: SlotTable, tmp_path: Path) -> None:
    with scribbling(tmp_path / "slots"):
        wait_for(lambda: table.runs > 0, 10, "the first row")
        seen = 0
        before = table.runs
        for _ in range(60_000):
            # A poll time read in halves would make a supervisor end a child that works.
            assert table.last_poll in (1.0e-300, 1.0e300)
            for row in table.running():
                assert row.slot == 1
                assert_consistent(row)
                seen += 1
        assert seen > 1_000
        assert table.runs > before, "the writer stood still: nothing was shown"


def test_process_killed_while_it_writes_leaves_a_whole_row_or_none(tmp_path: Path) -> None:
    for number in range(12):
        path = tmp_path / f"slots-{number}"
        table = SlotTable(path, 2)
        with scribbling(path) as process:
            wait_for(lambda: table.runs > 50 + number, 10, "some rows")  # noqa: B023
            os.kill(process.pid, signal.SIGKILL)
            process.wait(10)
        for row in table.running():
            assert_consistent(row)
        table.close()


def test_after_a_loss_no_renewal_counts_until_the_child_has_taken_note(table: SlotTable) -> None:
    table.note_lease(10.0)
    table.note_loss()
    table.note_lease(20.0)
    assert table.lease_until == 10.0
    assert table.take_loss() is True
    assert table.take_loss() is False
    table.note_lease(30.0)
    assert table.lease_until == 30.0
