"""Coroutines that send at the same time share round trips, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from celeriac.app.bundling import Bundler
from celeriac.brokers.port import MAX_BATCH
from celeriac.core.message import Message
from celeriac.errors import InvalidTaskError, OperationalError


def message(name: str) -> Message:
    return Message(id=name, task="t")


class Store:
    """Takes messages when it is told to go on; refuses a batch with a bad one in it."""

    def __init__(self) -> None:
        self.kept: list[list[str]] = []
        self.asked: list[list[str]] = []
        self.away = False
        self.one_by_one = False
        self.open = asyncio.Event()
        self.called = asyncio.Event()

    async def send(self, messages: Sequence[Message]) -> None:
        names = [one.id for one in messages]
        self.asked.append(names)
        self.called.set()
        await self.open.wait()
        if self.one_by_one:
            self.open.clear()
            self.called.clear()
        if self.away:
            raise OperationalError("away")
        if any(name.startswith("bad") for name in names):
            raise InvalidTaskError(f"bad among {names}")
        self.kept.append(names)


async def begin(store: Store, *names: str) -> tuple[Bundler, list[asyncio.Task[None]]]:
    """Let all of them send, one after the other, and return when the first is under way."""
    bundler = Bundler(store.send)
    tasks = [asyncio.create_task(bundler.send(message(name))) for name in names]
    await store.called.wait()
    await asyncio.sleep(0)
    return bundler, tasks


async def test_one_alone_goes_at_once() -> None:
    store = Store()
    store.open.set()
    await Bundler(store.send).send(message("a"))
    assert store.kept == [["a"]]


async def test_those_who_wait_go_together_in_their_order() -> None:
    store = Store()
    _, tasks = await begin(store, "a", "b", "c", "d")
    assert store.asked == [["a"]]
    store.open.set()
    await asyncio.gather(*tasks)
    assert store.kept == [["a"], ["b", "c", "d"]]


async def test_no_more_go_together_than_one_step_takes() -> None:
    store = Store()
    _, tasks = await begin(store, *(f"m{number}" for number in range(MAX_BATCH + 3)))
    store.open.set()
    await asyncio.gather(*tasks)
    assert [len(part) for part in store.kept] == [1, MAX_BATCH, 2]


async def test_nobody_returns_before_its_message_is_kept() -> None:
    store = Store()
    _, tasks = await begin(store, "a", "b")
    await asyncio.sleep(0.01)
    assert not any(task.done() for task in tasks)
    store.open.set()
    await asyncio.gather(*tasks)


async def test_a_bad_message_fails_alone() -> None:
    store = Store()
    _, tasks = await begin(store, "a", "b", "bad", "c")
    store.open.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one) for one in found] == [type(None), type(None), InvalidTaskError, type(None)]
    assert store.kept == [["a"], ["b"], ["c"]]


async def test_a_broker_that_is_away_is_an_error_of_each_call() -> None:
    store = Store()
    store.away = True
    _, tasks = await begin(store, "a", "b", "c")
    store.open.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(one) for one in found] == ["away"] * 3
    assert len({id(one) for one in found}) == 3
    assert store.asked == [["a"], ["b", "c"]], "each is asked once: trying again is the sender's part"


async def test_after_an_error_it_goes_on() -> None:
    store = Store()
    store.away = True
    bundler, tasks = await begin(store, "a", "b")
    store.open.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    store.away = False
    await bundler.send(message("c"))
    assert store.kept == [["c"]]


async def test_one_that_is_cancelled_while_it_waits_is_not_sent() -> None:
    store = Store()
    _, (first, second, third) = await begin(store, "a", "b", "c")
    second.cancel()
    await asyncio.sleep(0)
    store.open.set()
    await asyncio.gather(first, third)
    assert store.kept == [["a"], ["c"]]


async def test_the_others_go_on_if_the_first_is_cancelled() -> None:
    store = Store()
    _, (first, *others) = await begin(store, "a", "b", "c")
    first.cancel()
    await asyncio.sleep(0)
    store.open.set()
    await asyncio.gather(*others)
    assert store.kept == [["b", "c"]]


async def test_one_of_a_bundle_that_is_under_way_may_be_cancelled() -> None:
    store = Store()
    store.one_by_one = True
    _, (first, second, third) = await begin(store, "a", "b", "c")
    store.open.set()
    await first
    await store.called.wait()
    second.cancel()
    store.open.set()
    await third
    with pytest.raises(asyncio.CancelledError):
        await second
    assert store.kept == [["a"], ["b", "c"]]


def test_each_event_loop_has_its_own() -> None:
    store_of: list[list[list[str]]] = []
    bundlers: list[Bundler] = []

    async def send() -> None:
        store = Store()
        store.open.set()
        bundler = bundlers[0] if bundlers else Bundler(store.send)
        bundlers.append(bundler)
        await bundler.send(message("a"))
        store_of.append(store.kept)

    asyncio.run(send())
    asyncio.run(send())
    assert store_of[0] == [["a"], ["a"]]


def test_the_end_of_the_loop_ends_those_who_wait() -> None:
    ended: list[str] = []

    async def waits(bundler: Bundler, name: str) -> None:
        try:
            await bundler.send(message(name))
        except asyncio.CancelledError:
            ended.append(name)
            raise

    async def main() -> None:
        store = Store()
        bundler = Bundler(store.send)
        tasks = [asyncio.create_task(waits(bundler, name)) for name in "abc"]
        await asyncio.sleep(0.01)
        assert len(tasks) == 3

    asyncio.run(main())
    assert sorted(ended) == ["a", "b", "c"]
