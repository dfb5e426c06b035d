"""Waiting longer after each failure, and telling of an outage and its end."""

from __future__ import annotations

import time

from celeriac.events import Bus, ServiceFailed, ServiceRecovered
from celeriac.events.backoff import FIRST, LONGEST, Backoff


class Told:
    """What a bus told of services."""

    def __init__(self, bus: Bus) -> None:
        self.failed: list[ServiceFailed] = []
        self.recovered: list[ServiceRecovered] = []
        bus.subscribe(ServiceFailed, self.failed.append)
        bus.subscribe(ServiceRecovered, self.recovered.append)


def test_delays_double_up_to_the_longest_and_begin_anew_after_a_success() -> None:
    backoff = Backoff(Bus(), "x")
    delays = [backoff.failed(OSError()) for _ in range(12)]
    for number, delay in enumerate(delays):
        whole = min(LONGEST, FIRST * 2**number)
        assert whole / 2 <= delay <= whole
    backoff.worked()
    assert backoff.failed(OSError()) <= FIRST


def test_delays_are_no_longer_than_asked() -> None:
    backoff = Backoff(Bus(), "x", longest=0.25)
    assert max(backoff.failed(OSError()) for _ in range(20)) <= 0.25


def test_delays_differ() -> None:
    assert len({Backoff(Bus(), "x").failed(OSError()) for _ in range(20)}) > 10


def test_recovery_is_told_once_with_the_length_of_the_outage() -> None:
    bus = Bus()
    told = Told(bus)
    backoff = Backoff(bus, "store")
    backoff.worked()
    assert told.recovered == []
    started = time.monotonic()
    backoff.failed(OSError("gone"))
    backoff.failed(OSError("gone"))
    backoff.worked()
    backoff.worked()
    assert [event.error for event in told.failed] == ["OSError: gone"] * 2
    (event,) = told.recovered
    assert event.service == "store"
    assert 0 <= event.outage <= time.monotonic() - started
