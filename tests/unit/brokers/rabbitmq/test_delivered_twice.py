"""A process takes a message from RabbitMQ and is stopped before the store hears of it; another runs it meanwhile."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from celeriac.brokers.memory.driver import MemoryPerformer, SharedStore
from celeriac.brokers.memory.operations import MemoryOperations
from celeriac.brokers.port import MAX_BATCH
from celeriac.brokers.rabbitmq.operations.paired import ENDED_FOR, PairedOperations
from celeriac.brokers.rabbitmq.requests import Ack, RabbitOperation, Take, Taken
from celeriac.brokers.rabbitmq.topology import Topology
from celeriac.core.message import Arrival, Delivery, Message, Place, Settlement, StoredResult, pack
from celeriac.core.workflow import Join, Workflow
from celeriac.testing.clock import VirtualClock

QUEUE, LEASE = "celery", 6.0
SENT = Message(id="a", task="proj.add", queue=QUEUE, headers={"tenant": "one"})
STEP = msgspec.structs.replace(SENT, workflow="flow", place=Place(join=1, slot=0))


class Moves:
    """RabbitMQ's messages on their way into a store in memory."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.operations = PairedOperations(MemoryOperations(), Topology(), self.clock.monotonic)
        self._store = MemoryPerformer(SharedStore(self.clock))

    def run(self, operation: RabbitOperation[Any], *taken: Taken, begun: Any = None) -> Any:
        """Carry an operation out, from its beginning or from a request on; RabbitMQ delivers what is given, once."""
        left = list(taken)
        try:
            request: Any = next(operation) if begun is None else begun
            while True:
                reply: Any = ()
                if isinstance(request, Take):
                    reply, left = left, []
                elif not isinstance(request, Ack):
                    reply = self._store.perform(request)
                request = operation.send(reply)
        except StopIteration as end:
            return end.value

    def claim(self, *taken: Taken, owner: str = "other") -> list[Delivery]:
        found: list[Delivery] = self.run(self.operations.claim([QUEUE], 10, owner, LEASE), *taken)
        return found

    def stopped(self, taken: Taken) -> tuple[RabbitOperation[list[Delivery]], Any]:
        """Return a claim that has taken the message, and what it was about to send to the store."""
        claiming = self.operations.claim([QUEUE], 10, "stopped", LEASE)
        assert isinstance(next(claiming), Take)
        return claiming, claiming.send([taken])


@pytest.fixture
def moves() -> Moves:
    return Moves()


def taken(message: Message, *, again: bool = False) -> Taken:
    return Taken(1, QUEUE, pack(message), again=again)


def ended(delivery: Delivery, **fields: Any) -> Settlement:
    result = StoredResult(id=delivery.lease.id, state="SUCCESS")
    return Settlement(lease=delivery.lease, action="done", result=result, **fields)


def test_what_others_ran_meanwhile_is_not_run_again(moves: Moves) -> None:
    claiming, moving = moves.stopped(taken(SENT))
    (delivery,) = moves.claim(taken(SENT, again=True))
    assert delivery.message == SENT
    assert moves.run(moves.operations.settle([ended(delivery)])) == ()
    assert moves.run(claiming, begun=moving) == []
    assert moves.claim() == []
    assert moves.run(moves.operations.tallies()) == {("proj.add", "SUCCESS"): 1}


def test_what_others_run_at_the_moment_is_not_run_again(moves: Moves) -> None:
    claiming, moving = moves.stopped(taken(SENT))
    (delivery,) = moves.claim(taken(SENT, again=True))
    assert moves.run(claiming, begun=moving) == []
    assert moves.run(moves.operations.settle([ended(delivery)])) == ()
    assert moves.claim() == []


def test_step_of_a_workflow_is_not_run_again_and_its_join_closes(moves: Moves) -> None:
    """What arrives has to be over, so the step cannot stay in place of itself as other tasks do."""
    body = Message(id="body", task="proj.sum", queue=QUEUE)
    join = Join(number=1, size=1, messages=(body,))
    flow = Workflow(id="flow", size=1, record=b"the graph", keep=60.0)
    moves.run(moves.operations.plant(flow, [join]))
    claiming, moving = moves.stopped(taken(STEP))
    (delivery,) = moves.claim(taken(STEP, again=True))
    result = StoredResult(id=STEP.id, state="SUCCESS")
    arrival = Arrival(workflow="flow", join=1, slot=0, result=result)
    assert moves.run(moves.operations.settle([ended(delivery, arrival=arrival)])) == ()

    found = moves.run(claiming, begun=moving)
    assert [one.message.id for one in found if one.message is not None] == ["body"], "once, and not the step"
    assert moves.claim() == []
    harvest = moves.run(moves.operations.harvest("flow", 1, -1, 10))
    assert [one.result.state for one in harvest.arrived] == ["SUCCESS"]
    assert not any(one.failed for one in harvest.arrived)


def test_superseded_run_leaves_no_note(moves: Moves) -> None:
    (first,) = moves.claim(taken(STEP, again=True))
    moves.run(moves.operations.reclaim("other", MAX_BATCH, crash_limit=3, owner="other"))
    (second,) = moves.claim()
    assert second.lease.token > first.lease.token
    arrival = Arrival(workflow="flow", join=1, slot=0, result=StoredResult(id=STEP.id, state="SUCCESS"))
    assert moves.run(moves.operations.settle([ended(first, arrival=arrival)])) == (STEP.id,)
    assert moves.run(moves.operations.settle([ended(second, arrival=arrival)])) == ()


def test_note_goes_after_its_time(moves: Moves) -> None:
    (delivery,) = moves.claim(taken(SENT, again=True))
    moves.run(moves.operations.settle([ended(delivery)]))
    assert moves.run(moves.operations.enqueue([msgspec.structs.replace(SENT, eta=0.0)])) == (SENT.id,)
    moves.clock.advance(ENDED_FOR + 1)
    assert moves.run(moves.operations.prune(None, 100)) >= 1
    assert moves.run(moves.operations.enqueue([msgspec.structs.replace(SENT, eta=0.0)])) == ()
