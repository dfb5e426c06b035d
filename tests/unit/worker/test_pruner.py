"""What has expired is cleared away, in the broker and in a result store of its own."""

from __future__ import annotations

from pathlib import Path

from celeriac.brokers import open_broker
from celeriac.core.message import Message, Settlement, StoredResult
from celeriac.results import open_results
from celeriac.testing.clock import VirtualClock
from celeriac.worker.keeper import PRUNE_EVERY, Pruner


def test_both_stores_are_pruned_and_only_the_broker_s_dead_letters(tmp_path: Path) -> None:
    clock = VirtualClock()
    broker = open_broker(f"sqlite:///{tmp_path}/q.db", clock=clock)
    other = open_broker(f"sqlite:///{tmp_path}/r.db", clock=clock)
    for store in (broker, other):
        store.enqueue([Message(id="dead", task="t")])
        (delivery,) = store.claim(["celery"], 1, "w", 10.0)
        store.settle([Settlement(lease=delivery.lease, action="dead", reason="poison")])
        store.store(
            [StoredResult(id="short", state="SUCCESS", expires=clock.now() + 5), StoredResult(id="l", state="X")]
        )
    clock.advance(60.0)
    pruner = Pruner(broker, 30.0, lambda: other)
    assert pruner.tick() == PRUNE_EVERY
    assert broker.get(["dead"]) == []
    assert [record.id for record in other.get(["dead"])] == ["dead"], "another app's dead letters are not ours to drop"
    for store in (broker, other):
        assert store.prune(None, 100) == 0
        assert [one.id for one in store.fetch(["short", "l"])] == ["l"]
        store.close()


def test_a_database_is_pruned(tmp_path: Path) -> None:
    with open_broker("memory://pruner") as broker, open_results(f"db+sqlite:///{tmp_path}/r.db") as results:
        results.store([StoredResult(id=f"r{n}", state="SUCCESS", expires=1.0) for n in range(700)])
        pruner = Pruner(broker, None, lambda: results)
        assert pruner.tick() < PRUNE_EVERY, "there is more than one batch"
        assert pruner.tick() == PRUNE_EVERY
        assert results.prune(None, 500) == 0
