"""The long run, made short: the same work and the same counts, and what it watches really is watched."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from tests.soak.soak import BATCH
from tests.soak.watch import Bound, Watch
from tests.support.fleet import tell


def soak(**options: Any) -> list[str]:
    """Run it in a process of its own, since it watches the memory of the sender's process; return what is wrong."""
    words = [f"--{name}={value}" for name, value in options.items()]
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak", *words], check=False, capture_output=True, text=True, timeout=110
    )
    tell(done.stdout)
    faults = [line for line in done.stdout.splitlines() if line.startswith("FAULT: ")]
    assert done.stdout.rstrip().endswith("not sound" if faults else "\nsound"), done.stdout + done.stderr
    return faults


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_short_soak_is_sound() -> None:
    # A result must outlive a machine that holds up its reader for a moment, and the run 2.5 lives of a result.
    assert soak(driver="redis", tasks=30_000, reconnects=5, rate=2000, expires=4.0) == []


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_short_soak_of_sqlite_is_sound() -> None:
    # Too short for rows to come and go evenly: they are removed each half minute, not when they expire.
    faults = soak(driver="sqlite", tasks=10 * BATCH, reconnects=0, rate=2000, expires=2.0)
    assert [fault for fault in faults if "grows" not in fault] == []


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
