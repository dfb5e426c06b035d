"""Every driver passes every case of the conformance suite that applies to it, in every mode.

A driver adds a binding and a row of DRIVERS, no tests.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from celeriac.brokers import connect
from celeriac.brokers.port import AnyDriver, Capabilities
from celeriac.testing.clock import VirtualClock
from celeriac.testing.conformance import GROUPS, MODES, Binding, Case, Mode, applicable, left_out, run
from tests.support.postgres_time import MovableSchema
from tests.support.postgres_time import server as postgres_server
from tests.support.redis_time import RedisClock, fresh_prefix, server, use_movable_scripts


class OnVirtualTime:
    """A binding whose driver takes a clock: nobody sleeps, and a lease may be as long as it likes."""

    lease = 10.0

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = VirtualClock()

    def now(self) -> float:
        return self.clock.now()

    async def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)


class Memory(OnVirtualTime):
    def connect(self) -> AnyDriver:
        return connect(f"memory://{self.directory}", clock=self.clock)


class Sqlite(OnVirtualTime):
    def connect(self) -> AnyDriver:
        return connect(f"sqlite:///{self.directory}/celeriac.db", clock=self.clock)


class Redis(OnVirtualTime):
    """A real server, which all cases of a process share; each has a prefix of its own."""

    partitions = 1

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.prefix = fresh_prefix()
        self.clock = RedisClock(self.prefix, self.partitions)

    def connect(self) -> AnyDriver:
        return connect(f"{server().url}?prefix={self.prefix}&partitions={self.partitions}")


class RedisInParts(Redis):
    """What lies in several slots of a Cluster, here on one server: no step spans two of them."""

    partitions = 4


class Postgres:
    """A real server, which all cases of a process share; each has a schema of its own, with a clock of its own."""

    lease = 10.0

    def __init__(self, directory: Path) -> None:
        self._schema = MovableSchema(installed=directory.name != NOT_INSTALLED)
        self.close = self._schema.close
        self.now = self._schema.now

    def connect(self) -> AnyDriver:
        return connect(postgres_server().url(schema=self._schema.name))

    async def advance(self, seconds: float) -> None:
        self._schema.advance(seconds)


NOT_INSTALLED = "not-installed"
"""The directory of a case that must find nothing there."""


@dataclass(frozen=True)
class Bound:
    """One driver under test, the groups that are not about it, and cases that it does not keep."""

    name: str
    bind: Callable[[Path], Binding]
    capabilities: Capabilities
    left_out: frozenset[str]
    exceptions: frozenset[str] = frozenset()


ACROSS_QUEUES = frozenset(
    {
        # An id is known within its partition.
        "enqueue-indexed-an_id_that_waits_in_another_queue_is_dropped_and_returned",
        # Each partition counts for itself, so messages of two have no order.
        "inspect-indexed-a_page_shows_only_the_queue_asked_for",
        "order-indexed-a_batch_over_several_queues_has_the_same_order",
        "order-indexed-several_queues_are_one_line_by_priority_then_age",
        # What follows in another partition is sent before the settlement, which may lose its lease in that moment.
        "concurrency-a_race_between_owner_and_reaper_has_one_winner",
        # What an entry sends to another partition goes before the entry advances, and is known by its id: schedulers
        # give each due time one id, and here there are several.
        "entries-of_many_who_fire_one_due_time_one_succeeds",
    }
)
"""What needs one step, or one order, for two queues that are in different slots."""

DRIVERS = [
    Bound(
        "memory",
        Memory,
        Capabilities(name="memory", durable=False, shared=False, results=True, push=True, remote=False),
        frozenset({"durability", "results-hostile-bytes", "schema-missing"}),
    ),
    Bound(
        "sqlite",
        Sqlite,
        Capabilities(name="sqlite", durable=True, shared=True, results=True, push=False, remote=False),
        frozenset(),
    ),
    Bound(
        "postgresql",
        Postgres,
        Capabilities(name="postgresql", durable=True, shared=True, results=True, push=True),
        frozenset(),
    ),
    Bound(
        "redis",
        Redis,
        Capabilities(name="redis", durable=True, shared=True, results=True, push=True, expires=True),
        frozenset(),
    ),
    Bound(
        "redis-in-parts",
        RedisInParts,
        Capabilities(name="redis", durable=True, shared=True, results=True, push=True, expires=True),
        frozenset(),
        ACROSS_QUEUES,
    ),
]


@pytest.fixture(autouse=True, scope="module")
def movable_scripts() -> Iterator[None]:
    undo = use_movable_scripts()
    yield
    undo()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("driver", "case"),
    [
        pytest.param(driver, case, id=f"{driver.name}-{case}")
        for driver in DRIVERS
        for case in applicable(driver.capabilities)
        if str(case) not in driver.exceptions
    ],
)
def test_a_driver_keeps_the_contract(driver: Bound, case: Case, mode: Mode, tmp_path: Path) -> None:
    directory = tmp_path / ("installed" if case.installed else NOT_INSTALLED)
    directory.mkdir()
    binding = driver.bind(directory)
    try:
        run(case, binding, mode)
    finally:
        if isinstance(binding, Postgres):
            binding.close()


@pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: driver.name)
def test_a_driver_says_what_it_can_do_and_which_groups_are_not_about_it(driver: Bound, tmp_path: Path) -> None:
    assert driver.bind(tmp_path).connect().capabilities == driver.capabilities
    assert left_out(driver.capabilities) == driver.left_out
    assert driver.exceptions <= {str(case) for case in applicable(driver.capabilities)}


def test_every_case_has_its_own_name() -> None:
    cases = [str(case) for group in GROUPS for case in group.cases]
    assert len(cases) == len(set(cases))
    assert len({group.name for group in GROUPS}) == len(GROUPS)
