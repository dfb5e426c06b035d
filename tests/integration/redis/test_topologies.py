"""Clusters and Sentinels: where the keys are and who is master may change under our hands."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from celeriac.brokers import connect, open_async_broker, open_broker
from celeriac.brokers.facade import SyncBroker
from celeriac.brokers.port import AnyDriver
from celeriac.core.message import Message
from celeriac.errors import CeleriacError, OperationalError
from celeriac.testing.conformance import MODES, applicable, run
from tests.support.servers import Certificates, RedisCluster, RedisSentinels, RedisServer
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow

GROUPS = ("enqueue-", "claim-", "settle-", "waiter-", "results-", "fencing-")
"""What every way to a server is put through; the other groups do nothing that goes another way."""


class Elsewhere:
    """A binding to a server that others use, too: each case has keys of its own."""

    lease = 1.0
    _numbers = itertools.count()

    def __init__(self, url: str) -> None:
        self.url = f"{url}{'&' if '?' in url else '?'}prefix=case{next(self._numbers)}"

    def connect(self) -> AnyDriver:
        return connect(self.url)

    def now(self) -> float:
        return time.time()

    async def advance(self, seconds: float) -> None:
        raise AssertionError("a case that waits for time to pass is not among these")


def conforms(url: str, count: int = 30) -> None:
    """Run some cases of the conformance suite that need no time to pass, each in another mode than the one before."""
    modes = itertools.cycle(MODES)
    ran = 0
    for case in applicable(connect(url).capabilities):
        if str(case).startswith(GROUPS) and ran < count:
            try:
                run(case, Elsewhere(url), next(modes))
            except AssertionError as exc:
                if "not among these" not in str(exc):
                    raise
            else:
                ran += 1
    assert ran == count


def insist(call: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Repeat an operation, as a worker does, until the servers have sorted themselves out."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return call()
        except OperationalError:
            if time.monotonic() > deadline:
                raise


class Load:
    """Sends tasks from a thread while something happens; keeps the ids whose sending was acknowledged."""

    def __init__(self, url: str) -> None:
        self.acknowledged: list[str] = []
        self.failed: list[CeleriacError] = []
        self._url = url
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def _send(self) -> None:
        with open_broker(self._url) as broker:
            for batch in itertools.count():
                if self._end.is_set():
                    return
                messages = [Message(id=f"{batch}-{n}", task="t", queue=f"q{n % 5}") for n in range(10)]
                try:
                    broker.enqueue(messages)
                except OperationalError as exc:
                    self.failed.append(exc)
                else:
                    self.acknowledged += [one.id for one in messages]

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._end.set()
        self._thread.join()


def kept(broker: SyncBroker[Any, Any], ids: list[str]) -> set[str]:
    return {record.id for record in insist(lambda: broker.get(ids))}


# Cluster


@pytest.mark.parametrize("partitions", [1, 4])
def test_a_cluster_of_three_nodes_conforms(partitions: int) -> None:
    with RedisCluster() as cluster:
        if partitions == 1:
            conforms(cluster.url)
            for node in cluster.nodes:
                node.ask("FLUSHALL")
        url = f"{cluster.url}?partitions={partitions}"
        with open_broker(url) as broker:
            queues = [f"q{n}" for n in range(20)]
            ids = [f"t{n}" for n in range(100)]
            broker.enqueue([Message(id=id, task="t", queue=queues[n % 20]) for n, id in enumerate(ids)])
            assert {record.id for record in broker.get(ids)} == set(ids)
            assert sum(one.ready for one in broker.stats()) == 100
            assert len(broker.claim(queues, 200, "w", 5.0)) == 100
            used = [node for node in cluster.nodes if node.ask("DBSIZE")]
            assert len(used) == 1 if partitions == 1 else len(used) > 1
            levels = {one.subject: one.level for one in broker.examine()}
            assert levels["cluster"] == "ok"


def test_a_slot_that_moves_under_load_loses_nothing() -> None:
    with RedisCluster() as cluster, open_broker(cluster.url) as broker:
        broker.enqueue([Message(id="first", task="t")])
        waiter = broker.waiter()
        while waiter.wait(0.2):
            pass
        source = cluster.master_of("{celeriac}:m")
        target = next(node for node in cluster.nodes if node is not source)
        with Load(cluster.url) as load:
            wait_for(lambda: len(load.acknowledged) > 200, 20, "some load")
            cluster.move_slot("{celeriac}:m", target)
            before = len(load.acknowledged)
            wait_for(lambda: len(load.acknowledged) > before + 200, 20, "load after the move")
        assert cluster.master_of("{celeriac}:m") is target
        assert kept(broker, load.acknowledged) == set(load.acknowledged)
        assert waiter.wait(5)
        waiter.close()


def test_the_loss_of_a_master_is_survived_by_its_replica() -> None:
    with RedisCluster(replicas=1) as cluster, open_broker(cluster.url) as broker:
        broker.enqueue([Message(id="first", task="t")])
        master = cluster.master_of("{celeriac}:m")
        master.wait_replicated()
        master.kill()
        began = time.monotonic()
        assert [one.lease.id for one in insist(lambda: broker.claim(["celery"], 10, "w", 5.0))] == ["first"]
        assert time.monotonic() - began < 20


# Sentinel


def test_sentinels_conform(sentinels: RedisSentinels) -> None:
    conforms(sentinels.url)


def test_tls_with_a_password_conforms(certificates: Certificates) -> None:
    with RedisServer(tls=certificates, password="s3cret") as server:
        conforms(server.url, 12)


def test_a_failover_under_load_loses_nothing_that_a_replica_had_acknowledged() -> None:
    # Replication is asynchronous: without min-replicas-to-write the master acknowledges what dies with it. With it, it
    # stops acknowledging once no replica has answered for min-replicas-max-lag seconds, which bounds the loss and does
    # not rule it out; so only what the replica has confirmed must be there.
    options = {"min-replicas-to-write": "1", "min-replicas-max-lag": "2"}
    with RedisSentinels(options=options) as sentinels, open_broker(sentinels.url) as broker:
        with Load(sentinels.url) as load:
            wait_for(lambda: len(load.acknowledged) > 300, 20, "some load")
            confirmed = list(load.acknowledged)
            sentinels.master.wait_replicated()
            # There is no second replica, so the new master takes no writes until the old one is back: at first as an
            # empty master, which nobody may use, until the Sentinels make it a replica.
            old = sentinels.fail_over()
            old.start()
            before = len(load.acknowledged)
            wait_for(lambda: len(load.acknowledged) > before + 100, 40, "load after the failover")
            assert sentinels.master is not old
        assert kept(broker, confirmed) == set(confirmed)
        assert "s3cret" not in "".join(map(str, load.failed))


async def test_an_idle_client_does_not_read_from_a_former_master() -> None:
    """Its connection was cut while it did nothing. The old master is empty, and takes itself for a master still."""
    with RedisSentinels() as sentinels, open_broker(sentinels.url) as broker:
        async with open_async_broker(sentinels.url) as awaiting:
            broker.enqueue([Message(id="first", task="t")])
            await awaiting.enqueue([Message(id="second", task="t")])
            sentinels.master.wait_replicated()
            sentinels.fail_over().start()
            ids = ["first", "second"]
            assert [record.id for record in broker.get(ids)] == ids
            assert [record.id for record in await awaiting.get(ids)] == ids


def test_a_waiter_hears_the_new_master(sentinels: RedisSentinels) -> None:
    with open_broker(sentinels.url) as broker:
        waiter = broker.waiter()
        while waiter.wait(0.2):
            pass
        sentinels.fail_over()
        assert waiter.wait(20), "woken by the new connection"
        while waiter.wait(0.2):
            pass
        insist(lambda: broker.enqueue([Message(id="a", task="t")]))
        assert waiter.wait(5)
        waiter.close()


def test_a_wrong_password_of_the_sentinels_is_said(sentinels: RedisSentinels) -> None:
    refused = pytest.raises(CeleriacError, match="refused the user or the password")
    with open_broker(sentinels.url.replace("s3cret-s", "s3cret-wrong")) as broker, refused as caught:
        broker.now()
    assert "s3cret" not in str(caught.value)
