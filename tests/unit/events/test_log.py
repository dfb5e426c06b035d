"""Events as log lines: nothing that goes wrong is silent, and nothing routine is loud."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from celeriac.events import (
    Bus,
    ChildExited,
    ChildStarted,
    HookFailed,
    LeaseLost,
    ServiceFailed,
    ServiceRecovered,
    ShutdownPhase,
    StraysFound,
    TaskDead,
    TaskFailed,
    TaskIgnored,
    TaskParked,
    TaskReceived,
    TaskReleased,
    TaskRetried,
    TaskRevoked,
    TaskSucceeded,
    WorkerReady,
)
from celeriac.events import log as event_log
from celeriac.events.names import Event
from tests.support.bench import EVENTS


def lines(caplog: pytest.LogCaptureFixture, level: int, *events: Event) -> list[tuple[str, str]]:
    """Return (level, text) of what these events log where the loggers let this level through."""
    with caplog.at_level(level, "celeriac"):
        bus = Bus()
        event_log.subscribe(bus)
        for event in events:
            bus.emit(event)
    return [(record.levelname, record.getMessage()) for record in caplog.records]


@pytest.mark.parametrize(
    ("event", "level", "parts"),
    [
        (TaskReceived("i1", "work"), "INFO", ["work[i1]", "received"]),
        (TaskSucceeded("i1", "work", 0.25, {"a": 1}), "INFO", ["work[i1]", "succeeded in 0.250000s", "{'a': 1}"]),
        (TaskIgnored("i1", "work"), "INFO", ["work[i1]", "ignored"]),
        (TaskRetried("i1", "work", 30.0, 2, ValueError("x")), "INFO", ["work[i1]", "retry 2 in 30.0s", "ValueError"]),
        (
            TaskFailed("i1", "work", 0.5, ValueError("x"), "Traceback: here", False, "(1,)", "{'k': 2}"),
            "ERROR",
            ["work[i1]", "failed in 0.500000s", "ValueError('x')", "(1,)", "{'k': 2}", "Traceback: here"],
        ),
        (TaskFailed("i1", "work", 0.5, ValueError("x"), "Traceback: here", True), "INFO", ["work[i1]", "expected"]),
        (TaskRevoked("i1", "work", "expired"), "WARNING", ["work[i1]", "expired"]),
        (TaskParked("i1", "work", 5.0, 300.0), "ERROR", ["work[i1]", "not registered", "in 5.0s", "in 300.0s"]),
        (TaskDead("i1", "work", "the reason"), "ERROR", ["work[i1]", "dead letter", "the reason"]),
        (HookFailed("i1", "work", "on_success", "Traceback: hook"), "ERROR", ["work[i1]", "on_success", "Traceback"]),
        (ServiceFailed("reaper", "OSError: gone", 1.5), "WARNING", ["reaper", "OSError: gone", "1.5s"]),
        (ServiceRecovered("reaper", 12.0), "WARNING", ["reaper", "12.0s"]),
        (ChildStarted("w#1/1", 42), "INFO", ["w#1/1", "42"]),
        (ChildExited("w#1/1", 42, "is done", True), "INFO", ["w#1/1", "42", "is done"]),
        (ChildExited("w#1/1", 42, "was killed", False), "ERROR", ["w#1/1", "42", "was killed"]),
        (LeaseLost(("i1", "i2"), "w#1/1"), "WARNING", ["w#1/1", "2 task(s)", "i1, i2"]),
        (LeaseLost((), "w#1/1"), "WARNING", ["w#1/1", "had run out"]),
        (StraysFound(("i1", "i2"), "w#1/1"), "WARNING", ["w#1/1", "2 task(s)", "i1, i2", "given back"]),
        (ShutdownPhase("claiming has stopped"), "WARNING", ["claiming has stopped"]),
        (WorkerReady("w@host"), "INFO", ["w@host ready"]),
        (TaskReleased("i1", "work", "claimed ahead"), "DEBUG", ["work[i1]", "claimed ahead"]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Event) else None,
)
def test_each_event_has_its_line(caplog: pytest.LogCaptureFixture, event: Event, level: str, parts: list[str]) -> None:
    ((found, text),) = lines(caplog, logging.DEBUG, event)
    assert found == level
    for part in parts:
        assert part in text


def test_failures_are_logged_with_their_traceback_at_the_default_level(caplog: pytest.LogCaptureFixture) -> None:
    found = lines(
        caplog,
        logging.WARNING,
        TaskReceived("i1", "work"),
        TaskFailed("i1", "work", 0.5, ValueError("x"), "Traceback: here"),
        TaskSucceeded("i1", "work", 0.5),
    )
    assert [level for level, _ in found] == ["ERROR"]
    assert "Traceback: here" in found[0][1]


def test_routine_events_are_not_even_made_where_nobody_would_see_them() -> None:
    logger = logging.getLogger("celeriac")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        bus = Bus()
        event_log.subscribe(bus)
        wanted = {kind for kind in EVENTS if bus.wanted(kind)}
    finally:
        logger.setLevel(before)
    assert not wanted & {TaskReceived, TaskSucceeded, TaskIgnored, TaskRetried, TaskReleased}
    assert {TaskFailed, TaskDead, TaskParked, HookFailed, TaskRevoked, ServiceFailed, ChildExited} <= wanted


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("value", "shown"),
    [("x" * 10_000, "..."), (Hostile(), "Hostile"), (None, "None")],
    ids=["long", "hostile", "none"],
)
def test_return_values_are_shown_in_short(caplog: pytest.LogCaptureFixture, value: Any, shown: str) -> None:
    ((_, text),) = lines(caplog, logging.INFO, TaskSucceeded("i1", "work", 0.1, value))
    assert shown in text
    assert len(text) < 400


def test_many_lost_tasks_are_not_all_named(caplog: pytest.LogCaptureFixture) -> None:
    ((_, text),) = lines(caplog, logging.INFO, LeaseLost(tuple(f"id-{n}" for n in range(500)), "w#1/1"))
    assert "500 task(s)" in text
    assert len(text) < 200


class HostileError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


def test_error_that_cannot_be_shown_is_logged_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    found = lines(
        caplog,
        logging.INFO,
        TaskFailed("i1", "work", 0.5, HostileError(), "Traceback: here"),
        TaskRetried("i2", "work", 1.0, 1, HostileError()),
        TaskFailed("i3", "work", 0.5, HostileError(), "Traceback: here", True),
    )
    assert [level for level, _ in found] == ["ERROR", "INFO", "INFO"]
    assert all("HostileError" in text for _, text in found)
