"""How much is claimed: for free slots, a little ahead, and never what could only wait."""

from __future__ import annotations

import random

import msgspec
import pytest

from celeriac.brokers.port import MAX_BATCH
from celeriac.worker.appetite import PROBE_FIRST, PROBE_LONGEST, PROBE_MOST, Appetite, Load, Room, RunTimes

AHEAD = 0.02


def room(*, slots: int = 1, held: int = 0, mean: float = 0.02, newest: float | None = None) -> Room:
    return Room(slots=slots, held=held, mean=mean, newest_start=newest)


def load(plain: Room | None = None, coroutines: Room | None = None) -> Load:
    return Load(plain=plain or room(), coroutines=coroutines or busy())


def busy(*, free: int = 100) -> Room:
    """Return a hundred coroutine slots with work so long that nothing is claimed ahead."""
    return room(slots=100, held=100 - free, mean=1e9)


# Plain functions alone.


@pytest.mark.parametrize(
    ("mean", "wanted"),
    [(10.0, 1), (0.1, 1), (0.02, 2), (0.01, 3), (0.001, 21), (0.0001, 201), (1e-9, 1 + MAX_BATCH)],
)
def test_claims_for_the_slot_and_for_twenty_milliseconds_of_work(mean: float, wanted: int) -> None:
    assert Appetite(AHEAD, has_async=False).wanted(load(room(mean=mean)), 0.0) == wanted


def test_every_slot_gets_one() -> None:
    assert Appetite(AHEAD, has_async=False).wanted(load(room(slots=4, mean=5.0)), 0.0) == 4


@pytest.mark.parametrize(("held", "wanted"), [(0, 21), (1, 20), (11, 10), (12, 0), (20, 0), (21, 0), (50, 0)])
def test_claims_again_when_half_is_used_up(held: int, wanted: int) -> None:
    assert Appetite(AHEAD, has_async=False).wanted(load(room(held=held, mean=0.001)), 0.0) == wanted


@pytest.mark.parametrize("free", [1, 3, 7])
def test_a_slot_that_is_free_is_filled_though_others_run_something_long(free: int) -> None:
    assert Appetite(AHEAD, has_async=False).wanted(load(room(slots=8, held=8 - free, mean=5.0)), 0.0) == free


def test_several_slots_do_several_times_as_much_in_the_same_time() -> None:
    assert Appetite(AHEAD, has_async=False).wanted(load(room(slots=4, mean=0.01)), 0.0) == 4 + 8


def test_nothing_is_claimed_while_every_slot_runs_something_long() -> None:
    appetite = Appetite(AHEAD, has_async=False)
    assert appetite.wanted(load(room(held=1, mean=0.001, newest=10.0)), 10.0 + AHEAD) == 20
    assert appetite.wanted(load(room(held=1, mean=0.001, newest=10.0)), 10.0 + AHEAD + 0.001) == 0
    assert appetite.saturated(room(newest=10.0), 10.1)
    assert not appetite.saturated(room(newest=None), 10.1)


def test_without_coroutine_tasks_it_never_asks_again_by_itself() -> None:
    appetite = Appetite(AHEAD, has_async=False)
    appetite.learn(10, 0, 5.0)
    assert appetite.retry_in(5.0) is None
    assert appetite.wanted(load(room(held=1, newest=0.0, mean=9.0)), 5.0) == 0


# Coroutines alone, and both.


def teach(appetite: Appetite, plain: int, coroutines: int, times: int = 60) -> None:
    for _ in range(times):
        appetite.learn(plain, coroutines, 0.0)


def test_coroutines_alone_fill_their_slots() -> None:
    appetite = Appetite(AHEAD, has_async=True)
    teach(appetite, 0, 50)
    assert appetite.wanted(load(coroutines=busy()), 0.0) == 100
    assert appetite.wanted(load(coroutines=busy(free=7)), 0.0) == 7


def test_coroutines_are_claimed_ahead_by_what_their_slots_do() -> None:
    appetite = Appetite(AHEAD, has_async=True)
    teach(appetite, 0, 50)
    taken = room(held=1, newest=0.0, mean=9.0)
    quick = room(slots=100, held=0, mean=0.01)  # 200 in 20 ms.
    for held, wanted in ((0, 300), (99, 201), (100, 200), (200, 100), (201, 0), (300, 0)):
        assert appetite.wanted(load(taken, msgspec.structs.replace(quick, held=held)), 1.0) == wanted
    stuck = room(slots=100, held=150, mean=0.01, newest=5.0)
    assert appetite.wanted(load(taken, stuck), 5.0 + AHEAD) == 150
    assert appetite.wanted(load(taken, stuck), 5.001 + AHEAD) == 0


def test_plain_functions_alone_are_claimed_as_if_there_were_no_coroutines() -> None:
    appetite = Appetite(AHEAD, has_async=True)
    teach(appetite, 20, 0)
    assert appetite.wanted(load(room(mean=0.001)), 0.0) == 21


def test_a_mixture_is_claimed_so_that_neither_kind_overflows() -> None:
    appetite = Appetite(AHEAD, has_async=True)
    teach(appetite, 10, 30)
    # A quarter is plain: 21 of them come with 63 coroutines.
    assert appetite.wanted(load(room(mean=0.001), busy()), 0.0) in (83, 84)
    assert appetite.wanted(load(room(mean=0.001), busy(free=9)), 0.0) in (11, 12)


def test_mostly_coroutines_are_claimed_though_the_main_thread_is_busy() -> None:
    appetite = Appetite(AHEAD, has_async=True)
    teach(appetite, 0, 10)
    assert appetite.wanted(load(room(held=1, newest=0.0, mean=9.0), busy(free=40)), 5.0) == 40


def test_mostly_plain_functions_are_claimed_though_every_coroutine_slot_is_taken() -> None:
    appetite = Appetite(AHEAD, has_async=True)
    teach(appetite, 10, 0)
    assert appetite.wanted(load(room(mean=0.001), busy(free=0)), 5.0) == 21


def test_nothing_is_claimed_when_neither_has_room() -> None:
    appetite = Appetite(AHEAD, has_async=True)
    assert appetite.wanted(load(room(held=1, newest=0.0, mean=9.0), busy(free=0)), 5.0) == 0


BUSY = load(room(held=1, newest=0.0, mean=9.0), busy())


def test_probes_grow_rare_and_larger_while_they_bring_nothing_of_use() -> None:
    appetite = Appetite(AHEAD, has_async=True)
    teach(appetite, 10, 0)
    now, waits, sizes = 100.0, [], []
    for _ in range(10):
        size = appetite.wanted(BUSY, now)
        sizes.append(size)
        appetite.learn(size, 0, now)
        wait = appetite.retry_in(now)
        assert wait is not None
        waits.append(wait)
        assert appetite.wanted(BUSY, now + wait / 2) == 0, "it probes too soon"
        now += wait
    assert sizes == [1, 4, 16, *[PROBE_MOST] * 7]
    assert waits[0] == pytest.approx(2 * PROBE_FIRST)
    assert waits[-1] == pytest.approx(PROBE_LONGEST)
    assert waits == sorted(waits)


def test_probe_that_finds_a_coroutine_is_followed_at_once() -> None:
    appetite = Appetite(AHEAD, has_async=True)
    teach(appetite, 10, 0)
    assert appetite.wanted(BUSY, 100.0) == 1
    appetite.learn(0, 1, 100.0)
    assert appetite.wanted(BUSY, 100.0) > 1


def test_empty_queue_makes_probes_small_again() -> None:
    appetite = Appetite(AHEAD, has_async=True)
    teach(appetite, 10, 0)
    for now in (100.0, 110.0, 120.0):
        appetite.learn(appetite.wanted(BUSY, now), 0, now)
    appetite.wanted(BUSY, 130.0)
    appetite.learn(0, 0, 130.0)
    assert appetite.wanted(BUSY, 140.0) == 1


# How long runs take.


def test_first_guess_is_outweighed_as_runs_are_seen() -> None:
    times = RunTimes(0.02)
    means = []
    for _ in range(5_000):
        times.learn(0.0001)
        means.append(times.mean)
    assert means == sorted(means, reverse=True)
    assert means[7] == pytest.approx(0.01, rel=0.1)
    assert means[-1] < 0.00012


def test_a_long_run_is_remembered_for_a_thousand_short_ones_but_not_for_days() -> None:
    times = RunTimes(0.02)
    for _ in range(2_000):
        times.learn(0.0001)
    times.learn(3600.0)
    assert 0.009 < times._slow < 0.011
    for _ in range(1_000):
        times.learn(0.0001)
    assert times.mean > 0.003
    for _ in range(9_000):
        times.learn(0.0001)
    assert times.mean < 0.0002


# What is kept of a claim.


def test_surplus_is_given_back_at_once() -> None:
    appetite = Appetite(AHEAD, has_async=True)
    assert appetite.keeps(room(mean=0.001), 0.0) == 42
    assert appetite.keeps(room(mean=0.001, held=40), 0.0) == 2
    assert appetite.keeps(room(mean=0.001, held=50), 0.0) == 0
    assert appetite.keeps(room(mean=0.001, newest=0.0), 1.0) == 0


@pytest.mark.parametrize("seed", range(5))
def test_held_work_stays_bounded_whatever_comes(seed: int) -> None:
    """A random mixture with random speeds: what waits here never exceeds twice what is meant to."""
    rng = random.Random(seed)
    appetite = Appetite(AHEAD, has_async=True)
    held, now, mean = 0, 0.0, 0.002
    for _ in range(3_000):
        now += rng.expovariate(1 / 0.002)
        current = load(room(held=held, mean=mean), busy(free=rng.randrange(0, 101)))
        wanted = appetite.wanted(current, now)
        assert 0 <= wanted <= MAX_BATCH
        if wanted:
            plain = sum(rng.random() < 0.5 for _ in range(wanted))
            appetite.learn(plain, wanted - plain, now)
            held += min(plain, appetite.keeps(current.plain, now))
        assert held <= 2 * appetite.target(current.plain)
        held = max(0, held - rng.randrange(0, 3))
