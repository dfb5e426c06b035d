"""RabbitMQ itself: routing, priorities, confirms, delays, lost connections, alarms, long tasks."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from celeriac import Broadcast, Exchange, Queue
from celeriac.brokers import connect
from celeriac.brokers.facade import AsyncBroker, SyncBroker
from celeriac.brokers.rabbitmq.client import Client
from celeriac.brokers.rabbitmq.driver import AloneDriver, PairedDriver
from celeriac.brokers.rabbitmq.failures import NoSuchThing, NotAllowed, Unroutable
from celeriac.brokers.rabbitmq.operations.messages import marked
from celeriac.brokers.rabbitmq.reader import Reader
from celeriac.brokers.rabbitmq.receiver import count
from celeriac.brokers.rabbitmq.requests import Take, Taken
from celeriac.core.ids import new_id
from celeriac.core.message import Delivery, Message, Settlement, Start, StoredResult
from celeriac.core.queues import QueuePlan, served_by
from celeriac.errors import OperationalError, StoreNeeded
from tests.integration.rabbitmq.conftest import Open
from tests.support.proxy import Proxy
from tests.support.rabbitmq import RabbitNode
from tests.support.servers import Certificates, free_port

LEASE = 30.0


def message(queue: str, **fields: Any) -> Message:
    return Message(**{"id": new_id(), "task": "proj.add", "queue": queue, **fields})


def client_of(broker: AsyncBroker[Any, Any]) -> Client:
    driver = broker._driver
    assert isinstance(driver, (AloneDriver, PairedDriver))
    return driver.client()


async def claim(broker: AsyncBroker[Any, Any], *queues: str, limit: int = 100) -> list[Delivery]:
    return await broker.claim(queues, limit, "w1", LEASE)


async def claimed(broker: AsyncBroker[Any, Any], queue: str, wanted: int = 1, within: float = 20.0) -> list[Delivery]:
    """Claim until as many came as are wanted."""
    waiter = broker.waiter()
    found: list[Delivery] = []
    deadline = time.monotonic() + within
    while len(found) < wanted and time.monotonic() < deadline:
        more = await broker.claim([queue], wanted - len(found), "w1", LEASE)
        found += more
        if not more:
            await waiter.wait(0.5)
    await waiter.close()
    return found


def done(delivery: Delivery) -> Settlement:
    return Settlement(lease=delivery.lease, action="done")


async def eventually(condition: Callable[[], Awaitable[bool]], within: float = 20.0) -> None:
    deadline = time.monotonic() + within
    while not await condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


class TestRouting:
    async def test_topic_direct_and_fanout(self, open_broker: Open) -> None:
        files, news = Exchange("files-" + new_id(), type="topic"), Exchange("news-" + new_id(), type="fanout")
        media, text = Queue("media-" + new_id(), files, "media.#"), Queue("text-" + new_id(), files, "*.text")
        one, two = Queue("one-" + new_id(), news), Queue("two-" + new_id(), news)
        broker = open_broker(plan=QueuePlan([media, text, one, two]))
        both = message("x", exchange=files.name, routing_key="media.text")
        await broker.enqueue([both, message("x", id="pic", exchange=files.name, routing_key="media.pic.png")])
        assert [each.lease.id for each in await claim(broker, media.name)] == [both.id, "pic"]
        # Each queue's copy is a task of its own: the first queue's has the id that the sender knows.
        assert [each.lease.id for each in await claim(broker, text.name)] == [f"{both.id}@{text.name}"]
        await broker.enqueue([message("x", exchange=news.name)])
        assert len(await claim(broker, one.name)) == len(await claim(broker, two.name)) == 1

    async def test_what_no_queue_takes_is_an_error(self, open_broker: Open) -> None:
        files = Exchange("files-" + new_id(), type="direct")
        broker = open_broker(plan=QueuePlan([Queue("a-" + new_id(), files, "a")]))
        with pytest.raises(Unroutable, match="routing key 'b'"):
            await broker.enqueue([message("x", exchange=files.name, routing_key="b")])

    async def test_every_worker_has_its_copy_of_a_broadcast(self, open_broker: Open) -> None:
        name = "reload-" + new_id()
        plan = QueuePlan([Broadcast(name)])
        first, second = open_broker(plan=plan), open_broker(plan=plan)
        own = [served_by([name], plan.queues, node) for node in ("w1@h", "w2@h")]
        assert own == [(f"{name}@w1@h",), (f"{name}@w2@h",)]
        await first.enqueue([message(name)])  # Nobody is there, and nobody misses it.
        assert await claim(first, *own[0]) == await claim(second, *own[1]) == []
        await first.enqueue([message(name)])
        copies = [*await claim(first, *own[0]), *await claim(second, *own[1])]
        assert len({copy.lease.id for copy in copies}) == 2

    async def test_queues_that_are_not_named_are_not_made(self, open_broker: Open, queue: str) -> None:
        broker = open_broker(plan=QueuePlan([Queue("named")], create_missing=False))
        with pytest.raises(NoSuchThing, match="task_create_missing_queues is off"):
            await broker.enqueue([message(queue)])
        await broker.enqueue([message("named")])


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
@pytest.mark.parametrize("alone", [False, True], ids=["paired", "alone"])
class TestBothTypes:
    async def test_urgent_first(self, open_broker: Open, queue: str, queue_type: str, alone: bool) -> None:
        broker = open_broker(f"queue_type={queue_type}", alone=alone)
        await broker.enqueue([message(queue, id=f"{queue}{p}", priority=p) for p in (0, 9, 4)])
        assert [one.lease.id[-1] for one in await claim(broker, queue)] == ["9", "4", "0"]

    async def test_a_new_level_is_heard_of(self, open_broker: Open, queue: str, queue_type: str, alone: bool) -> None:
        reader, sender = (open_broker(f"queue_type={queue_type}", alone=alone) for _ in range(2))
        assert await claim(reader, queue) == []
        await sender.enqueue([message(queue, id=f"{queue}9", priority=9)])
        assert [one.lease.id for one in await claimed(reader, queue)] == [f"{queue}9"]

    async def test_a_delay_ends_in_time(self, open_broker: Open, queue: str, queue_type: str, alone: bool) -> None:
        broker = open_broker(f"queue_type={queue_type}", alone=alone)
        due = time.time() + 1.0
        await broker.enqueue([message(queue, eta=due)])
        assert len(await claimed(broker, queue)) == 1
        assert -0.06 < time.time() - due < 5.0

    async def test_a_lost_connection_gives_back_what_was_not_moved(
        self, open_broker: Open, queue: str, queue_type: str, alone: bool
    ) -> None:
        broker, other = (open_broker(f"queue_type={queue_type}", alone=alone) for _ in range(2))
        await broker.enqueue([message(queue, id=f"{queue}{n}") for n in range(3)])
        (first, *_) = await claim(broker, queue)
        client_of(broker).link.drop("cut")
        if alone:
            assert len(await claimed(other, queue, 3)) == 3
            assert await broker.settle([done(first)]) == (first.lease.id,), "it is another's now"
        else:
            assert await claim(other, queue) == [], "a lost connection takes nothing from who runs something"
            assert await broker.settle([done(first)]) == ()


class TestAlone:
    async def test_what_needs_a_store_is_said(self, open_broker: Open) -> None:
        broker = open_broker(alone=True)
        with pytest.raises(StoreNeeded, match="result backend"):
            await broker.cancel([StoredResult(id="a", state="REVOKED")])
        subjects = [one.subject for one in await broker.examine() if one.level == "warning"]
        assert "needs a store: fencing" in subjects

    @pytest.mark.parametrize("queue_type", ["classic", "quorum"])
    async def test_long_tasks_are_renewed(self, open_broker: Open, queue: str, queue_type: str) -> None:
        broker, other = (open_broker(f"queue_type={queue_type}", alone=True) for _ in range(2))
        await broker.enqueue([message(queue, id=f"{queue}{name}") for name in "abc"])
        finished, released, lost = await claim(broker, queue)
        renewal = client_of(broker).renewal
        assert renewal is not None
        renewal.after = 0.0
        for _ in range(2):
            assert await renewal.renew() == 3
        assert await claim(other, queue) == []
        assert await broker.settle([done(finished), Settlement(lease=released.lease, action="release")]) == ()
        assert [one.lease.id for one in await claimed(other, queue)] == [released.lease.id]
        client_of(broker).link.drop("cut")
        assert [one.lease.id for one in await claimed(other, queue)] == [lost.lease.id]

    async def test_a_retry_waits_and_a_dead_letter_is_kept(self, open_broker: Open, queue: str) -> None:
        broker = open_broker(alone=True)
        await broker.purge("", dead=True)
        await broker.enqueue([message(queue), message(queue)])
        first, second = await claim(broker, queue)
        again = Settlement(lease=first.lease, action="retry", message=first.message, due=time.time() + 0.3)
        assert await broker.settle([again, Settlement(lease=second.lease, action="dead", reason="poison")]) == ()
        assert [one.lease.id for one in await claimed(broker, queue)] == [first.lease.id]
        assert sum(one.dead for one in await broker.stats()) == 1


class TestPaired:
    def test_what_was_kept_again_after_its_end_is_not_given(self, node: RabbitNode, tmp_path: Path, queue: str) -> None:
        """Another process may claim it before the one that kept it again has looked a second time."""
        url = f"sqlite:///{tmp_path}/store.db"
        with SyncBroker[Any, Any](connect(url)) as store, SyncBroker[Any, Any](connect(node.url, store=url)) as broker:
            ids = ["ended", "failed", "new"]
            store.store(
                [StoredResult(id=id, state=state) for id, state in (("ended", "SUCCESS"), ("failed", "FAILURE"))]
            )
            store.enqueue([marked(message(queue, id=id)) for id in ids])
            # A dead letter that is tried again by hand has a result, too: only what succeeded is surely over.
            assert sorted(one.lease.id for one in broker.claim([queue], 10, "w1", LEASE)) == ["failed", "new"]
            assert [one.id for one in store.get(ids) if one.id == "ended"] == []
            assert [one.state for one in store.fetch(["ended"])] == ["SUCCESS"]

    async def test_what_came_before_the_connection_ended_is_not_taken(
        self, open_broker: Open, node: RabbitNode, queue: str
    ) -> None:
        """A process that was stopped for long finds messages, and only then that others have them now."""
        sender = open_broker()
        with Proxy(node.port) as proxy:
            broker = open_broker(url=node.url.replace(f":{node.port}/", f":{proxy.port}/"))
            assert await claim(broker, queue) == []
            waiter = broker.waiter()
            sleeping = asyncio.ensure_future(waiter.wait(20.0))
            await sender.enqueue([message(queue, id=queue)])
            assert await sleeping
            proxy.drop()
            assert await client_of(broker).perform(Take((queue,), 10, "w1")) == []
            await waiter.close()

    @pytest.mark.parametrize("hurry", [False, True])
    async def test_what_lay_here_while_the_process_stood_still_is_asked_for(
        self, open_broker: Open, queue: str, monkeypatch: pytest.MonkeyPatch, hurry: bool
    ) -> None:
        """A take that hurries does so only with what came a moment ago."""
        broker = open_broker()
        assert await claim(broker, queue) == []
        waiter = broker.waiter()
        sleeping = asyncio.ensure_future(waiter.wait(20.0))
        await open_broker().enqueue([message(queue, id=queue)])
        assert await sleeping
        receiver = client_of(broker).receiver
        monkeypatch.setattr("celeriac.brokers.rabbitmq.receiver.JUST_NOW", 0.0)
        asked: list[float] = []
        closed = Reader.closed

        async def closing(reader: Reader) -> None:
            if reader._closing is not None:
                asked.append(time.monotonic())
            await closed(reader)

        monkeypatch.setattr(Reader, "closed", closing)
        assert len(await receiver.take(Take((queue,), 10, "w1", hurry), time.monotonic() + 10)) == 1
        assert asked
        await waiter.close()

    async def test_a_claim_does_not_wait_for_the_end_of_its_consumer_and_the_next_one_does(
        self, open_broker: Open, queue: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broker = open_broker()
        assert await claim(broker, queue, limit=1) == []
        waiter = broker.waiter()
        sleeping = asyncio.ensure_future(waiter.wait(20.0))

        async def listens() -> bool:
            return any(reader.room for reader in client_of(broker).receiver._readers.values())

        await eventually(listens)
        heard = asyncio.Event()
        close = Reader._close

        async def late(reader: Reader, cancelled: Any) -> None:
            await heard.wait()
            await close(reader, cancelled)

        monkeypatch.setattr(Reader, "_close", late)
        await open_broker().enqueue([message(queue, id=f"{queue}{n}") for n in range(3)])
        assert await sleeping
        (first,) = await asyncio.wait_for(claim(broker, queue, limit=1), 10)
        assert first.lease.id == f"{queue}0"
        following = asyncio.ensure_future(claimed(broker, queue, 2))
        await asyncio.sleep(0.2)
        assert not following.done()
        heard.set()
        assert {one.lease.id for one in await following} == {f"{queue}1", f"{queue}2"}
        await waiter.close()

    async def test_a_task_in_a_queue_can_be_revoked(self, open_broker: Open, queue: str) -> None:
        broker = open_broker()
        await broker.enqueue([message(queue, id=f"{queue}a"), message(queue, id=f"{queue}b")])
        revoked = [StoredResult(id=f"{queue}a", state="REVOKED")]
        for _ in range(2):
            assert [one.outcome for one in await broker.cancel(revoked)] == ["removed"]
        assert [one.lease.id for one in await claim(broker, queue)] == [f"{queue}b"]
        assert [one.state for one in await broker.fetch([f"{queue}a"])] == ["REVOKED"]
        assert await broker.get([f"{queue}a"]) == []

    async def test_two_processes_that_claim_at_once_get_each_message_once(self, open_broker: Open, queue: str) -> None:
        ids = [f"{queue}{n:04}" for n in range(3000)]
        await open_broker().enqueue([message(queue, id=id) for id in ids])
        found: list[str] = []

        async def work(broker: AsyncBroker[Any, Any]) -> None:
            while len(found) < len(ids):
                deliveries = await broker.claim([queue], 60, "w1", LEASE)
                found.extend(one.lease.id for one in deliveries)
                assert await broker.settle([done(one) for one in deliveries]) == ()

        async with asyncio.timeout(60):
            await asyncio.gather(work(open_broker()), work(open_broker()))
        assert sorted(found) == ids

    async def test_what_is_urgent_comes_before_what_woke_the_process(
        self, open_broker: Open, queue: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("celeriac.brokers.rabbitmq.receiver.ABANDONED", 60.0)
        broker, sender = open_broker(), open_broker()
        assert await broker.claim([queue], 2, "w1", LEASE) == []
        receiver = client_of(broker).receiver
        waiter = broker.waiter()
        sleeping = asyncio.ensure_future(waiter.wait(20.0))
        await sender.enqueue([message(queue) for _ in range(2)])
        assert await sleeping

        async def here() -> bool:
            return sum(len(reader.inbox) for reader in receiver._readers.values()) == 2

        await eventually(here)
        await sender.enqueue([message(queue, id=f"{queue}-urgent", priority=5)])

        async def heard() -> bool:
            await receiver._reading(await client_of(broker).link.get(time.monotonic() + 10), (queue,))
            return 5 in [reader.level for reader in receiver._readers.values()]

        await eventually(heard)
        assert f"{queue}-urgent" in [one.lease.id for one in await broker.claim([queue], 1, "w1", LEASE)]
        await waiter.close()

    async def test_stats_count_what_rabbitmq_holds(self, open_broker: Open, queue: str) -> None:
        broker = open_broker()
        await broker.enqueue([message(queue, priority=n % 3) for n in range(7)])
        await claim(broker, queue, limit=2)
        (stats,) = await broker.stats()
        assert (stats.queue, stats.ready, stats.owned) == (queue, 5, 2)
        assert await broker.purge(queue) == 5

    async def test_nothing_lies_in_a_process_that_did_not_ask(self, open_broker: Open, queue: str) -> None:
        sleeper, other = open_broker(), open_broker()
        assert await claim(sleeper, queue) == []
        waiter = sleeper.waiter()
        await other.enqueue([message(queue) for _ in range(50)])
        assert await waiter.wait(10) is True

        async def all_came_back() -> bool:
            return len(await claim(other, queue)) > 0 or await _ready(other, queue) == 0

        await eventually(all_came_back)
        await waiter.close()

    @pytest.mark.parametrize("keeps_result", [True, False], ids=["result", "no result"])
    async def test_what_a_stopped_process_took_and_others_ran_is_not_run_again(
        self, open_broker: Open, node: RabbitNode, queue: str, keeps_result: bool
    ) -> None:
        """It is stopped after it took from RabbitMQ and before the store hears of it, loses its connection, and goes on
        when another has run the task, and the store has forgotten it."""
        with Proxy(node.port) as proxy:
            stopped = open_broker(url=node.url.replace(f":{node.port}/", f":{proxy.port}/"))
            other = open_broker()
            sent = message(queue, headers={"tenant": "one"})
            await other.enqueue([sent])
            client = client_of(stopped)
            taken: list[Taken] = []

            async def took() -> bool:
                taken.extend(await client.perform(Take((queue,), 10, "w1")))
                return bool(taken)

            await eventually(took)
            steps = stopped._driver.operations.claim([queue], 10, "w1", LEASE)
            assert isinstance(next(steps), Take)
            moving = steps.send(taken)  # What it was about to send to the store when it was stopped.
            proxy.drop()
            (delivery,) = await claimed(other, queue)
            assert delivery.message == sent, "the mark is not to be seen"
            assert await other.start([Start(delivery.lease)]) == ()
            (record,) = await other.get([sent.id])
            assert record.message == sent
            result = StoredResult(id=sent.id, state="SUCCESS") if keeps_result else None
            settlement = Settlement(lease=delivery.lease, action="done", result=result)
            assert await other.settle([settlement]) == ()
            assert await other.settle([settlement]) == (sent.id,)
            assert await other.get([sent.id]) == []

            performer = stopped._driver.async_performer()
            got: list[Delivery] = []
            try:
                while True:
                    moving = steps.send(await performer.perform(moving))
            except StopIteration as end:
                got = end.value
            except OperationalError:
                pass  # It heard that its connection is gone; what it has moved by then lies in the store.
            await performer.close()
            assert got == []
            assert await claimed(other, queue, within=1.0) == []
            assert (await other.tallies())[sent.task, "SUCCESS"] == 1
            assert (sent.task, "RETRY") not in await other.tallies()
            assert [one.state for one in await other.fetch([sent.id])] == (["SUCCESS"] if keeps_result else [])


async def _ready(broker: AsyncBroker[Any, Any], queue: str) -> int:
    connection = await client_of(broker).link.get(time.monotonic() + 10)
    return await count(connection, queue) or 0


class TestDeadline:
    async def test_a_dead_port(self, open_broker: Open, queue: str) -> None:
        broker = open_broker("timeout=0.5", url=f"amqp://guest:s3cret@127.0.0.1:{free_port()}/")
        began = time.monotonic()
        with pytest.raises(OperationalError, match="cannot be reached") as caught:
            await broker.enqueue([message(queue)])
        assert time.monotonic() - began < 5
        assert "s3cret" not in str(caught.value)

    async def test_a_server_that_never_answers(self, open_broker: Open, queue: str) -> None:
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            url = f"amqp://127.0.0.1:{silent.getsockname()[1]}/"
            with pytest.raises(OperationalError, match="did not answer in time"):
                await open_broker("timeout=0.5", url=url).enqueue([message(queue)])

    async def test_a_wrong_password(self, open_broker: Open, node: RabbitNode, queue: str) -> None:
        with pytest.raises(NotAllowed, match="user and password") as caught:
            await open_broker(url=f"amqp://guest:s3cret@127.0.0.1:{node.port}/").enqueue([message(queue)])
        assert "s3cret" not in str(caught.value)

    async def test_a_virtual_host_that_does_not_exist(self, open_broker: Open, node: RabbitNode, queue: str) -> None:
        with pytest.raises(NotAllowed, match="virtual host"):
            await open_broker(url=f"{node.url}nosuch").enqueue([message(queue)])

    async def test_the_second_of_two_servers_is_taken(self, open_broker: Open, node: RabbitNode, queue: str) -> None:
        urls = f"amqp://guest:guest@127.0.0.1:{free_port()}/;{node.url}"
        broker = open_broker(url=urls)
        assert await broker.enqueue([message(queue)]) == ()


@pytest.mark.slow
class TestTrouble:
    def test_an_alarm_blocks_senders_and_they_are_told(self, node: RabbitNode, tmp_path: Path, queue: str) -> None:
        broker: SyncBroker[Any, Any] = SyncBroker(
            connect(f"{node.url}?timeout=1.5", store=f"sqlite:///{tmp_path}/store.db")
        )
        with broker:
            broker.enqueue([message(queue)])
            node.control("set_vm_memory_high_watermark", "absolute", "1")
            try:
                for _ in range(2):
                    with pytest.raises(OperationalError, match=r"takes no messages now|did not confirm"):
                        broker.enqueue([message(queue)])
                assert len(broker.claim([queue], 10, "w1", LEASE)) >= 1, "consumers are not blocked"
            finally:
                node.control("set_vm_memory_high_watermark", "absolute", "1GB")
            deadline = time.monotonic() + 20
            while True:
                try:
                    broker.enqueue([message(queue, id="after")])
                    break
                except OperationalError:
                    assert time.monotonic() < deadline

    def test_nothing_is_lost_when_the_node_is_killed(self, tmp_path: Path, queue: str) -> None:
        # Classic queues: a quorum queue of RabbitMQ 3.10 has no leader for ever if its node is killed within seconds of
        # its making.
        with RabbitNode() as own:
            broker: SyncBroker[Any, Any] = SyncBroker(
                connect(f"{own.url}?timeout=60&queue_type=classic", store=f"sqlite:///{tmp_path}/store.db")
            )
            with broker:
                sent = [f"t{n}" for n in range(200)]
                broker.enqueue([message(queue, id=id) for id in sent])
                held = broker.claim([queue], 50, "w1", LEASE * 10)
                own.kill()
                assert broker.settle([done(one) for one in held[:25]]) == (), "the store knows who owns what"
                own.start()
                broker.enqueue([message(queue, id="after")])
                rest: list[str] = []
                deadline = time.monotonic() + 60
                while "after" not in rest and time.monotonic() < deadline:
                    rest += [one.lease.id for one in broker.claim([queue], 500, "w1", LEASE * 10)]
                ran = [one.lease.id for one in held] + rest
                assert set(ran) == {*sent, "after"}
                assert len(rest) <= 151 + 50, "only what was acknowledged in the last moment may come again"

    def test_tls(self, tmp_path: Path, queue: str) -> None:
        certificates = Certificates(tmp_path)
        with RabbitNode(tls=certificates) as own:
            url = f"amqps://guest:guest@127.0.0.1:{own.tls_port}/"
            with SyncBroker(connect(f"{url}?cacertfile={certificates.authority}")) as broker:
                assert broker.enqueue([message(queue)]) == ()
                assert len(broker.claim([queue], 10, "w1", LEASE)) == 1
            refused = pytest.raises(OperationalError, match="certificate")
            with SyncBroker(connect(f"{url}?timeout=5")) as broker, refused:
                broker.enqueue([message(queue)])
            with SyncBroker(connect(f"{url}?verify=verify_none")) as broker:
                assert broker.enqueue([message(queue)]) == ()
