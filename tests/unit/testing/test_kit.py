"""A kit runs what an app sends, when it is told to, by its own clock, and leaves the app as it was."""

from __future__ import annotations

import math
import time
import unittest
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from celeriac import Broadcast, Celeriac, Queue, chain, chord, group
from celeriac.errors import ChordError, NotRegistered, Reject, Retry, TaskRevokedError, WorkerLostError
from celeriac.events import signals
from celeriac.schedules import crontab
from celeriac.testing import Kit, NothingRuns, TooManyRuns

START = datetime(2030, 1, 1, tzinfo=UTC)
app = Celeriac("kit", broker="memory://kit-tests", backend="memory://kit-tests", set_as_current=False)


class Broken(Exception):
    """What tasks of these tests raise."""


@app.task
def add(x: int, y: int) -> int:
    return x + y


@app.task
async def double(x: int) -> int:
    return 2 * x


@app.task
def total(numbers: list[int]) -> int:
    return sum(numbers)


@app.task
def broken(text: str = "no") -> None:
    raise Broken(text)


@app.task(bind=True)
def grows(self: Any, number: int) -> int:
    self.add_to_chord(add.s(number, 100))
    return number


@app.task(throws=(Broken,))
def breaks_as_told() -> None:
    raise Broken("as told")


@app.task(bind=True, max_retries=5, default_retry_delay=3600)
def stubborn(self: Any, tries: int) -> int:
    if self.request.retries < tries:
        raise self.retry(exc=Broken(f"try {self.request.retries}"))
    return int(self.request.retries)


@app.task
def again(n: int) -> None:
    again.delay(n + 1)


@app.task(bind=True)
def replaced(self: Any, x: int) -> Any:
    return self.replace(chord([add.s(x, 1), add.s(x, 2)], total.s()))


@app.task
def rejects() -> None:
    raise Reject("not mine", requeue=False)


@pytest.fixture
def kit() -> Iterator[Kit]:
    with Kit(app, now=START) as started:
        yield started


def test_tasks_run_when_the_kit_is_told_to(kit: Kit) -> None:
    sent = add.delay(1, 2)
    assert sent.state == "PENDING"
    (run,) = kit.drain()
    assert (run.state, run.value, run.args, run.at) == ("SUCCESS", 3, (1, 2), START)
    assert sent.get() == 3


def test_waiting_for_a_task_that_nothing_runs_says_what_to_do(kit: Kit) -> None:
    with pytest.raises(NothingRuns, match=r"test_kit\.add\(1, 2\) is not over, .* call drain\(\)"):
        add.delay(1, 2).get()
    with pytest.raises(NothingRuns, match="SCHEDULED"):
        add.apply_async((1, 2), countdown=5).get(timeout=10)


async def test_the_awaitable_twins_do_the_same_in_the_callers_loop(kit: Kit) -> None:
    sent = await chain(double.s(4), add.s(1)).aapply_async(countdown=60)
    with pytest.raises(NothingRuns):
        await sent.aget()
    assert await kit.adrain() == []
    runs = await kit.aadvance(60)
    assert [run.value for run in runs] == [8, 9]
    later = await double.adelay(1)
    await kit.afinish()
    assert (await sent.aget(), await later.aget()) == (9, 2)


def test_time_stands_still_until_it_is_told_to_pass(kit: Kit) -> None:
    add.apply_async((1, 1), countdown=3600)
    add.apply_async((2, 2), eta=START + timedelta(hours=2))
    assert kit.drain() == []
    assert [run.value for run in kit.advance(3600)] == [2]
    assert kit.now == START + timedelta(hours=1)
    assert [run.value for run in kit.drain(until=START + timedelta(hours=3))] == [4]
    assert kit.now == START + timedelta(hours=3)
    with pytest.raises(ValueError, match="never goes back"):
        kit.drain(until=START)


def test_advancing_the_clock_alone_runs_nothing(kit: Kit) -> None:
    add.apply_async((1, 1), countdown=10)
    kit.clock.advance(20)
    assert kit.ran() == []
    assert len(kit.drain()) == 1


def test_a_chain_with_retries_of_hours_takes_no_time(kit: Kit) -> None:
    began = time.perf_counter()
    sent = chain(stubborn.s(4), add.s(1)).apply_async(countdown=timedelta(days=30).total_seconds())
    runs = kit.finish()
    assert time.perf_counter() - began < 1.0
    assert [run.state for run in runs] == ["RETRY"] * 4 + ["SUCCESS"] * 2
    assert [run.retries for run in runs] == [0, 1, 2, 3, 4, 0]
    assert all(
        abs((run.at - START - timedelta(days=30, hours=n)).total_seconds()) < 1e-3 for n, run in enumerate(runs[:5])
    )
    assert sent.get() == 5


def test_what_has_expired_does_not_run(kit: Kit) -> None:
    sent = add.apply_async((1, 1), countdown=60, expires=30)
    kit.finish()
    kit.assert_ran(add, state="REVOKED")
    kit.refute_ran(add)
    with pytest.raises(TaskRevokedError):
        sent.get()


def test_a_revoked_task_does_not_run(kit: Kit) -> None:
    sent = add.apply_async((1, 1), countdown=60)
    sent.revoke()
    assert kit.finish() == []
    assert sent.state == "REVOKED"


def test_workflows_are_run_as_in_production(kit: Kit) -> None:
    sent = chain(group(add.s(n, n) for n in range(3)), total.s(), double.s()).delay()
    assert len(kit.drain()) == 5
    assert sent.get() == 12
    kit.assert_ran(total, args=([0, 2, 4],))
    kit.assert_enqueued(total, args=())


def test_a_task_that_a_workflow_takes_the_place_of_has_its_value(kit: Kit) -> None:
    sent = chain(replaced.s(10), double.s()).delay()
    kit.drain()
    assert sent.get() == 46


def test_a_task_may_add_a_member_to_its_chord(kit: Kit) -> None:
    sent = chord([grows.s(1), add.s(1, 1)], total.s()).delay()
    kit.drain()
    assert sent.get() == 104


def test_what_follows_from_a_run_is_published(kit: Kit) -> None:
    told: list[str] = []

    def published(sender: str, **named: Any) -> None:
        told.append(sender)

    signals.after_task_publish.connect(published)
    try:
        add.apply_async((1, 1), link=double.s())
        kit.drain()
    finally:
        signals.after_task_publish.disconnect(published)
    assert told == [add.name, double.name]


def test_the_first_failure_is_raised_once_everything_has_run(kit: Kit) -> None:
    broken.delay("one")
    broken.delay("two")
    sent = add.delay(1, 2)
    with pytest.raises(Broken, match="one") as caught:
        kit.drain()
    (note,) = caught.value.__notes__
    assert note == f"raised by {broken.name}('one'), try 1, at 2030-01-01T00:00:00+00:00; 1 more failed after it"
    assert sent.get() == 3
    assert [str(run.exception) for run in kit.ran(broken, state="FAILURE")] == ["one", "two"]
    kit.drain()


def test_a_failure_that_the_task_announces_or_a_test_awaits_is_not_raised(kit: Kit) -> None:
    breaks_as_told.delay()
    kit.drain()
    kit.assert_ran(breaks_as_told, state="FAILURE", exception=Broken)
    broken.delay()
    kit.drain(raises=False)
    kit.assert_ran(broken, exception=Broken)
    rejects.delay()
    kit.drain()
    kit.assert_ran(rejects, state="REJECTED")


def test_a_failed_header_fails_the_body_of_a_chord(kit: Kit) -> None:
    sent = chord([add.s(1, 1), broken.s()], total.s()).delay()
    with pytest.raises(Broken):
        kit.drain()
    with pytest.raises(ChordError):
        sent.get(follow_parents=False)
    kit.refute_ran(total)
    kit.assert_ran(total, state="FAILURE", exception=ChordError)


def test_a_task_that_is_unknown_here_waits_and_becomes_a_dead_letter(kit: Kit) -> None:
    app.send_task("elsewhere.work", (1,))
    kit.drain()
    kit.assert_ran("elsewhere.work", state="PENDING")
    assert [one.task for one in kit.waiting()] == ["elsewhere.work"]
    with pytest.raises(NotRegistered, match=r"elsewhere\.work"):
        kit.finish()
    kit.assert_ran("elsewhere.work", state="DEAD")


def test_tasks_that_send_themselves_are_named(kit: Kit) -> None:
    again.delay(0)
    add.delay(1, 2)
    with pytest.raises(TooManyRuns, match=r"50 tasks have run .* .*\.again \(49 times\), .*\.add \(1 times\)"):
        kit.drain(limit=50)
    assert len(kit.waiting(again)) == 1


def test_a_run_whose_worker_dies_is_repeated(kit: Kit) -> None:
    sent = chain(add.s(1, 2), double.s()).delay()
    kit.kill_after(add)
    assert [run.state for run in kit.drain()] == ["PENDING", "SUCCESS", "SUCCESS"]
    kit.assert_ran(add, count=2)
    assert sent.get() == 6


def test_a_task_that_does_not_exist_cannot_be_the_last_of_a_worker(kit: Kit) -> None:
    with pytest.raises(NotRegistered, match=rf"no task named '{add.name}s' is registered. Did you mean '{add.name}'\?"):
        kit.kill_after(f"{add.name}s")


def test_what_is_no_time_is_refused(kit: Kit) -> None:
    for call in (kit.advance, kit.drain):
        with pytest.raises(TypeError, match="expected a datetime, a timedelta or seconds, not '1h'"):
            call("1h")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    for now in ("2030-01-01", 1.7e9):
        with pytest.raises(TypeError, match=r"now=.* must be a datetime"):
            Kit(app, now=now)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_a_task_that_keeps_killing_its_worker_is_a_dead_letter(kit: Kit) -> None:
    add.delay(1, 2)
    kit.kill_after(add, times=9)
    with pytest.raises(WorkerLostError, match=r"killed its worker process 3 times"):
        kit.drain()
    kit.assert_ran(add, count=3)
    kit.assert_ran(add, state="DEAD", count=1)
    assert kit.waiting() == []


def test_an_at_most_once_task_is_not_repeated(kit: Kit) -> None:
    @app.task(name="kit.once", acks_late=False)
    def once() -> None:
        """Do nothing."""

    sent = once.delay()
    kit.kill_after(once)
    with pytest.raises(WorkerLostError, match="at-most-once"):
        kit.drain()
    kit.assert_ran(once, count=1)
    assert sent.state == "FAILURE"


def test_queues_can_be_left_alone() -> None:
    with Kit(app, queues=["mail"]) as kit:
        add.apply_async((1, 2), queue="mail")
        add.apply_async((3, 4), queue="slow")
        kit.drain()
        kit.assert_ran(add, args=(1, 2), count=1)
        assert [one.queue for one in kit.waiting()] == ["slow"]


def test_the_more_urgent_task_runs_first(kit: Kit) -> None:
    for priority in (0, 9, 5):
        add.apply_async((priority, 0), priority=priority)
    assert [run.value for run in kit.drain()] == [9, 5, 0]


def test_signals_are_sent_as_by_a_worker(kit: Kit) -> None:
    seen: list[str] = []

    def note(name: str) -> Any:
        def receive(**_: Any) -> None:
            seen.append(name)

        return receive

    names = (
        "before_task_publish",
        "after_task_publish",
        "task_received",
        "task_prerun",
        "task_postrun",
        "task_success",
    )
    receivers = {name: note(name) for name in names}
    for name, receiver in receivers.items():
        getattr(signals, name).connect(receiver, weak=False)
    try:
        add.delay(1, 2)
        kit.drain()
    finally:
        for name, receiver in receivers.items():
            getattr(signals, name).disconnect(receiver)
    assert seen == [
        "before_task_publish",
        "after_task_publish",
        "task_received",
        "task_prerun",
        "task_success",
        "task_postrun",
    ]


def test_schedule_entries_fire_by_the_kits_clock() -> None:
    began = time.perf_counter()
    with Kit(app, now=START) as kit:
        app.schedule.add("nightly", add, schedule=crontab(hour="3", minute="30"), args=(1, 1))
        assert kit.advance(timedelta(days=1)) == []
        kit.beat = True
        runs = kit.drain(until=datetime(2030, 2, 1, tzinfo=UTC))
    assert time.perf_counter() - began < 1.0
    assert [run.at for run in runs[-3:]] == [datetime(2030, 1, day, 3, 30, tzinfo=UTC) for day in (29, 30, 31)]
    assert len(runs) == 31


def test_finish_does_not_wait_for_schedule_entries() -> None:
    with Kit(app, now=START, beat=True) as kit:
        app.schedule.add("often", add, every=10.0, args=(1, 1))
        add.apply_async((2, 2), countdown=5)
        assert [run.value for run in kit.finish()] == [4]


def test_the_app_is_as_it_was_afterwards() -> None:
    own = Celeriac("own", broker="memory://own", backend="memory://own", set_as_current=False, task_always_eager=True)

    @own.task
    def work() -> str:
        return "done"

    clock = own.clock
    with Kit(own) as kit:
        assert work.delay().state == "PENDING"
        kit.drain()
    assert own.clock is clock
    assert own.broker_url == "memory://own"
    assert work.delay().get() == "done"
    assert kit.enqueued(work) != []
    with pytest.raises(RuntimeError, match="not started"):
        kit.drain()


def test_what_only_the_real_broker_can_do_is_left_out() -> None:
    own = Celeriac("own", broker="amqp://nowhere", backend="rpc://", set_as_current=False)
    own.conf.task_queues = [Queue("celery"), Broadcast("news")]
    own.conf.security_signing_keys = {"k1": "a secret that is long enough to sign messages with"}

    @own.task
    def work(text: str) -> str:
        return text

    with Kit(own) as kit:
        sent = work.delay("hello")
        kit.assert_enqueued(work, args=("hello",))
        kit.drain()
        assert sent.get() == "hello"


def test_a_kit_within_a_kit_gives_back_what_it_took(kit: Kit) -> None:
    add.delay(1, 1)
    with Kit(app, now=START + timedelta(days=9)) as inner:
        add.delay(2, 2)
        assert [run.value for run in inner.drain()] == [4]
        assert inner.now == START + timedelta(days=9)
    assert [run.value for run in kit.drain()] == [2]
    with pytest.raises(RuntimeError, match="started already"):
        kit.start()


def test_two_kits_see_nothing_of_each_other() -> None:
    with Kit(app) as one:
        add.delay(1, 1)
        one.drain()
    with Kit(app) as two:
        assert two.drain() == []
        assert two.enqueued() == []


def test_where_no_results_are_kept_none_are_kept() -> None:
    own = Celeriac("own", broker="memory://own", set_as_current=False)

    @own.task
    def work() -> int:
        return 1

    with Kit(own) as kit:
        sent = work.delay()
        kit.drain()
        kit.assert_ran(work, value=1)
        with pytest.raises(Exception, match="result_backend"):
            sent.get()


def test_a_clock_of_the_machine_can_follow(kit: Kit) -> None:
    moments: list[datetime] = []
    kit.clock.follow(moments.append)
    add.apply_async((1, 1), countdown=60)
    kit.advance(90)
    assert moments == [START, START + timedelta(seconds=60), START + timedelta(seconds=90)]


def test_retry_that_is_asked_for_at_a_time_waits_for_it(kit: Kit) -> None:
    @app.task(bind=True, name="kit.tomorrow")
    def tomorrow(self: Any) -> str:
        if not self.request.retries:
            raise self.retry(eta=START + timedelta(days=1), exc=Retry("tomorrow"))
        return "done"

    tomorrow.delay()
    kit.finish()
    assert kit.now == START + timedelta(days=1)
    kit.assert_ran(tomorrow, value="done")


def test_a_limit_of_infinity_is_none(kit: Kit) -> None:
    for n in range(20):
        add.delay(n, n)
    assert len(kit.drain(limit=math.inf)) == 20


class TestWithUnittest(unittest.TestCase):
    def setUp(self) -> None:
        self.kit = Kit(app).start()
        self.addCleanup(self.kit.stop)

    def test_it_needs_no_pytest(self) -> None:
        add.delay(1, 2)
        self.kit.drain()
        self.kit.assert_ran(add, value=3)
        self.kit.refute_enqueued(double)


def test_ctrl_c_ends_a_drain_whatever_is_asked_of_failures() -> None:
    app = Celeriac("interrupted", set_as_current=False)

    @app.task
    def interrupted() -> None:
        raise KeyboardInterrupt

    with Kit(app) as kit:
        for _ in range(2):
            interrupted.delay()
        with pytest.raises(KeyboardInterrupt):
            kit.drain(raises=False)
        kit.assert_ran(interrupted, state="FAILURE", count=1)
    with pytest.raises(KeyboardInterrupt):
        (interrupted.si() | interrupted.si()).apply()


def test_a_kit_is_not_stopped_before_one_that_was_started_later() -> None:
    outer, inner = Kit(app).start(), Kit(app).start()
    with pytest.raises(RuntimeError, match="another kit of app 'kit' was started after this one"):
        outer.stop()
    inner.stop()
    outer.stop()
    outer.stop()
    assert app.clock is not outer.clock


def test_what_could_never_be_is_refused_rather_than_not_found() -> None:
    with Kit(app) as kit:
        add.delay(1, 2)
        with pytest.raises(TypeError, match="has no argument 'z'"):
            kit.refute_enqueued(add, where={"z": 1})
        with pytest.raises(ValueError, match="can end in state 'SUCCESSFUL'"):
            kit.refute_ran(add, state="SUCCESSFUL")
        with pytest.raises(NotRegistered, match="ad"):
            kit.kill_after("ad")


def test_arguments_that_a_task_takes_by_any_name_can_be_expected() -> None:
    own = Celeriac("any-name", set_as_current=False)

    @own.task
    def takes(x: int, **rest: int) -> None: ...

    with Kit(own) as kit:
        takes.delay(1, y=2)
        kit.assert_enqueued(takes, where={"y": 2})
        kit.assert_enqueued(takes, args=(1,), kwargs={"y": 2})
        kit.refute_enqueued(takes, where={"y": 3})
        kit.refute_enqueued(takes, where={"z": 2})
