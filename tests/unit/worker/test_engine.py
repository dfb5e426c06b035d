"""The engine of a child process at work on a broker in memory, with threads for its sync slots."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from celeriac.brokers import connect
from celeriac.brokers.facade import AsyncBroker
from celeriac.core import state
from celeriac.core.message import Lease, Settlement, Start
from celeriac.errors import OperationalError
from celeriac.events import StraysFound, TaskReceived
from celeriac.testing.faults import Chance, Fault, FaultyDriver, Script
from celeriac.worker.fetcher import LAST_CHANCE_PATIENCE
from celeriac.worker.runs import monotonic
from tests.support.house import LIMIT, OWNER, Counted, House, at_work, until

Make = Callable[..., House]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def make(settings: dict[str, Any] | None = None, **shape: Any) -> House:
        return House(tmp_path, shape=shape, settings=settings or {})

    return make


@pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])
async def test_runs_both_kinds_and_settles_everything(make: Make) -> None:
    house = make(threads=2)
    ids = [one for _ in range(10) for one in [*house.send("plain", 20), *house.send("coroutine", 20)]]
    async with at_work(house):
        assert set((await house.over(ids)).values()) == {state.SUCCESS}
    assert set(house.runs.values()) == {1}
    assert house.app.broker.stats() == []
    assert house.table.runs == len(ids)


@pytest.mark.parametrize("seed", range(4))
async def test_lost_requests_and_replies_lose_and_double_nothing(make: Make, seed: int) -> None:
    """Every tenth round trip goes wrong, before or after its effect; what was claimed in vain is reclaimed."""
    house = make(threads=2)
    ids = [one for _ in range(5) for one in [*house.send("plain", 20), *house.send("coroutine", 20)]]
    faulty = AsyncBroker(FaultyDriver(connect(house.url), Chance(seed, 0.1)))
    async with at_work(house, faulty):
        await until(lambda: len(house.states(ids)) == len(ids), "every task over", 30)
    assert set(house.states(ids).values()) == {state.SUCCESS}
    assert {one: count for one, count in house.runs.items() if count > 1} == {}
    assert house.app.broker.stats() == []
    await faulty.close()


async def test_claim_whose_reply_is_lost_leaves_no_stray(make: Make) -> None:
    """The lease of this process is renewed for as long as it lives: nobody else would ever look after the task."""
    house = make()
    (lost,) = house.send("plain")
    faulty = AsyncBroker(FaultyDriver(connect(house.url), Script([Fault.LOSE_REPLY])))
    async with at_work(house, faulty):
        assert await house.over([lost], 3) == {lost: state.SUCCESS}
    assert [event for event in house.events if isinstance(event, StraysFound)] == [StraysFound((lost,), OWNER)]
    assert house.runs == {lost: 1}
    await faulty.close()


async def test_a_step_that_is_revoked_after_the_reply_to_its_claim_was_lost_ends_its_workflow(make: Make) -> None:
    house = make()
    result = (house.app.tasks["plain"].si() | house.app.tasks["coroutine"].si()).apply_async()
    faulty = AsyncBroker(FaultyDriver(connect(house.url), Script([Fault.LOSE_REPLY])))
    with pytest.raises(OperationalError):
        await faulty.claim(["celery"], 1, OWNER, 60.0)
    result.parent.revoke()
    async with at_work(house, faulty) as engine:
        await engine.auditor.audit()
        assert set((await house.over([result.parent.id, result.id], 3)).values()) == {state.REVOKED}
    assert house.runs == {}
    await faulty.close()


async def test_what_a_store_that_came_back_older_holds_is_given_back(make: Make) -> None:
    """Without any failure here: the auditor looks once per lease."""
    house = make(lease=0.2)
    (forgotten,) = house.send("plain")
    assert house.app.broker.claim(["celery"], 1, OWNER, 60.0)
    async with at_work(house):
        assert await house.over([forgotten], 3) == {forgotten: state.SUCCESS}


async def test_what_the_broker_has_for_others_does_not_start_here(make: Make) -> None:
    house = make(lease=0.2, claim_ahead=60.0)
    house.table.note_lease(monotonic() + 60)
    first, *others = house.send("plain", 3, waits=True)
    async with at_work(house) as engine:
        await until(lambda: house.running and engine.sync_slots.waiting, "the first run, and others waiting")
        # As from a store that has gone back to before they were claimed, and has then given them to somebody else.
        for record in house.app.broker.get(others):
            settlement = Settlement(lease=Lease(record.id, OWNER, record.token, record.cursor), action="release")
            house.app.broker.settle([settlement])
        taken = [one.lease.id for one in house.app.broker.claim(["celery"], 9, "elsewhere", 60.0)]
        assert taken
        await until(lambda: not engine.sync_slots.waiting, "the others dropped")
        house.go.set()
        await house.over([first])
    assert not set(taken) & set(house.runs)


async def test_what_was_claimed_ahead_is_given_back_when_every_slot_is_busy_for_long(make: Make) -> None:
    house = make()
    first, *others = house.send("plain", 5, waits=True)
    async with at_work(house):
        await until(lambda: house.running, "the first run")
        await until(lambda: all(_owner(house, one) is None for one in others), "the others given back", 2)
        assert _owner(house, first) == OWNER
        house.go.set()
        assert set((await house.over([first, *others])).values()) == {state.SUCCESS}
    assert set(house.runs.values()) == {1}


async def test_first_long_task_of_an_idle_process_holds_up_nothing(make: Make) -> None:
    """The process was idle until then, and looks at what it runs as soon as there is something."""
    house = make(claim_ahead=0.02)
    took: list[float] = []
    others: list[str] = []

    def given_back() -> bool:
        return all(_owner(house, one) is None for one in others)

    async with at_work(house):
        for _ in range(6):
            await asyncio.sleep(0.05)
            first, *others = house.send("plain", 2, waits=True)
            await until(lambda: house.running, "the first run")
            began = time.monotonic()
            await until(given_back, "the others given back", 2)
            took.append(time.monotonic() - began)
            house.go.set()
            await house.over([first, *others])
            house.go.clear()
    assert sorted(took)[4] < 0.15, took  # Once the machine may have had other things to do.


def _owner(house: House, task_id: str) -> str | None:
    record = house.record(task_id)
    return None if record is None else record.owner


async def test_coroutines_start_while_plain_functions_keep_every_slot_busy(make: Make) -> None:
    """They stand behind many plain functions, which another process may run meanwhile."""
    house = make()
    plain = house.send("plain", 20, waits=True)
    coroutines = house.send("coroutine", 3)
    async with at_work(house):
        assert set((await house.over(coroutines)).values()) == {state.SUCCESS}
        assert len(house.running) == 1
        await until(lambda: sum(_owner(house, one) is None for one in plain) == 19, "the others given back")
    received = Counter(event.id for event in house.events if isinstance(event, TaskReceived))
    assert max(received.values()) <= 2, "what is given back at once is not worth a line"


async def test_plain_functions_start_while_coroutines_keep_every_slot_busy(make: Make) -> None:
    house = make(coroutines=3)
    coroutines = house.send("coroutine", 20, waits=True)
    plain = house.send("plain", 3)
    async with at_work(house):
        assert set((await house.over(plain)).values()) == {state.SUCCESS}
        assert len(house.running) == 3
        await until(lambda: sum(_owner(house, one) is None for one in coroutines) == 17, "the others given back")


async def test_quick_coroutines_are_claimed_ahead(make: Make) -> None:
    house = make(coroutines=3, threads=1)
    broker = Counted(house)
    ids = house.send("coroutine", 900)
    async with at_work(house, broker):
        await house.over(ids)
    sizes = [limit for limit, found in broker.claims if found]
    assert max(sizes) > 6, "no more is claimed than there are slots"
    await broker.close()


async def test_coroutines_that_block_the_loop_count_as_slow_as_they_are_in_turn(make: Make) -> None:
    """Ten slots do no more of them than one, so ten times as many as one does must not be claimed ahead."""
    house = make(coroutines=10)
    async with at_work(house) as engine:
        await house.over(house.send("coroutine", 600, blocks=0.002))
        assert engine.coroutines.times.mean > 5 * 0.002


async def test_slots_with_something_long_do_not_count_for_what_is_claimed_ahead(make: Make) -> None:
    house = make(coroutines=10, threads=3)
    async with at_work(house) as engine:
        await house.over(house.send("coroutine", 300) + house.send("plain", 100))
        house.send("coroutine", 9, waits=True)
        house.send("plain", 2, waits=True)
        await until(lambda: len(house.running) == 11, "all but one slot of each kind taken for long")
        coroutines, plain = engine.coroutines, engine.sync_slots
        await until(lambda: (coroutines.room(0).slots, plain.room().slots) == (1, 1), "the others out of account")
        assert (coroutines.room(7).held, plain.room().held) == (7, 0)
        house.go.set()
        await until(lambda: (coroutines.room(0).slots, plain.room().slots) == (10, 3), "the others back")


async def test_what_was_claimed_behind_quick_coroutines_is_given_back_when_long_ones_come(make: Make) -> None:
    house = make(coroutines=3)
    quick = house.send("coroutine", 900)
    async with at_work(house) as engine:
        await house.over(quick)
        assert engine.coroutines.times.mean < 0.02
        long = house.send("coroutine", 20, waits=True)
        await until(lambda: len(house.running) == 3, "three of the long ones")
        await until(lambda: sum(_owner(house, one) is None for one in long) == 17, "the others given back")
        house.go.set()
        assert set((await house.over(long)).values()) == {state.SUCCESS}
    assert set(house.runs.values()) == {1}


# Last chances.


@pytest.mark.parametrize("name", ["plain", "coroutine"])
async def test_last_chance_runs_alone(make: Make, name: str) -> None:
    house = make(threads=3)
    (suspect,) = house.send(name, seconds=0.1)
    house.crash(suspect, LIMIT - 1)
    others = house.send("plain", 15, seconds=0.01) + house.send("coroutine", 15, seconds=0.01)
    async with at_work(house):
        assert set((await house.over([suspect, *others])).values()) == {state.SUCCESS}
    assert house.beside[suspect] == set()
    assert any(house.beside[one] for one in others), "nothing ran beside anything: the test has shown nothing"


async def test_last_chances_run_one_after_the_other(make: Make) -> None:
    house = make(threads=3)
    suspects = house.send("plain", 4, seconds=0.02)
    for _ in range(LIMIT - 1):
        deliveries = house.app.broker.claim(["celery"], 10, "dead", 60.0)
        house.app.broker.reclaim("test", 10, crash_limit=99, owner="dead", guilty=[one.lease for one in deliveries])
    async with at_work(house):
        assert set((await house.over(suspects)).values()) == {state.SUCCESS}
    assert [house.beside[one] for one in suspects] == [set()] * 4


async def test_last_chance_is_parked_where_it_cannot_be_alone(make: Make) -> None:
    house = make()
    (long,) = house.send("coroutine", waits=True)
    async with at_work(house) as engine:
        await until(lambda: house.running, "the long one")
        (suspect,) = house.send("plain")
        house.crash(suspect, LIMIT - 1)
        await until(lambda: _owner(house, suspect) == OWNER, "the last chance claimed")
        (waiting,) = house.send("coroutine")
        await asyncio.sleep(0.05)
        assert house.running == {long}, "something was started beside a last chance that waits"
        engine.fetcher.rebalance(monotonic() + LAST_CHANCE_PATIENCE + 1)
        await until(lambda: (found := house.record(suspect)) is not None and found.state == state.SCHEDULED, "parked")
        assert (await house.over([waiting]))[waiting] == state.SUCCESS
        house.go.set()
        assert (await house.over([suspect]))[suspect] == state.SUCCESS
    assert house.runs[suspect] == 1


# Leases, revoking, recycling, draining.


async def test_what_waits_is_not_started_after_the_lease_was_lost(make: Make) -> None:
    house = make(claim_ahead=10.0, lease=0.3)
    first, *others = house.send("plain", 6, waits=True)
    async with at_work(house):
        await until(lambda: house.running, "the first run")
        await until(lambda: all(_owner(house, one) == OWNER for one in others), "the others claimed")
        await until(lambda: monotonic() > house.table.lease_until, "the end of the lease")
        # The worker was cut off; a reaper gives what it held to the others. Then it is back and renews its lease.
        house.app.broker.reclaim("reaper", 10, crash_limit=99, owner=OWNER)
        house.table.note_loss()
        house.app.broker.extend([OWNER], 60)
        house.table.note_lease(monotonic() + 60)
        house.go.set()
        assert set((await house.over([first, *others])).values()) == {state.SUCCESS}
    assert [house.runs[one] for one in others] == [1] * 5
    assert house.runs[first] == 2, "what ran was taken over, so it ran again"


async def test_what_waits_is_not_started_when_the_lease_has_run_out(make: Make) -> None:
    house = make(claim_ahead=10.0)
    house.table.note_lease(monotonic() - 1)
    ids = house.send("plain", 3)
    async with at_work(house):
        # Each claim renews; what it brings may run, and nothing else.
        assert set((await house.over(ids)).values()) == {state.SUCCESS}
    assert set(house.runs.values()) == {1}


async def test_revoked_tasks_that_wait_do_not_start(make: Make) -> None:
    house = make(claim_ahead=10.0)
    first, *others = house.send("plain", 4, waits=True)
    async with at_work(house) as engine:
        await until(lambda: house.running, "the first run")
        await until(lambda: all(_owner(house, one) == OWNER for one in others), "the others claimed")
        engine.revoke([first, others[1]], terminate=False)
        house.go.set()
        states = await house.over([first, *others])
    assert states == {
        first: state.SUCCESS,
        others[0]: state.SUCCESS,
        others[1]: state.REVOKED,
        others[2]: state.SUCCESS,
    }
    assert house.runs[others[1]] == 0


@pytest.mark.parametrize("name", ["plain", "coroutine"])
async def test_running_task_is_terminated(make: Make, name: str) -> None:
    house = make()
    (task,) = house.send(name, waits=True)
    async with at_work(house) as engine:
        await until(lambda: house.running, "the run")
        engine.revoke([task], terminate=True)
        house.go.set()  # A thread notices when it next runs Python code.
        assert await house.over([task]) == {task: state.REVOKED}


async def test_revoked_id_may_be_used_again(make: Make) -> None:
    house = make()
    async with at_work(house) as engine:
        await house.over(house.send("plain"))
        engine.revoke(["reused"], terminate=False)
        engine.revoked["reused"] = monotonic() - 1  # The time for which it is remembered is over.
        house.app.tasks["plain"].apply_async(task_id="reused")
        assert await house.over(["reused"]) == {"reused": state.SUCCESS}


@pytest.mark.parametrize("most", [1, 7])
async def test_runs_no_more_than_its_share(make: Make, most: int) -> None:
    house = make(threads=2, max_tasks_per_child=most)
    ids = house.send("plain", 15) + house.send("coroutine", 15)
    async with at_work(house):
        await until(lambda: house.retired, "the wish to be replaced")
        await asyncio.sleep(0.05)
    assert house.retired == [f"ran {most} tasks (max_tasks_per_child={most})"]
    assert sum(house.runs.values()) == most
    assert len(house.states(ids)) == most
    assert [stats.ready for stats in house.app.broker.stats()] == [len(ids) - most]


async def test_what_is_claimed_ahead_for_coroutines_counts_for_its_share(make: Make) -> None:
    house = make(coroutines=3, max_tasks_per_child=300)
    house.send("coroutine", 500)
    async with at_work(house):
        await until(lambda: house.retired, "the wish to be replaced")
        await asyncio.sleep(0.05)
    assert sum(house.runs.values()) == 300
    assert [stats.ready for stats in house.app.broker.stats()] == [200]


async def test_grown_process_wants_to_be_replaced_once(make: Make) -> None:
    house = make(max_memory_per_child=1)
    ids = house.send("plain", 30, seconds=0.005)
    async with at_work(house):
        await until(lambda: house.retired, "the wish to be replaced")
        assert set((await house.over(ids)).values()) == {state.SUCCESS}
    assert len(house.retired) == 1
    assert "max_memory_per_child=1" in house.retired[0]


async def test_drain_gives_back_what_has_not_started_and_settles_the_rest(make: Make) -> None:
    house = make(claim_ahead=10.0, threads=2)
    plain = house.send("plain", 30, waits=True)
    coroutines = house.send("coroutine", 5, waits=True)
    async with at_work(house):
        await until(lambda: len(house.running) == 7, "every slot busy")
    ids = plain + coroutines
    ran = {one for one in ids if house.runs[one]}
    assert len(ran) == 7
    assert house.states(ids) == dict.fromkeys(ran, state.SUCCESS)
    assert {one for one in ids if _owner(house, one) is None and house.record(one) is not None} == set(ids) - ran


async def test_each_claim_poll_is_noted_though_nothing_is_there(make: Make) -> None:
    house = make()
    async with at_work(house):
        await until(lambda: house.table.last_poll > 0, "the first poll")
        first = house.table.last_poll
        await until(lambda: house.table.last_poll > first, "another")


class Stopped(AsyncBroker[Any, Any]):
    """A broker beside which this process is stopped for longer than its lease, once, while a start is recorded."""

    def __init__(self, house: House, pause: float) -> None:
        super().__init__(connect(house.url))
        self.table = house.table
        self.pause = pause
        self.starts = 0

    async def start(self, starts: Sequence[Start]) -> tuple[str, ...]:
        lost = await super().start(starts)
        self.starts += 1
        if self.starts == 1:
            self.table.note_lease(0.0)
            self.table.note_claim(0.0)
            # The fetcher may well be the first to go on, and its claim makes the lease look good again.
            await asyncio.sleep(self.pause)
        return lost


@pytest.mark.parametrize("pause", [0.0, 0.1])
@pytest.mark.parametrize("name", ["plain", "coroutine"])
async def test_nothing_begins_whose_lease_ended_while_its_start_was_recorded(
    make: Make, name: str, pause: float
) -> None:
    house = make(threads=2, lease=60.0)
    (suspect,) = house.send(name)
    house.crash(suspect, 1)
    broker = Stopped(house, pause)
    async with at_work(house, broker):
        await until(lambda: broker.starts, "the first start")
        others = house.send("plain", 3)
        assert set((await house.over([suspect, *others])).values()) == {state.SUCCESS}
    assert broker.starts == 2, "the first start must not have led to a run"
    assert house.runs[suspect] == 1
    await broker.close()


async def test_what_claimed_ahead_in_vain_says_that_it_is_not_idle_once_it_is_busy(make: Make) -> None:
    house = make(coroutines=0)
    broker = Counted(house)
    async with at_work(house, broker):
        await house.over(house.send("plain", 200))
        (long,) = house.send("plain", waits=True)
        await until(lambda: long in house.running, "the long one")
        await until(lambda: broker.claims[-1] == (0, False), "the claim of nothing")
        assert broker.claims[-2][0] > 0
        assert not broker.claims[-2][1], "there was something to take back"
        count = len(broker.claims)
        await asyncio.sleep(0.1)
        assert len(broker.claims) == count, "saying it once is enough"
        house.go.set()
        await house.over([long])
    await broker.close()


class Gated(AsyncBroker[Any, Any]):
    """A broker that carries out no settlement before it is let."""

    def __init__(self, url: str) -> None:
        super().__init__(connect(url))
        self.gate = asyncio.Event()
        self.waiting: list[Settlement] = []

    async def settle(self, settlements: Sequence[Settlement]) -> tuple[str, ...]:
        self.waiting += settlements
        await self.gate.wait()
        return await super().settle(settlements)


async def test_nothing_is_claimed_past_what_is_on_its_way_back(make: Make) -> None:
    """The look for coroutines brings a plain function, which is given back; the one behind it must not overtake it."""
    house = make()
    (long,) = house.send("plain", waits=True)
    broker = Gated(house.url)
    async with at_work(house, broker):
        await until(lambda: house.running, "the long one")
        (first,) = house.send("plain")
        await until(lambda: any(one.lease.id == first for one in broker.waiting), "the first given back")
        (second,) = house.send("plain")
        house.go.set()
        await until(
            lambda: any(one.lease.id == long for one in broker.waiting) or not house.running, "the long one over"
        )
        await asyncio.sleep(0.1)
        broker.gate.set()
        await house.over([long, first, second])
    assert list(house.runs) == [long, first, second]
    await broker.close()
