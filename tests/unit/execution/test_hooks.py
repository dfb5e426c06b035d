"""Hooks and follow-ups: what is called when, and that nothing they do changes how the task ended."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import pytest

from celeriac import Task
from celeriac.core import state
from celeriac.core.message import Settlement
from celeriac.errors import Ignore, Reject, Terminated
from celeriac.events import HookFailed, TaskFailed, TaskSucceeded
from celeriac.execution.context import current_request
from tests.support.bench import Bench, error, stored


class Telling(Task[..., Any]):
    """Writes down every hook with what it is given."""

    told: list[tuple[Any, ...]]

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        self.told.append(("before_start", task_id, args, kwargs))

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        self.told.append(("on_success", retval, task_id, args, kwargs))

    def on_failure(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        self.told.append(("on_failure", repr(exc), task_id, args, kwargs, einfo.type, str(einfo) != ""))

    def on_retry(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        self.told.append(("on_retry", repr(exc), task_id, args, kwargs))

    def after_return(self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        request = current_request.get()
        self.told.append(("after_return", status, repr(retval), request is not None and request.id))


@pytest.fixture
def bench() -> Bench:
    Telling.told = []
    return Bench()


def test_hooks_of_a_success_in_order(bench: Bench) -> None:
    @bench.task(base=Telling)
    def work(x: int, *, y: int) -> int:
        Telling.told.append(("run",))
        return x + y

    bench.run(1, kwargs={"y": 2})
    assert Telling.told == [
        ("before_start", "id-1", [1], {"y": 2}),
        ("run",),
        ("on_success", 3, "id-1", [1], {"y": 2}),
        ("after_return", state.SUCCESS, "3", "id-1"),
    ]


def test_hooks_of_a_failure_in_order(bench: Bench) -> None:
    @bench.task(base=Telling)
    def work() -> NoReturn:
        raise ValueError("x")

    bench.run()
    assert Telling.told == [
        ("before_start", "id-1", [], {}),
        ("on_failure", "ValueError('x')", "id-1", [], {}, ValueError, True),
        ("after_return", state.FAILURE, "ValueError('x')", "id-1"),
    ]


def test_hooks_of_a_retry(bench: Bench) -> None:
    @bench.task(base=Telling, autoretry_for=(ValueError,))
    def work() -> NoReturn:
        raise ValueError("x")

    bench.run()
    assert Telling.told == [
        ("before_start", "id-1", [], {}),
        ("on_retry", "ValueError('x')", "id-1", [], {}),
    ]


@pytest.mark.parametrize("exc", [Ignore(), Reject("no"), Terminated("terminated")])
def test_no_hook_is_called_for_what_is_neither_success_nor_failure(bench: Bench, exc: Exception) -> None:
    @bench.task(base=Telling)
    def work() -> NoReturn:
        raise exc

    bench.run()
    assert [entry[0] for entry in Telling.told] == ["before_start"]


def test_hooks_of_a_return_value_that_cannot_be_encoded_are_those_of_a_failure(bench: Bench) -> None:
    @bench.task(base=Telling)
    def work() -> Any:
        return object()

    bench.run()
    assert [entry[0] for entry in Telling.told] == ["before_start", "on_failure", "after_return"]


def test_before_start_that_raises_is_a_failure_and_the_task_does_not_run(bench: Bench) -> None:
    class Guarded(Task[..., Any]):
        def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
            raise PermissionError("closed")

    @bench.task(base=Guarded)
    def work() -> NoReturn:
        raise AssertionError("it must not run")

    assert error(bench.run()) == (state.FAILURE, "PermissionError", "closed")


def failing_hook(name: str, exc: BaseException) -> type[Task[..., Any]]:
    """Return a base class whose hook of this name raises."""

    def hook(self: Any, *args: Any) -> None:
        raise exc

    return type("Failing", (Task,), {name: hook})


@pytest.mark.parametrize("exc", [RuntimeError("hook"), SystemExit(1), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("name", ["on_success", "after_return"])
def test_hook_that_fails_after_a_success_changes_nothing(bench: Bench, name: str, exc: BaseException) -> None:
    @bench.task(base=failing_hook(name, exc))
    def work() -> int:
        return 1

    settlement = bench.run()
    assert stored(settlement) == (state.SUCCESS, 1)
    (event,) = bench.events(HookFailed)
    assert event.hook == name
    assert type(exc).__name__ in event.traceback
    assert len(bench.events(TaskSucceeded)) == 1


@pytest.mark.parametrize("exc", [RuntimeError("hook"), SystemExit(1)], ids=repr)
@pytest.mark.parametrize("name", ["on_failure", "after_return"])
def test_hook_that_fails_after_a_failure_changes_nothing(bench: Bench, name: str, exc: BaseException) -> None:
    @bench.task(base=failing_hook(name, exc))
    def work() -> NoReturn:
        raise ValueError("x")

    assert error(bench.run()) == (state.FAILURE, "ValueError", "x")
    assert [event.hook for event in bench.events(HookFailed)] == [name]
    assert len(bench.events(TaskFailed)) == 1


def test_hook_that_fails_before_a_retry_changes_nothing(bench: Bench) -> None:
    @bench.task(base=failing_hook("on_retry", RuntimeError("hook")), autoretry_for=(ValueError,))
    def work() -> NoReturn:
        raise ValueError("x")

    assert bench.run().action == "retry"
    assert [event.hook for event in bench.events(HookFailed)] == ["on_retry"]


def test_request_is_in_place_during_the_run_and_gone_after_it(bench: Bench) -> None:
    @bench.task(bind=True)
    def work(self: Task[..., Any]) -> list[Any]:
        return [self.request.id, self.request.fencing_token, self.request.attempt, self.request.hostname]

    assert stored(bench.run(crashes=1, retries=2)) == (state.SUCCESS, ["id-1", 7, 4, "bench@test"])
    assert current_request.get() is None


@pytest.mark.parametrize("outcome", ["fail", "exit", "return"])
def test_request_is_gone_however_the_run_ends(bench: Bench, outcome: str) -> None:
    @bench.task()
    def work() -> None:
        if outcome == "fail":
            raise ValueError
        if outcome == "exit":
            sys.exit()

    bench.run()
    assert current_request.get() is None


# What follows.


def signature(task: str, *args: Any) -> dict[str, Any]:
    return {"task": task, "args": list(args), "kwargs": {}, "options": {}}


def with_callbacks(bench: Bench, kind: str, *signatures: dict[str, Any]) -> Settlement:
    return bench.run(embed={kind: list(signatures)})


def test_callbacks_get_the_value_and_come_with_the_settlement(bench: Bench) -> None:
    @bench.task()
    def work() -> int:
        return 41

    bench.app.task(name="after")(lambda value, more: None)
    settlement = with_callbacks(bench, "callbacks", signature("after", "more"), signature("elsewhere"))
    assert [message.task for message in settlement.follow_ups] == ["after", "elsewhere"]
    assert settlement.follow_ups[0].body.startswith(b'[[41,"more"]')
    assert settlement.follow_ups[0].parent_id == "id-1"
    again = with_callbacks(bench, "callbacks", signature("after", "more"), signature("elsewhere"))
    assert [message.id for message in settlement.follow_ups] == [message.id for message in again.follow_ups]
    assert len({message.id for message in settlement.follow_ups}) == 2


def test_no_callback_follows_a_failure_and_no_errback_a_success(bench: Bench) -> None:
    @bench.task()
    def work(fails: bool) -> None:
        if fails:
            raise ValueError

    embed = {"callbacks": [signature("good")], "errbacks": [signature("bad")]}
    assert [message.task for message in bench.run(False, embed=embed).follow_ups] == ["good"]
    assert [message.task for message in bench.run(True, embed=embed).follow_ups] == ["bad"]


def test_errback_that_fails_changes_nothing(bench: Bench) -> None:
    @bench.task()
    def work() -> NoReturn:
        raise ValueError("x")

    @bench.app.task(name="bad")
    def bad(request: Any, exc: BaseException, traceback: str) -> None:
        raise RuntimeError("errback")

    settlement = with_callbacks(bench, "errbacks", signature("bad"))
    assert error(settlement) == (state.FAILURE, "ValueError", "x")
    assert settlement.follow_ups == ()
    (event,) = bench.events(HookFailed)
    assert event.hook == "link_error"
    assert "RuntimeError: errback" in event.traceback
