"""The long run, made short: the same work and the same counts, and what it watches really is watched."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.__main__ import text
from tests.soak.soak import BATCH, Plan, Soak
from tests.soak.watch import Bound, Watch
from tests.support.fleet import tell


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_short_soak_is_sound(tmp_path: Path) -> None:
    # A result must outlive a machine that holds up its reader for a moment, and the run 2.5 lives of a result.
    report = Soak(Plan(driver="redis", tasks=30_000, reconnects=5, rate=2000, expires=4.0), tmp_path).run()
    tell(text(report))
    assert report.cut_connections >= 5
    assert report.faults() == []


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_short_soak_of_sqlite_is_sound(tmp_path: Path) -> None:
    # Too short for rows to come and go evenly: they are removed each half minute, not when they expire.
    report = Soak(Plan(driver="sqlite", tasks=10 * BATCH, reconnects=0, rate=2000, expires=2.0), tmp_path).run()
    tell(text(report))
    assert [fault for fault in report.faults() if "grows" not in fault] == []


def test_what_grows_is_seen() -> None:
    watch = Watch({"rss": Bound(0.05, 1.0)}, 0.0)
    for number in range(100):
        watch.note("flat rss", 100.0 + number % 7)
        watch.note("leaking rss", 100.0 + number / 5)
        watch.note("shrinking rss", 100.0 - number / 5)
    assert {trend.name: trend.flat for trend in watch.trends()} == {
        "flat rss": True,
        "leaking rss": False,
        "shrinking rss": True,
    }
