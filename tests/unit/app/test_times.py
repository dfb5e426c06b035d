"""Countdowns, etas and expiries become moments; what is none is refused."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.app import times
from celeriac.errors import InvalidTaskError

NOW = 1_800_000_000.0
BERLIN = ZoneInfo("Europe/Berlin")


def eta(countdown: Any = None, eta: Any = None, zone: Any = UTC) -> float | None:
    return times.not_before(countdown, eta, now=NOW, zone=zone)


@pytest.mark.parametrize("value", [10, 10.0, timedelta(seconds=10)])
def test_a_countdown_is_seconds_from_now(value: Any) -> None:
    assert eta(countdown=value) == NOW + 10


@pytest.mark.parametrize("value", [0, -5, timedelta(0)])
def test_a_countdown_that_is_over_means_at_once(value: Any) -> None:
    assert eta(countdown=value) is None


def test_an_eta_in_the_past_means_at_once() -> None:
    assert eta(eta=datetime.fromtimestamp(NOW - 1, UTC)) is None


def test_an_aware_eta_is_that_moment() -> None:
    moment = datetime(2030, 7, 1, 12, tzinfo=BERLIN)
    assert eta(eta=moment) == moment.timestamp()


def test_a_naive_eta_is_read_in_the_apps_zone() -> None:
    moment = datetime(2030, 7, 1, 12)  # noqa: DTZ001 -- the absence of a zone is what is tested
    assert eta(eta=moment, zone=BERLIN) == datetime(2030, 7, 1, 10, tzinfo=UTC).timestamp()
    assert eta(eta=moment, zone=UTC) == datetime(2030, 7, 1, 12, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"countdown": math.nan}, "finite"),
        ({"countdown": math.inf}, "finite"),
        ({"countdown": 10**400}, "finite"),
        ({"countdown": "5"}, "countdown='5' is a str"),
        ({"countdown": True}, "countdown=True is a bool"),
        ({"countdown": 1e15}, "between the years"),
        ({"eta": "2030-01-01"}, "eta='2030-01-01' is a str"),
        ({"eta": datetime(9999, 12, 31, 23, 59, 59, 1, tzinfo=UTC)}, "between the years"),
        ({"countdown": 1, "eta": datetime(2030, 1, 1, tzinfo=UTC)}, "give one of them"),
    ],
)
def test_what_is_no_moment_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidTaskError, match=words):
        eta(**options)


def test_expiry_is_seconds_or_a_moment_and_may_be_past() -> None:
    assert times.not_after(None, now=NOW, zone=UTC) is None
    assert times.not_after(60, now=NOW, zone=UTC) == NOW + 60
    assert times.not_after(timedelta(hours=1), now=NOW, zone=UTC) == NOW + 3600
    past = datetime.fromtimestamp(NOW - 60, UTC)
    assert times.not_after(past, now=NOW, zone=UTC) == NOW - 60


@given(st.one_of(st.floats(), st.integers(), st.datetimes(), st.timedeltas()))
def test_any_expiry_is_a_moment_that_brokers_keep_or_is_refused(value: Any) -> None:
    try:
        found = times.not_after(value, now=NOW, zone=UTC)
    except InvalidTaskError:
        return
    assert found is not None
    assert 0 <= found <= times.LATEST
