"""Waiting: what is asked, what is told, when it ends."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from celeriac import Celeriac
from celeriac.app.waiting import Watch, await_, wait
from celeriac.brokers import connect
from celeriac.brokers.facade import AsyncBroker, SyncBroker
from celeriac.core.codec import encode
from celeriac.core.message import StoredResult
from celeriac.errors import OperationalError, TimeoutError
from celeriac.testing.faults import Fault, FaultyDriver, Script


def stored(task_id: str, state: str, value: Any = None) -> StoredResult:
    return StoredResult(id=task_id, state=state, body=encode(value).body)


class TestWatch:
    def test_each_result_is_told_once(self) -> None:
        done: list[str] = []
        changed: list[str] = []
        watch = Watch(
            ["a", "b", "a"],
            timeout=None,
            on_done=lambda one: done.append(one.id),
            on_change=lambda one: changed.append(one.state),
        )
        assert watch.look() == ["a", "b"]
        assert watch.take([stored("a", "PROGRESS", 1)]) > 0
        watch.take([stored("a", "PROGRESS", 1)])
        watch.take([stored("a", "PROGRESS", 2), stored("stranger", "SUCCESS")])
        watch.take([stored("a", "SUCCESS")])
        watch.take([stored("a", "SUCCESS")])
        assert watch.look() == ["b"]
        assert watch.take([stored("b", "FAILURE")]) == 0
        assert (done, changed) == (["a", "b"], ["PROGRESS", "PROGRESS"])
        assert watch.look() == []

    def test_what_is_there_counts_even_if_time_is_up(self) -> None:
        watch = Watch(["a"], timeout=0, on_done=lambda one: None)
        assert watch.take([stored("a", "SUCCESS")]) == 0
        late = Watch(["a"], timeout=0, on_done=lambda one: None)
        with pytest.raises(TimeoutError, match="task a was not over after 0 s"):
            late.take([])

    def test_the_interval_bounds_a_wait(self) -> None:
        assert Watch(["a"], timeout=None, interval=0.25, on_done=lambda one: None).take([]) == 0.25
        assert Watch(["a"], timeout=0.125, interval=100, on_done=lambda one: None).take([]) <= 0.125


class TestAStoreThatGoesAway:
    def stores(self, name: str, *faults: Fault) -> tuple[SyncBroker[Any, Any], FaultyDriver, Script]:
        driver, script = connect(f"memory://waiting-{name}"), Script(faults)
        return SyncBroker(driver), FaultyDriver(driver, script), script

    def watch(self, timeout: float | None = 20) -> Watch:
        return Watch(["a"], timeout=timeout, interval=0.05, on_done=lambda one: self.done.append(one.state))

    @pytest.fixture(autouse=True)
    def nothing_done(self) -> None:
        self.done: list[str] = []

    def test_is_waited_for(self) -> None:
        store, faulty, script = self.stores("sync", Fault.NONE, Fault.LOSE_REQUEST, Fault.LOSE_REPLY)
        later = threading.Timer(0.2, store.store, ([stored("a", "SUCCESS")],))
        later.start()
        wait(SyncBroker(faulty), self.watch())
        later.join()
        assert (self.done, script.pending) == (["SUCCESS"], 0)

    async def test_is_awaited(self) -> None:
        store, faulty, script = self.stores("async", Fault.NONE, Fault.LOSE_REQUEST, Fault.LOSE_REPLY)
        asyncio.get_running_loop().call_later(0.2, store.store, [stored("a", "SUCCESS")])
        await await_(AsyncBroker(faulty), self.watch())
        assert (self.done, script.pending) == (["SUCCESS"], 0)

    def test_ends_no_wait_later_than_asked_for(self) -> None:
        _, faulty, _ = self.stores("late", Fault.NONE, *[Fault.LOSE_REQUEST] * 100)
        with pytest.raises(
            TimeoutError, match=r"not over after 0\.3 s.*the result store is away: the request was lost"
        ):
            wait(SyncBroker(faulty), self.watch(0.3))

    def test_from_the_outset_is_an_error_at_once(self) -> None:
        _, faulty, _ = self.stores("never", Fault.LOSE_REQUEST)
        with pytest.raises(OperationalError, match="the request was lost"):
            wait(SyncBroker(faulty), self.watch())


def test_interim_states_wake_the_waiter(app: Celeriac) -> None:
    seen: list[Any] = []
    first = threading.Event()

    def on_message(meta: dict[str, Any]) -> None:
        seen.append((meta["status"], meta["result"]))
        first.set()

    def report() -> None:
        app.backend.progress([stored("a", "PROGRESS", 1)])
        assert first.wait(20)
        app.backend.store([stored("a", "SUCCESS", 5)])

    intervals: list[int] = []
    thread = threading.Thread(target=report)
    thread.start()
    result = app.AsyncResult("a")
    assert result.get(timeout=20, on_message=on_message, on_interval=lambda: intervals.append(1)) == 5
    thread.join(20)
    assert seen == [("PROGRESS", 1), ("SUCCESS", 5)]
    assert intervals


@pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])
async def test_a_coroutine_is_woken(app: Celeriac) -> None:
    waiting = asyncio.create_task(app.AsyncResult("a").aget(timeout=20))
    for state in ("PROGRESS", "SUCCESS"):
        await asyncio.sleep(0)
        await app.async_backend().store([stored("a", state, 5)])
    assert await waiting == 5


@pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])
async def test_a_coroutine_that_is_cancelled_leaves_nothing_behind(app: Celeriac) -> None:
    waiting = asyncio.create_task(app.AsyncResult("a").aget())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
