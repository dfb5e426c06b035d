"""What is special to the memory driver: who shares a store, and that one caller at a time is inside it."""

import asyncio
import gc
import itertools
import os
import threading

import pytest

from celeriac.brokers import connect, open_broker
from celeriac.core.message import Message
from celeriac.errors import ImproperlyConfigured
from celeriac.testing.clock import VirtualClock


def test_one_name_is_one_store() -> None:
    with (
        open_broker("memory://one") as first,
        open_broker("memory://one/") as second,
        open_broker("memory://") as other,
    ):
        first.enqueue([Message(id="a", task="proj.add")])
        assert [record.id for record in second.get(["a"])] == ["a"]
        assert other.get(["a"]) == []


def test_a_store_goes_with_the_last_who_holds_it() -> None:
    first = open_broker("memory://gone")
    second = open_broker("memory://gone")
    first.enqueue([Message(id="a", task="proj.add")])
    del first
    gc.collect()
    assert [record.id for record in second.get(["a"])] == ["a"]
    del second
    gc.collect()
    assert open_broker("memory://gone").get(["a"]) == []


def test_a_store_has_one_clock() -> None:
    clock = VirtualClock()
    broker = open_broker("memory://clock", clock=clock)
    broker.enqueue([Message(id="a", task="proj.add", eta=clock.now() + 60)])
    assert open_broker("memory://clock", clock=clock).promote(10).next_in == 60
    with pytest.raises(ImproperlyConfigured, match="another clock"):
        connect("memory://clock")


def test_many_threads_claim_each_message_once() -> None:
    broker = open_broker("memory://threads")
    sent = [f"task-{number}" for number in range(4000)]
    barrier = threading.Barrier(9)
    claimed: list[list[str]] = [[] for _ in range(8)]

    def consume(mine: list[str], owner: str) -> None:
        barrier.wait()
        while len(mine) < len(sent):
            deliveries = broker.claim(["celery"], 7, owner, 30.0)
            mine += [delivery.lease.id for delivery in deliveries]
            if not deliveries and all_sent.is_set():
                return

    all_sent = threading.Event()
    threads = [threading.Thread(target=consume, args=(mine, f"w{number}")) for number, mine in enumerate(claimed)]
    for thread in threads:
        thread.start()
    barrier.wait()
    for start in range(0, len(sent), 100):
        broker.enqueue([Message(id=id, task="proj.add") for id in sent[start : start + 100]])
    all_sent.set()
    for thread in threads:
        thread.join(30)
    assert sorted(id for mine in claimed for id in mine) == sorted(sent)


def test_a_fork_copies_a_whole_store_that_nobody_is_inside_of() -> None:
    broker = open_broker("memory://fork")
    stop = threading.Event()

    def work() -> None:
        for number in itertools.count():
            broker.enqueue([Message(id=f"task-{number}-{place}", task="proj.add") for place in range(10)])
            if stop.is_set():
                return

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for _ in range(10):
            pid = os.fork()
            if pid == 0:
                whole = sum(stats.ready for stats in broker.stats()) % 10 == 0
                broker.enqueue([Message(id="child", task="proj.add")])
                os._exit(0 if whole and broker.get(["child"]) else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    finally:
        stop.set()
        worker.join(30)
    assert broker.get(["child"]) == []


async def test_a_cancelled_wait_leaves_what_it_has_not_reported() -> None:
    broker = open_broker("memory://cancelled-wait")
    waiter = connect("memory://cancelled-wait").async_waiter()
    waiting = asyncio.create_task(waiter.wait(30))
    await asyncio.sleep(0)
    broker.enqueue([Message(id="a", task="proj.add")])
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await waiter.wait(0) is True
    assert await waiter.wait(0) is False
