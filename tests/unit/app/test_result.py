"""A result by its id: how far the task is, what it came to, waiting for it."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from celeriac import AsyncResult, Celeriac, Task
from celeriac.app.result import allow_join_result, result_from_tuple
from celeriac.core.codec import encode
from celeriac.core.message import StoredResult
from celeriac.errors import ContentDisallowed, TaskError, TaskRevokedError, TimeoutError
from celeriac.result import RemoteTraceback, agather, gather
from celeriac.testing.clock import VirtualClock
from tests.unit.app.conftest import HandWorker


@dataclass
class Point:
    x: int


class Custom(Exception):
    pass


@pytest.fixture
def add(app: Celeriac) -> Task[[int, int], int]:
    @app.task(name="proj.add")
    def add(x: int, y: int) -> int:
        return x + y

    return add


class TestStates:
    def test_the_broker_knows_what_the_store_does_not(
        self, app: Celeriac, add: Task[..., int], clock: VirtualClock
    ) -> None:
        waiting, later = add.delay(1, 2), add.apply_async((1, 2), countdown=60, queue="other")
        assert (waiting.state, later.state) == ("PENDING", "SCHEDULED")
        app.broker.claim(["celery"], 1, "me", 60)
        assert waiting.state == "RECEIVED"
        assert waiting.status == "RECEIVED"
        assert not waiting.ready()

    def test_a_task_that_nobody_sent_is_pending(self, app: Celeriac) -> None:
        result = app.AsyncResult("nobody")
        assert (result.state, result.ready(), result.failed(), result.result) == ("PENDING", False, False, None)
        assert not result.successful()

    async def test_the_awaitable_twins_say_the_same(self, app: Celeriac, add: Task[..., int]) -> None:
        receipt = add.apply_async((1, 2), countdown=60)
        assert (await receipt.astate(), await receipt.aready()) == ("SCHEDULED", False)
        assert await app.AsyncResult("nobody").astate() == "PENDING"

    def test_without_a_shared_store_only_results_are_known(self, make_app: Callable[..., Celeriac]) -> None:
        app = make_app(backend="memory://results-elsewhere")
        assert not app.results_share_broker

        @app.task
        def add() -> None: ...

        assert add.apply_async(countdown=60).state == "PENDING"

    def test_all_that_is_kept_can_be_read(
        self, app: Celeriac, add: Task[..., int], worker: HandWorker, clock: VirtualClock
    ) -> None:
        receipt = add.delay(1, y=2)
        clock.advance(5)
        worker.run()
        for result in (receipt, app.AsyncResult(receipt.id)):
            assert (result.state, result.result, result.info) == ("SUCCESS", 3, 3)
            assert (result.ready(), result.successful(), result.failed()) == (True, True, False)
            assert (result.name, result.task_name) == ("proj.add", "proj.add")
            assert (result.args, result.kwargs) == ("(1,)", "{'y': 2}")
            assert (result.worker, result.queue, result.retries) == ("hand@test", "celery", 0)
            assert result.runtime == 0
            assert result.date_done == datetime.fromtimestamp(clock.now(), UTC)
            assert (result.traceback, result.children, result.task_id) == (None, [], receipt.id)

    def test_the_time_is_in_the_apps_zone(self, make_app: Callable[..., Celeriac], clock: VirtualClock) -> None:
        app = make_app(timezone="Asia/Tokyo")

        @app.task
        def add() -> None: ...

        receipt = add.delay()
        HandWorker(app, clock).run()
        assert receipt.date_done is not None
        assert receipt.date_done.utcoffset() == app.now().utcoffset()
        assert str(receipt.date_done.tzinfo) == "Asia/Tokyo"

    def test_a_result_is_forgotten(self, app: Celeriac, add: Task[..., int], worker: HandWorker) -> None:
        receipt = add.delay(1, 2)
        worker.run()
        assert receipt.get(timeout=1) == 3
        receipt.forget()
        assert receipt.state == "PENDING"

    def test_a_result_expires(self, make_app: Callable[..., Celeriac], clock: VirtualClock) -> None:
        app = make_app(result_expires=60)

        @app.task
        def add() -> int:
            return 5

        receipt = add.delay()
        HandWorker(app, clock).run()
        other = app.AsyncResult(receipt.id)
        clock.advance(61)
        assert other.state == "PENDING"


class TestGet:
    def test_what_is_there_is_returned(self, app: Celeriac, add: Task[..., int], worker: HandWorker) -> None:
        receipt = add.delay(1, 2)
        worker.run()
        seen: list[Any] = []
        assert receipt.get(callback=lambda task_id, value: seen.append((task_id, value))) == 3
        assert seen == [(receipt.id, 3)]

    def test_a_return_annotation_is_honoured(self, app: Celeriac, worker: HandWorker) -> None:
        @app.task
        def paint() -> Point:
            return Point(5)

        receipt = paint.delay()
        worker.run()
        assert receipt.get(timeout=1) == Point(5)

    def test_a_waiter_is_woken(self, app: Celeriac, add: Task[..., int], worker: HandWorker) -> None:
        receipt = add.delay(1, 2)
        thread = threading.Thread(target=worker.run)
        found: list[int] = []
        waiting = threading.Thread(target=lambda: found.append(receipt.get(timeout=20)))
        waiting.start()
        thread.start()
        thread.join(20)
        waiting.join(20)
        assert found == [3]

    def test_time_runs_out(self, add: Task[..., int]) -> None:
        receipt = add.delay(1, 2)
        with pytest.raises(TimeoutError, match=rf"task {receipt.id} was not over after 0\.01 s"):
            receipt.get(timeout=0.01)
        with pytest.raises(TimeoutError):
            receipt.get(timeout=0)

    async def test_time_runs_out_for_the_awaitable_twin(self, add: Task[..., int]) -> None:
        receipt = add.delay(1, 2)
        with pytest.raises(TimeoutError, match="was not over"):
            await receipt.aget(timeout=0.01)

    def test_an_exception_is_raised_as_its_own_class(self, app: Celeriac, worker: HandWorker) -> None:
        @app.task
        def boom() -> None:
            raise Custom("x", 5)

        receipt = boom.delay()
        worker.run()
        with pytest.raises(Custom) as caught:
            receipt.get(timeout=1)
        assert caught.value.args == ("x", 5)
        assert isinstance(caught.value.__cause__, RemoteTraceback)
        assert "in boom" in str(caught.value.__cause__)
        assert receipt.failed()
        assert repr(receipt.get(propagate=False)) == repr(Custom("x", 5))
        assert "in boom" in str(receipt.traceback)
        # Each reader gets an exception of its own, so that tracebacks do not pile up on one.
        with pytest.raises(Custom) as again:
            receipt.get(timeout=1)
        assert again.value is not caught.value

    def test_a_class_that_is_not_here_has_a_stand_in(self, app: Celeriac) -> None:
        body = encode({"exc_type": "Odd", "exc_module": "elsewhere.errors", "exc_message": ["x"]})
        app.backend.store([StoredResult(id="odd", state="FAILURE", body=body.body)])
        with pytest.raises(TaskError) as caught:
            app.AsyncResult("odd").get(timeout=1)
        assert type(caught.value).__name__ == "Odd"

    def test_what_may_not_be_read_is_refused(self, app: Celeriac) -> None:
        result = StoredResult(
            id="p", state="SUCCESS", body=b"x", content_type="application/x-python-serialize", content_encoding="binary"
        )
        app.backend.store([result])
        with pytest.raises(ContentDisallowed, match="the result of task p:"):
            app.AsyncResult("p").get(timeout=1)
        app.conf.result_accept_content = ["json", "pickle"]
        with pytest.raises(Exception, match="the result of task p: the body is not"):
            app.AsyncResult("p").get(timeout=1)

    def test_each_state_is_told(self, app: Celeriac, worker: HandWorker) -> None:
        seen: list[Any] = []

        @app.task(bind=True)
        def slow(self: Task[..., Any]) -> str:
            self.update_state(state="PROGRESS", meta=1)
            return "done"

        receipt = slow.delay()
        worker.run()
        receipt.get(on_message=lambda meta: seen.append((meta["status"], meta["result"], meta["task_id"])))
        assert seen == [("SUCCESS", "done", receipt.id)]

    def test_an_ignored_result_is_none_at_once(self, app: Celeriac) -> None:
        @app.task(ignore_result=True)
        def quiet() -> None: ...

        @app.task
        def loud() -> None: ...

        assert quiet.delay().get() is None
        assert loud.apply_async(ignore_result=True).get() is None

    async def test_an_ignored_result_is_none_for_the_awaitable_twin(self, app: Celeriac) -> None:
        @app.task(ignore_result=True)
        def quiet() -> None: ...

        receipt: AsyncResult[Any] = await quiet.adelay()
        assert await receipt.aget() is None

    def test_a_parent_that_failed_is_raised_first(self, app: Celeriac, worker: HandWorker) -> None:
        @app.task
        def boom() -> None:
            raise Custom("the parent")

        parent = boom.delay()
        worker.run()
        child = AsyncResult("child", app=app, parent=parent)
        with pytest.raises(Custom, match="the parent"):
            child.get(timeout=1)
        with pytest.raises(TimeoutError):
            child.get(timeout=0, follow_parents=False)


class TestInsideTasks:
    def test_waiting_inside_a_task_is_refused_unless_allowed(
        self, app: Celeriac, add: Task[..., int], worker: HandWorker
    ) -> None:
        done = add.delay(1, 2)
        worker.run()
        seen: list[Any] = []

        @app.task
        def outer() -> None:
            try:
                app.AsyncResult(done.id).get(timeout=1)
            except RuntimeError as exc:
                seen.append(str(exc))
            try:
                gather([app.AsyncResult(done.id)])
            except RuntimeError:
                seen.append("gather")
            seen.append(app.AsyncResult(done.id).get(timeout=1, disable_sync_subtasks=False))
            with allow_join_result():
                seen.append(app.AsyncResult(done.id).get(timeout=1))

        outer.delay()
        worker.run()
        assert "allow_join_result" in seen[0]
        assert seen[1:] == ["gather", 3, 3]

    def test_a_function_call_is_not_inside_a_task(self, app: Celeriac, add: Task[..., int], worker: HandWorker) -> None:
        done = add.delay(1, 2)
        worker.run()

        @app.task
        def outer() -> Any:
            return done.get(timeout=1)

        assert outer() == 3


class TestRevoke:
    def test_a_waiting_task_is_revoked(self, app: Celeriac, add: Task[..., int], worker: HandWorker) -> None:
        receipt = add.delay(1, 2)
        receipt.revoke()
        assert receipt.state == "REVOKED"
        with pytest.raises(TaskRevokedError, match="revoked"):
            receipt.get(timeout=1)
        worker.run()
        assert worker.settled == []

    async def test_the_awaitable_twin_revokes(self, app: Celeriac, add: Task[..., int]) -> None:
        receipt = add.apply_async((1, 2), countdown=60)
        await receipt.arevoke()
        with pytest.raises(TaskRevokedError):
            await receipt.aget(timeout=1)
        assert await receipt.amaybe_throw(propagate=False) is not None
        await receipt.aforget()
        assert await receipt.astate() == "PENDING"


class TestGather:
    def test_values_come_in_the_order_given(self, app: Celeriac, add: Task[..., int], worker: HandWorker) -> None:
        receipts = add.apply_many([(i, 1) for i in range(30)])
        worker.run()
        seen: list[str] = []
        assert gather(receipts, 5, callback=lambda one: seen.append(one.id)) == [i + 1 for i in range(30)]
        assert sorted(seen) == sorted(one.id for one in receipts)
        # Everything is known now, so nobody is asked again.
        app.backend.discard([one.id for one in receipts])
        assert gather(receipts, 0) == [i + 1 for i in range(30)]

    def test_doubles_and_ignored_ones_have_their_places(
        self, app: Celeriac, add: Task[..., int], worker: HandWorker
    ) -> None:
        receipt = add.delay(1, 1)
        ignored = add.apply_async((1, 1), ignore_result=True)
        worker.run()
        assert gather([receipt, app.AsyncResult(receipt.id), ignored, receipt], 1) == [2, 2, None, 2]
        assert gather([]) == []

    def test_the_first_failure_is_raised_when_all_are_over(self, app: Celeriac, worker: HandWorker) -> None:
        @app.task
        def work(i: int) -> int:
            if i % 2:
                raise Custom(i)
            return i

        receipts = work.apply_many([(i,) for i in range(4)])
        worker.run()
        with pytest.raises(Custom) as caught:
            gather(receipts, 5)
        assert caught.value.args == (1,)
        assert [repr(one) for one in gather(receipts, propagate=False)] == ["0", "Custom(1)", "2", "Custom(3)"]

    def test_time_runs_out(self, add: Task[..., int], worker: HandWorker) -> None:
        receipts = add.apply_many([(i, 1) for i in range(3)])
        worker.step()
        with pytest.raises(TimeoutError, match=rf"2 tasks were not over after 0\.01 s, among them {receipts[1].id}"):
            gather(receipts, 0.01)

    async def test_the_awaitable_twin(self, app: Celeriac, add: Task[..., int]) -> None:
        receipts = await add.aapply_many([(i, 1) for i in range(3)])
        body = encode(7)
        await app.async_backend().store([StoredResult(id=one.id, state="SUCCESS", body=body.body) for one in receipts])
        assert await agather(receipts, 5) == [7, 7, 7]


class TestAsValues:
    def test_results_are_equal_by_id(self, app: Celeriac) -> None:
        one, same, other = app.AsyncResult("a"), app.AsyncResult("a"), app.AsyncResult("b")
        assert one == same
        assert one != other
        assert one == "a"
        assert one != 5
        assert len({one, same, other}) == 2
        assert (str(one), repr(one)) == ("a", "<AsyncResult: a>")

    def test_results_can_be_copied_and_kept(self, app: Celeriac) -> None:
        parent = app.AsyncResult("p")
        result = AsyncResult("a", task_name="proj.add", app=app, parent=parent)
        for made in (copy.copy(result), pickle.loads(pickle.dumps(result))):
            assert (made, made.name, made.parent) == (result, "proj.add", parent)
        assert result.as_tuple() == (("a", (("p", None), None)), None)
        assert result.as_list() == ["a", "p"]
        assert result_from_tuple(result.as_tuple(), app).parent == parent
        assert result_from_tuple(result) is result
        for wrong in (5, (), ("a",), "a"):
            with pytest.raises(ValueError, match="as as_tuple"):
                result_from_tuple(wrong)

    def test_an_empty_id_is_refused(self) -> None:
        with pytest.raises(ValueError, match="needs the id"):
            AsyncResult("")
