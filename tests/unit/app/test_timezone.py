"""``timezone`` and ``enable_utc`` say which zone crontabs and naive times are in, as they do for Celery."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from celeriac import Celeriac
from celeriac.app import times
from celeriac.core.schedule import Crontab
from celeriac.errors import ImproperlyConfigured

Make = Callable[..., Celeriac]
JANUARY, JULY = 1798761600.0, 1814400000.0


@pytest.fixture
def zone_of_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"timezone": "Asia/Tokyo"},
        {"timezone": "UTC"},
        {"enable_utc": False, "timezone": "Asia/Tokyo"},
        {"enable_utc": True, "timezone": "Europe/Berlin"},
        {"enable_utc": False},
    ],
)
def test_the_zone_is_that_of_celery(make_app: Make, zone_of_machine: None, given: dict[str, Any]) -> None:
    theirs = Celery("theirs", set_as_current=False)
    theirs.conf.update(given)
    ours = make_app(**given)
    for moment in (JANUARY, JULY):
        found = datetime.fromtimestamp(moment, ours.timezone)
        if given == {"enable_utc": False}:
            # Theirs is found once in a process, and would be that of another test.
            assert found.replace(tzinfo=None) == datetime.fromtimestamp(moment)  # noqa: DTZ006
        else:
            assert found.utcoffset() == datetime.fromtimestamp(moment, theirs.timezone).utcoffset()
    due = Crontab.parse("0 9 * * *").next_after(JULY, ours.timezone)
    assert due is not None
    assert datetime.fromtimestamp(due, ours.timezone).hour == 9


def test_a_machine_without_a_zone_has_utc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TZ", raising=False)
    monkeypatch.setattr(times, "LOCAL_TIME", tmp_path / "none")
    assert times.local_zone() is UTC
    (tmp_path / "none").write_bytes(b"no zone")
    with pytest.raises(ImproperlyConfigured, match="enable_utc"):
        times.local_zone()


def test_an_unknown_zone_names_the_setting(make_app: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImproperlyConfigured, match="timezone"):
        _ = make_app(timezone="Mars/Base").timezone
    monkeypatch.setenv("TZ", "Mars/Base")
    with pytest.raises(ImproperlyConfigured, match=r"enable_utc.*Mars/Base"):
        _ = make_app(enable_utc=False).timezone
