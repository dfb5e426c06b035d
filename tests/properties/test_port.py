"""Random walks through the port: after every step each driver agrees with the model of the contract.

What holds all along: nothing is lost and nothing appears, every change of state is a row of the transition table,
tokens grow, a superseded lease settles nothing, and every count that the broker gives is the model's.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from celeriac.brokers import connect
from celeriac.brokers.facade import SyncBroker
from celeriac.brokers.rules import VERDICT_LEASE
from celeriac.core.message import Lease, Message, Settlement, Start, StoredResult
from celeriac.core.state import DEAD, OWNED_STATES, PENDING, WAITING_STATES
from celeriac.testing.clock import VirtualClock
from tests.properties.port_model import Model
from tests.support.redis_time import RedisClock, fresh_prefix, server, use_movable_scripts

IDS = [f"m{n}" for n in range(6)]
QUEUES = ["one", "two"]
OWNERS = ["w1", "w2", "w3"]
JUDGES = ["j1", "j2"]
STATES = ["PENDING", "SCHEDULED", "RETRY", "RECEIVED", "STARTED", "DEAD"]
LEASE = 10.5
"""Times of leases and due times are odd and time passes in whole seconds: nothing happens in the same instant."""

some_ids = st.lists(st.sampled_from(IDS), min_size=1, max_size=3, unique=True)
delays = st.none() | st.sampled_from([-5.25, 3.25, 8.25, 20.25])


class PortMachine(RuleBasedStateMachine):
    """One walk. Subclasses say which driver it is through."""

    url = "memory://{directory}"

    def __init__(self) -> None:
        super().__init__()
        self.resources = ExitStack()
        directory = Path(self.resources.enter_context(TemporaryDirectory()))
        self.clock, self.full_url = self.begin_store(directory)
        self.broker = self.open()
        self.model = Model(self.clock.now())
        self.leases: list[Lease] = []
        self.sent = 0

    @initialize(queue=st.sampled_from(QUEUES), delay=delays)
    def begin(self, queue: str, delay: float | None) -> None:
        self.broker.install()
        self.enqueue([(id, queue, 5, None) for id in IDS[:3]] + [(IDS[3], queue, 9, delay)])

    def begin_store(self, directory: Path) -> tuple[VirtualClock, str]:
        """Return the clock of a new store, and its URL."""
        return VirtualClock(), self.url.format(directory=directory)

    def open(self) -> SyncBroker[Any, Any]:
        broker: SyncBroker[Any, Any] = SyncBroker(connect(self.full_url, clock=self.clock))
        self.resources.callback(broker.close)
        return broker

    def teardown(self) -> None:
        self.resources.close()

    def message(self, id: str, *, queue: str, priority: int, delay: float | None) -> Message:
        self.sent += 1
        eta = None if delay is None else self.clock.now() + delay
        return Message(id=id, task=f"proj.t{id[1]}", queue=queue, priority=priority, eta=eta, argsrepr=str(self.sent))

    def some(self, *states: str) -> bool:
        return any(item.state in states for item in self.model.items.values())

    # What producers and people do

    @rule(
        batch=st.lists(
            st.tuples(st.sampled_from(IDS), st.sampled_from(QUEUES), st.sampled_from([0, 5, 9]), delays),
            min_size=1,
            max_size=4,
        )
    )
    def enqueue(self, batch: list[tuple[str, str, int, float | None]]) -> None:
        messages = [self.message(id, queue=queue, priority=number, delay=delay) for id, queue, number, delay in batch]
        assert sorted(self.broker.enqueue(messages)) == sorted(self.model.enqueue(messages))

    @precondition(lambda self: self.model.items)
    @rule(ids=some_ids)
    def cancel(self, ids: list[str]) -> None:
        found = self.broker.cancel([StoredResult(id=id, state="REVOKED") for id in ids])
        owners = {id: item.lease.owner for id, item in self.model.items.items() if item.lease is not None}
        assert {one.id: one.outcome for one in found} == self.model.cancel(ids)
        assert {one.id: one.owner for one in found} == {id: owners.get(id) for id in ids}

    @precondition(lambda self: self.some(DEAD))
    @rule(ids=some_ids)
    def revive(self, ids: list[str]) -> None:
        assert set(self.broker.revive(ids)) == self.model.revive(ids)

    @precondition(lambda self: len(self.model.items) == len(IDS))
    @rule(queue=st.sampled_from(QUEUES), what=st.sampled_from(["waiting", "dead", "old"]))
    def clear(self, queue: str, what: str) -> None:
        if what == "old":
            self.broker.prune(5.5, 500)
            self.model.prune(5.5)
        else:
            assert self.broker.purge(queue, dead=what == "dead") == self.model.purge(queue, dead=what == "dead")

    # What workers do

    @precondition(lambda self: self.some(*WAITING_STATES))
    @rule(
        queues=st.lists(st.sampled_from(QUEUES), min_size=1, max_size=2, unique=True),
        limit=st.integers(1, 4),
        owner=st.sampled_from(OWNERS),
    )
    def claim(self, queues: list[str], limit: int, owner: str) -> None:
        deliveries = self.broker.claim(queues, limit, owner, LEASE)
        expected = self.model.claim(queues, limit, owner=owner, until=self.clock.now() + LEASE)
        assert [delivery.lease.id for delivery in deliveries] == [item.message.id for item in expected]
        for item, delivery in zip(expected, deliveries, strict=True):
            assert delivery.lease.owner == owner
            self.model.claimed(item, delivery)
        self.remember(delivery.lease for delivery in deliveries)

    def remember(self, leases: Iterable[Lease]) -> None:
        for lease in leases:
            assert lease not in self.leases, "no lease is given twice"
            self.leases.append(lease)

    @precondition(lambda self: self.some(*OWNED_STATES))
    @rule(data=st.data(), once=st.booleans())
    def start(self, data: st.DataObject, once: bool) -> None:
        starts = [Start(lease, once) for lease in self.draw_leases(data)]
        assert sorted(self.broker.start(starts)) == sorted(self.model.start(starts))

    def draw_leases(self, data: st.DataObject) -> list[Lease]:
        """Draw leases, current ones rather than lost ones, no task twice."""
        current = [lease for lease in self.leases if self.model.holder(lease) is not None]
        drawn = data.draw(
            st.lists(
                st.sampled_from(current or self.leases) | st.sampled_from(self.leases),
                min_size=1,
                max_size=3,
                unique_by=lambda lease: lease.id,
            )
        )
        return list(drawn)

    @precondition(lambda self: self.some(*OWNED_STATES))
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        leases = self.draw_leases(data)
        taken = {lease.id for lease in leases}
        settlements = [self.draw_settlement(data, lease, taken) for lease in leases]
        assert sorted(self.broker.settle(settlements)) == sorted(self.model.settle(settlements))

    @precondition(lambda self: any(self.model.holder(lease) is None for lease in self.leases))
    @rule(data=st.data())
    def settle_in_vain(self, data: st.DataObject) -> None:
        lost = [lease for lease in self.leases if self.model.holder(lease) is None]
        lease = data.draw(st.sampled_from(lost))
        settlement = self.draw_settlement(data, lease, {lease.id})
        assert self.broker.settle([settlement]) == (lease.id,)
        assert self.broker.start([Start(lease, once=True)]) == (lease.id,)

    def draw_settlement(self, data: st.DataObject, lease: Lease, taken: set[str]) -> Settlement:
        action = data.draw(st.sampled_from(["done", "retry", "release", "park", "dead"]))
        delay = data.draw(delays)
        queue = data.draw(st.sampled_from(QUEUES))
        follow_ups = tuple(
            self.message(id, queue=queue, priority=5, delay=delay)
            for id in data.draw(st.lists(st.sampled_from(IDS), max_size=2, unique=True))
            # Whether a task is followed by one that ends in the same moment is not for the port to say.
            if id not in taken
        )
        stored = data.draw(st.sampled_from([None, "SUCCESS", "FAILURE", "REJECTED"]))
        result = None if stored is None or action != "done" else StoredResult(id=lease.id, state=stored)
        item = self.model.items.get(lease.id)
        message = None if item is None else msgspec.structs.replace(item.message, queue=queue, argsrepr="changed")
        due = self.clock.now() + (3.25 if delay is None or delay < 0 else delay)
        if action == "retry":
            message = message or self.message(lease.id, queue=queue, priority=0, delay=None)
            when = None if delay is None else self.clock.now() + delay
            return Settlement(lease=lease, action="retry", message=message, due=when, follow_ups=follow_ups)
        if action == "park":
            return Settlement(lease=lease, action="release", message=message, due=due, follow_ups=follow_ups)
        if action == "release":
            crashed = data.draw(st.booleans())
            return Settlement(lease=lease, action="release", crashed=crashed, follow_ups=follow_ups)
        if action == "dead":
            crashed = data.draw(st.booleans())
            return Settlement(lease=lease, action="dead", reason="why", crashed=crashed, follow_ups=follow_ups)
        return Settlement(lease=lease, action="done", result=result, follow_ups=follow_ups)

    @rule(owners=st.lists(st.sampled_from(OWNERS), min_size=1, max_size=3, unique=True))
    def extend(self, owners: list[str]) -> None:
        assert set(self.broker.extend(owners, LEASE)) == self.model.extend(owners, self.clock.now() + LEASE)

    # What the upkeep does

    @rule(limit=st.integers(1, 4))
    def promote(self, limit: int) -> None:
        promoted = self.broker.promote(limit)
        assert promoted.count == self.model.promote(limit)
        following = self.model.next_due()
        if following is None:
            assert promoted.next_in is None
        else:
            assert promoted.next_in is not None
            assert max(0.0, promoted.next_in) == max(0.0, following - self.clock.now())

    @precondition(lambda self: self.some(*OWNED_STATES))
    @rule(
        data=st.data(),
        by=st.sampled_from(JUDGES),
        owner=st.none() | st.sampled_from(OWNERS + JUDGES),
        limit=st.integers(1, 3),
        crash_limit=st.integers(1, 3),
    )
    def reclaim(self, data: st.DataObject, by: str, owner: str | None, limit: int, crash_limit: int) -> None:
        if owner == by:
            return
        # Whoever reclaims is alive.
        assert set(self.broker.extend([by], VERDICT_LEASE)) == self.model.extend([by], self.clock.now() + VERDICT_LEASE)
        guilty = self.draw_leases(data) if owner is not None and self.leases and data.draw(st.booleans()) else []
        losers = self.model.lapsed() if owner is None else {owner}
        told: set[str] = set()
        expected = {item.lease.owner for item in self.model.held(losers).values() if item.lease is not None}
        while True:
            found = self.broker.reclaim(by, limit, crash_limit=crash_limit, owner=owner, guilty=guilty)
            told |= set(found.owners)
            self.model.reclaimed(
                found,
                losers=losers,
                limit=limit,
                crash_limit=crash_limit,
                guilty=guilty,
                by_owner=owner is not None,
            )
            for verdict in found.verdicts:
                assert verdict.lease.owner == by
            self.remember(verdict.lease for verdict in found.verdicts)
            if not (found.released or found.verdicts):
                break
        assert expected - self.model.ended <= told <= losers
        self.model.ended |= told
        for name in told:
            self.model.leases[name] = min(self.clock.now(), self.model.leases[name])

    @rule(seconds=st.sampled_from([1, 4, 12, 40]))
    def advance(self, seconds: int) -> None:
        self.clock.advance(seconds)
        self.model.now = self.clock.now()

    # What holds all along

    @invariant()
    def every_message_is_where_the_model_has_it(self) -> None:
        records = {record.id: record for record in self.broker.get(IDS)}
        assert records.keys() == self.model.items.keys()
        for id, item in self.model.items.items():
            record = records[id]
            owner = None if item.lease is None else item.lease.owner
            assert (record.state, record.queue, record.owner) == (item.state, item.message.queue, owner), id
            assert (record.crashes, record.due, record.message) == (item.crashes, item.due, item.message), id

    @invariant()
    def pages_show_the_same_in_the_order_of_arrival(self) -> None:
        found = self.broker.page(STATES, None, 0, 500)
        places = sorted(self.model.items.values(), key=lambda item: item.place)
        assert [record.id for record in found] == [item.message.id for item in places]

    @invariant()
    def owners_hold_what_the_model_says(self) -> None:
        held = {item.lease for item in self.model.items.values() if item.lease is not None}
        assert {lease for owner in OWNERS + JUDGES for lease in self.broker.holdings(owner)} == held

    @invariant()
    def counts_are_the_models(self) -> None:
        stats = {one.queue: one for one in self.broker.stats()}
        assert stats.keys() == {item.message.queue for item in self.model.items.values()}
        overdue = {id(item) for item in self.model.due()}
        for queue, one in stats.items():
            here = [item for item in self.model.items.values() if item.message.queue == queue]
            ready = sum(item.state == PENDING for item in here)
            late = sum(id(item) in overdue for item in here)
            assert ready <= one.ready <= ready + late
            assert one.ready + one.scheduled == sum(item.state in WAITING_STATES for item in here)
            assert one.owned == sum(item.state in OWNED_STATES for item in here)
            assert one.dead == sum(item.state == DEAD for item in here)
            assert (one.oldest is None) == (one.ready == 0)

    @invariant()
    def results_and_tallies_are_the_models(self) -> None:
        assert {result.id: result.state for result in self.broker.fetch(IDS)} == self.model.results
        assert self.broker.tallies() == self.model.tallies

    @invariant()
    def nothing_is_lost_and_nothing_appears(self) -> None:
        here, over, dropped = len(self.model.items), len(self.model.over), self.model.dropped
        assert self.model.accepted == here + over + dropped


class SqliteMachine(PortMachine):
    """What is on the disk is all there is: the walk goes on although every connection was closed."""

    url = "sqlite:///{directory}/celeriac.db"

    @rule()
    def reopen(self) -> None:
        self.broker.close()
        self.broker = self.open()
        self.broker.verify()


class RedisMachine(SqliteMachine):
    """A real server, on whose keys the clock of the walk is."""

    def begin_store(self, directory: Path) -> tuple[VirtualClock, str]:
        prefix = fresh_prefix()
        return RedisClock(prefix), f"{server().url}?prefix={prefix}"


@pytest.fixture(autouse=True, scope="module")
def movable_scripts() -> Iterator[None]:
    undo = use_movable_scripts()
    yield
    undo()


# Explaining a failure traces every line and takes minutes; the shortest walk to it says enough.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)

TestMemory = PortMachine.TestCase
TestMemory.settings = settings(max_examples=300, stateful_step_count=50, phases=PHASES)

TestSqlite = SqliteMachine.TestCase
TestSqlite.settings = settings(max_examples=200, stateful_step_count=50, phases=PHASES)

TestRedis = RedisMachine.TestCase
TestRedis.settings = settings(max_examples=60, stateful_step_count=50, phases=PHASES)
