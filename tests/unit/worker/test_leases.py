"""When a worker may take a lease that ran out for the end of its owner."""

from __future__ import annotations

import msgspec

from celeriac import Celeriac
from celeriac.brokers.port import Reclaimed
from celeriac.worker.keeper import REAP_EVERY, Leases, Reaper
from celeriac.worker.options import WorkerOptions
from celeriac.worker.runs import monotonic

LEASE = 6.0


class SetClock:
    """Wall time that somebody sets; steady time that goes on by itself."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        return 1_000_000.0 + self.monotonic() + self.ahead

    def monotonic(self) -> float:
        return monotonic()


def made(clock: SetClock) -> Leases:
    app = Celeriac("leases", broker="memory://leases")
    surroundings = msgspec.structs.replace(app.worker_surroundings("w@test"), clock=clock)
    options = WorkerOptions(target="x", node="w@test", queues=("celery",), lease=LEASE)
    return Leases(app.broker, options, "w@test#1/keeper", dict, surroundings)


def test_nobody_is_judged_before_others_can_have_renewed() -> None:
    leases = made(SetClock())
    assert not leases.judges(monotonic())
    leases.tick()
    assert not leases.judges(monotonic()), "the store may have stood still until just now"
    assert 0.0 < leases._calm_at - monotonic() <= leases.patience


def made_and_calm(clock: SetClock) -> Leases:
    """Return leases of a worker that has been there for a while."""
    leases = made(clock)
    leases.tick()
    leases._calm_at = 0.0
    return leases


class LateBroker:
    """Says when each reclaim was carried out; a virtual store that is ahead of us by 500 seconds."""

    def __init__(self) -> None:
        self.delay = 0.0
        self.asked: list[float] = []

    def reclaim(self, *, before: float) -> Reclaimed:
        self.asked.append(before)
        return Reclaimed(at=monotonic() + 500.0 + self.delay)


def test_the_reaper_says_until_when_it_may_be_done() -> None:
    leases = made_and_calm(SetClock())
    broker = LateBroker()
    reaper = Reaper(broker, leases)  # type: ignore[arg-type]
    assert reaper.tick() == 0.0
    assert broker.asked == [0.0], "the first only asks for the time"
    assert reaper.tick() == REAP_EVERY
    assert abs(broker.asked[1] - (monotonic() + 500.0 + leases.patience)) < 0.5
    assert leases.judges(monotonic())


def test_a_reaper_that_was_too_late_judges_nobody_for_one_lease() -> None:
    leases = made_and_calm(SetClock())
    broker = LateBroker()
    reaper = Reaper(broker, leases)  # type: ignore[arg-type]
    reaper.tick()
    broker.delay = leases.patience + 1.0
    assert reaper.tick() == REAP_EVERY
    assert not leases.judges(monotonic())
    assert not leases.judges(monotonic() + LEASE / 2 - 0.1)
    reaper.tick()
    assert len(broker.asked) == 2, "it does not even ask"


def test_a_step_of_the_clock_puts_judgement_off_for_one_lease() -> None:
    clock = SetClock()
    leases = made_and_calm(clock)
    verdicts = [leases.judges(monotonic())]
    clock.ahead = 3600.0
    verdicts.append(leases.judges(monotonic()))
    clock.ahead = 3600.5  # A clock that is being slewed is no step.
    verdicts.append(leases.judges(monotonic()))
    assert verdicts == [True, False, False]
    assert leases.judges(monotonic() + LEASE / 2 - 0.1) is False
