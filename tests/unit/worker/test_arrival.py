"""A worker that starts waits for its stores, as long as its settings say."""

from __future__ import annotations

from typing import Any

import pytest

from celeriac import Celeriac
from celeriac.errors import BrokerError, OperationalError
from celeriac.worker.arrival import reach_stores


class Away:
    """A broker that is away for so many calls, or refuses for good."""

    def __init__(self, calls: int, error: type[Exception] = OperationalError) -> None:
        self.left = calls
        self.error = error

    def install(self) -> int:
        self.left -= 1
        if self.left >= 0:
            raise self.error("nobody there")
        return 1


class Arrival:
    """An app whose broker is away, and what was done about it."""

    def __init__(self, away: Away, **settings: Any) -> None:
        self.app = Celeriac("arrival", broker="memory://arrival", set_as_current=False)
        self.app.conf.update(settings)
        self.notes: list[str] = []
        self.pauses: list[float] = []
        vars(self.app.broker)["install"] = away.install

    def reach(self) -> None:
        reach_stores(self.app, self.notes.append, self.pauses.append)


def test_it_waits_longer_each_time_and_says_so() -> None:
    arrival = Arrival(Away(6))
    arrival.reach()
    assert arrival.pauses == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert arrival.notes[0] == "Waiting for the store, trying again in 0.5 s: nobody there"


@pytest.mark.parametrize(
    "settings",
    [
        {"broker_connection_retry_on_startup": False},
        {"broker_connection_retry": False},
        {"broker_connection_retry_on_startup": False, "broker_connection_retry": True},
    ],
)
def test_an_app_that_does_not_want_to_wait_is_told_at_once(settings: dict[str, Any]) -> None:
    arrival = Arrival(Away(1), **settings)
    with pytest.raises(OperationalError, match="nobody there"):
        arrival.reach()
    assert arrival.pauses == []


def test_on_startup_overrules() -> None:
    arrival = Arrival(Away(1), broker_connection_retry_on_startup=True, broker_connection_retry=False)
    arrival.reach()
    assert arrival.pauses == [0.5]


def test_it_gives_up_after_so_many() -> None:
    arrival = Arrival(Away(1000), broker_connection_max_retries=3)
    with pytest.raises(OperationalError):
        arrival.reach()
    assert len(arrival.pauses) == 3


@pytest.mark.parametrize("never", [None, 0])
def test_it_may_never_give_up(never: int | None) -> None:
    arrival = Arrival(Away(150), broker_connection_max_retries=never)
    arrival.reach()
    assert len(arrival.pauses) == 150


def test_what_will_not_pass_is_not_waited_for() -> None:
    arrival = Arrival(Away(1, BrokerError))
    with pytest.raises(BrokerError):
        arrival.reach()
    assert arrival.pauses == []
