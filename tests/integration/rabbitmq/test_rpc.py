"""Results as messages: they come to whoever sent the task, through lost connections too, and to nobody else."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from celeriac import Celeriac, results
from celeriac.core.ids import follow_up_id
from celeriac.core.message import Message, StoredResult
from celeriac.core.security import Guard
from celeriac.errors import OperationalError, ResultElsewhere
from celeriac.results import SyncResults
from celeriac.results.rpc.driver import RpcStore
from tests.integration.rabbitmq.test_worker import RabbitBacking
from tests.support.fleet import Project
from tests.support.proxy import Proxy
from tests.support.rabbitmq import RabbitNode
from tests.support.waiting import wait_for

SOON = 20.0


@pytest.fixture
def proxy(node: RabbitNode) -> Iterator[Proxy]:
    with Proxy(node.port) as proxy:
        yield proxy


class Sender:
    """What sends tasks and reads their results."""

    def __init__(self, url: str) -> None:
        store = results.connect(url)
        assert isinstance(store, RpcStore)
        self.store = store
        self.results: SyncResults = SyncResults(store)

    def send(self, *ids: str) -> str:
        """Expect the results of these tasks; return where they are to go."""
        (address,) = {one.reply_to for one in self.store.expecting([Message(id=id, task="t") for id in ids])}
        assert address is not None
        return address

    def wait(self, *ids: str) -> dict[str, StoredResult]:
        """Return the results when all have come."""
        waiter = self.results.waiter(ids)
        try:
            deadline = time.monotonic() + SOON
            while len(found := self.results.fetch(ids)) < len(ids):
                assert waiter.wait(deadline - time.monotonic()), f"only {len(found)} of {len(ids)}"
            return {one.id: one for one in found}
        finally:
            waiter.close()


def url_of(port: int, timeout: float = 10.0) -> str:
    return f"rpc://guest:guest@127.0.0.1:{port}/?timeout={timeout}".replace("rpc://", "rpc+amqp://")


@pytest.fixture
def sender(node: RabbitNode) -> Iterator[Sender]:
    sender = Sender(url_of(node.port))
    yield sender
    sender.results.close()
    sender.store.close()


@pytest.fixture
def worker(node: RabbitNode) -> Iterator[SyncResults]:
    with results.open_results(url_of(node.port)) as worker:
        yield worker


def done(id: str, address: str | None, state: str = "SUCCESS", **fields: Any) -> StoredResult:
    return StoredResult(id=id, state=state, reply_to=address, **fields)


def test_a_result_comes_as_it_was_stored(sender: Sender, worker: SyncResults) -> None:
    address = sender.send("a", "b")
    assert sender.results.fetch(["a", "b"]) == []
    large = done("b", address, body=os.urandom(400_000), traceback="ö", children=("x",))
    worker.store([done("a", address), large])
    assert sender.wait("a", "b") == {"a": done("a", address), "b": large}
    assert sender.results.discard(["a", "b"]) == 2
    assert sender.results.discard(["a", "b"]) == 0


def test_what_another_process_sent_is_refused_with_the_reason(sender: Sender, worker: SyncResults) -> None:
    address = sender.send("mine")
    worker.store([done("mine", address)])
    sender.wait("mine")
    for reader, ids in ((worker, ["mine"]), (sender.results, ["mine", "other"])):
        with pytest.raises(ResultElsewhere, match=r"(mine|other) is not to be had here: .* rpc:// .* use a store"):
            reader.fetch(ids)


def test_interim_states_come_and_do_not_replace_the_last(sender: Sender, worker: SyncResults) -> None:
    address = sender.send("a")
    assert worker.progress([done("a", address, "PROGRESS", body=b"1")]) == ()
    assert sender.wait("a")["a"].state == "PROGRESS"
    worker.store([done("a", address)])
    worker.progress([done("a", address, "PROGRESS")])
    worker.store([done("b", address)])
    sender.wait("b")  # Messages of one sender keep their order.
    assert sender.wait("a")["a"].state == "SUCCESS"


def test_a_result_that_nobody_waits_for_is_no_error(worker: SyncResults, node: RabbitNode) -> None:
    gone = Sender(url_of(node.port))
    address = gone.send("a")
    gone.results.discard(["a"])
    gone.results.close()
    worker.store([done("a", address), done("b", None)])
    worker.progress([done("a", "celeriac.reply.nobody", "PROGRESS")])


def test_what_expires_goes(sender: Sender, worker: SyncResults) -> None:
    address = sender.send("a", "b")
    worker.store([done("a", address, expires=time.time() - 1), done("b", address)])
    sender.wait("b")
    assert sender.results.fetch(["a"]) == []
    assert sender.results.prune(None, 10) == 1


def test_what_follows_from_a_task_answers_too(sender: Sender, worker: SyncResults) -> None:
    address = sender.send("a")
    after, other = follow_up_id("a", "link/0"), "sent by the task itself"
    worker.store([done("a", address, children=(other, after))])
    sender.wait("a")
    assert sender.results.fetch([after]) == []
    with pytest.raises(ResultElsewhere):
        sender.results.fetch([other])


async def test_coroutines_wait_as_threads_do(sender: Sender, worker: SyncResults) -> None:
    store = results.AsyncResults(sender.store)
    ((message),) = await sender.store.aexpecting([Message(id="a", task="t")])
    waiter = store.waiter(["a"])
    assert await waiter.wait(0.01) is False
    waiting = asyncio.create_task(waiter.wait(SOON))
    await asyncio.to_thread(worker.store, [done("a", message.reply_to)])
    assert await waiting is True
    assert [one.id for one in await store.fetch(["a"])] == ["a"]
    await waiter.close()
    await store.close()


def test_signed_and_encrypted_results_come_through(node: RabbitNode) -> None:
    keys = {"security_encryption_keys": {"k": os.urandom(32)}, "security_replay_window": None}
    url = f"amqp://guest:guest@127.0.0.1:{node.port}/"
    with Celeriac("a", broker=url, backend="rpc://", changes=keys) as app:
        assert isinstance(app.guard, Guard)
        (message,) = app._connections.replying_store().expecting([Message(id="a", task="t")])
        with Celeriac("b", broker=url, backend="rpc://", changes=keys) as other:
            other.backend.store([done("a", message.reply_to, body=b'"told"')])
            assert app.AsyncResult("a").get(timeout=SOON) == "told"


def test_a_cut_connection_costs_no_result(proxy: Proxy, worker: SyncResults) -> None:
    sender = Sender(url_of(proxy.port))
    ids = [f"t{n}" for n in range(200)]
    address = sender.send(*ids)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(sender.wait, *ids)
        for n, id in enumerate(ids):
            worker.store([done(id, address)])
            if n in (50, 120):
                proxy.drop()
        assert waiting.result(SOON + 5).keys() == set(ids)
    sender.results.close()


def test_a_server_that_is_away_is_an_error_in_time(proxy: Proxy) -> None:
    sender = Sender(url_of(proxy.port, timeout=1.0))
    proxy.close()
    began = time.monotonic()
    with pytest.raises(OperationalError, match="cannot be reached"):
        sender.send("a")
    assert time.monotonic() - began < 8
    with pytest.raises(OperationalError, match="cannot be reached"):
        sender.results.store([done("a", "celeriac.reply.x")])


def test_a_forked_child_has_an_address_of_its_own(sender: Sender) -> None:
    mine = sender.send("a")
    child = os.fork()
    if child == 0:
        try:
            theirs = sender.send("b")
            with pytest.raises(ResultElsewhere):
                sender.results.fetch(["a"])
            os._exit(0 if theirs != mine else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert sender.results.fetch(["a"]) == []


def test_an_app_that_only_sends_and_is_closed_leaves_no_connection_and_no_queue(node: RabbitNode) -> None:
    with Celeriac("a", broker=f"amqp://guest:guest@127.0.0.1:{node.port}/", backend="rpc://") as app:
        app.conf.task_default_queue = "nobody-reads"
        app.send_task("t")
        app.send_task("t")
        mailbox = app._connections.replying_store().mailbox()
        assert mailbox.opened
        assert mailbox.waits
        mailbox.drop([*mailbox._results])
    wait_for(lambda: not mailbox.opened, 1, "no connection")
    wait_for(lambda: mailbox.address not in node.control("list_queues", "name"), 20, "the end of the queue", every=0.5)


@pytest.mark.slow
def test_real_workers_answer_through_a_kill(tmp_path: Path, proxy: Proxy) -> None:
    class Replying(RabbitBacking):
        @property
        def results_url(self) -> str:
            return "rpc://"

    backing = Replying(tmp_path, proxy.port, None)
    settings = {"task_default_queue": f"q-{tmp_path.name}"}
    project = Project(tmp_path, backing, settings=settings, separate_results=True)
    try:
        app = project.app
        note = app.tasks["note"]
        worker = project.start_worker("-c", "1")
        handles = [note.apply_async((0.01,), link=note.si(0.0)) for _ in range(60)]
        threading.Timer(0.2, worker.kill_all).start()
        wait_for(lambda: worker.process.poll() is not None, 20, "the end of the worker")
        project.start_worker("-c", "1")
        for handle in handles:
            assert isinstance(handle.get(timeout=30), int)
            (after,) = handle.children
            assert isinstance(after.get(timeout=30), int)
        with pytest.raises(ResultElsewhere):
            _ = app.AsyncResult("sent by nobody").state
    finally:
        project.close()
