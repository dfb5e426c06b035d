"""The virtual clock moves when it is told to, and only then."""

import pytest

from celeriac.core.clock import Clock
from celeriac.testing.clock import VirtualClock


def test_it_stands_still() -> None:
    clock: Clock = VirtualClock(1000.0)
    assert [clock.now(), clock.now(), clock.monotonic()] == [1000.0, 1000.0, 0.0]


def test_time_passes_for_both_readings() -> None:
    clock = VirtualClock(1000.0)
    clock.advance(2.5)
    clock.advance(0)
    assert (clock.now(), clock.monotonic()) == (1002.5, 2.5)


def test_a_step_of_the_wall_clock_leaves_steady_time_alone() -> None:
    clock = VirtualClock(1000.0)
    clock.step(-300)
    assert (clock.now(), clock.monotonic()) == (700.0, 0.0)
    clock.step(3600)
    assert (clock.now(), clock.monotonic()) == (4300.0, 0.0)


def test_time_does_not_pass_backwards() -> None:
    clock = VirtualClock(1000.0)
    with pytest.raises(ValueError, match=r"by -1 seconds; step\(\)"):
        clock.advance(-1)
    assert clock.now() == 1000.0
