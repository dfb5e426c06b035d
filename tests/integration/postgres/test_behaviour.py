"""What the conformance suite cannot see: a pooler in between, how often is notified, sweeping, races on one row."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from celeriac import Celeriac
from celeriac.brokers import open_async_broker, open_broker
from celeriac.brokers.postgres.operations.queue import SWEEP_ABOVE
from celeriac.core.message import Message, Settlement, Start, StoredResult
from celeriac.errors import InvalidTaskError
from tests.support.pgbouncer import PgBouncer
from tests.support.postgres import PostgresServer
from tests.support.waiting import wait_for


def messages(count: int, prefix: str = "t") -> list[Message]:
    return [Message(id=f"{prefix}{n}", task="any") for n in range(count)]


# Behind PgBouncer in transaction mode.


async def test_everything_works_behind_a_pooler_and_waiters_look(server: PostgresServer, schema: str) -> None:
    # More clients than connections: nothing may depend on having the same one twice.
    with PgBouncer(server, size=2) as pooler:
        brokers = [open_async_broker(pooler.url(schema)) for _ in range(6)]
        await brokers[0].install()
        waiter = brokers[0].waiter()
        while await waiter.wait(0.3):
            pass
        began = time.monotonic()
        await asyncio.gather(*(one.enqueue(messages(50, f"b{n}-")) for n, one in enumerate(brokers)))
        assert await waiter.wait(20)
        assert time.monotonic() - began < 10
        claimed = await asyncio.gather(*(one.claim(["celery"], 50, f"w{n}", 30.0) for n, one in enumerate(brokers)))
        for one, deliveries in zip(brokers, claimed, strict=True):
            assert await one.settle([Settlement(lease=each.lease, action="done") for each in deliveries]) == ()
        assert sum(map(len, claimed)) == 300
        await waiter.close()
        await asyncio.gather(*(one.close() for one in brokers))


def test_a_thread_waits_for_a_result_behind_a_pooler(server: PostgresServer, schema: str) -> None:
    with (
        PgBouncer(server) as pooler,
        open_broker(pooler.url(schema)) as broker,
        open_broker(server.url(schema=schema)) as other,
    ):
        waiter = broker.waiter(["a"])
        while waiter.wait(0.3):
            pass
        other.store([StoredResult(id="a", state="SUCCESS")])
        assert waiter.wait(20)
        waiter.close()


# Notifications.


def test_many_commits_make_few_notifications(server: PostgresServer, schema: str) -> None:
    with open_broker(server.url(schema=schema)) as broker:
        broker.install()
        with server.connect() as listener:
            listener.execute(f'LISTEN "{schema}:work"'.encode())
            began = time.monotonic()
            for one in messages(300):
                broker.enqueue([one])
            took = time.monotonic() - began
            heard = sum(1 for _ in listener.notifies(timeout=0.5))
    # One in five milliseconds, and one for the milliseconds that were begun.
    assert 1 <= heard <= took / 0.005 + 2


def test_finishing_without_results_notifies_nobody(server: PostgresServer, schema: str) -> None:
    with open_broker(server.url(schema=schema)) as broker:
        broker.enqueue(messages(10))
        with server.connect() as listener:
            listener.execute(f'LISTEN "{schema}:work"'.encode())
            listener.execute(f'LISTEN "{schema}:result"'.encode())
            deliveries = broker.claim(["celery"], 10, "w", 10.0)
            broker.settle([Settlement(lease=one.lease, action="done") for one in deliveries])
            assert [found.channel for found in listener.notifies(timeout=0.3)] == []


# Sweeping.


def test_what_was_deleted_is_swept(server: PostgresServer, schema: str) -> None:
    def swept() -> bool:
        broker.prune(None, 100)
        return bool(server.ask("SELECT vacuum_count FROM pg_stat_user_tables WHERE relid = %s::regclass", table)[0][0])

    table = f'"{schema}".message'
    with open_broker(server.url(schema=schema)) as broker:
        broker.enqueue(messages(100))
        broker.prune(None, 100)
        broker.enqueue(messages(SWEEP_ABOVE + 1000))
        broker.purge("celery")
        wait_for(swept, 20, "a sweep")
        wait_for(
            lambda: (
                server.ask("SELECT n_dead_tup FROM pg_stat_user_tables WHERE relid = %s::regclass", table)[0][0] < 1000
            ),
            20,
            "the end of the sweep",
        )


# Races.


@pytest.mark.slow
def test_owner_reaper_and_renewal_race_and_each_message_ends_once(server: PostgresServer, schema: str) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print("seed", seed)  # noqa: T201
    count, workers = 600, 4
    ended: Counter[str] = Counter()
    lock = threading.Lock()
    over = threading.Event()
    url = server.url(schema=schema)

    def work(number: int) -> None:
        chance = random.Random(seed + number)
        owner = f"w{number}"
        with open_broker(url) as broker:
            while not over.is_set():
                deliveries = broker.claim(["celery", "other"], chance.randrange(1, 20), owner, 30.0)
                chance.shuffle(deliveries)
                settlements = [
                    Settlement(lease=one.lease, action="done", result=StoredResult(id=one.lease.id, state="SUCCESS"))
                    if chance.random() < 0.7
                    else Settlement(lease=one.lease, action="release")
                    for one in deliveries
                ]
                lost = set(broker.settle(settlements))
                with lock:
                    ended.update(
                        [one.lease.id for one in settlements if one.action == "done" and one.lease.id not in lost]
                    )

    def disturb(number: int) -> None:
        chance = random.Random(seed - number)
        with open_broker(url) as broker:
            while not over.is_set():
                owner = f"w{chance.randrange(workers)}"
                if chance.random() < 0.5:
                    broker.reclaim("reaper", 10, crash_limit=0, owner=owner)
                else:
                    broker.extend([f"w{n}" for n in range(workers)], 30.0)
                broker.reclaim("reaper", 100, crash_limit=0)

    with open_broker(url) as broker, ThreadPoolExecutor(workers + 2) as pool:
        broker.enqueue([Message(id=f"t{n}", task="any", queue=("celery", "other")[n % 2]) for n in range(count)])
        futures = [pool.submit(work, n) for n in range(workers)] + [pool.submit(disturb, n) for n in (1, 2)]
        try:
            wait_for(lambda: len(ended) == count or any(future.done() for future in futures), 40, "the end of all")
        finally:
            over.set()
        for future in futures:
            future.result()
        assert ended == dict.fromkeys((f"t{n}" for n in range(count)), 1)
        assert broker.stats() == []
        assert len(broker.fetch([f"t{n}" for n in range(count)])) == count


def test_two_who_send_the_same_ids_in_other_orders_do_not_block_each_other(server: PostgresServer, schema: str) -> None:
    with open_broker(server.url(schema=schema)) as one, open_broker(server.url(schema=schema)) as two:
        one.install()
        with ThreadPoolExecutor(2) as pool:
            for n in range(20):
                batch = messages(100, f"r{n}-")
                known = list(pool.map(lambda pair: len(pair[0].enqueue(pair[1])), [(one, batch), (two, batch[::-1])]))
                assert sum(known) == 100
        assert one.stats()[0].ready == 2000


def test_a_claim_takes_no_more_than_its_limit_from_a_table_of_any_size(server: PostgresServer, schema: str) -> None:
    # A limit in a join may be worked out again for each row, as PostgreSQL's plan has it.
    with open_broker(server.url(schema=schema)) as broker:
        for size in (10, 30, 3000):
            broker.enqueue(messages(size, f"s{size}-"))
            for limit in (1, 2):
                assert len(broker.claim(["celery"], limit, "w", 30.0)) == limit
                assert len(broker.claim(["celery", "other"], limit, "w", 30.0)) == limit
            server.ask(f'ANALYZE "{schema}".message')


def test_texts_that_cannot_be_kept_are_refused_by_name(app: Celeriac) -> None:
    with pytest.raises(InvalidTaskError, match="NUL character"):
        app.tasks["add"].apply_async((1, 2), task_id="a\0b")


def test_a_table_that_was_last_counted_when_empty_is_not_read_through(server: PostgresServer, schema: str) -> None:
    # PostgreSQL plans for the size that a sweep has found. What was swept while it was empty is full a moment later.
    def read() -> int:
        sql = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relid = %s::regclass"
        return int(server.ask(sql, f'"{schema}".message')[0][0])

    def steady() -> int:
        # Before PostgreSQL 15 what connections report is counted some moments later.
        if int(server.ask("SELECT current_setting('server_version_num')")[0][0]) < 150000:
            time.sleep(2.0)
        return read()

    def gone() -> bool:
        return schema not in [name for _, name in server.backends()]

    count = 30_000
    url = server.url(schema=schema, application_name=schema)
    with open_broker(url) as broker:
        broker.enqueue(messages(count, "first"))
        broker.purge("celery")
        server.ask(f'VACUUM (TRUNCATE false, ANALYZE) "{schema}".message')  # As workers sweep.
        broker.enqueue(messages(count))
        leases = [one.lease for one in broker.claim(["celery"], 500, "w", 30.0)]
    wait_for(gone, 10, "the end of all connections, which report then")
    before = steady()
    with open_broker(url) as broker:  # Whose plans are new.
        assert broker.start([Start(lease) for lease in leases]) == ()
        assert broker.cancel([StoredResult(id=lease.id, state="REVOKED") for lease in leases[:100]])
        assert broker.settle([Settlement(lease=lease, action="done") for lease in leases[:300]]) == ()
        assert broker.settle([Settlement(lease=lease, action="release") for lease in leases[300:400]]) == ()
        assert len(broker.reclaim("reaper", 500, crash_limit=0, owner="w").released) == 100
    wait_for(gone, 10, "the end of all connections")
    assert 0 < steady() - before < count
