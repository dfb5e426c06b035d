"""Changing an entry: what moves its next due time, what gives a field its default back, what becomes of a held run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from celeriac import Celeriac
from celeriac.app.schedule_entries import UNSETTABLE, ScheduledEntry
from celeriac.core.message import Message
from celeriac.core.schedule import Entry, Interval
from celeriac.errors import InvalidTaskError
from celeriac.events import Bus
from celeriac.schedules import schedule
from celeriac.testing.clock import VirtualClock
from tests.unit.app.conftest import HandWorker

NINE = datetime.fromisoformat("2090-01-01T09:00")


def tick(app: Celeriac) -> None:
    """Let a new scheduler do what is due now."""
    app.schedule.scheduler(Bus(), "only").turn()


def waiting(app: Celeriac) -> list[Message]:
    records = app.broker.page(["PENDING", "SCHEDULED"], None, 0, 100)
    return [one.message for one in records if one.message is not None]


def shown(app: Celeriac, name: str) -> ScheduledEntry:
    found = app.schedule.get(name)
    assert found is not None
    return found


def next_in(app: Celeriac, name: str, clock: VirtualClock) -> float | None:
    """Return the seconds until an entry is due."""
    found = shown(app, name).next_run
    return None if found is None else found.timestamp() - clock.now()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"enabled": True}, 50),
        ({"every": 60}, 50),
        ({"schedule": timedelta(minutes=1), "zone": None, "start": None, "end": None}, 50),
        ({"description": "x", "args": (1,), "overlap": "skip", "keep": 3}, 50),
        ({"start": datetime(2001, 1, 1, tzinfo=UTC)}, 60),
        ({"every": 30}, 30),
        ({"zone": "Asia/Tokyo"}, 60),
        ({"enabled": False}, None),
    ],
)
def test_the_next_due_time_moves_only_if_what_it_follows_from_changes(
    app: Celeriac, clock: VirtualClock, fields: dict[str, Any], expected: float | None
) -> None:
    app.schedule.add("job", "proj.a", every=60)
    clock.advance(10)
    app.schedule.update("job", **fields)
    assert next_in(app, "job", clock) == pytest.approx(expected)


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_to_enable_what_is_enabled_moves_nothing(app: Celeriac, clock: VirtualClock, mode: str) -> None:
    app.schedule.add("job", "proj.a", every=60)
    clock.advance(10)
    await app.schedule.aenable("job") if mode == "async" else app.schedule.enable("job")
    assert next_in(app, "job", clock) == pytest.approx(50)


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_to_enable_what_waits_for_nothing_lets_it_run_again(
    app: Celeriac, clock: VirtualClock, mode: str
) -> None:
    app.schedule.add("job", "proj.a", every=60, one_off=True)
    app.schedule.add("at", "proj.a", at=datetime.fromtimestamp(clock.now() + 5, UTC))
    clock.advance(60)
    tick(app)
    app.schedule.update("job", enabled=True, description="done")
    assert next_in(app, "job", clock) is None
    await app.schedule.aenable("job") if mode == "async" else app.schedule.enable("job")
    assert next_in(app, "job", clock) == pytest.approx(60)
    with pytest.raises(InvalidTaskError, match="never due"):
        app.schedule.enable("at")


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_none_gives_a_field_its_default_back(app: Celeriac, clock: VirtualClock, mode: str) -> None:
    given: dict[str, Any] = {
        "args": (1,), "kwargs": {"a": 1}, "options": {"queue": "q"}, "description": "d", "zone": "Asia/Tokyo",
        "start": NINE, "end": NINE + timedelta(days=365), "one_off": True, "misfire": "all", "window": 5,
        "overlap": "queue", "jitter": 2, "keep": 3,
    }  # fmt: skip
    assert given.keys() == set(UNSETTABLE)
    plain = app.schedule.add("plain", "proj.a", cron="0 6 * * *")
    app.schedule.add("job", "proj.a", cron="0 6 * * *", **given)
    nothing: dict[str, Any] = dict.fromkeys(given)
    found = await app.schedule.aupdate("job", **nothing) if mode == "async" else app.schedule.update("job", **nothing)
    assert {name: getattr(found, name) for name in given} == {name: getattr(plain, name) for name in given}
    assert shown(app, "job").next_run == shown(app, "plain").next_run
    assert app.schedule.add("other", "proj.a", every=5, **nothing) == Entry(
        name="other", task="proj.a", trigger=Interval(5.0)
    )


def test_times_without_a_zone_are_read_in_that_of_the_entry(app: Celeriac) -> None:
    app.schedule.add("job", "proj.a", cron="0 6 * * *", zone="Asia/Tokyo")
    assert app.schedule.update("job", start=NINE).start == datetime(2090, 1, 1, tzinfo=UTC).timestamp()
    once = app.schedule.update("job", at=NINE + timedelta(days=1)).trigger
    assert once.next_after(0.0, UTC) == datetime(2090, 1, 2, tzinfo=UTC).timestamp()
    # With a zone, or without one from now on, in that.
    found = app.schedule.update("job", start=NINE, zone=None)
    assert (found.zone, found.start) == (None, datetime(2090, 1, 1, 9, tzinfo=UTC).timestamp())


def test_what_counts_from_midnight_counts_from_that_of_another_zone_then(app: Celeriac, clock: VirtualClock) -> None:
    app.schedule.add("daily", "proj.a", schedule=schedule(86400, relative=True))
    app.schedule.add("own", "proj.a", trigger=Interval(3600.0, 5.0))
    for zone, hour in (("Asia/Kolkata", "18:30"), ("Asia/Tokyo", "15:00"), (None, "00:00")):
        app.schedule.update("daily", zone=zone)
        found = shown(app, "daily").next_run
        assert found is not None
        assert found.strftime("%H:%M") == hour
    assert app.schedule.update("own", zone="Asia/Kolkata").trigger == Interval(3600.0, 5.0)
    assert app.schedule.update("daily", every=3600, relative=True, zone="Asia/Kolkata").trigger == Interval(
        3600.0, datetime(2023, 12, 31, 18, 30, tzinfo=UTC).timestamp()
    )


@pytest.mark.parametrize("misfire", ["once", "all", "skip"])
def test_a_run_that_waits_for_the_one_before_is_dropped_with_its_entry_disabled(
    app: Celeriac, clock: VirtualClock, worker: HandWorker, misfire: str
) -> None:
    @app.task(name="proj.a")
    def a() -> None:
        """Do nothing."""

    app.schedule.add("job", a, every=10, overlap="queue", misfire=misfire)
    for _ in range(2):
        clock.advance(10)
        tick(app)
    assert len(waiting(app)) == 1, "the second waits for the first"
    app.schedule.disable("job")
    worker.step()
    clock.advance(3600)
    tick(app)
    assert waiting(app) == []
    app.schedule.enable("job")
    clock.advance(5)
    tick(app)
    assert waiting(app) == [], "it goes on from now"
    clock.advance(5)
    tick(app)
    (message,) = waiting(app)
    assert message.headers["periodic_task_due"] == clock.now()
    found = shown(app, "job")
    assert (found.total_runs, found.missed) == (2, 1)


def test_a_run_that_waits_survives_a_change_of_something_else(
    app: Celeriac, clock: VirtualClock, worker: HandWorker
) -> None:
    @app.task(name="proj.a")
    def a() -> None:
        """Do nothing."""

    app.schedule.add("job", a, every=10, overlap="queue")
    for _ in range(2):
        clock.advance(10)
        tick(app)
    due = clock.now()
    app.schedule.update("job", description="x", enabled=True)
    worker.step()
    clock.advance(1.5)
    tick(app)
    (message,) = waiting(app)
    assert message.headers["periodic_task_due"] == due
    found = shown(app, "job")
    assert (found.total_runs, found.missed) == (2, 0)
    assert next_in(app, "job", clock) == pytest.approx(8.5)


def test_an_entry_that_is_put_in_its_own_place_goes_on(app: Celeriac, clock: VirtualClock) -> None:
    def at_each_start_of_a_program(every: int = 60) -> None:
        app.schedule.add("job", "proj.a", every=every, description=f"at {clock.now()}", replace=True)

    at_each_start_of_a_program()
    clock.advance(40)
    at_each_start_of_a_program()
    assert next_in(app, "job", clock) == pytest.approx(20)
    clock.advance(20)
    tick(app)
    at_each_start_of_a_program()
    assert next_in(app, "job", clock) == pytest.approx(60)
    assert shown(app, "job").total_runs == 1
    clock.advance(10)
    at_each_start_of_a_program(every=30)
    assert next_in(app, "job", clock) == pytest.approx(30)
    app.schedule.disable("job")
    at_each_start_of_a_program(every=30)
    assert next_in(app, "job", clock) == pytest.approx(30)


def test_what_counts_from_a_run_counts_from_when_jitter_puts_it(app: Celeriac, clock: VirtualClock) -> None:
    app.schedule.add("late", "proj.a", every=1000, jitter=500, options={"expires": 5, "countdown": 2})
    app.schedule.add("plain", "proj.a", every=1000, jitter=500)
    clock.advance(1000)
    due = clock.now()
    tick(app)
    found = {message.headers["periodic_task_name"]: message for message in waiting(app)}
    late, plain = found["late"], found["plain"]
    assert plain.eta is not None
    assert due < plain.eta <= due + 500
    assert late.eta is not None
    assert late.expires is not None
    assert late.expires - late.eta == pytest.approx(3)
    assert due < late.eta - 2 <= due + 500
