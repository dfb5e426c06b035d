"""What a task sees and does while it runs: its request, retries, states, hooks, and what follows it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from celeriac import Celeriac, Task, current_app, current_task
from celeriac.core.codec import decode_args
from celeriac.errors import (
    Ignore,
    ImproperlyConfigured,
    InvalidTaskError,
    MaxRetriesExceededError,
    Reject,
    ResultStoreDisabled,
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


def test_a_task_sees_its_request(app: Celeriac, worker: HandWorker, clock: VirtualClock) -> None:
    seen: dict[str, Any] = {}

    @app.task(bind=True, name="look")
    def look(self: Bound, x: int) -> None:
        request = self.request
        for name in ("id", "task", "args", "kwargs", "retries", "called_directly", "is_eager", "hostname", "attempt"):
            seen[name] = getattr(request, name)
        seen["current"] = current_task.name
        seen["app"] = current_app.main
        seen["headers"] = request.headers

    receipt = look.apply_async((1,), headers={"tenant": 5})
    worker.run()
    assert seen == {
        "id": receipt.id,
        "task": "look",
        "args": [1],
        "kwargs": {},
        "retries": 0,
        "called_directly": False,
        "is_eager": False,
        "hostname": "hand@test",
        "attempt": 1,
        "current": "look",
        "app": "proj",
        "headers": {"tenant": 5},
    }


def test_a_task_called_as_a_function_has_a_request_of_its_own(app: Celeriac) -> None:
    @app.task(bind=True)
    def look(self: Bound, x: int, *, y: int) -> Any:
        return self.request.called_directly, self.request.args, self.request.kwargs, self.request.id

    assert look(1, y=2) == (True, (1,), {"y": 2}, None)
    assert look.request.args is None


def test_a_task_does_not_see_the_request_of_another(app: Celeriac, worker: HandWorker) -> None:
    @app.task(bind=True)
    def inner(self: Bound) -> Any:
        return self.request.called_directly

    seen: list[Any] = []

    @app.task(bind=True)
    def outer(self: Bound) -> None:
        seen.extend([inner(), inner.request.id, self.request.id])

    receipt = outer.delay()
    worker.run()
    assert seen == [True, None, receipt.id]


def test_a_class_with_its_own_call_sees_the_delivered_request(app: Celeriac, worker: HandWorker) -> None:
    seen: list[Any] = []

    class Traced(Task[..., Any]):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            seen.append(("call", self.request.id))
            return super().__call__(*args, **kwargs)

    @app.task(base=Traced, bind=True)
    def work(self: Bound, again: bool) -> None:
        seen.append(("run", self.request.id))
        if again:
            self(False)

    receipt = work.delay(True)
    worker.run()
    # The second call is one like that of any function: it has a request without an id.
    assert seen == [("call", receipt.id), ("run", receipt.id), ("call", receipt.id), ("run", None)]


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


class TestStates:
    def test_a_state_of_ones_own_has_meta(self, app: Celeriac, worker: HandWorker) -> None:
        seen: list[Any] = []

        @app.task(bind=True)
        def slow(self: Bound) -> None:
            self.update_state(state="PROGRESS", meta={"done": 3, "of": 10})
            seen.append((receipt.state, receipt.info, receipt.ready()))

        receipt = slow.delay()
        worker.run()
        assert seen == [("PROGRESS", {"done": 3, "of": 10}, False)]
        assert receipt.state == "SUCCESS"

    async def test_the_awaitable_twin_stores_it_too(self, app: Celeriac) -> None:
        @app.task
        def slow() -> None: ...

        await slow.aupdate_state("some-id", "PROGRESS", 5)
        assert slow.AsyncResult("some-id").info == 5
        await slow.aupdate_state("some-id", "FAILURE", ValueError("x"))
        assert repr(slow.AsyncResult("some-id").result) == "ValueError('x')"

    def test_a_task_may_say_itself_that_it_failed(self, app: Celeriac, worker: HandWorker) -> None:
        @app.task(bind=True)
        def slow(self: Bound) -> None:
            self.update_state(state="FAILURE", meta={"exc_type": "ValueError", "exc_message": ["mine"]})
            raise Ignore

        receipt = slow.delay()
        worker.run()
        assert receipt.state == "FAILURE"
        with pytest.raises(Exception, match="mine"):
            receipt.get(timeout=1)

    def test_what_is_missing_is_named(self, app: Celeriac) -> None:
        @app.task(bind=True, name="slow")
        def slow(self: Bound) -> None:
            self.update_state(state="PROGRESS")

        with pytest.raises(ValueError, match="update_state of task 'slow' needs task_id="):
            slow()
        with pytest.raises(ValueError, match="needs state="):
            slow.update_state("id")
        with pytest.raises(SerializationError, match="the meta of task 'slow'"):
            slow.update_state("id", "PROGRESS", {1, 2})

    def test_without_a_backend_it_is_said_once(
        self, make_app: Callable[..., Celeriac], clock: VirtualClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        app = make_app(backend="disabled://")

        @app.task(bind=True, name="slow")
        def slow(self: Bound) -> None:
            self.update_state(state="PROGRESS")

        slow.delay()
        receipt = slow.delay()
        HandWorker(app, clock).run()
        told = [one.getMessage() for one in caplog.records if "update_state" in one.getMessage()]
        assert told == ["task slow calls update_state, which does nothing: the app has no result backend"]
        with pytest.raises(ResultStoreDisabled, match="no result backend"):
            receipt.get(timeout=1)
        with pytest.raises(ResultStoreDisabled):
            _ = slow.AsyncResult("x").state


class TestHooks:
    def test_each_is_called_with_what_happened(self, app: Celeriac, worker: HandWorker) -> None:
        seen: list[Any] = []

        class Base(Task[..., Any]):
            def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
                seen.append(("before_start", args, kwargs))

            def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
                seen.append(("on_success", retval))

            def on_failure(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
                seen.append(("on_failure", repr(exc), "ValueError" in einfo.traceback))

            def on_retry(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
                seen.append(("on_retry", repr(exc)))

            def after_return(self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
                seen.append(("after_return", status))

        @app.task(base=Base, bind=True, max_retries=1)
        def work(self: Bound, fail: bool) -> str:
            if fail:
                self.retry(exc=ValueError("no"), countdown=1)
            return "yes"

        work.delay(False)
        worker.run()
        assert seen == [("before_start", [False], {}), ("on_success", "yes"), ("after_return", "SUCCESS")]
        seen.clear()
        work.delay(True)
        worker.run()
        assert [one[0] for one in seen if one[0] != "after_return"] == [
            "before_start",
            "on_retry",
            "before_start",
            "on_failure",
        ]
        assert seen[-2:] == [("on_failure", "ValueError('no')", True), ("after_return", "FAILURE")]

    def test_hooks_that_nobody_overrides_are_not_called(self, app: Celeriac) -> None:
        @app.task
        def plain() -> None: ...

        assert app.tasks[plain.name].hooks == frozenset()


class TestFollowUps:
    def test_links_get_the_value(self, app: Celeriac, worker: HandWorker) -> None:
        seen: list[Any] = []

        @app.task
        def after(*args: Any, **kwargs: Any) -> None:
            seen.append((args, kwargs))

        @app.task
        def first() -> int:
            return 5

        receipt = first.apply_async(
            link=[after.s(1, k=2), after.si("fixed"), after.s().set(queue="images", priority=3, countdown=5)]
        )
        worker.run()
        assert seen == [((5, 1), {"k": 2}), (("fixed",), {}), ((5,), {})]
        assert len(receipt.children) == 3
        assert all(one.successful() for one in receipt.children)
        assert worker.settled[0].follow_ups[2].queue == "images"

    def test_links_are_children_in_the_family(self, app: Celeriac, worker: HandWorker) -> None:
        @app.task
        def after(value: Any) -> None: ...

        @app.task
        def first() -> None: ...

        receipt = first.apply_async(link=after.s(), root_id="root")
        worker.step()
        (message,) = worker.settled[0].follow_ups
        assert (message.parent_id, message.root_id) == (receipt.id, "root")

    def test_the_same_end_of_a_task_makes_the_same_messages(self, app: Celeriac) -> None:
        follow_ups = app.worker_surroundings("x").follow_ups

        @app.task
        def after(value: Any) -> None: ...

        parent = sent(app, after.apply_async((1,), task_id="p").id)
        made = [follow_ups.callbacks([dict(after.s()), dict(after.s())], parent, 5) for _ in range(2)]
        assert [one.id for one in made[0]] == [one.id for one in made[1]]
        assert made[0][0].id != made[0][1].id

    def test_links_of_links_follow_in_turn(self, app: Celeriac, worker: HandWorker) -> None:
        seen: list[int] = []

        @app.task
        def add(x: int, y: int) -> int:
            seen.append(x + y)
            return x + y

        last = add.s(100)
        second = add.s(10)
        second.link(last)
        add.apply_async((1, 1), link=second)
        worker.run()
        assert seen == [2, 12, 112]

    def test_a_link_to_a_task_that_is_elsewhere_is_sent(self, app: Celeriac, worker: HandWorker) -> None:
        @app.task
        def first() -> int:
            return 5

        first.apply_async(link=app.signature("elsewhere.mail", options={"queue": "mail"}))
        worker.step()
        (message,) = worker.settled[0].follow_ups
        assert (message.task, message.queue, message.argsrepr) == ("elsewhere.mail", "mail", "(5,)")

    def test_errbacks_of_both_kinds(self, app: Celeriac, worker: HandWorker) -> None:
        seen: list[Any] = []

        @app.task
        def new_style(request: Any, exc: BaseException, traceback: str) -> None:
            seen.append((request.id, repr(exc), "ValueError" in traceback))

        @app.task
        async def new_style_coroutine(request: Any, exc: BaseException, traceback: str) -> None:
            seen.append(("coroutine", request.id))

        @app.task
        def old_style(task_id: str) -> None:
            seen.append(("old", task_id))

        @app.task
        def immutable() -> None:
            seen.append("immutable")

        @app.task
        def boom() -> None:
            raise ValueError("x")

        receipt = boom.apply_async(link_error=[new_style.s(), old_style.s(), immutable.si(), new_style_coroutine.s()])
        worker.step()
        assert seen == [(receipt.id, "ValueError('x')", True), ("coroutine", receipt.id)]
        worker.run()
        assert seen[2:] == [("old", receipt.id), "immutable"]

    def test_links_are_not_followed_after_a_failure_nor_errbacks_after_a_success(
        self, app: Celeriac, worker: HandWorker
    ) -> None:
        seen: list[str] = []

        @app.task
        def note(word: str, *rest: Any) -> None:
            seen.append(word)

        @app.task
        def work(fail: bool) -> str:
            if fail:
                raise ValueError
            return "value"

        for fail in (True, False):
            work.apply_async((fail,), link=note.si("link"), link_error=note.si("error"))
        worker.run()
        assert seen == ["error", "link"]


def test_rejected_tasks_are_dead_letters(app: Celeriac, worker: HandWorker) -> None:
    @app.task
    def refuse() -> None:
        raise Reject("no thanks", requeue=False)

    receipt = refuse.delay()
    worker.run()
    assert receipt.state == "REJECTED"
    assert app.broker.page(["DEAD"], None, 0, 10)[0].id == receipt.id
    with pytest.raises(Exception, match="no thanks"):
        receipt.get(timeout=1)


def test_an_expired_task_does_not_run(app: Celeriac, worker: HandWorker, clock: VirtualClock) -> None:
    @app.task(expires=5)
    def slow() -> None:
        raise AssertionError

    receipt = slow.delay()
    clock.advance(6)
    worker.run()
    assert receipt.state == "REVOKED"


def test_what_a_message_says_wins_over_the_task(app: Celeriac, worker: HandWorker) -> None:
    @app.task(ignore_result=True)
    def quiet() -> int:
        return 5

    one, other = quiet.delay(), quiet.apply_async(ignore_result=False)
    worker.run()
    assert one.get() is None
    assert one.state == "PENDING"
    assert other.get(timeout=1) == 5


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


def test_a_bad_setting_is_named_when_the_first_task_is_used(make_app: Callable[..., Celeriac]) -> None:
    app = make_app(timezone="Mars/Olympus")

    @app.task
    def plain() -> None: ...

    with pytest.raises(ImproperlyConfigured, match="setting timezone = 'Mars/Olympus'"):
        plain.delay()
