"""Signals of a run that a worker seldom sends, and the burst of uploads that needs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from celeriac import Celeriac, signals
from celeriac.core.message import Delivery, Lease, Message
from celeriac.errors import Reject, Terminated
from celeriac.execution.conclude import settle_crash

RUN = ("task_prerun", "task_postrun", "task_success", "task_failure", "task_revoked", "task_internal_error")


@pytest.fixture
def told() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    found: list[tuple[str, dict[str, Any]]] = []
    for name in RUN:
        getattr(signals, name).connect(lambda name=name, **named: found.append((name, named)), weak=False)
    yield found
    for name in RUN:
        getattr(signals, name).receivers = ()


@pytest.fixture
def app(make_app: Callable[..., Celeriac]) -> Celeriac:
    return make_app(task_always_eager=True)


def test_an_error_outside_of_every_rule(app: Celeriac, told: list[tuple[str, dict[str, Any]]]) -> None:
    @app.task(name="t")
    def t() -> None: ...

    error = RuntimeError("late interrupt")
    delivery = Delivery(Message(id="1", task="t"), Lease("1", "me", 1))
    settle_crash(delivery, app.worker_surroundings("n@h"), error)
    ((name, named),) = told
    assert name == "task_internal_error"
    assert named["sender"] is app.tasks["t"]
    assert (named["task_id"], named["exception"], named["request"].id) == ("1", error, "1")


@pytest.mark.parametrize(
    ("error", "words", "state"),
    [
        (None, ["task_prerun", "task_success", "task_postrun"], "SUCCESS"),
        (ValueError("no"), ["task_prerun", "task_failure", "task_postrun"], "FAILURE"),
        (Reject("no"), ["task_prerun", "task_postrun"], "REJECTED"),
        (Terminated("stop"), ["task_prerun", "task_revoked", "task_postrun"], "REVOKED"),
    ],
)
def test_an_eager_task_sends_them_too(
    app: Celeriac,
    told: list[tuple[str, dict[str, Any]]],
    error: Exception | None,
    words: list[str],
    state: str,
) -> None:
    @app.task
    def t() -> int:
        if error is not None:
            raise error
        return 5

    t.delay()
    assert [name for name, _ in told] == words
    assert told[-1][1]["state"] == state
    assert told[-1][1]["retval"] == {"SUCCESS": 5, "FAILURE": error}.get(state)
    assert all(named["sender"] is app.tasks[t.name] for _, named in told)


def test_a_value_that_is_no_result_is_a_failure(app: Celeriac, told: list[tuple[str, dict[str, Any]]]) -> None:
    @app.task
    def t() -> object:
        return object()

    t.delay()
    assert [name for name, _ in told] == ["task_prerun", "task_failure", "task_postrun"]
    assert told[-1][1]["state"] == "FAILURE"
    assert isinstance(told[-1][1]["retval"], Exception)
