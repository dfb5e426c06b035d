"""Events reach who subscribed, in order, and no subscriber harms the emitter."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from celeriac.events import Bus, TaskFailed, TaskReceived, TaskRevoked, TaskSucceeded

RECEIVED = TaskReceived("id-1", "work")


def test_event_goes_to_subscribers_of_exactly_its_type_in_order() -> None:
    bus = Bus()
    heard: list[Any] = []
    bus.subscribe(TaskReceived, lambda event: heard.append(("first", event)))
    bus.subscribe(TaskReceived, lambda event: heard.append(("second", event)))
    bus.subscribe(TaskRevoked, lambda event: heard.append(("other", event)))
    bus.emit(RECEIVED)
    assert heard == [("first", RECEIVED), ("second", RECEIVED)]


def test_wanted_follows_subscriptions() -> None:
    bus = Bus()
    assert not bus.wanted(TaskSucceeded)
    end_first = bus.subscribe(TaskSucceeded, lambda event: None)
    end_second = bus.subscribe(TaskSucceeded, lambda event: None)
    assert bus.wanted(TaskSucceeded)
    assert not bus.wanted(TaskFailed)
    end_first()
    assert bus.wanted(TaskSucceeded)
    end_second()
    assert not bus.wanted(TaskSucceeded)
    end_second()


def test_event_nobody_wants_is_dropped() -> None:
    Bus().emit(RECEIVED)


def test_failing_subscriber_is_reported_once_and_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    bus = Bus()
    heard: list[Any] = []

    def bad(event: TaskReceived) -> None:
        raise ValueError(f"cannot bear {event.id}")

    bus.subscribe(TaskReceived, bad)
    bus.subscribe(TaskReceived, heard.append)
    with caplog.at_level(logging.ERROR, "celeriac.events"):
        for _ in range(5):
            bus.emit(RECEIVED)
    assert heard == [RECEIVED] * 5
    (line,) = caplog.records
    assert "bad" in line.getMessage()
    assert line.exc_info is not None
    assert isinstance(line.exc_info[1], ValueError)


def test_subscriber_may_end_its_subscription_while_it_is_called() -> None:
    bus = Bus()
    heard: list[str] = []

    def once(event: TaskReceived) -> None:
        heard.append("once")
        end()

    end = bus.subscribe(TaskReceived, once)
    bus.subscribe(TaskReceived, lambda event: heard.append("always"))
    bus.emit(RECEIVED)
    bus.emit(RECEIVED)
    assert heard == ["once", "always", "always"]
