"""Half load is half of what was measured right before, whatever the machine can do today."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.producer import highest, load, steady
from benchmarks.tally import FOLDER, Tally, count_stamps

MOST = 2_000


class OneAfterTheOther:
    """A system that sends and runs so many tasks a second at most; it keeps up while no more are sent."""

    def __init__(self, folder: Path) -> None:
        self._tally = Tally(folder)
        self.tasks: dict[str, Any] = {"stamp": SimpleNamespace(delay=self._tally.stamp)}
        self.calls: list[int] = []

    def send_stamps(self, count: int) -> None:
        self.calls.append(count)
        until = time.monotonic() + count / MOST
        sent = time.monotonic_ns()
        while time.monotonic() < until:
            time.sleep(0)
        for _ in range(count):
            self._tally.stamp(sent)


def test_the_maximum_counts_until_the_last_task_ran() -> None:
    assert highest([(10, 1_000_000_010), (20, 2_000_000_010), (30, 1_500_000_010)], 10) == 1.5


@pytest.mark.parametrize(
    ("rate", "at_once", "seconds"),
    [
        (5_000, 100, 0.02),
        # What is not a whole number of tasks a tick keeps its rate, and so does less than one.
        (130, 3, 3 / 130),
        (10, 1, 0.1),
    ],
)
def test_the_stream_keeps_its_rate(rate: float, at_once: int, seconds: float) -> None:
    each, pause = steady(rate)
    assert each == at_once
    assert pause == pytest.approx(seconds)


def test_the_load_is_half_of_what_ran_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    subject: Any = OneAfterTheOther(tmp_path)
    found = load(subject, "0.4")
    # A machine that has other work to do makes both slower.
    assert 0 < found["most"] <= MOST
    assert found["rate"] <= found["most"] / 2 * 1.1
    assert 0 < len(found["waits"]) < sum(subject.calls)
    assert count_stamps(tmp_path) == 1 + sum(subject.calls)
