"""Dead children are replaced at once, in series slowly."""

from __future__ import annotations

from celeriac.worker.restarts import PAUSE, PER_CHILD, WINDOW, Restarts


def test_a_few_deaths_are_replaced_at_once() -> None:
    restarts = Restarts()
    for number in range(PER_CHILD - 1):
        restarts.died(100.0 + number / 100)
        assert restarts.allowed(1, 100.0 + number / 100)


def test_a_series_is_replaced_slowly_until_it_ends() -> None:
    restarts = Restarts()
    started = 0
    now = 100.0
    while now < 110.0:  # A child that dies a hundredth of a second after each start.
        if restarts.allowed(2, now):
            started += 1
            restarts.died(now)
        now += 0.01
    assert started <= 5 * (2 * PER_CHILD) + 10.0 / PAUSE
    assert restarts.allowed(2, now + WINDOW + PAUSE)
    assert restarts.allowed(2, now + WINDOW + PAUSE)
