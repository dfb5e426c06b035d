"""Settling: in batches, until it has worked, and no bad settlement holds up a good one."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager

import pytest

from celeriac.core import state
from celeriac.core.message import Lease, Settlement, Start, StoredResult
from celeriac.errors import BrokerError, InvalidTaskError, OperationalError, StoreFull
from celeriac.events import LeaseLost, ServiceFailed, ServiceRecovered, TaskDead
from celeriac.events.names import Event
from celeriac.worker.settler import BATCH, BEHIND, Settler
from tests.support.bench import Bench, listen


class Store:
    """A broker and a result store that remember the order of calls and refuse as told."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.batches: list[list[Settlement]] = []
        self.results: list[StoredResult] = []
        self.failures: list[Exception] = []
        self.refuses: Callable[[Settlement], Exception | None] = lambda one: None
        self.lost: set[str] = set()
        self.gate = asyncio.Event()
        self.gate.set()

    async def start(self, starts: Sequence[Start]) -> tuple[str, ...]:
        self.calls.append("start")
        return tuple(start.lease.id for start in starts if start.lease.id in self.lost)

    async def settle(self, settlements: Sequence[Settlement]) -> tuple[str, ...]:
        await self.gate.wait()
        self.calls.append("settle")
        if self.failures:
            raise self.failures.pop(0)
        for one in settlements:
            if (error := self.refuses(one)) is not None:
                raise error
        self.batches.append(list(settlements))
        return tuple(one.lease.id for one in settlements if one.lease.id in self.lost)

    async def store(self, results: Sequence[StoredResult]) -> None:
        self.calls.append("store")
        self.results += results

    @property
    def settled(self) -> list[Settlement]:
        return [one for batch in self.batches for one in batch]


class Stand:
    """A settler at work."""

    def __init__(self, *, separate: bool = False) -> None:
        surroundings = Bench().surroundings
        self.events: list[Event] = listen(surroundings)
        self.store = Store()
        self.told = 0
        self.refused: list[str] = []
        self.is_busy = False
        self.settler = Settler(
            broker=self.store,
            results=self.store if separate else None,
            surroundings=surroundings,
            owner="owner",
            loop=asyncio.get_running_loop(),
            busy=lambda: self.is_busy,
            settled=self._tell,
        )

    def _tell(self, batch: Sequence[Settlement], refused: Collection[str]) -> None:
        self.told += 1
        self.refused += refused

    async def idle(self) -> None:
        async with asyncio.timeout(10):
            while not self.settler.idle:  # noqa: ASYNC110 -- what is awaited is the settler's own state
                await asyncio.sleep(0.001)

    async def asleep(self) -> None:
        """Wait until it has settled everything and wants to be woken for more."""
        await self.idle()
        async with asyncio.timeout(10):
            while self.settler._wake_sent:  # noqa: ASYNC110 -- the same
                await asyncio.sleep(0)

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if type(event) is kind]


@asynccontextmanager
async def at_work(*, separate: bool = False) -> AsyncIterator[Stand]:
    stand = Stand(separate=separate)
    task = asyncio.create_task(stand.settler.run())
    try:
        yield stand
        assert not task.done(), task
    finally:
        task.cancel()


def done(task_id: str, token: int = 1, result: bool = False) -> Settlement:
    kept = StoredResult(id=task_id, state=state.SUCCESS, task="work") if result else None
    return Settlement(lease=Lease(task_id, "owner", token), action="done", result=kept)


def ids(settlements: Iterable[Settlement]) -> list[str]:
    return [one.lease.id for one in settlements]


async def test_what_gathers_goes_in_one_batch() -> None:
    async with at_work() as stand:
        stand.store.gate.clear()
        stand.settler.add(done("first"))
        await asyncio.sleep(0.01)
        for number in range(20):
            stand.settler.add(done(f"t{number}"))
        stand.store.gate.set()
        await stand.idle()
        assert [ids(batch) for batch in stand.store.batches] == [["first"], [f"t{number}" for number in range(20)]]
        assert stand.told == 2


async def test_settles_at_once_when_nothing_else_waits_and_lingers_when_it_does() -> None:
    async with at_work() as stand:
        stand.settler.add(done("a"))
        await stand.idle()
        stand.is_busy = True
        stand.settler.add(done("b"))
        await asyncio.sleep(0)
        stand.settler.add(done("c"))
        await stand.idle()
        assert [ids(batch) for batch in stand.store.batches] == [["a"], ["b", "c"]]


async def test_no_batch_is_larger_than_the_port_takes() -> None:
    async with at_work() as stand:
        for number in range(2 * BATCH + 1):
            stand.settler.add(done(f"t{number}"))
        await stand.idle()
        assert [len(batch) for batch in stand.store.batches] == [BATCH, BATCH, 1]


async def test_other_threads_may_add() -> None:
    async with at_work() as stand:

        def add(part: int) -> None:
            for number in range(500):
                stand.settler.add(done(f"{part}-{number}"))

        await asyncio.gather(*(asyncio.to_thread(add, part) for part in range(4)))
        await stand.idle()
        assert len(set(ids(stand.store.settled))) == 2_000


@pytest.mark.parametrize("error", [OperationalError("away"), StoreFull("full"), OSError("broken pipe")])
async def test_nothing_is_lost_while_the_broker_is_away(error: Exception) -> None:
    async with at_work() as stand:
        stand.store.failures = [error] * 2
        for number in range(3):
            stand.settler.add(done(f"t{number}"))
        await stand.idle()
        assert ids(stand.store.settled) == ["t0", "t1", "t2"]
        assert len(stand.of(ServiceFailed)) == 2
        assert len(stand.of(ServiceRecovered)) == 1
        assert stand.of(TaskDead) == []


@pytest.mark.parametrize("error", [BrokerError("refused"), InvalidTaskError("queue name"), ValueError("a bug")])
async def test_bad_settlement_holds_up_no_other_and_becomes_a_dead_letter(error: Exception) -> None:
    async with at_work() as stand:
        stand.store.refuses = lambda one: error if one.lease.id == "bad" and one.action == "done" else None
        for task_id in ("a", "bad", "b"):
            stand.settler.add(done(task_id, result=True))
        await stand.idle()
        assert ids(stand.store.settled) == ["a", "bad", "b"]
        buried = stand.store.settled[1]
        assert (buried.action, buried.lease) == ("dead", done("bad").lease)
        assert str(error) in (buried.reason or "")
        assert buried.result is not None
        assert (buried.result.id, buried.result.state, buried.result.task) == ("bad", state.DEAD, "work")
        assert str(error) in json.dumps(json.loads(buried.result.body))
        (event,) = stand.of(TaskDead)
        assert isinstance(event, TaskDead)
        assert event.id == "bad"


async def test_what_is_refused_with_a_result_is_buried_without_one() -> None:
    async with at_work() as stand:
        stand.store.refuses = lambda one: BrokerError("results are refused") if one.result is not None else None
        stand.settler.add(done("a", result=True))
        await stand.idle()
        (buried,) = stand.store.settled
        assert (buried.action, buried.result) == ("dead", None)


async def test_what_is_refused_altogether_is_told_and_let_go() -> None:
    async with at_work() as stand:
        stand.store.refuses = lambda one: BrokerError("never") if one.lease.id == "bad" else None
        stand.settler.add(done("bad"))
        stand.settler.add(done("good"))
        await stand.idle()
        assert ids(stand.store.settled) == ["good"]
        assert len(stand.of(TaskDead)) == 1


async def test_superseded_settlements_are_told() -> None:
    async with at_work() as stand:
        stand.store.lost = {"b"}
        for task_id in ("a", "b"):
            stand.settler.add(done(task_id))
        await stand.idle()
        assert stand.of(LeaseLost) == [LeaseLost(("b",), "owner")]


async def test_too_much_unsettled_stops_claiming() -> None:
    async with at_work() as stand:
        stand.store.gate.clear()
        for number in range(BEHIND + BATCH + 1):
            stand.settler.add(done(f"t{number}"))
        await asyncio.sleep(0.01)
        assert (stand.settler.behind, stand.settler.idle) == (True, False)
        assert len(stand.settler.unsettled) == BEHIND + BATCH + 1
        stand.store.gate.set()
        await stand.idle()
        assert (stand.settler.behind, stand.settler.unsettled) == (False, ())


# A result store of its own.


async def test_results_come_before_the_settlement() -> None:
    async with at_work(separate=True) as stand:
        stand.settler.add(done("a", result=True))
        await stand.idle()
        assert stand.store.calls == ["start", "store", "settle"]
        assert [result.id for result in stand.store.results] == ["a"]
        assert [one.result for one in stand.store.settled] == [None]


async def test_result_of_a_superseded_run_is_not_stored() -> None:
    async with at_work(separate=True) as stand:
        stand.store.lost = {"old"}
        stand.settler.add(done("old", result=True))
        stand.settler.add(done("new", result=True))
        await stand.idle()
        assert [result.id for result in stand.store.results] == ["new"]


async def test_without_results_the_store_is_not_asked() -> None:
    async with at_work(separate=True) as stand:
        stand.settler.add(done("a"))
        await stand.idle()
        assert stand.store.calls == ["settle"]


async def test_step_that_is_repeated_stores_the_result_again() -> None:
    async with at_work(separate=True) as stand:
        stand.store.failures = [OperationalError("reply lost")]
        stand.settler.add(done("a", result=True))
        await stand.idle()
        assert stand.store.calls == ["start", "store", "settle"] * 2
        assert ids(stand.store.settled) == ["a"]


async def test_what_the_broker_did_not_take_is_told() -> None:
    async with at_work() as stand:
        stand.store.lost = {"b"}
        stand.store.refuses = lambda one: BrokerError("no") if (one.lease.id, one.action) == ("d", "done") else None
        for id in "abcd":
            stand.settler.add(done(id))
        await stand.idle()
        assert sorted(stand.refused) == ["b", "d"]
        stand.settler.add(done("e"))
        await stand.idle()
    assert sorted(stand.refused) == ["b", "d"]


async def test_a_thread_that_is_slow_to_wake_the_settler_leaves_it_awake_for_others() -> None:
    """It was stopped between handing over a settlement, which is settled meanwhile, and the wake-up for it."""
    async with at_work() as stand:
        stand.settler.add(done("first"))
        await stand.asleep()
        stand.settler._wake_sent = True
        stand.settler._woken.set()
        while stand.settler._woken.is_set():  # noqa: ASYNC110 -- until it has looked, in vain
            await asyncio.sleep(0)
        stand.settler.add(done("second"))
        await stand.idle()


async def test_threads_hand_over_at_any_time_and_everything_is_settled() -> None:
    async with at_work() as stand:
        names = [[f"{thread}-{number}" for number in range(400)] for thread in range(4)]

        def hand_over(mine: list[str]) -> None:
            for place, name in enumerate(mine):
                stand.settler.add(done(name))
                if place % 7 == 0:
                    time.sleep(0.0005)

        await asyncio.gather(*[asyncio.to_thread(hand_over, mine) for mine in names])
        await stand.idle()
    assert sorted(one.lease.id for one in stand.store.settled) == sorted(name for mine in names for name in mine)


async def test_few_wait_for_more_also_after_a_round_trip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("celeriac.worker.settler.LINGER", 0.2)
    async with at_work() as stand:
        stand.store.gate.clear()
        stand.settler.add(done("a"))
        await asyncio.sleep(0.01)
        stand.is_busy = True
        stand.settler.add(done("b"))
        stand.store.gate.set()
        while not stand.store.batches:  # noqa: ASYNC110 -- the very next moment is what is wanted
            await asyncio.sleep(0)
        stand.settler.add(done("c"))
        await stand.idle()
        assert [ids(batch) for batch in stand.store.batches] == [["a"], ["b", "c"]]
