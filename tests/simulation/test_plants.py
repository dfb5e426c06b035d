"""The simulation finds bugs: each planted one in some seed, and nothing in those seeds without it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import pytest

from celeriac.brokers.memory.store import Store
from celeriac.testing.simulation import Report, simulate
from celeriac.testing.simulation.world import StoreClock
from tests.simulation import plants

pytestmark = pytest.mark.timeout(240)  # The number of seeds is the bound: a slow machine takes longer for the same.

WITHIN = 400
FIRST = {"renews_verdicts": 500}
"""With which seed to begin, where one of several hundred shows the bug: any change of the worker may move that one."""

# What the first broken promise is called. A bug in the store may be seen in several ways.
FOUND_AS: dict[str, set[str]] = {
    "TakesAnyToken": {"fencing:"},
    "ReapsTooEarly": {"fencing:"},
    "ReapsTooLate": {"hasty:"},
    "ForgetsCrashes": {"crashes:"},
    "ForgetsOnce": {"crashes:", "once:", "most"},
    "DropsFollowUps": {"order:", "follow-ups:", "lost:"},
    "WakesTooEarly": {"early:", "states:"},
    "ForgetsRevocations": {"revoked:", "doubled:", "crashes:", "lost:", "states:"},
    "NewestFirst": {"order:"},
    "AcceptsTwice": {"doubled:"},
    "ForgetsSendings": {"doubled:"},
    "MiscountsBatches": {"tallies:"},
    "never_audits": {"lost:"},
    "renews_verdicts": {"lost:"},
    "begins_without_a_lease": {"fencing:"},
    "forgets_unanswered_settlements": {"at", "lost:"},
    "loses_links_in_a_retry": {"follow-ups:"},
}


def found(name: str, plant: AbstractContextManager[None], store: Callable[[StoreClock], Store] = Store) -> Report:
    """Return the first run that fails with this bug in place."""
    first = FIRST.get(name, 0)
    with plant:
        for seed in range(first, first + WITHIN):
            report = simulate(seed, store=store)
            if not report.ok:
                return report
    raise AssertionError(f"nothing was found in {WITHIN} seeds from {first}")


@pytest.mark.parametrize("store", plants.STORES, ids=lambda store: store.__name__)
def test_a_bug_in_the_store_is_found(store: type[Store]) -> None:
    report = found(store.__name__, nullcontext(), store)
    assert report.violations[0].split()[1] in FOUND_AS[store.__name__], report.violations[0]
    assert simulate(report.seed).ok


@pytest.mark.parametrize("plant", plants.WORKERS, ids=lambda plant: plant.__name__)
def test_a_bug_in_the_worker_is_found(plant: Callable[[], AbstractContextManager[None]]) -> None:
    report = found(plant.__name__, plant())
    assert report.violations[0].split()[1] in FOUND_AS[plant.__name__], report.violations[0]
    assert simulate(report.seed).ok
