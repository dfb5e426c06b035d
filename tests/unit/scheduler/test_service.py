"""The scheduler's loop, on a store in memory: what it sends, what it puts aside, who leads."""

from __future__ import annotations

import itertools
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from celeriac.brokers import connect
from celeriac.brokers.facade import SyncBroker
from celeriac.core.message import Message, Settlement
from celeriac.core.scheduled import Firing, Turns, Writing
from celeriac.events import Bus, EntriesFired, EntryFailed, SchedulerLed
from celeriac.scheduler.runs import KEPT_RUNS, History, Run, pack_history, run_id, unpack_history
from celeriac.scheduler.service import LEASE, ROLE, Scheduler
from tests.support.desk import EveryDesk, put, stored

Broker = SyncBroker[Any, Any]


@pytest.fixture
def broker() -> Iterator[Broker]:
    with SyncBroker(connect(f"memory://{uuid.uuid4()}")) as found:
        yield found


@contextmanager
def running(broker: Broker, holder: str = "one", bus: Bus | None = None) -> Iterator[Scheduler]:
    scheduler = Scheduler(broker, EveryDesk(), bus or Bus(), holder)
    thread = threading.Thread(target=scheduler.run, daemon=True)
    thread.start()
    try:
        yield scheduler
    finally:
        scheduler.stop()
        thread.join(10)
        assert not thread.is_alive()


def wait_for(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"{condition} did not come true"
        time.sleep(0.005)
    return found


def drained(broker: Broker, queue: str = "celery") -> list[Message]:
    found = [one.message for one in broker.claim([queue], 1000, "drain", 30.0)]
    return [one for one in found if one is not None]


def history(broker: Broker, name: str) -> History:
    (entry,) = broker.get_entries([name])
    return unpack_history(entry.state)


def test_what_is_due_is_sent_once_and_what_is_not_waits(broker: Broker) -> None:
    now = time.time()
    put(broker, stored("due", now - 0.5, every=60.0), stored("later", now + 60), stored("stopped", None))
    with running(broker) as scheduler:
        (message,) = wait_for(lambda: drained(broker))
        wait_for(lambda: scheduler.status.fired == 1)
    assert message.id == run_id("due", now - 0.5)
    assert message.headers == {"due": now - 0.5}
    (entry,) = broker.get_entries(["due"])
    assert entry.due == now - 0.5 + 60
    assert history(broker, "due").total == 1
    assert drained(broker) == []


def test_a_change_acts_within_a_second(broker: Broker) -> None:
    with running(broker) as scheduler:
        wait_for(lambda: scheduler.status.leads)
        before = time.monotonic()
        put(broker, stored("new", time.time(), every=60.0))
        wait_for(lambda: drained(broker))
    assert time.monotonic() - before < 1.0


def test_an_entry_fires_at_its_time_and_again(broker: Broker) -> None:
    fired: list[float] = []
    bus = Bus()
    bus.subscribe(EntriesFired, lambda event: fired.append(event.lateness))
    put(broker, stored("often", time.time() + 0.1, every=0.2))
    with running(broker, bus=bus):
        wait_for(lambda: len(fired) >= 4)
    dues = [message.headers["due"] for message in drained(broker)]
    assert [round(later - sooner, 6) for sooner, later in itertools.pairwise(dues)] == [0.2] * (len(dues) - 1)
    assert min(fired) < 0.1


def test_a_bad_entry_is_put_aside_with_its_reason_and_holds_up_no_other(broker: Broker) -> None:
    failed: list[EntryFailed] = []
    bus = Bus()
    bus.subscribe(EntryFailed, failed.append)
    now = time.time()
    unreadable = stored("a-unreadable", now - 2)
    unreadable = type(unreadable)(name="a-unreadable", body=b"\xc1", edition=5, due=now - 2)
    put(broker, unreadable, stored("b-broken", now - 1, task="proj.broken"), stored("good", now - 0.5, every=60.0))
    with running(broker, bus=bus):
        wait_for(lambda: drained(broker))
        wait_for(lambda: len(failed) == 2)
    assert [event.name for event in failed] == ["a-unreadable", "b-broken"]
    assert "February 30" in failed[1].reason
    (entry,) = broker.get_entries(["b-broken"])
    assert entry.due is None
    assert "February 30" in (unpack_history(entry.state).problem_of(entry.edition) or "")
    # A change gives it another chance, and its old problem is no more.
    put(broker, stored("b-broken", time.time(), every=60.0))
    with running(broker):
        wait_for(lambda: drained(broker))
    (entry,) = broker.get_entries(["b-broken"])
    assert unpack_history(entry.state).problem_of(entry.edition) is None


def test_missed_times_are_run_as_planned_and_counted(broker: Broker) -> None:
    now = time.time()
    put(broker, stored("latest", now - 35, every=10.0), stored("all", now - 35, every=10.0, catch_up=True))
    with running(broker) as scheduler:
        wait_for(lambda: scheduler.status.fired == 5)
    dues = [message.headers["due"] for message in drained(broker)]
    assert sorted(dues) == sorted([now - 35, now - 25, now - 15, now - 5, now - 5])
    assert (history(broker, "latest").missed, history(broker, "all").missed) == (3, 0)
    assert history(broker, "all").total == 4


def test_a_run_is_skipped_while_the_one_before_goes_on(broker: Broker) -> None:
    now = time.time()
    put(broker, stored("report", now - 0.1, every=0.2, overlap="skip"))
    with running(broker):
        (first,) = wait_for(lambda: broker.claim(["celery"], 10, "w1", 30.0))
        wait_for(lambda: history(broker, "report").missed >= 2)
        assert broker.claim(["celery"], 10, "w1", 30.0) == []
        broker.settle([Settlement(lease=first.lease, action="done")])
        wait_for(lambda: broker.claim(["celery"], 10, "w1", 30.0))


def test_one_run_waits_for_the_one_before_it_to_end(broker: Broker) -> None:
    now = time.time()
    put(broker, stored("report", now - 0.1, every=0.2, overlap="queue"))
    with running(broker):
        (first,) = wait_for(lambda: broker.claim(["celery"], 10, "w1", 30.0))
        wait_for(lambda: history(broker, "report").waiting)
        assert broker.claim(["celery"], 10, "w1", 30.0) == []
        broker.settle([Settlement(lease=first.lease, action="done")])
        (second,) = wait_for(lambda: broker.claim(["celery"], 10, "w1", 30.0))
    assert second.message is not None
    assert second.message.headers["due"] > now
    assert history(broker, "report").total == 2


def test_a_stop_hands_the_lead_over_at_once(broker: Broker) -> None:
    led: list[SchedulerLed] = []
    bus = Bus()
    bus.subscribe(SchedulerLed, led.append)
    with running(broker, "one", bus) as one:
        wait_for(lambda: one.status.leads)
        with running(broker, "two", bus) as two:
            wait_for(lambda: two.status.turned < 0.1)
            assert not two.status.leads
            one.stop()
            before = time.monotonic()
            wait_for(lambda: two.status.leads)
            assert time.monotonic() - before < 1.0
    assert [(event.holder, event.leads) for event in led][:3] == [("one", True), ("one", False), ("two", True)]


def test_a_leader_that_vanished_is_replaced_within_five_seconds(broker: Broker) -> None:
    assert broker.elect(ROLE, "gone", LEASE)
    before = time.monotonic()
    with running(broker) as scheduler:
        wait_for(lambda: scheduler.status.leads)
    assert time.monotonic() - before < 5.0


def test_two_who_both_believe_that_they_lead_send_each_due_time_once(broker: Broker) -> None:
    now = time.time()
    put(broker, *[stored(f"e{number}", now + 0.2 + number * 0.001, every=0.1) for number in range(100)])

    class Generous(SyncBroker[Any, Any]):
        """Gives the lead to everybody."""

        def elect(self, role: str, holder: str, ttl: float) -> bool:
            return True

        def due_entries(self, limit: int) -> Turns:
            found = super().due_entries(limit)
            time.sleep(0.005)  # Let the others see the same.
            return found

    seen: list[str] = []
    brokers = [Generous(broker._driver) for _ in range(3)]
    threads = [Scheduler(one, EveryDesk(), Bus(), f"s{place}") for place, one in enumerate(brokers)]
    for one in threads:
        threading.Thread(target=one.run, daemon=True).start()
    try:
        end = time.monotonic() + 20
        while len(seen) < 1000 and time.monotonic() < end:
            deliveries = broker.claim(["celery"], 500, "w", 30.0)
            seen += [one.lease.id for one in deliveries]
            broker.settle([Settlement(lease=one.lease, action="done") for one in deliveries])
            time.sleep(0.01)
    finally:
        for one in threads:
            one.stop()
    assert len(seen) >= 1000
    assert len(seen) == len(set(seen))
    assert sum(one.status.refused for one in threads) > 0


def test_an_outage_of_the_store_is_told_and_survived(broker: Broker) -> None:
    put(broker, stored("due", time.time() + 0.3, every=60.0))

    class Failing(SyncBroker[Any, Any]):
        fails = 3

        def elect(self, role: str, holder: str, ttl: float) -> bool:
            if self.fails:
                self.fails -= 1
                raise ConnectionError("the store is away")
            return super().elect(role, holder, ttl)

    with running(Failing(broker._driver)):
        wait_for(lambda: drained(broker))


def test_a_scheduler_that_does_not_get_to_look_is_a_problem_for_the_probe(broker: Broker) -> None:
    class Away(SyncBroker[Any, Any]):
        def elect(self, role: str, holder: str, ttl: float) -> bool:
            raise ConnectionError("the store is away")

    with running(Away(broker._driver)) as scheduler:
        wait_for(lambda: scheduler._error)
        assert scheduler.status.problems == ()
        scheduler._turned_at -= 11
        problem = ", ".join(scheduler.status.problems)
    assert re.fullmatch(r"the scheduler has not looked for 1\d s: ConnectionError: the store is away", problem)


def test_the_next_look_is_no_later_for_the_time_that_firing_takes(broker: Broker) -> None:
    """Entries that are due while others are fired do not wait for a pause on top of that."""

    class Slow(SyncBroker[Any, Any]):
        def begin_fire_entries(self, firings: Sequence[Firing]) -> Callable[[], tuple[str, ...]]:
            time.sleep(0.2)
            return super().begin_fire_entries(firings)

    waited: list[float] = []
    bus = Bus()
    bus.subscribe(EntriesFired, lambda event: waited.extend(event.waited))
    now = time.time()
    put(broker, stored("first", now, every=60.0), stored("second", now + 0.15, every=60.0))
    scheduler = Scheduler(Slow(broker._driver), EveryDesk(), bus, "one")
    assert scheduler.turn() == 0.0, "the second is due by now"
    assert scheduler.turn() > 0.0
    # How late they are is counted until the store has their messages.
    assert len(waited) == 2
    assert min(waited) >= 0.2


def test_the_history_of_an_entry_is_bounded_and_survives_its_bytes() -> None:
    many = History(30, tuple([Run(float(number), number + 0.5) for number in range(KEPT_RUNS)]), 2, 7.0, "x", 9)
    assert unpack_history(pack_history(many)) == many
    assert unpack_history(b"") == History()
    assert unpack_history(b"\xc1nonsense") == History()
    assert many.problem_of(9) == "x"
    assert many.problem_of(8) is None


def test_the_id_of_a_run_belongs_to_its_entry_and_due_time() -> None:
    ids = {run_id("a", 1.0), run_id("b", 1.0), run_id("a", 1.5), run_id("a", 1e9)}
    assert len(ids) == 4
    assert run_id("a", 1.0) == run_id("a", 1.0)
    assert all(uuid.UUID(one).version == 8 for one in ids)


def test_a_writing_that_keeps_the_due_time_does_not_fire_again(broker: Broker) -> None:
    now = time.time()
    put(broker, stored("due", now - 0.5, every=60.0))
    with running(broker):
        wait_for(lambda: drained(broker))
        (entry,) = broker.get_entries(["due"])
        changed = Writing(stored("due", now - 0.5, every=60.0), replaces=entry.edition, keeps_due=True)
        assert broker.put_entries([changed]) == ()
        put(broker, stored("marker", time.time(), every=60.0))
        assert [one.headers["due"] > now for one in wait_for(lambda: drained(broker))] == [True]
