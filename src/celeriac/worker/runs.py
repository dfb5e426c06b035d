"""What sync slots and coroutine slots share: the rules before a run, and the watch on running ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from celeriac.core.message import Delivery, Lease, Settlement
from celeriac.errors import SoftTimeLimitExceeded, Terminated
from celeriac.execution.call import open_call
from celeriac.execution.record import Call
from celeriac.execution.runnable import Surroundings
from celeriac.execution.steps import if_revoked
from celeriac.worker.slots import SlotTable

FOREVER: Final = float("inf")
STALE: Final = "the lease ran out before it started"


class Home(Protocol):
    """What slots need of the engine they belong to."""

    surroundings: Surroundings
    table: SlotTable
    owner: str
    revoked: dict[str, float]
    """Ids of tasks that must not start, and until when (monotonic)."""

    def finished(self, settlement: Settlement | None) -> None:
        """Take the settlement of a delivery, None if it is no longer ours to settle; from any thread."""
        ...


def admit(home: Home, delivery: Delivery, now: float) -> Call | Settlement:
    """Return the call to run, or the settlement of a delivery that must not run.

    A delivery whose lease may have run out (this process was stopped, or the broker was away) is given back unrun: if
    another worker has it by now, the broker refuses the release, and nothing runs twice.
    """
    if now > home.table.lease_until:
        return given_back(delivery)
    if home.revoked and home.revoked.pop(delivery.lease.id, 0.0) > now:
        delivery = msgspec.structs.replace(delivery, cancelled=True)
    return open_call(delivery, home.surroundings)


def given_back(delivery: Delivery) -> Settlement:
    """Return the settlement of a delivery that must not start because its lease may have run out."""
    arrival = if_revoked(delivery.message)
    return Settlement(lease=delivery.lease, action="release", reason=STALE, arrival=arrival)


def may_begin(home: Home, losses: int, now: float) -> bool:
    """Return whether a lease that was looked at some steps ago still holds.

    A process may be stopped in the midst of them for any time, the more so where a start is recorded, which takes a
    round trip: the broker may have given the task to others since.

    Args:
        home: The engine.
        losses: What ``home.table.losses`` was before.
        now: The time.
    """
    return now <= home.table.lease_until and home.table.losses == losses


def must_start_first(call: Call) -> bool:
    """Return whether the broker has to know of the start before the task's code runs.

    For an at-most-once task that is what makes it so; for one that was lost before, it lets the broker count runs
    lost rather than claims lost; for a tracked one, STARTED must not overtake a state that the task itself reports.
    """
    return call.task.at_most_once or call.delivery.suspect or call.task.track_started


class Run:
    """One run in progress, as the watch sees it."""

    __slots__ = ("interrupt", "interrupted", "lease", "nudge", "revoked", "soft_deadline", "soft_limit", "started")

    def __init__(
        self,
        lease: Lease,
        started: float,
        soft_limit: float | None,
        *,
        interrupt: Callable[[BaseException], None],
        nudge: Callable[[], None] | None = None,
    ) -> None:
        """Describe a run.

        Args:
            lease: What it holds.
            started: When it began.
            soft_limit: Its soft time limit in seconds.
            interrupt: Raises an exception in it.
            nudge: Makes an interrupt arrive that has not; None where it always does.
        """
        self.lease = lease
        self.started = started
        self.soft_limit = soft_limit
        self.soft_deadline = FOREVER if soft_limit is None else started + soft_limit
        self.interrupt = interrupt
        self.nudge = nudge
        self.interrupted = False
        self.revoked = False

    def watch(self, now: float) -> None:
        """Interrupt the run if its soft time limit has passed; see to it that an interrupt arrives."""
        if self.interrupted and self.nudge is not None:
            self.nudge()
        if now >= self.soft_deadline:
            self.soft_deadline = FOREVER
            self.interrupted = True
            self.interrupt(SoftTimeLimitExceeded(f"soft time limit of {self.soft_limit} s exceeded"))

    def revoke(self) -> None:
        """Interrupt the run because its task was revoked."""
        if not self.revoked:
            self.revoked = True
            self.interrupted = True
            self.interrupt(Terminated("terminated"))


def monotonic() -> float:
    """Return the clock of the slot table: what all processes of a machine share. Code that the simulation runs asks the
    clock of its surroundings instead."""
    return time.monotonic()
