"""A sender's id or task name cannot forge a line of the log or speak to the terminal."""

from __future__ import annotations

import logging

import pytest

from celeriac.events import Bus, TaskDead
from celeriac.events import log as event_log


def test_names_and_ids_are_escaped(caplog: pytest.LogCaptureFixture) -> None:
    bus = Bus()
    event_log.subscribe(bus)
    with caplog.at_level(logging.INFO, "celeriac.task"):
        bus.emit(TaskDead("a\n[forged] line", "na\x1b[31mme", "so"))
        bus.emit(TaskDead("größe", "plain.name", "so"))
    assert [record.getMessage() for record in caplog.records] == [
        "Task na\\x1b[31mme[a\\n[forged] line] is a dead letter now: so",
        "Task plain.name[größe] is a dead letter now: so",
    ]
