"""Trying again: when, how often, with what; and what happens when there are no tries left."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from celeriac import Celeriac, Task
from celeriac.core.codec import decode_args
from celeriac.errors import (
    InvalidTaskError,
    MaxRetriesExceededError,
    Retry,
    SerializationError,
)
from celeriac.testing.clock import VirtualClock
from tests.unit.app.conftest import HandWorker, sent

Bound = Task[..., Any]


class Seeded:
    """A source of chance that always says the same."""

    def random(self) -> float:
        return 0.5


class TestRetry:
    def test_it_is_tried_again_until_it_returns(self, app: Celeriac, worker: HandWorker, clock: VirtualClock) -> None:
        seen: list[Any] = []

        @app.task(bind=True, default_retry_delay=10)
        def flaky(self: Bound, x: int) -> str:
            seen.append((clock.now(), self.request.retries, self.request.id, self.request.args))
            if self.request.retries < 2:
                raise self.retry(exc=ValueError("not yet"))
            return "done"

        start = clock.now()
        receipt = flaky.apply_async((7,), priority=4, headers={"h": 1})
        worker.run()
        assert receipt.get(timeout=1) == "done"
        assert seen == [(start + 10 * n, n, receipt.id, [7]) for n in range(3)]
        assert receipt.retries == 2
        again = worker.settled[0].message
        assert again is not None
        assert (again.id, again.priority, again.headers) == (receipt.id, 4, {"h": 1})

    def test_while_it_waits_its_state_is_retry(self, app: Celeriac, worker: HandWorker) -> None:
        @app.task(bind=True)
        def flaky(self: Bound) -> None:
            raise self.retry(exc=ValueError("not yet"), countdown=60)

        receipt = flaky.delay()
        worker.step()
        assert receipt.state == "RETRY"
        assert isinstance(receipt.result, ValueError)

    @pytest.mark.parametrize(
        ("given", "seconds"),
        [
            ({}, 180.0),
            ({"countdown": 5}, 5.0),
            ({"countdown": 0}, 0.0),
            ({"countdown": timedelta(minutes=1)}, 60.0),
            ({"eta": datetime.fromtimestamp(1_800_000_090, UTC)}, 90.0),
        ],
    )
    def test_when_is_said_by_the_call_or_the_task(
        self, app: Celeriac, worker: HandWorker, given: Any, seconds: float
    ) -> None:
        @app.task(bind=True)
        def flaky(self: Bound) -> None:
            raise self.retry(**given)

        flaky.delay()
        settlement = worker.step()
        assert settlement is not None
        assert settlement.due == 1_800_000_000 + seconds

    @pytest.mark.parametrize(
        ("when", "seconds"), [(None, 180.0), (5, 5.0), (datetime.fromtimestamp(1_800_000_060, UTC), 60.0)]
    )
    def test_the_exception_alone_is_enough(self, app: Celeriac, worker: HandWorker, when: Any, seconds: float) -> None:
        @app.task
        def flaky() -> None:
            raise Retry("later", when=when)

        flaky.delay()
        settlement = worker.step()
        assert settlement is not None
        assert settlement.due == 1_800_000_000 + seconds
        assert settlement.message is not None
        assert settlement.message.retries == 1

    def test_the_backoff_of_the_task_is_honoured(self, make_app: Callable[..., Celeriac], clock: VirtualClock) -> None:
        app = make_app(rng=Seeded())
        worker = HandWorker(app, clock)

        @app.task(bind=True, retry_backoff=10, retry_backoff_max=35, retry_jitter=False, max_retries=4)
        def steady(self: Bound) -> None:
            raise self.retry(exc=ValueError())

        @app.task(autoretry_for=(ValueError,), retry_backoff=10, max_retries=2)
        def automatic() -> None:
            raise ValueError

        start = clock.now()
        steady.delay()
        worker.run()
        assert delays(worker, start) == [10, 20, 35, 35]
        worker.settled.clear()
        start = clock.now()
        automatic.delay()
        worker.run()
        assert delays(worker, start) == [5, 10]

    def test_when_no_tries_are_left_the_cause_is_raised(self, app: Celeriac, worker: HandWorker) -> None:
        @app.task(bind=True, max_retries=1)
        def flaky(self: Bound, with_cause: bool) -> None:
            try:
                raise ValueError("the cause")
            except ValueError as exc:
                raise self.retry(exc=exc if with_cause else None) from exc

        one, other = flaky.delay(True), flaky.delay(False)
        worker.run()
        with pytest.raises(ValueError, match="the cause"):
            one.get(timeout=1)
        with pytest.raises(MaxRetriesExceededError, match=r"was retried 1 times, which is its limit \(max_retries=1\)"):
            other.get(timeout=1)

    def test_the_call_may_set_the_limit(self, app: Celeriac, worker: HandWorker) -> None:
        @app.task(bind=True, max_retries=None)
        def flaky(self: Bound) -> None:
            self.retry(max_retries=2, countdown=0)

        receipt = flaky.delay()
        worker.run()
        assert receipt.retries == 2
        assert receipt.state == "FAILURE"

    def test_the_next_try_may_differ(self, app: Celeriac, worker: HandWorker) -> None:
        seen: list[Any] = []

        @app.task(bind=True, name="change")
        def change(self: Bound, x: int, y: int = 0) -> None:
            seen.append((x, y, dict(self.request.headers or {})))
            if not self.request.retries:
                self.retry((2,), {"y": 3}, countdown=1, queue="images", priority=9, headers={"again": 1}, time_limit=7)

        receipt = change.delay(1)
        worker.step()
        message = sent(app, receipt.id)
        assert (message.queue, message.priority, message.timelimit) == ("images", 9, (7.0, None))
        assert (message.argsrepr, message.kwargsrepr) == ("(2,)", "{'y': 3}")
        worker.run()
        assert seen == [(1, 0, {}), (2, 3, {"again": 1})]

    def test_a_retry_keeps_what_follows(self, app: Celeriac, worker: HandWorker) -> None:
        seen: list[Any] = []

        @app.task
        def after(value: int) -> None:
            seen.append(value)

        @app.task(bind=True)
        def change(self: Bound, x: int) -> int:
            if not self.request.retries:
                self.retry((5,), countdown=1)
            return x

        change.apply_async((1,), link=after.s())
        worker.run()
        assert seen == [5]

    def test_it_may_wait_until_the_task_returns(self, app: Celeriac, worker: HandWorker) -> None:
        seen: list[str] = []

        @app.task(bind=True)
        def flaky(self: Bound) -> str:
            if not self.request.retries:
                assert isinstance(self.retry(throw=False, countdown=1), Retry)
            seen.append("cleaned up")
            return "value"

        receipt = flaky.delay()
        worker.run()
        assert seen == ["cleaned up", "cleaned up"]
        assert receipt.get(timeout=1) == "value"

    def test_a_function_call_raises_what_went_wrong(self, app: Celeriac) -> None:
        @app.task(bind=True)
        def flaky(self: Bound, how: str) -> None:
            try:
                raise ValueError("the cause")
            except ValueError as exc:
                if how == "given":
                    self.retry(exc=KeyError("given"))
                raise self.retry() from exc

        with pytest.raises(KeyError, match="given"):
            flaky("given")
        with pytest.raises(ValueError, match="the cause"):
            flaky("handled")

        @app.task(bind=True)
        def bare(self: Bound) -> None:
            self.retry()

        with pytest.raises(Retry, match="called like a function"):
            bare()

    @pytest.mark.parametrize(
        ("given", "error", "words"),
        [
            ({"countdwn": 1}, TypeError, "retry of task 'proj.flaky' got an unknown option 'countdwn'"),
            ({"task_id": "other"}, TypeError, "keeps the task id"),
            ({"countdown": "soon"}, InvalidTaskError, "countdown='soon'"),
            ({"countdown": 1, "eta": datetime(2030, 1, 1, tzinfo=UTC)}, InvalidTaskError, "give one of them"),
            ({"queue": ""}, InvalidTaskError, "retry of task 'proj.flaky': queue=''"),
            ({"args": ({1},)}, SerializationError, "set"),
            ({"args": "abc"}, TypeError, "must be a list or tuple"),
        ],
    )
    def test_a_retry_that_cannot_be_made_is_a_failure_that_says_why(
        self, app: Celeriac, worker: HandWorker, given: Any, error: type[Exception], words: str
    ) -> None:
        @app.task(bind=True, name="proj.flaky")
        def flaky(self: Bound, x: Any = None) -> None:
            self.retry(**given)

        receipt = flaky.delay()
        worker.run()
        with pytest.raises(error, match=words):
            receipt.get(timeout=1)


def delays(worker: HandWorker, start: float) -> list[float]:
    """Return the seconds before each retry."""
    moments = [start, *(one.due for one in worker.settled if one.action == "retry" and one.due is not None)]
    return [round(after - before, 3) for before, after in itertools.pairwise(moments)]


def test_the_body_of_a_retry_keeps_its_encoding(make_app: Callable[..., Celeriac], clock: VirtualClock) -> None:
    app = make_app(task_serializer="msgpack", task_compression="gzip", accept_content=["json", "msgpack"])

    @app.task(bind=True)
    def change(self: Bound, x: Any) -> Any:
        if not self.request.retries:
            self.retry((b"\x00",), countdown=1)
        return None

    receipt = change.delay(1)
    HandWorker(app, clock).step()
    message = sent(app, receipt.id)
    assert (message.content_type, message.compression) == ("application/x-msgpack", "application/x-gzip")
    args, _, _ = decode_args(
        message.body,
        message.content_type,
        message.content_encoding,
        compression=message.compression,
        accept=frozenset({message.content_type}),
    )
    assert args == [b"\x00"]
