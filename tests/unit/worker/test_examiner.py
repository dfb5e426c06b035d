"""The examiner tells what is bad, once, until it has been put right and goes wrong again."""

from __future__ import annotations

import logging

import pytest

from celeriac.brokers.port import Finding, Level
from celeriac.events import Bus, TroubleFound
from celeriac.events import log as event_log
from celeriac.worker.examiner import EXAMINE_EVERY, Examiner


def finding(level: Level, subject: str = "eviction", text: str = "it evicts") -> Finding:
    return Finding(level=level, subject=subject, text=text, remedy="" if level == "ok" else "change it")


def test_each_bad_finding_is_told_once_until_it_was_put_right() -> None:
    bus, told = Bus(), list[TroubleFound]()
    bus.subscribe(TroubleFound, told.append)
    found: list[Finding] = []
    examiner = Examiner({"broker": lambda: found}, bus)

    def subjects_told(*now: Finding) -> list[tuple[str, str]]:
        found[:] = now
        told.clear()
        assert examiner.tick() == EXAMINE_EVERY
        return [(event.level, event.subject) for event in told]

    assert subjects_told(finding("ok"), finding("advice", "other")) == []
    assert subjects_told(finding("warning")) == [("warning", "eviction")]
    assert subjects_told(finding("warning", text="it evicts 7 keys a second")) == []
    assert subjects_told(finding("error")) == [("error", "eviction")]
    assert subjects_told(finding("ok")) == []
    assert subjects_told(finding("error")) == [("error", "eviction")]


def test_what_is_told_is_a_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    bus = Bus()
    event_log.subscribe(bus)
    with caplog.at_level(logging.WARNING, "celeriac.worker"):
        Examiner({"result store": lambda: [finding("warning")]}, bus).tick()
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage() == "result store, eviction: it evicts; change it"
