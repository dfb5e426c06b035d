"""The conformance suite: what every driver must do, written once, for drivers here and elsewhere.

The author of a driver writes a :class:`Binding` (how to reach one fresh store, and how to let time pass for it), a
test that runs every case that applies, and a test that names the groups that do not apply, so that nothing is left out
unseen::

    import pytest

    pytest.register_assert_rewrite("celeriac.testing.conformance")

    from celeriac.testing.conformance import MODES, applicable, left_out, run


    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("case", applicable(CAPABILITIES), ids=str)
    def test_conformance(case, mode, tmp_path):
        run(case, MyBinding(tmp_path), mode)


    def test_left_out():
        assert left_out(CAPABILITIES) == {"durability"}

Every case is one async function against an awaiting broker. It runs in three modes: the async facade on asyncio's own
loop and on uvloop, and the blocking facade in threads. Running it needs pytest and uvloop: ``celeriac[test]``.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import uvloop

from celeriac.brokers.port import Capabilities
from celeriac.testing.conformance import (
    alone,
    batches,
    cancel,
    claim,
    concurrency,
    control,
    dead,
    delay,
    enqueue,
    entries,
    examine,
    faults,
    fencing,
    hostile,
    inspect,
    leases,
    names,
    owners,
    prune,
    reclaim,
    results,
    schema,
    sending,
    settle,
    sharing,
    waiter,
    workflows,
)
from celeriac.testing.conformance.group import Case, Group
from celeriac.testing.conformance.kit import MODES, Binding, Kit, Mode

__all__ = ["GROUPS", "MODES", "Binding", "Case", "Group", "Kit", "Mode", "applicable", "left_out", "run"]

_GROUPS: Final[tuple[Group, ...]] = (
    schema.group,
    schema.missing,
    enqueue.group,
    sending.group,
    claim.group,
    claim.order,
    delay.group,
    leases.start,
    leases.extend,
    leases.holdings,
    settle.group,
    settle.follow_ups,
    settle.results,
    fencing.group,
    reclaim.group,
    reclaim.verdicts,
    cancel.group,
    cancel.results,
    dead.group,
    dead.results,
    prune.group,
    prune.results,
    control.workers,
    control.roles,
    control.commands,
    inspect.group,
    inspect.purge,
    inspect.tallies,
    examine.group,
    entries.group,
    results.group,
    results.hostile,
    waiter.group,
    waiter.results,
    owners.group,
    workflows.group,
    hostile.group,
    batches.group,
    batches.results,
    names.group,
    names.results,
    concurrency.group,
    concurrency.results,
    faults.group,
    faults.results,
    sharing.shared,
    sharing.durable,
)
GROUPS: Final[tuple[Group, ...]] = tuple([part for group in _GROUPS for part in group.parts])
"""All groups, the simple ones first: the first failure is the one to look at."""


THREADS: Final = 32
"""More than any case has blocking calls at once, so that none waits for a thread."""


def applicable(capabilities: Capabilities) -> list[Case]:
    """Return the cases that a driver with these capabilities must pass."""
    cases = [case for group in GROUPS if group.needs(capabilities) for case in group.cases]
    kept = _kept(capabilities)
    return cases if kept is None else [case for case in cases if str(case) in kept]


def left_out(capabilities: Capabilities) -> set[str]:
    """Return the names of the groups that do not apply to a driver with these capabilities."""
    if _kept(capabilities) is not None:
        return {group.name for group in GROUPS} - {case.group for case in applicable(capabilities)}
    return {group.name for group in GROUPS if not group.needs(capabilities)}


def _kept(capabilities: Capabilities) -> frozenset[str] | None:
    """Return the names of the cases that half a broker must pass; None for a whole one."""
    if not capabilities.messages:
        return alone.RESULTS
    return None if capabilities.stored else alone.KEPT


def run(case: Case, binding: Binding, mode: Mode) -> None:
    """Run one case on a fresh store; an assertion fails where the driver does.

    Args:
        case: What to check.
        binding: The store. It must be new and empty; the schema is installed here where the case wants it.
        mode: How the broker is driven.
    """

    async def scenario() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS))
        kit = Kit(binding, mode)
        try:
            if case.installed:
                await kit.broker.install()
            await case.check(kit)
        finally:
            await kit.close()

    factory = uvloop.new_event_loop if mode == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(scenario())
