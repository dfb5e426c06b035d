"""The examples that lose processes on purpose, run as a user runs them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.ensure_server import ensure_server

PROJECT = Path(__file__).parents[2]


def play(*command: str) -> str:
    """Run a demo to its end; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=PROJECT, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("options", [(), ("--redis",)], ids=["sqlite", "redis"])
def test_a_power_loss_loses_nothing(options: tuple[str, ...]) -> None:
    ensure_server("redis-server")
    told = play("examples.power_loss.demo", *options)
    imported, running = re.findall(r"(\d+) of 40 imported, (\d+) were being", told)[0]
    assert 5 <= int(imported) < 40
    # Two processes: two tasks may be between their start and their end, or have just ended.
    assert 0 <= int(running) <= 2
    assert "lost 0" in told


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_poison_task_ends_as_a_dead_letter() -> None:
    told = play("examples.poison.demo")
    assert "Healthy tasks that succeeded: 20 of 20" in told
    assert "DEAD after 3 lost runs" in told
    assert "FAILURE, WorkerLostError" in told


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_with_an_outbox_no_task_comes_before_the_commit() -> None:
    told = play("examples.outbox.demo")
    assert "Without the outbox, tasks that found no row: 10 of 10" in told
    assert "With the outbox, tasks that found their row: 10 of 10" in told
    assert "rolled back: PENDING" in told


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_four_web_processes_are_one_scheduler() -> None:
    told = play("examples.web_schedule.demo")
    assert "missed 0, sent twice 0" in told
    assert float(re.findall(r"within ([0-9.]+) s", told)[0]) < 15
