"""A smaller run that still fails: without the kinds of faults, and the tasks, that it fails without.

The circumstances of a seed are drawn before anything else, so one can be changed while the seed stays. What then comes
is another run: it fails in the same way or it does not, and only then is the change kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from celeriac.testing.simulation.climate import Climate
from celeriac.testing.simulation.report import Report
from celeriac.testing.simulation.run import simulate

FAULTS: Final = (
    "lose_reply",
    "lose_request",
    "slow",
    "late",
    "die_at_request",
    "freeze_at_request",
    "lose_wakeup",
    "child_kills",
    "host_kills",
    "freezes",
    "restarts",
    "deploys",
    "steps",
    "skew",
    "cancels",
)
"""The parts of a climate that are faults, the most usual first."""
_SIZES: Final = ("tasks", "workers", "children", "producers", "coroutines")


def shrunk(report: Report, run: Callable[..., Report] = simulate) -> Report:
    """Return a run of the same seed, in simpler circumstances, that breaks the same kind of promise.

    Args:
        report: A run that failed.
        run: What runs a seed, as :func:`~celeriac.testing.simulation.run.simulate` does.
    """
    kind = _kind(report)
    smallest = report
    again = True
    while again:
        again = False
        for simpler in _simpler(smallest.climate):
            tried = run(report.seed, trace=True, circumstances=simpler)
            if not tried.ok and _kind(tried) == kind:
                smallest, again = tried, True
                break
    return smallest


def _kind(report: Report) -> str:
    """Return which promise was broken first: the word that begins a violation."""
    return report.violations[0].split()[1]


def _simpler(climate: Climate) -> Iterator[Climate]:
    values: dict[str, Any] = msgspec.structs.asdict(climate)
    for name in FAULTS:
        if values[name]:
            yield msgspec.structs.replace(climate, **{name: type(values[name])(0)})
    for name in _SIZES:
        if values[name] > 1:
            yield msgspec.structs.replace(climate, **{name: max(1, values[name] // 2)})
    if climate.threads:
        yield msgspec.structs.replace(climate, threads=0)
    if climate.recycle is not None:
        yield msgspec.structs.replace(climate, recycle=None)
