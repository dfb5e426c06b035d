"""``app.schedule``: entries are added, changed and looked at, blocking and awaiting; what they send is a call's."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from celeriac import Celeriac
from celeriac.app.schedule import Schedule
from celeriac.core.message import Message
from celeriac.core.schedule import Crontab, Entry, Interval
from celeriac.core.scheduled import StoredEntry, Writing
from celeriac.errors import ImproperlyConfigured, InvalidTaskError
from celeriac.events import Bus, EntryDoubted, EntryFailed
from celeriac.scheduler import flows
from celeriac.scheduler.service import Scheduler
from celeriac.testing.clock import VirtualClock
from tests.support.desk import add_unchecked
from tests.support.waiting import wait_for
from tests.unit.app.conftest import HandWorker

Make = Callable[..., Celeriac]


class Both:
    """The blocking and the awaiting calls, under one set of names."""

    def __init__(self, schedule: Schedule, mode: str) -> None:
        self._schedule = schedule
        self._mode = mode

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if self._mode == "sync":
            found: Callable[..., Any] = getattr(self._schedule, name)
            return found
        return lambda *args, **kwargs: asyncio.run(getattr(self._schedule, f"a{name}")(*args, **kwargs))


@pytest.fixture(params=["sync", "async"])
def schedule(app: Celeriac, request: pytest.FixtureRequest) -> Both:
    return Both(app.schedule, request.param)


_holders = itertools.count()


def tick(app: Celeriac, bus: Bus | None = None) -> Scheduler:
    """Let a new scheduler do what is due now."""
    scheduler = app.schedule.scheduler(bus or Bus(), "only")
    scheduler.turn()
    return scheduler


def waiting(app: Celeriac) -> list[Message]:
    records = app.broker.page(["PENDING", "SCHEDULED"], None, 0, 100)
    return [one.message for one in records if one.message is not None]


def test_an_entry_is_added_changed_looked_at_and_removed(app: Celeriac, schedule: Both, clock: VirtualClock) -> None:
    now = clock.now()
    schedule.add("report", "proj.report", every=timedelta(minutes=1), args=[1, datetime(2030, 1, 1, tzinfo=UTC)])
    found = schedule.get("report")
    assert found.entry.args == (1, datetime(2030, 1, 1, tzinfo=UTC))
    assert found.entry.trigger == Interval(60.0)
    assert found.next_run.timestamp() == pytest.approx(now + 60)
    assert (found.total_runs, found.last_run, found.problem) == (0, None, None)

    schedule.update("report", description="daily", kwargs={"x": 1})
    assert schedule.get("report").next_run.timestamp() == pytest.approx(now + 60)
    clock.advance(10)
    assert schedule.update("report", cron="0 6 * * *").trigger == Crontab("0", "6")
    assert schedule.get("report").next_run.strftime("%H:%M") == "06:00"
    assert schedule.get("report").entry.kwargs == {"x": 1}

    schedule.disable("report")
    assert schedule.get("report").next_run is None
    schedule.enable("report")
    assert schedule.get("report").next_run is not None
    assert [one.name for one in schedule.list()] == ["report"]
    assert schedule.remove("report") is True
    assert schedule.remove("report") is False
    assert schedule.get("report") is None
    assert schedule.list() == []


def test_a_name_is_taken_once_unless_it_is_to_be_replaced(schedule: Both) -> None:
    schedule.add("one", "proj.a", every=10)
    with pytest.raises(InvalidTaskError, match="already"):
        schedule.add("one", "proj.b", every=10)
    schedule.add("one", "proj.b", every=10, replace=True)
    assert schedule.get("one").entry.task == "proj.b"
    for call, fields in ((schedule.update, {"every": 1}), (schedule.run_now, {}), (schedule.history, {})):
        with pytest.raises(InvalidTaskError, match="no schedule entry 'two'"):
            call("two", **fields)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"every": 10, "cron": "* * * * *"},
        {"every": 0},
        {"every": "soon"},
        {"cron": "* *"},
        {"at": 5},
        {"trigger": "daily"},
        {"every": 5, "colour": "red"},
        {"every": 5, "overlap": "no"},
        {"every": 5, "zone": "Mars/Base"},
        {"at": datetime(2001, 1, 1, tzinfo=UTC)},
        {"every": 5, "origin": "settings"},
    ],
)
def test_what_no_entry_can_be_is_refused(app: Celeriac, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidTaskError):
        app.schedule.add("bad", "proj.a", **fields)
    assert app.schedule.list() == []


def test_what_is_due_is_sent_as_a_call_of_the_task_would_be(app: Celeriac, clock: VirtualClock) -> None:
    @app.task(name="proj.add", queue="sums", expires=30)
    def add(x: int, y: int = 0) -> int:
        return x + y

    app.schedule.add("sum", add, every=10, args=(1,), kwargs={"y": 2}, options={"priority": 7, "headers": {"a": "b"}})
    tick(app)
    assert waiting(app) == []
    clock.advance(10)
    now = clock.now()
    tick(app)
    (message,) = waiting(app)
    called = app.publisher.plan(add).message((1,), {"y": 2}, {"priority": 7})
    assert (message.queue, message.priority, message.body) == ("sums", 7, called.body)
    assert message.expires == pytest.approx(now + 30)
    assert message.headers == {"a": "b", "periodic_task_name": "sum", "periodic_task_due": now}


def test_history_joins_runs_with_their_results(
    app: Celeriac, schedule: Both, worker: HandWorker, clock: VirtualClock
) -> None:
    @app.task(name="proj.once_fails")
    def once_fails(numbers: list[int]) -> int:
        if clock.now() < start + 15:
            raise ValueError("not yet")
        return 7

    start = clock.now()
    schedule.add("job", once_fails, every=10, args=([1],))
    clock.advance(10)
    tick(app)
    worker.step()
    clock.advance(10.5)
    tick(app)
    worker.step()
    receipt = schedule.run_now("job")
    third, second, first = schedule.history("job")
    assert [first.state, second.state, third.state] == ["FAILURE", "SUCCESS", "PENDING"]
    assert second.lateness == pytest.approx(0.5)
    assert second.result.body == b"7"
    assert third.task_id == receipt.id
    found = schedule.get("job")
    assert (found.total_runs, found.last_task_id, found.last_state) == (3, receipt.id, "PENDING")
    assert schedule.list()[0].last_state == "PENDING"
    app.backend.discard([first.task_id])
    assert schedule.history("job")[-1].state == "EXPIRED"


def test_an_entry_remembers_as_many_runs_as_it_keeps(app: Celeriac, clock: VirtualClock) -> None:
    app.schedule.add("job", "proj.a", every=10, keep=3)
    for _ in range(5):
        clock.advance(10)
        tick(app)
    assert len(app.schedule.history("job")) == 3
    found = app.schedule.get("job")
    assert found is not None
    assert found.total_runs == 5


def test_a_one_off_and_a_single_time_run_once(app: Celeriac, clock: VirtualClock) -> None:
    app.schedule.add("one-off", "proj.a", every=10, one_off=True)
    app.schedule.add("at", "proj.b", at=datetime.fromtimestamp(clock.now() + 5, UTC))
    for _ in range(4):
        clock.advance(10)
        tick(app)
    assert sorted(message.task for message in waiting(app)) == ["proj.a", "proj.b"]
    assert [one.next_run for one in app.schedule.list()] == [None, None]


def test_jitter_puts_a_run_off_and_not_the_entry(app: Celeriac, clock: VirtualClock) -> None:
    app.schedule.add("spread", "proj.a", every=100, jitter=50)
    clock.advance(100)
    due = clock.now()
    tick(app)
    (message,) = waiting(app)
    assert message.eta is not None
    assert due <= message.eta <= due + 50
    found = app.schedule.get("spread")
    assert found is not None
    assert found.next_run is not None
    assert found.next_run.timestamp() == pytest.approx(due + 100)


def test_bad_entries_are_put_aside_with_their_reason_until_they_are_changed(app: Celeriac, clock: VirtualClock) -> None:
    @app.task(name="proj.add")
    def add(x: int) -> int:
        return x

    failed: list[EntryFailed] = []
    doubted: list[EntryDoubted] = []
    bus = Bus()
    bus.subscribe(EntryFailed, failed.append)
    bus.subscribe(EntryDoubted, doubted.append)
    add_unchecked(app, "arguments", "proj.add")
    app.schedule.add("unknown", "proj.nowhere", every=10)
    app.schedule.add("good", add, every=10, args=(1,))
    app.broker.put_entries([Writing(StoredEntry(name="unreadable", body=b"{", edition=1, due=clock.now() + 10))])
    clock.advance(10)
    tick(app, bus)
    assert sorted(event.name for event in failed) == ["arguments", "unreadable"]
    assert [event.name for event in doubted] == ["unknown"]
    assert sorted(message.task for message in waiting(app)) == ["proj.add", "proj.nowhere"]
    problems = {one.name: one.problem for one in app.schedule.list()}
    assert "cannot be called with these arguments" in (problems["arguments"] or "")
    assert "cannot be read" in (problems["unreadable"] or "")
    assert (problems["good"], problems["unknown"]) == (None, None)
    app.schedule.update("arguments", args=(1,))
    found = app.schedule.get("arguments")
    assert found is not None
    assert (found.problem, found.next_run is not None) == (None, True)


def test_two_who_change_one_entry_at_once_do_not_undo_each_other(app: Celeriac) -> None:
    app.schedule.add("shared", "proj.a", every=10)

    async def change() -> None:
        await asyncio.gather(
            *[app.schedule.aupdate("shared", description="d"), app.schedule.aupdate("shared", keep=7)],
            *[app.schedule.aupdate("shared", jitter=number) for number in range(5)],
        )

    asyncio.run(change())
    found = app.schedule.get("shared")
    assert found is not None
    assert found.entry is not None
    assert (found.entry.description, found.entry.keep) == ("d", 7)


def test_settings_come_into_the_store_and_leave_it(make_app: Make, clock: VirtualClock) -> None:
    url = "memory://settings-schedule"

    def start(schedule: dict[str, Any]) -> Celeriac:
        app = make_app(broker=url, backend=url)
        app.conf.beat_schedule = schedule
        tick(app)
        return app

    one = start(
        {
            "a": {"task": "proj.a", "schedule": 10.0, "args": (1,), "options": {"queue": "q"}},
            "b": {"task": "proj.b", "schedule": "0 6 * * *"},
            "c": {"task": "proj.c", "schedule": Crontab.parse("5 * * * *")},
        }
    )
    one.schedule.add("own", "proj.own", every=5)
    assert [entry.name for entry in one.schedule.list()] == ["a", "b", "c", "own"]
    before = one.schedule.get("a")
    assert before is not None
    assert before.entry is not None
    assert before.entry.origin == "settings"
    clock.advance(3)
    # The same again changes nothing; another description keeps the due time, another trigger does not.
    two = start(
        {
            "a": {"task": "proj.a", "schedule": 10.0, "args": (1,), "options": {"queue": "q"}, "description": "x"},
            "c": {"task": "proj.c", "schedule": 7},
        }
    )
    assert [entry.name for entry in two.schedule.list()] == ["a", "c", "own"]
    after, changed = two.schedule.get("a"), two.schedule.get("c")
    assert after is not None
    assert changed is not None
    assert changed.next_run is not None
    assert after.next_run == before.next_run
    assert changed.next_run.timestamp() == pytest.approx(clock.now() + 7)


def test_of_two_versions_of_a_program_the_newer_has_the_say(make_app: Make, clock: VirtualClock) -> None:
    url = "memory://two-versions"
    old, new = make_app(broker=url, backend=url), make_app(broker=url, backend=url)
    zone = old.timezone
    entries = [Entry(name="kept", task="proj.a", trigger=Interval(5), origin="settings")]
    gone = [Entry(name="gone", task="proj.a", trigger=Interval(5), origin="settings"), *entries]
    old.broker.carry(lambda ops: flows.synchronise(ops, gone, zone, 100.0))
    new.broker.carry(lambda ops: flows.synchronise(ops, entries, zone, 200.0))
    old.broker.carry(lambda ops: flows.synchronise(ops, gone, zone, 100.0))
    assert [entry.name for entry in new.schedule.list()] == ["kept"]


def test_two_apps_in_one_store_leave_each_other_s_entries_alone(make_app: Make) -> None:
    url = "memory://two-apps"

    def start(main: str, **schedule: float) -> Celeriac:
        app = make_app(main, broker=url, backend=url)
        app.conf.beat_schedule = {name: {"task": "proj.a", "schedule": every} for name, every in schedule.items()}
        tick(app)
        return app

    start("shop", orders=10, stock=20)
    start("mail", letters=10)
    start("shop", orders=10)
    assert [entry.name for entry in start("mail", letters=10).schedule.list()] == ["letters", "orders"]


def test_crontabs_of_the_program_have_the_window_that_celery_calls_deadline(make_app: Make) -> None:
    app = make_app(beat_cron_starting_deadline=30)
    app.conf.beat_schedule = {
        "cron": {"task": "proj.a", "schedule": "0 6 * * *"},
        "own": {"task": "proj.a", "schedule": "0 6 * * *", "window": 5},
        "interval": {"task": "proj.a", "schedule": 10},
    }
    assert {one.name: one.window for one in app.schedule.from_settings()} == {"cron": 30, "own": 5, "interval": None}


@pytest.mark.parametrize("given", [{"a": 1}, {"a": {"task": "t"}}, {"a": {"task": "t", "schedule": "daily"}}])
def test_a_wrong_setting_names_the_entry(make_app: Make, given: dict[str, Any]) -> None:
    app = make_app()
    app.conf.beat_schedule = given
    with pytest.raises(ImproperlyConfigured, match="beat_schedule: entry 'a'"):
        app.schedule.from_settings()


def test_in_the_background_it_starts_once_and_stops(app: Celeriac) -> None:
    app.schedule.add("soon", "proj.a", at=datetime.fromtimestamp(app.clock.now() + 1, UTC))
    one = app.schedule.start_background()
    try:
        assert app.schedule.start_background() is one
        wait_for(lambda: one.status.leads, 10, "it to lead")
    finally:
        app.schedule.stop_background()
    assert app.broker.elect("celeriac.scheduler", "another", 1.0)


def test_every_field_of_an_entry_survives_its_bytes() -> None:
    entry = Entry(
        name="all",
        task="proj.a",
        trigger=Crontab.parse("1 2 3 4 5"),
        args=(1, "x"),
        kwargs={"k": [1]},
        options={"queue": "q", "countdown": 5},
        description="d",
        zone="Europe/Berlin",
        start=1.0,
        end=2.0,
        enabled=False,
        one_off=True,
        misfire="all",
        window=5.0,
        overlap="queue",
        jitter=1.5,
        keep=3,
        origin="settings",
    )
    assert set(msgspec.structs.asdict(entry)) == set(Entry.__struct_fields__)
    stored = StoredEntry(name="all", body=flows.pack_body(entry), edition=1)
    assert flows.read_entry(stored) == entry


def test_a_run_keeps_the_last_lines_that_it_logged(
    app: Celeriac, worker: HandWorker, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("proj")

    @app.task(name="proj.chatty")
    def chatty(fails: bool = False) -> None:
        for number in range(1000):
            logger.warning("line %d %s", number, "x" * 200)
        logger.debug("not seen")
        logger.warning("bad %d", "arguments")
        if fails:
            raise ValueError("no")

    logging.raiseExceptions, before = False, logging.raiseExceptions
    try:
        chatty.delay()
        assert worker.step() is not None
        (plain,) = app.backend.fetch([worker.settled[0].lease.id])
        assert plain.log is None
        app.schedule.add("job", chatty, every=10)
        app.schedule.add("fails", chatty, every=10, args=(True,))
        clock.advance(10)
        tick(app)
        worker.step()
        worker.step()
    finally:
        logging.raiseExceptions = before
    for name, state in (("job", "SUCCESS"), ("fails", "FAILURE")):
        (run,) = app.schedule.history(name)
        assert run.state == state
        assert run.log is not None
        lines = run.log.splitlines()
        assert lines[-1].endswith("x" * 200)
        assert "WARNING proj: line 999 " in lines[-1]
        assert 40 < len(lines) <= 200
        assert len(run.log) <= 16_384
