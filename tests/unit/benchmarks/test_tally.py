"""What measured tasks leave behind is counted right, from several processes too."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from benchmarks.tally import FOLDER, Count, Tally, read_count, read_stamps, tally_from_environment

ROOT = Path(__file__).parents[3]
CHILD = """
import os, sys
from pathlib import Path
from benchmarks.tally import Tally
tally = Tally(Path(sys.argv[1]))
tally.hit()
child = os.fork()
for _ in range(10):
    tally.hit()
tally.stamp(os.getpid())
if child:
    os.waitpid(child, 0)
"""


def test_nothing_has_run_in_an_empty_folder(tmp_path: Path) -> None:
    assert read_count(tmp_path) == Count(0, 0, 0)
    assert read_stamps(tmp_path) == []
    assert read_count(tmp_path).rate == 0


def test_processes_count_apart_and_also_after_a_fork(tmp_path: Path) -> None:
    began = time.monotonic_ns()
    subprocess.run([sys.executable, "-c", CHILD, str(tmp_path)], cwd=ROOT, check=True, timeout=20)
    found = read_count(tmp_path)
    assert found.tasks == 21
    assert began < found.first <= found.last < time.monotonic_ns()
    assert len(list(tmp_path.glob("counts-*"))) == 2
    assert len(read_stamps(tmp_path)) == 2


def test_the_rate_is_that_between_the_first_and_the_last() -> None:
    assert Count(101, 1_000_000_000, 3_000_000_000).rate == 50


def test_stamps_are_in_the_order_of_sending(tmp_path: Path) -> None:
    tally = Tally(tmp_path)
    for sent in (30, 10, 20):
        tally.stamp(sent)
    (tmp_path / "stamps-1").write_bytes(b"half a stamp")
    stamps = read_stamps(tmp_path)
    assert [sent for sent, _ in stamps] == [10, 20, 30]
    assert all(ran <= time.monotonic_ns() for _, ran in stamps)


def test_a_task_outside_of_the_harness_is_told_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER, raising=False)
    with pytest.raises(RuntimeError, match=FOLDER):
        tally_from_environment()


def test_threads_whose_first_tasks_come_at_once_count_in_one_file(tmp_path: Path) -> None:
    for attempt in range(50):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        tally, together = Tally(folder), threading.Barrier(4)

        def first(tally: Tally = tally, together: threading.Barrier = together) -> None:
            together.wait(10)
            tally.hit()

        threads = [threading.Thread(target=first) for _ in range(4)]
        for one in threads:
            one.start()
        for one in threads:
            one.join(10)
        # Threads of one process may lose a count to each other, but none of them its file.
        assert 1 <= read_count(folder).tasks <= 4
        assert tally._counts is not None
