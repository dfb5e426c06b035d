"""Verdicts are settled, also where the reply that brought them was lost."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from celeriac import Celeriac
from celeriac.brokers import connect
from celeriac.brokers.facade import SyncBroker
from celeriac.core import state
from celeriac.core.message import Settlement, Start
from celeriac.errors import OperationalError
from celeriac.testing.faults import Fault, FaultyDriver, Script
from celeriac.worker.keeper import Judge
from celeriac.worker.options import WorkerOptions

_numbers = itertools.count()


class Court:
    """A judge at a broker whose requests and replies are lost as the script says."""

    def __init__(self, url: str) -> None:
        self.app = Celeriac("court", broker=url, backend=url, set_as_current=False)
        self.app.task(name="once", acks_late=False)(lambda: None)
        self.script = Script()
        self.broker = self.app.broker
        faulty = SyncBroker(FaultyDriver(connect(url), self.script))
        options = WorkerOptions(target="x", node="w@test", queues=("celery",))

        def settle(settlements: Sequence[Settlement]) -> None:
            if settlements:
                faulty.settle(settlements)

        self.judge = Judge(
            faulty, "w@test/judge", options, settle=settle, surroundings=self.app.worker_surroundings("w@test")
        )

    def lose_a_started_one(self) -> str:
        """Start an at-most-once task in a process that then dies."""
        task_id = self.app.tasks["once"].apply_async().id
        (delivery,) = self.broker.claim(["celery"], 1, "w@test/1", 60.0)
        self.broker.start([Start(delivery.lease, once=True)])
        return task_id

    def ended(self, task_id: str) -> str | None:
        return next((one.state for one in self.app.backend.fetch([task_id])), None)


@pytest.fixture(params=["memory", "sqlite"])
def court(request: pytest.FixtureRequest, tmp_path: Path) -> Court:
    memory = f"memory://judge-{os.getpid()}-{next(_numbers)}"
    return Court(memory if request.param == "memory" else f"sqlite:///{tmp_path}/judge.db")


@pytest.mark.parametrize("before", [0, 1], ids=["reclaim", "settle"])
@pytest.mark.parametrize("fault", [Fault.LOSE_REQUEST, Fault.LOSE_REPLY])
def test_a_verdict_whose_reply_was_lost_is_settled_with_the_next_call(court: Court, before: int, fault: Fault) -> None:
    task_id = court.lose_a_started_one()
    court.script.add(*[Fault.NONE] * before, fault)
    with pytest.raises(OperationalError):
        court.judge.reclaim(owner="w@test/1")
    court.judge.reclaim(owner="w@test/1")
    assert court.ended(task_id) == state.FAILURE
    assert court.broker.get([task_id]) == []


def test_without_a_fault_nothing_is_taken_twice(court: Court) -> None:
    task_id = court.lose_a_started_one()
    assert court.judge.reclaim(owner="w@test/1").count == 1
    assert court.ended(task_id) == state.FAILURE
    assert court.judge.reclaim(owner="w@test/1").count == 0
