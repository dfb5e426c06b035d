"""A thousand installations in which everything goes wrong that can, and no promise is broken."""

from __future__ import annotations

import pytest

from celeriac.testing.simulation import simulate
from celeriac.testing.simulation.many import run_many
from celeriac.testing.simulation.report import Report

pytestmark = pytest.mark.timeout(240)  # The number of seeds is the bound: a slow machine takes longer for the same.

SEEDS = 1000
LOTS = 8


@pytest.mark.slow
@pytest.mark.parametrize("lot", range(LOTS))
def test_every_promise_is_kept(lot: int) -> None:
    failed: list[Report] = []
    size = SEEDS // LOTS
    summary = run_many(range(lot * size, (lot + 1) * size), jobs=1, tell=failed.append)
    text = "\n".join(
        f"seed {one.seed}: {one.violations[0]}\n  python -m celeriac.testing.simulation --seed {one.seed} --shrink"
        for one in failed
    )
    assert not failed, text
    assert summary.seeds == size


def test_runs_are_worth_their_time() -> None:
    reports = [simulate(seed) for seed in range(40)]
    # Every kind of trouble is there, and does not keep the installations from working.
    for name in ("lose_request", "lose_reply", "late", "slow", "die_at_request", "freeze_at_request", "lose_wakeup"):
        assert any(getattr(one.climate, name) > 0 for one in reports), name
    for name in ("child_kills", "host_kills", "freezes", "restarts", "deploys", "cancels", "skew"):
        assert any(getattr(one.climate, name) for one in reports), name
    assert any(one.climate.calm for one in reports)
    assert sum(one.faults for one in reports) > len(reports)
    assert sum(one.runs for one in reports) > 10 * len(reports)
