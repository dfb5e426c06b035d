"""A misspelt environment variable is told of; one that is read, or may be somebody else's, is not."""

from __future__ import annotations

import pytest

from celeriac.cli.environment import misspelt
from celeriac.cli.main import celeriac as commands
from tests.unit.cli.conftest import Celeriac


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("CELERIAC_BROKER_UTL", "did you mean CELERIAC_BROKER_URL?"),
        ("CELERIAC_BROKERURL", "did you mean CELERIAC_BROKER_URL?"),
        ("CELERIAC_WORKER_CONCURENCY", "did you mean CELERIAC_WORKER_CONCURRENCY?"),
        ("CELERIAC_CALL_PRIORITTY", "did you mean CELERIAC_CALL_PRIORITY?"),
        ("CELERIAC_DLQ_LIST_LIMITS", "did you mean CELERIAC_DLQ_LIST_LIMIT?"),
        ("CELERIAC_TASK_ACKS_LATE", "settings are read from the app"),
    ],
)
def test_what_has_no_effect_is_told_of(name: str, hint: str) -> None:
    (text,) = misspelt([name, "PATH", "CELERY_APP"], commands)
    assert name in text
    assert hint in text


def test_what_is_read_or_may_be_anybody_s_is_not() -> None:
    names = ("APP", "BROKER", "BROKER_URL", "RESULT_BACKEND", "CONFIG_MODULE", "WORKER_CONCURRENCY", "DLQ_LIST_QUEUE")
    assert misspelt([f"CELERIAC_{name}" for name in names], commands) == []
    assert misspelt(["CELERIAC_MY_SIGNING_KEY_2026", "MY_CELERIAC_BROKER_UTL"], commands) == []


def test_a_command_notes_it_and_goes_on(celeriac: Celeriac, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERIAC_BROKER_UTL", "sqlite:///other.db")
    done = celeriac("queues")
    assert done.err == (
        "Warning: the environment variable CELERIAC_BROKER_UTL has no effect; did you mean CELERIAC_BROKER_URL?\n"
    )
    assert celeriac("-q", "queues").err == ""
