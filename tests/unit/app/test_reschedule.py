"""``self.reschedule()``: the next run is sent in the step that finishes this one, whatever comes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from celeriac import Celeriac
from celeriac.core.message import Settlement
from celeriac.errors import Ignore, InvalidTaskError, Reject
from celeriac.testing.clock import VirtualClock
from tests.unit.app.conftest import HandWorker


def succeed() -> None:
    """Return."""


def fail() -> None:
    raise ValueError("no")


def ignore() -> None:
    raise Ignore


def reject() -> None:
    raise Reject("no")


@pytest.mark.parametrize("end", [succeed, fail, ignore, reject])
def test_the_next_run_follows_whatever_comes_of_this_one(
    app: Celeriac, worker: HandWorker, clock: VirtualClock, end: Callable[[], None]
) -> None:
    ran: list[tuple[int, float]] = []

    @app.task(bind=True, name="loop", queue="images")
    def loop(self: Any, number: int) -> None:
        ran.append((number, clock.now()))
        if number < 3:
            self.reschedule(10, args=(number + 1,))
        end()

    began = clock.now()
    loop.apply_async((1,), priority=5, headers={"a": "b"})
    first = worker.step()
    assert first is not None
    (following,) = first.follow_ups
    assert (following.queue, following.priority, following.headers) == ("images", 5, {"a": "b"})
    assert following.parent_id == first.lease.id
    worker.run()
    assert ran == [(1, began), (2, began + 10), (3, began + 20)]


def test_a_run_that_is_repeated_asks_for_the_same_next_one(app: Celeriac, worker: HandWorker) -> None:
    asked: list[str | None] = []

    @app.task(bind=True, name="loop", max_retries=1)
    def loop(self: Any) -> None:
        asked.append(self.reschedule(5))
        if len(asked) == 1:
            self.retry(countdown=1)

    loop.delay()
    first = worker.step()
    assert first is not None
    assert first.follow_ups == (), "nothing follows a retry"
    app.clock.advance(1)  # type: ignore[attr-defined]
    app.broker.promote(10)
    assert worker.step() is not None
    assert asked[0] == asked[1]
    assert [record.id for record in app.broker.page(["SCHEDULED"], None, 0, 10)] == [asked[0]]


def test_the_last_call_counts_and_callbacks_follow_as_well(app: Celeriac, worker: HandWorker) -> None:
    @app.task(name="after")
    def after(value: int) -> int:
        return value

    @app.task(bind=True, name="loop")
    def loop(self: Any, number: int = 0) -> int:
        self.reschedule(5, kwargs={"number": 1}, args=())
        self.reschedule(7, kwargs={"number": 2}, args=())
        return number

    loop.apply_async((0,), link=after.s())
    first: Settlement | None = worker.step()
    assert first is not None
    assert [message.task for message in first.follow_ups] == ["loop", "after"]
    assert b'"number":2' in first.follow_ups[0].body


def test_called_like_a_function_or_eagerly_nothing_follows(make_app: Callable[..., Celeriac]) -> None:
    app = make_app(task_always_eager=True)

    @app.task(bind=True, name="loop")
    def loop(self: Any) -> str | None:
        found: str | None = self.reschedule(5)
        return found

    assert loop() is None
    assert loop.delay().get() is None


def test_what_cannot_be_sent_is_told_at_the_call(app: Celeriac, worker: HandWorker) -> None:
    @app.task(bind=True, name="loop")
    def loop(self: Any) -> None:
        with pytest.raises(InvalidTaskError):
            self.reschedule(5, priority=99)
        with pytest.raises(TypeError, match="arguments"):
            self.reschedule(5, args=(1, 2))

    loop.delay()
    settled = worker.step()
    assert settled is not None
    assert settled.result is not None
    assert settled.result.state == "SUCCESS"
    assert settled.follow_ups == ()
