"""What a task sees and does while it runs: its request, retries, states, hooks, and what follows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from celeriac import Celeriac, Task, current_app, current_task
from celeriac.errors import (
    Ignore,
    ImproperlyConfigured,
    Reject,
    ResultStoreDisabled,
    SerializationError,
)
from celeriac.testing.clock import VirtualClock
from tests.unit.app.conftest import HandWorker

Bound = Task[..., Any]


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


def test_a_bad_setting_is_named_when_the_first_task_is_used(make_app: Callable[..., Celeriac]) -> None:
    app = make_app(timezone="Mars/Olympus")

    @app.task
    def plain() -> None: ...

    with pytest.raises(ImproperlyConfigured, match="setting timezone = 'Mars/Olympus'"):
        plain.delay()
