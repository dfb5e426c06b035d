"""What the doctor finds in a store: each kind of trouble is made, and must be seen; a sound store has none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from celeriac.app.doctor import LATE, LONG_WAIT, examine_broker, examine_store, try_out, worst
from celeriac.brokers import open_broker
from celeriac.brokers.facade import SyncBroker
from celeriac.brokers.port import Finding, WorkerRecord
from celeriac.brokers.rules import queues_of
from celeriac.core.message import Message, Settlement, Start
from celeriac.testing.clock import VirtualClock

Broker = SyncBroker[Any, Any]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def broker(request: pytest.FixtureRequest, clock: VirtualClock) -> Iterator[Broker]:
    found = open_broker(f"memory://{request.node.nodeid}", clock=clock)
    yield found
    found.close()


def findings(broker: Broker, clock: VirtualClock) -> dict[str, Finding]:
    return {finding.subject: finding for finding in examine_broker(broker, clock)}


def beat(broker: Broker, *queues: str, name: str = "w1@host", owners: tuple[str, ...] = ()) -> None:
    broker.heartbeat(WorkerRecord(name=name, owners=owners, info={"queues": list(queues)}), 1000.0)


def send(broker: Broker, *ids: str, **fields: Any) -> None:
    broker.enqueue([Message(id=id, task="t", **fields) for id in ids])


def test_a_store_that_is_in_order_has_no_warning(broker: Broker, clock: VirtualClock) -> None:
    beat(broker, "celery", owners=("w1/1",))
    send(broker, "a", "b")
    send(broker, "later", eta=clock.now() + 100)
    broker.claim(["celery"], 1, "w1/1", 30.0)
    found = findings(broker, clock)
    assert worst(found.values()) == "advice"
    assert {finding.subject for finding in found.values() if finding.level != "ok"} == {"durability"}  # It is memory.
    assert worst(()) == "ok"


def test_a_queue_without_a_worker_is_found_and_the_misspelt_one_named(broker: Broker, clock: VirtualClock) -> None:
    beat(broker, "emails", "celery")
    send(broker, "a", queue="email")
    send(broker, "b")
    found = findings(broker, clock)
    assert found["queues without workers"].level == "warning"
    assert "'email' has 1 ready" in found["queues without workers"].text
    assert "a worker listens to 'emails'" in found["queues without workers"].text
    assert found["workers without work"].level == "advice"
    assert "emails" in found["workers without work"].text
    assert "celery" not in found["workers without work"].text


def test_no_worker_and_a_silent_one_are_found(broker: Broker, clock: VirtualClock) -> None:
    assert findings(broker, clock)["workers"].level == "advice"
    beat(broker, "celery")
    clock.advance(7.0)
    assert findings(broker, clock)["workers"].level == "warning"
    beat(broker, "celery")
    assert findings(broker, clock)["workers"].level == "ok"


def test_what_a_vanished_worker_holds_is_found(broker: Broker, clock: VirtualClock) -> None:
    send(broker, "a", "b")
    (first,) = broker.claim(["celery"], 1, "live", 1000.0)
    broker.claim(["celery"], 1, "gone", 1.0)
    broker.start([Start(first.lease)])
    beat(broker, "celery", owners=("live",))
    assert findings(broker, clock)["leases"].level == "ok"  # It may have been claimed a moment ago.
    clock.advance(LATE + 1)
    beat(broker, "celery", owners=("live",))
    found = findings(broker, clock)["leases"]
    assert found.level == "warning"
    assert found.text.startswith("1 held by workers that are not online, such as 'b' by 'gone'")


def test_late_tasks_old_backlogs_and_dead_letters_are_found(broker: Broker, clock: VirtualClock) -> None:
    send(broker, "dead", "old")
    (delivery,) = broker.claim(["celery"], 1, "w", 30.0)
    broker.settle([Settlement(lease=delivery.lease, action="dead", reason="poison")])
    send(broker, "late", eta=clock.now() + 1)
    clock.advance(LONG_WAIT + LATE)
    beat(broker, "celery")
    found = findings(broker, clock)
    assert found["dead letters"].text == "1 in 'celery'"
    assert found["schedule"].level == found["dead letters"].level == "warning"
    assert found["backlog"].level == "advice"


def test_a_clock_that_is_off_is_found(broker: Broker) -> None:
    behind = VirtualClock()
    (clock,) = (finding for finding in examine_store(broker, behind) if finding.subject == "clock")
    assert clock.level == "ok"
    behind.advance(100.0)
    (clock,) = (finding for finding in examine_store(broker, behind) if finding.subject == "clock")
    assert clock.level == "warning"
    assert clock.text.startswith("the store's clock is 100.0")


@pytest.mark.parametrize("told", [None, "celery", 5, {"celery": 1}, [1, None, "celery"]])
def test_a_record_that_says_anything_is_no_error(broker: Broker, clock: VirtualClock, told: object) -> None:
    record = WorkerRecord(name="w", info={"queues": told})
    broker.heartbeat(record, 100.0)
    send(broker, "a")
    assert ("queues without workers" in findings(broker, clock)) == ("celery" not in queues_of(record))


def test_the_trial_leaves_nothing_but_its_count(broker: Broker) -> None:
    send(broker, "mine")
    (found,) = try_out(broker)
    assert found.level == "ok", found
    assert [stats.queue for stats in broker.stats()] == ["celery"]
    assert broker.tallies() == {("celeriac.doctor", "SUCCESS"): 1}


class Forgetful(SyncBroker[Any, Any]):
    """A broker that changes what it was given."""

    def claim(self, queues: Any, limit: int, owner: str, lease: float) -> Any:
        return [
            msgspec.structs.replace(delivery, message=None) for delivery in super().claim(queues, limit, owner, lease)
        ]


def test_the_trial_sees_a_store_that_does_not_give_back_what_it_was_given(broker: Broker) -> None:
    (found,) = try_out(Forgetful(broker._driver))
    assert found.level == "error"


def test_a_store_that_cannot_be_used_is_an_error_that_says_what_to_do(tmp_path: Any, clock: VirtualClock) -> None:
    path = tmp_path / "other.db"
    with open_broker(f"sqlite:///{path}") as broker:
        (missing,) = examine_broker(broker, clock)
        path.write_bytes(b"no database at all" * 100)
        (strange,) = examine_broker(broker, clock)
    assert missing.level == strange.level == "error"
    assert "does not exist yet" in missing.text
    assert missing.remedy.startswith("it is made by the first worker")
    assert "is not a SQLite database" in strange.text
