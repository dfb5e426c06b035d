"""When a worker may take a lease that ran out for the end of its owner."""

from __future__ import annotations

import msgspec

from celeriac import Celeriac
from celeriac.worker.keeper import Leases
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


def test_nobody_is_judged_before_the_first_renewal() -> None:
    leases = made(SetClock())
    assert not leases.judges(monotonic())
    leases.tick()
    assert leases.judges(monotonic())


def test_a_step_of_the_clock_puts_judgement_off_for_one_lease() -> None:
    clock = SetClock()
    leases = made(clock)
    leases.tick()
    verdicts = [leases.judges(monotonic())]
    clock.ahead = 3600.0
    verdicts.append(leases.judges(monotonic()))
    clock.ahead = 3600.5  # A clock that is being slewed is no step.
    verdicts.append(leases.judges(monotonic()))
    assert verdicts == [True, False, False]
    assert leases.judges(monotonic() + LEASE / 2 - 0.1) is False
