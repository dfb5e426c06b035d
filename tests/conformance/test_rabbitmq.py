"""RabbitMQ, paired with a store, keeps the contract: of classic queues and of quorum queues.

The store's own share of the contract is tested with the store's own driver, so the cases that only touch the store run
here in one mode; what goes by way of RabbitMQ runs in all of them. The clock is the store's, and can be moved.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from celeriac.brokers import connect
from celeriac.brokers.port import AnyDriver, Capabilities
from celeriac.brokers.rabbitmq import wire
from celeriac.brokers.rabbitmq.client import Client
from celeriac.brokers.rabbitmq.driver import AloneDriver, PairedDriver
from celeriac.brokers.rabbitmq.topology import DEAD, QueueSpec, Topology, delay_queue, step
from celeriac.brokers.rabbitmq.url import Location, parse
from celeriac.testing.clock import VirtualClock
from celeriac.testing.conformance import MODES, Case, Mode, applicable, left_out, run
from celeriac.testing.conformance.alone import KEPT
from tests.support.rabbitmq import close_shared, shared_node

CAPABILITIES = Capabilities(name="rabbitmq", durable=False, shared=False, results=True, push=True, indexed=False)
WITHOUT_STORE = Capabilities(
    name="rabbitmq-alone", durable=True, shared=True, results=False, push=True, indexed=False, stored=False
)
THROUGH_RABBITMQ = frozenset({"enqueue", "claim", "order", "settle", "waiter", "concurrency", "faults", "names"})
QUORUM = frozenset({"claim", "order", "waiter"})
QUORUM_ALONE = frozenset({"concurrency", "order"})
NOT_OF_QUORUM = frozenset(
    {
        # A quorum queue hands out what came back before all the rest, and in the order in which it came back.
        "order-finished_work_leaves_the_order_of_the_rest",
        "order-what_is_given_back_keeps_its_place",
    }
)


@pytest.fixture(scope="module", autouse=True)
def node() -> Iterator[None]:
    """A node of this process's own."""
    shared_node()
    yield
    close_shared()


class Noted(Topology, frozen=True, kw_only=True):
    """Remembers the queues that were used, and has them be transient: nothing here restarts, and disks are slow."""

    names: set[str] = msgspec.field(default_factory=set)
    transient: bool = True

    def spec(self, name: str) -> QueueSpec:
        return QueueSpec(name, durable=not self.transient)

    def physical(self, name: str, priority: int) -> str:
        found = super().physical(name, priority)
        self.names.add(found)
        return found


def _steps() -> list[float]:
    """Return the delays, in seconds, for which there are queues, up to a minute."""
    return sorted({step(hundredths / 100) for hundredths in range(5, 6000)})


class Paired:
    """A binding: a fresh store in memory, and queues that are emptied afterwards."""

    lease = 10.0
    delays = False

    def __init__(self, directory: Path, queue_type: str) -> None:
        self.location: Location = parse(f"{shared_node().url}?timeout=20")
        self._directory = directory
        self._clock = VirtualClock()
        self._names: set[str] = set()
        self._queue_type = queue_type

    def now(self) -> float:
        return self._clock.now()

    async def advance(self, seconds: float) -> None:
        self._clock.advance(seconds)

    def connect(self) -> AnyDriver:
        store = connect(f"memory://{self._directory}", clock=self._clock)
        transient = self._queue_type == "classic"
        plan = Noted(queue_type=self._queue_type, names=self._names, transient=transient)
        return PairedDriver(self.location, store, plan)

    async def empty(self) -> None:
        # Not purged: what connections that have just ended held comes back a moment later, what waits in delay queues
        # later still, and the next case would find it, under ids of its own.
        client = Client(self.location, Topology())
        connection = await client.link.get(time.monotonic() + 10)
        channel = await connection.channel()
        gone = [*self._names, DEAD]
        if self.delays:
            gone += [delay_queue(name, seconds)[0] for name in self._names for seconds in _steps()]
        await asyncio.gather(*[channel.begin(wire.DeleteQueue(queue=name)) for name in gone])
        await client.close()


def _check(case: Case, mode: Mode, directory: Path, queue_type: str) -> None:
    binding = Paired(directory, queue_type)
    try:
        run(case, binding, mode)
    finally:
        asyncio.run(binding.empty())


def _modes(case: Case) -> tuple[Mode, ...]:
    return MODES if case.group in THROUGH_RABBITMQ else ("asyncio",)


@pytest.mark.parametrize(
    ("case", "mode"),
    [pytest.param(case, mode, id=f"{case}-{mode}") for case in applicable(CAPABILITIES) for mode in _modes(case)],
)
def test_classic_queues_keep_the_contract(case: Case, mode: Mode, tmp_path: Path) -> None:
    _check(case, mode, tmp_path, "classic")


@pytest.mark.parametrize("case", [case for case in applicable(CAPABILITIES) if case.group in QUORUM], ids=str)
def test_quorum_queues_keep_the_contract(case: Case, tmp_path: Path) -> None:
    _check(case, "asyncio", tmp_path, "quorum")


class Alone(Paired):
    """A binding without a store; its time is the machine's."""

    lease = 0.6
    delays = True

    def now(self) -> float:
        return time.time()

    async def advance(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def connect(self) -> AnyDriver:
        return AloneDriver(self.location, Noted(queue_type=self._queue_type, names=self._names, transient=False))


def _check_alone(case: Case, directory: Path, queue_type: str) -> None:
    binding = Alone(directory, queue_type)
    try:
        run(case, binding, "asyncio")
    finally:
        asyncio.run(binding.empty())


@pytest.mark.parametrize("case", applicable(WITHOUT_STORE), ids=str)
def test_without_a_store_it_keeps_what_it_can(case: Case, tmp_path: Path) -> None:
    _check_alone(case, tmp_path, "classic")


@pytest.mark.parametrize(
    "case",
    [case for case in applicable(WITHOUT_STORE) if case.group in QUORUM_ALONE and str(case) not in NOT_OF_QUORUM],
    ids=str,
)
def test_without_a_store_quorum_queues_keep_it_too(case: Case, tmp_path: Path) -> None:
    _check_alone(case, tmp_path, "quorum")


def test_the_groups_that_need_a_store(tmp_path: Path) -> None:
    assert Alone(tmp_path, "classic").connect().capabilities == WITHOUT_STORE
    kept = "batches claim concurrency delay enqueue extend fencing follow-ups holdings hostile-bytes schema settle"
    assert {case.group for case in applicable(WITHOUT_STORE)} == {*kept.split(), "order", "purge", "start", "waiter"}
    assert {str(case) for case in applicable(WITHOUT_STORE)} == KEPT


def test_the_groups_that_are_not_about_it(tmp_path: Path) -> None:
    assert Paired(tmp_path, "classic").connect().capabilities == CAPABILITIES
    not_of_memory = {"durability", "results-hostile-bytes", "schema-missing"}
    assert left_out(CAPABILITIES) - not_of_memory == {
        "batches-indexed",
        "cancel-indexed",
        "cancel-results-indexed",
        "concurrency-indexed",
        "dead-letters-indexed",
        "enqueue-indexed",
        "examine-indexed",
        "follow-ups-indexed",
        "hostile-bytes-indexed",
        "inspect-indexed",
        "names-indexed",
        "order-indexed",
        "prune-indexed",
        "purge-indexed",
        "sending",
        "sharing-indexed",
    }
