"""Retries: how often, and after how long."""

import random
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.core.retry import RetryPolicy, retry_policy
from celeriac.errors import ImproperlyConfigured

FLOATS = st.floats(min_value=0, max_value=1e12)


def rng() -> random.Random:
    return random.Random(20240102)


def test_the_defaults_are_celerys() -> None:
    policy = retry_policy()
    assert policy == RetryPolicy()
    assert [policy.delay(n, rng()) for n in range(3)] == [180.0, 180.0, 180.0]
    assert [policy.exhausted(n) for n in range(5)] == [False, False, False, True, True]


def test_backoff_doubles_up_to_its_maximum() -> None:
    policy = retry_policy(backoff=True, jitter=False)
    assert [policy.delay(n, rng()) for n in range(12)] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]
    assert retry_policy(backoff=3, backoff_max=timedelta(seconds=10), jitter=False).delay(1, rng()) == 6
    assert retry_policy(backoff=0.5, jitter=False).delay(0, rng()) == 0.5


def test_jitter_draws_from_zero_to_the_full_delay() -> None:
    policy = retry_policy(backoff=8)
    chance = rng()
    delays = [policy.delay(2, chance) for _ in range(2000)]
    assert 0 <= min(delays) < 0.5
    assert 31.5 < max(delays) < 32
    assert 15 < sum(delays) / len(delays) < 17


def test_no_limit() -> None:
    policy = retry_policy(max_retries=None)
    assert not policy.exhausted(10**9)
    assert retry_policy(max_retries=0).exhausted(0)


@pytest.mark.parametrize("off", [False, None, 0, 0.0])
def test_no_backoff_means_the_default_delay(off: Any) -> None:
    assert retry_policy(backoff=off, default_retry_delay=timedelta(minutes=1)).delay(5, rng()) == 60


@given(factor=FLOATS, longest=FLOATS, retries=st.integers(min_value=-1, max_value=10**9), jitter=st.booleans())
def test_a_delay_is_always_in_bounds(factor: float, longest: float, retries: int, jitter: bool) -> None:
    policy = retry_policy(backoff=factor, backoff_max=longest, jitter=jitter, default_retry_delay=longest)
    assert 0 <= policy.delay(retries, rng()) <= longest


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"max_retries": -1}, "max_retries=-1 of task 'proj.t' must be a whole number of at least 0, or None"),
        ({"max_retries": 2.5}, "max_retries=2.5"),
        ({"max_retries": True}, "max_retries=True"),
        ({"default_retry_delay": "soon"}, "default_retry_delay='soon' of task 'proj.t' must be a number of seconds"),
        ({"default_retry_delay": -1}, "default_retry_delay=-1 of task 'proj.t' must not be negative"),
        ({"backoff": "yes"}, "retry_backoff='yes' of task 'proj.t' must be True, False or a number of seconds"),
        ({"backoff": float("nan")}, "retry_backoff=nan"),
        ({"backoff_max": float("inf")}, "retry_backoff_max=inf of task 'proj.t' must not be negative or without end"),
        ({"jitter": 1}, "retry_jitter=1 of task 'proj.t' must be True or False"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=complaint):
        retry_policy(**options, task="proj.t")
