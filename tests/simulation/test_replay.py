"""A seed means the same wherever it runs, and a run that fails can be looked at and made smaller."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from celeriac.testing.simulation import Report, simulate
from celeriac.testing.simulation.__main__ import main
from celeriac.testing.simulation.shrink import FAULTS, shrunk
from tests.simulation import plants

SEEDS = range(15)
_PRINT = (
    "from celeriac.testing.simulation import simulate\n"
    f"print(' '.join(simulate(seed).digest for seed in range({SEEDS.start}, {SEEDS.stop})))"
)


def digests(hash_seed: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", _PRINT],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.split()


def test_a_seed_does_the_same_in_every_process() -> None:
    here = [simulate(seed).digest for seed in SEEDS]
    assert here == [simulate(seed).digest for seed in SEEDS]
    assert here == digests("0") == digests("4711")
    assert len(set(here)) == len(here), "different seeds do different things"


def test_the_trace_changes_nothing_and_tells_what_happened() -> None:
    kept, bare = simulate(3, trace=True), simulate(3)
    assert kept.digest == bare.digest
    assert bare.trace == ()
    assert any("claim" in line for line in kept.trace)
    assert any("run " in line for line in kept.trace)


def troubles(report: Report) -> list[str]:
    """Return the kinds of faults that the circumstances of a run have."""
    return [name for name in FAULTS if getattr(report.climate, name)]


def test_a_run_that_fails_is_made_smaller() -> None:
    seed = next(seed for seed in range(200) if not simulate(seed, store=plants.TakesAnyToken).ok)
    report = simulate(seed, trace=True, store=plants.TakesAnyToken)
    smaller = shrunk(report, lambda seed, **given: simulate(seed, store=plants.TakesAnyToken, **given))
    assert not smaller.ok
    assert smaller.violations[0].split()[1] == report.violations[0].split()[1]
    before, after = troubles(report), troubles(smaller)
    assert set(after) < set(before), "something must have been left out, and nothing added"
    assert smaller.climate.tasks <= report.climate.tasks


def test_the_command_runs_many_and_shows_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "6", "--start", "10", "--jobs", "2"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("6 seeds in ")
    assert told.strip().endswith("every promise was kept")
    assert main(["--seed", "10", "--trace"]) == 0
    told = capsys.readouterr().out
    assert f"seed 10, trace {simulate(10).digest}" in told
    assert "WRONG" not in told


def test_the_command_says_how_to_see_a_failure_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with plants.loses_links_in_a_retry():
        seed = next(seed for seed in range(200) if not simulate(seed).ok)
        assert main(["--seeds", "1", "--start", str(seed), "--jobs", "1"]) == 1
        told = capsys.readouterr().out
        assert f"--seed {seed} --shrink" in told
        assert main(["--seed", str(seed), "--shrink"]) == 1
    told = capsys.readouterr().out
    assert "WRONG" in told
    assert "follow-ups" in told
