"""How a run can end, each with its settlement, what is stored, and what is told."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NoReturn

import pytest

from celeriac import Task
from celeriac.core import state
from celeriac.core.message import Delivery, Lease
from celeriac.errors import (
    Ignore,
    Reject,
    Retry,
    SoftTimeLimitExceeded,
    TaskRevokedError,
    Terminated,
    TimeLimitExceeded,
)
from celeriac.events import (
    TaskDead,
    TaskFailed,
    TaskIgnored,
    TaskParked,
    TaskRetried,
    TaskRevoked,
    TaskSucceeded,
)
from celeriac.worker.interrupt import CoroutineInterrupter, ThreadInterrupter
from tests.support.bench import Bench, error, stored

Bound = Task[..., Any]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def raising(bench: Bench, exc: BaseException, **options: Any) -> None:
    """Define a task that raises."""

    @bench.task(**options)
    def work() -> NoReturn:
        raise exc


# Success.


def test_success(bench: Bench) -> None:
    @bench.task()
    def work(x: int, y: int) -> int:
        bench.clock.advance(1.5)
        return x + y

    settlement = bench.run(2, 3)
    assert (settlement.action, settlement.lease) == ("done", Lease("id-1", "owner", 7, 3))
    assert stored(settlement) == (state.SUCCESS, 5)
    assert settlement.result is not None
    assert (settlement.result.runtime, settlement.result.worker) == (1.5, "bench@test")
    assert settlement.result.expires == bench.clock.now() + 86400
    (event,) = bench.events(TaskSucceeded)
    assert (event.id, event.name, event.runtime, event.value) == ("id-1", "work", 1.5, 5)


def test_success_of_a_coroutine(bench: Bench) -> None:
    @bench.task()
    async def work(x: int) -> int:
        await asyncio.sleep(0)
        return x + 1

    assert stored(bench.run(1)) == (state.SUCCESS, 2)


@pytest.mark.parametrize("in_message", [None, True, False])
@pytest.mark.parametrize("in_task", [True, False])
def test_result_is_ignored_as_the_message_says_or_else_the_task(
    bench: Bench, in_task: bool, in_message: bool | None
) -> None:
    @bench.task(ignore_result=in_task)
    def work() -> int:
        return 1

    ignored = in_task if in_message is None else in_message
    assert (bench.run(ignore_result=in_message).result is None) == ignored


def test_ignored_result_still_leaves_a_failure(bench: Bench) -> None:
    raising(bench, ValueError("visible"), ignore_result=True)
    assert error(bench.run()) == (state.FAILURE, "ValueError", "visible")


def test_nothing_is_stored_of_a_success_without_a_backend() -> None:
    bench = Bench(results=False)

    @bench.task()
    def work() -> int:
        return 1

    assert bench.run().result is None


# Failure.


def test_failure(bench: Bench) -> None:
    @bench.task()
    def work(x: int) -> float:
        return 1 / x

    settlement = bench.run(0, argsrepr="(0,)", kwargsrepr="{}")
    assert settlement.action == "done"
    assert error(settlement) == (state.FAILURE, "ZeroDivisionError", "division by zero")
    (event,) = bench.events(TaskFailed)
    assert (event.args, event.kwargs, event.expected) == ("(0,)", "{}", False)
    assert isinstance(event.exception, ZeroDivisionError)


@pytest.mark.parametrize("guarded", [False, True])
@pytest.mark.parametrize("kind", ["function", "coroutine"])
def test_traceback_begins_with_the_tasks_own_code(bench: Bench, kind: str, guarded: bool) -> None:
    def deeper() -> NoReturn:
        raise ValueError("deep")

    if kind == "function":

        @bench.task()
        def work() -> NoReturn:
            deeper()

    else:

        @bench.task()
        async def work() -> NoReturn:
            deeper()

    guard: Callable[[Any], Any] | None = None
    if guarded:
        guard = ThreadInterrupter().guard if kind == "function" else CoroutineInterrupter().guard
    settlement = bench.settle(bench.delivery(), guard)
    assert settlement.result is not None
    assert settlement.result.traceback is not None
    lines = settlement.result.traceback.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert "celeriac/" not in settlement.result.traceback
    assert [line.split()[-1] for line in lines if line.startswith("  File")][-2:] == ["work", "deeper"]
    assert lines[-1] == "ValueError: deep"


@pytest.mark.parametrize("exc", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), BaseException("base")])
@pytest.mark.parametrize("kind", ["function", "coroutine"])
def test_what_would_end_a_process_is_a_failure_of_the_task(exc: BaseException, kind: str) -> None:
    bench = Bench()
    if kind == "function":
        raising(bench, exc)
    else:

        @bench.task()
        async def work() -> NoReturn:
            raise exc

    assert error(bench.run())[:2] == (state.FAILURE, type(exc).__name__)


def test_exit_is_a_failure(bench: Bench) -> None:
    @bench.task()
    def work() -> NoReturn:
        sys.exit("done for")

    assert error(bench.run()) == (state.FAILURE, "SystemExit", "done for")


def test_exception_that_cannot_be_shown_is_a_failure_all_the_same(bench: Bench) -> None:
    class HostileError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

        __repr__ = __str__

    raising(bench, HostileError())
    settlement = bench.run()
    assert settlement.result is not None
    assert settlement.result.state == state.FAILURE
    assert "HostileError" in (settlement.result.traceback or "")


@pytest.mark.parametrize("value", [object(), {1, 2, 3}, len, float], ids=["object", "set", "function", "class"])
def test_return_value_that_cannot_be_encoded_is_a_failure(value: Any) -> None:
    bench = Bench()

    @bench.task()
    def work() -> Any:
        return value

    settlement = bench.run()
    assert settlement.action == "done"
    assert error(settlement)[:2] == (state.FAILURE, "SerializationError")
    assert settlement.follow_ups == ()
    assert bench.event_names() == ["TaskFailed"]


def test_expected_failure_is_told_as_such(bench: Bench) -> None:
    raising(bench, KeyError("gone"), throws=(KeyError,))
    bench.run()
    (event,) = bench.events(TaskFailed)
    assert event.expected


@pytest.mark.parametrize("exc", [TimeLimitExceeded("hard"), SoftTimeLimitExceeded("soft")])
def test_time_limits_are_failures(exc: Exception) -> None:
    bench = Bench()
    raising(bench, exc)
    assert error(bench.run()) == (state.FAILURE, type(exc).__name__, str(exc))


def test_arguments_that_do_not_fit_are_a_failure(bench: Bench) -> None:
    @bench.task()
    def work(x: int) -> None: ...

    assert error(bench.run(1, 2))[:2] == (state.FAILURE, "TypeError")


# Retries.


def test_retry_by_the_task(bench: Bench) -> None:
    @bench.task(bind=True)
    def work(self: Bound) -> NoReturn:
        try:
            raise ValueError("why")
        except ValueError as exc:
            raise self.retry(exc=exc, countdown=30) from exc

    settlement = bench.run()
    assert (settlement.action, settlement.due) == ("retry", bench.clock.now() + 30)
    assert settlement.message is not None
    assert (settlement.message.id, settlement.message.retries) == ("id-1", 1)
    assert error(settlement) == (state.RETRY, "ValueError", "why")
    (event,) = bench.events(TaskRetried)
    assert (event.delay, event.retries) == (30, 1)


def test_retry_at_a_time(bench: Bench) -> None:
    moment = datetime(2031, 5, 1, 12, tzinfo=UTC)

    @bench.task(bind=True)
    def work(self: Bound) -> NoReturn:
        raise self.retry(eta=moment)

    assert bench.run().due == moment.timestamp()


def test_retry_without_raising_is_carried_out_at_the_end(bench: Bench) -> None:
    ended: list[bool] = []

    @bench.task(bind=True)
    def work(self: Bound) -> str:
        self.retry(countdown=5, throw=False)
        ended.append(True)
        return "not stored"

    settlement = bench.run()
    assert ended == [True]
    assert settlement.action == "retry"
    assert bench.events(TaskSucceeded) == []


def test_retries_end_with_the_limit(bench: Bench) -> None:
    @bench.task(bind=True, max_retries=2)
    def work(self: Bound) -> NoReturn:
        raise self.retry(countdown=1)

    assert bench.run(retries=1).action == "retry"
    settlement = bench.run(retries=2)
    assert settlement.action == "done"
    assert error(settlement)[:2] == (state.FAILURE, "MaxRetriesExceededError")


def test_retries_end_with_the_exception_that_caused_them(bench: Bench) -> None:
    @bench.task(bind=True, max_retries=2)
    def work(self: Bound) -> NoReturn:
        raise self.retry(exc=ValueError("the cause"))

    assert error(bench.run(retries=2)) == (state.FAILURE, "ValueError", "the cause")


@pytest.mark.parametrize(("retries", "again"), [(0, True), (2, True), (3, False), (99, False)])
def test_autoretry(bench: Bench, retries: int, again: bool) -> None:
    raising(bench, ValueError("x"), autoretry_for=(ValueError,), max_retries=3, default_retry_delay=60)
    settlement = bench.run(retries=retries)
    if again:
        assert (settlement.action, settlement.due) == ("retry", bench.clock.now() + 60)
        assert error(settlement)[:2] == (state.RETRY, "ValueError")
    else:
        assert error(settlement) == (state.FAILURE, "ValueError", "x")


def test_autoretry_for_ever(bench: Bench) -> None:
    raising(bench, ValueError("x"), autoretry_for=(ValueError,), max_retries=None)
    assert bench.run(retries=1_000_000).action == "retry"


@pytest.mark.parametrize("exc", [KeyError("not named"), SystemExit(1)])
def test_autoretry_is_for_what_is_named(exc: BaseException) -> None:
    bench = Bench()
    raising(bench, exc, autoretry_for=(ValueError,))
    assert bench.run().action == "done"


def test_autoretry_leaves_out_what_is_excepted(bench: Bench) -> None:
    raising(bench, KeyError("x"), autoretry_for=(Exception,), dont_autoretry_for=(LookupError,))
    assert error(bench.run())[:2] == (state.FAILURE, "KeyError")


@pytest.mark.parametrize("exc", [Ignore(), Reject("no"), Terminated("terminated"), TimeLimitExceeded("hard")])
def test_autoretry_does_not_catch_what_is_meant_for_the_worker(exc: Exception) -> None:
    bench = Bench()
    raising(bench, exc, autoretry_for=(Exception,))
    assert bench.run().action != "retry"


def test_autoretry_follows_the_backoff(bench: Bench) -> None:
    raising(
        bench,
        ValueError("x"),
        autoretry_for=(ValueError,),
        retry_backoff=2,
        retry_jitter=False,
        retry_backoff_max=12,
        max_retries=10,
    )
    delays = [(bench.run(retries=retries).due or 0) - bench.clock.now() for retries in range(5)]
    assert delays == pytest.approx([2, 4, 8, 12, 12])


def test_retry_whose_arguments_cannot_be_encoded_is_a_failure(bench: Bench) -> None:
    @bench.task(bind=True)
    def work(self: Bound) -> NoReturn:
        raise self.retry(args=(object(),))

    settlement = bench.run()
    assert settlement.action == "done"
    assert error(settlement)[:2] == (state.FAILURE, "SerializationError")


def test_bare_retry_is_carried_out(bench: Bench) -> None:
    raising(bench, Retry(when=7.0))
    settlement = bench.run()
    assert (settlement.action, settlement.due) == ("retry", bench.clock.now() + 7)


# Ignore, Reject, revoked, expired.


def test_ignore_touches_no_state(bench: Bench) -> None:
    raising(bench, Ignore())
    settlement = bench.run()
    assert (settlement.action, settlement.result, settlement.state) == ("done", None, state.IGNORED)
    assert bench.event_names() == [TaskIgnored.__name__]


def test_reject_makes_a_dead_letter(bench: Bench) -> None:
    raising(bench, Reject("poisonous", requeue=False))
    settlement = bench.run()
    assert (settlement.action, settlement.reason) == ("dead", "poisonous")
    assert stored(settlement)[0] == state.REJECTED
    assert settlement.result is not None
    # Not Reject: whoever waits for this task must not be rejected with it.
    assert json.loads(settlement.result.body)["exc_type"] == "TaskError"
    assert bench.event_names() == [TaskDead.__name__]


def test_reject_with_requeue_gives_back_after_a_rest(bench: Bench) -> None:
    raising(bench, Reject("not here", requeue=True))
    settlement = bench.run()
    assert (settlement.action, settlement.result, settlement.crashed) == ("release", None, False)
    assert settlement.due is not None
    assert settlement.due > bench.clock.now()


def test_terminated_run_is_revoked(bench: Bench) -> None:
    raising(bench, Terminated("terminated"))
    settlement = bench.run()
    assert settlement.action == "done"
    assert error(settlement) == (state.REVOKED, "TaskRevokedError", "terminated")
    assert bench.event_names() == [TaskRevoked.__name__]


def test_task_that_waited_for_a_revoked_one_has_failed(bench: Bench) -> None:
    raising(bench, TaskRevokedError("the other was revoked"))
    assert error(bench.run()) == (state.FAILURE, "TaskRevokedError", "the other was revoked")


def not_to_run(bench: Bench) -> None:
    @bench.task()
    def work() -> NoReturn:
        raise AssertionError("it must not run")


def test_cancelled_delivery_does_not_run(bench: Bench) -> None:
    not_to_run(bench)
    assert error(bench.run(cancelled=True)) == (state.REVOKED, "TaskRevokedError", "revoked")


def test_expired_delivery_does_not_run(bench: Bench) -> None:
    not_to_run(bench)
    assert error(bench.run(expires=bench.clock.now())) == (state.REVOKED, "TaskRevokedError", "expired")


def test_delivery_runs_until_it_expires(bench: Bench) -> None:
    @bench.task()
    def work() -> int:
        return 1

    assert stored(bench.run(expires=bench.clock.now() + 0.001)) == (state.SUCCESS, 1)


# What cannot run.


def test_unknown_task_is_parked_until_its_window_is_over() -> None:
    bench = Bench(worker_unknown_task_window=10, worker_unknown_task_delay=4)
    bench.app.finalize()
    first = bench.clock.now()
    delivery = bench.delivery(task="nobody.knows")
    waits: list[float] = []
    for _ in range(3):
        settlement = bench.settle(delivery)
        assert (settlement.action, settlement.crashed) == ("release", False)
        assert settlement.message is not None
        assert settlement.message.parked_at == first
        assert settlement.due is not None
        waits.append(settlement.due - bench.clock.now())
        bench.clock.advance(settlement.due - bench.clock.now())
        delivery = Delivery(settlement.message, delivery.lease)
    assert waits == [4, 4, 2]
    settlement = bench.settle(delivery)
    assert settlement.action == "dead"
    assert error(settlement)[:2] == (state.DEAD, "NotRegistered")
    assert "nobody.knows" in (settlement.reason or "")
    assert [event.left for event in bench.events(TaskParked)] == [10, 6, 2]


def test_bytes_that_are_no_message_are_a_dead_letter(bench: Bench) -> None:
    delivery = Delivery(None, Lease("id-9", "owner", 1), raw=b"\x00garbage")
    settlement = bench.settle(delivery)
    assert (settlement.action, settlement.lease.id) == ("dead", "id-9")
    assert settlement.result is not None
    assert (settlement.result.id, settlement.result.state) == ("id-9", state.DEAD)
    assert "8" in (settlement.reason or "")


@pytest.mark.parametrize(
    "fields",
    [
        {"body": b"{"},
        {"body": b"[1,2,3]"},
        {"body": b"\xff\xfe"},
        {"content_type": "application/x-python-serialize"},
        {"content_type": "text/unheard-of"},
        {"compression": "application/x-gzip"},
        {"compression": "nothing"},
    ],
    ids=str,
)
def test_body_that_cannot_be_decoded_is_a_dead_letter(bench: Bench, fields: dict[str, Any]) -> None:
    not_to_run(bench)
    settlement = bench.run(**fields)
    assert settlement.action == "dead"
    assert stored(settlement)[0] == state.DEAD
    assert "cannot be decoded" in (settlement.reason or "")
    assert bench.event_names() == [TaskDead.__name__]
