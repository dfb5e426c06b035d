"""What becomes of deliveries whose process died: only the task that is to blame pays."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest

from celeriac import Task
from celeriac.brokers.port import Record
from celeriac.core import state
from celeriac.core.message import Delivery, Lease, Settlement
from celeriac.errors import WorkerLostError
from celeriac.events import HookFailed, TaskDead, TaskFailed
from celeriac.worker.slots import Running
from celeriac.worker.verdicts import Cause, Death, describe_exit, judge_death, judge_expired
from tests.support.bench import Bench, error, record_of

LIMIT = 3
RUN = Running(0, "id-1", 7, 3, 100.0, float("inf"))
LEASE = Lease("id-1", "dead owner", 7, 3)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def never(bench: Bench, **options: Any) -> None:
    """Define a task that must not run here."""

    @bench.task(**options)
    def work() -> NoReturn:
        raise AssertionError("a verdict runs nothing")


def judge(bench: Bench, cause: Cause, *, culprit: str | None = None, record: Record | None = None) -> Settlement:
    death = Death(
        owner="dead owner", pid=42, cause=cause, reason="process 42 was killed", running=(RUN,), culprit=culprit
    )
    return judge_death(death, RUN, record or record_of(bench.delivery()), bench.surroundings, LIMIT)


@pytest.mark.parametrize("cause", ["crashed", "out of memory"])
@pytest.mark.parametrize("crashes", [0, 1])
def test_crash_counts_and_the_task_goes_back(bench: Bench, cause: Cause, crashes: int) -> None:
    never(bench)
    settlement = judge(bench, cause, record=record_of(bench.delivery(crashes=crashes)))
    assert (settlement.action, settlement.crashed, settlement.lease) == ("release", True, LEASE)
    assert settlement.reason == "process 42 was killed"
    assert bench.event_names() == []


@pytest.mark.parametrize("cause", ["crashed", "out of memory"])
def test_last_crash_makes_a_dead_letter(bench: Bench, cause: Cause) -> None:
    never(bench)
    settlement = judge(bench, cause, record=record_of(bench.delivery(crashes=LIMIT - 1)))
    assert (settlement.action, settlement.lease) == ("dead", LEASE)
    name, kind, text = error(settlement)
    assert (name, kind) == (state.DEAD, "WorkerLostError")
    assert "3 times" in text
    assert "task_delivery_limit" in text
    assert "process 42 was killed" in text
    assert bench.event_names() == [TaskDead.__name__]


@pytest.mark.parametrize("cause", ["time limit", "revoked", "shutdown", "stuck"])
@pytest.mark.parametrize("crashes", [0, LIMIT - 1, 99])
def test_bystander_goes_back_unmarked(bench: Bench, cause: Cause, crashes: int) -> None:
    never(bench)
    settlement = judge(bench, cause, culprit="another", record=record_of(bench.delivery(crashes=crashes)))
    assert (settlement.action, settlement.crashed) == ("release", False)
    assert settlement.result is None


def test_culprit_of_a_time_limit_fails(bench: Bench) -> None:
    never(bench, time_limit=2.5)
    settlement = judge(bench, "time limit", culprit="id-1")
    assert settlement.action == "done"
    assert error(settlement) == (state.FAILURE, "TimeLimitExceeded", "hard time limit of 2.5 s exceeded")
    (event,) = bench.events(TaskFailed)
    assert event.id == "id-1"


def test_time_limit_of_the_message_comes_first(bench: Bench) -> None:
    never(bench, time_limit=2.5)
    record = record_of(bench.delivery(timelimit=(0.5, None)))
    assert "0.5 s" in error(judge(bench, "time limit", culprit="id-1", record=record))[2]


def test_time_limit_is_not_retried(bench: Bench) -> None:
    never(bench, time_limit=1, autoretry_for=(Exception,))
    assert judge(bench, "time limit", culprit="id-1").action == "done"


def test_culprit_of_a_revocation_is_revoked(bench: Bench) -> None:
    never(bench)
    assert error(judge(bench, "revoked", culprit="id-1")) == (state.REVOKED, "TaskRevokedError", "terminated")


@pytest.mark.parametrize("cause", ["crashed", "out of memory", "time limit", "revoked", "shutdown", "stuck"])
@pytest.mark.parametrize("option", [{"acks_late": False}, {"reject_on_worker_lost": False}], ids=str)
def test_at_most_once_has_had_its_run(bench: Bench, cause: Cause, option: dict[str, bool]) -> None:
    never(bench, **option)
    settlement = judge(bench, cause, culprit="another")
    assert settlement.action == "done"
    name, kind, text = error(settlement)
    assert (name, kind) == (state.FAILURE, "WorkerLostError")
    assert "process 42 was killed" in text


def test_what_expired_while_it_ran_is_judged_by_how_it_ended(bench: Bench) -> None:
    never(bench, time_limit=1)
    record = record_of(bench.delivery(expires=bench.clock.now() - 5))
    assert error(judge(bench, "time limit", culprit="id-1", record=record))[1] == "TimeLimitExceeded"
    assert judge(bench, "crashed", record=record).action == "release"


@pytest.mark.parametrize("delivery", [{"task": "unknown"}, {"body": b"{"}], ids=str)
def test_what_cannot_be_opened_is_settled_as_if_it_came_anew(bench: Bench, delivery: dict[str, Any]) -> None:
    never(bench)
    settlement = judge(bench, "crashed", record=record_of(bench.delivery(**delivery)))
    assert settlement.action in ("release", "dead")
    assert settlement.lease == LEASE


def test_hooks_of_a_poisoned_task_are_called_and_may_fail(bench: Bench) -> None:
    seen: list[BaseException] = []

    class Watching(Task[..., Any]):
        def on_failure(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
            seen.append(exc)
            raise RuntimeError("hook")

    never(bench, base=Watching)
    judge(bench, "crashed", record=record_of(bench.delivery(crashes=LIMIT - 1)))
    assert [type(exc) for exc in seen] == [WorkerLostError]
    assert len(bench.events(HookFailed)) == 1


# Leases that ran out.


def test_expired_at_most_once_task_is_lost(bench: Bench) -> None:
    never(bench, acks_late=False)
    settlement = judge_expired(bench.delivery(crashes=1), bench.surroundings, LIMIT)
    assert settlement.action == "done"
    assert error(settlement)[:2] == (state.FAILURE, "WorkerLostError")


def test_expired_task_that_has_crashed_too_often_is_buried(bench: Bench) -> None:
    never(bench)
    settlement = judge_expired(bench.delivery(crashes=LIMIT), bench.surroundings, LIMIT)
    assert settlement.action == "dead"
    assert error(settlement)[:2] == (state.DEAD, "WorkerLostError")


def test_expired_task_that_was_revoked_is_revoked(bench: Bench) -> None:
    never(bench)
    settlement = judge_expired(bench.delivery(crashes=LIMIT, cancelled=True), bench.surroundings, LIMIT)
    assert error(settlement)[0] == state.REVOKED


def test_expired_bytes_that_are_no_message_are_buried(bench: Bench) -> None:
    delivery = Delivery(None, LEASE, crashes=LIMIT, raw=b"x")
    assert judge_expired(delivery, bench.surroundings, LIMIT).action == "dead"


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (None, "is gone"),
        (0, "exited with code 0"),
        (70, "exited with code 70"),
        (-9, "was killed by signal 9 (SIGKILL)"),
        (-11, "was killed by signal 11 (SIGSEGV)"),
        (-250, "was killed by signal 250"),
    ],
)
def test_exit_codes_in_words(code: int | None, text: str) -> None:
    assert describe_exit(code) == text
