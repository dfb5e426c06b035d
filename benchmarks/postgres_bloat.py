"""Does a PostgreSQL broker stay small under full load? Deleted rows and the sizes of its tables over time.

Processes enqueue, claim and settle as fast as they can, with results if asked for, and one prunes as a worker
does. Every few seconds a line is printed: tasks settled since the last one, deleted rows that wait to be swept
(n_dead_tup), and the size of each table with its indexes.

    python -m benchmarks.postgres_bloat postgresql://user@127.0.0.1/database --seconds 1800
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from typing import TYPE_CHECKING, Any, Final

import psycopg

from celeriac.brokers import open_broker
from celeriac.brokers.postgres.url import parse
from celeriac.core.ids import new_id
from celeriac.core.message import Message, Settlement, StoredResult
from celeriac.worker.keeper import Pruner

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized
    from multiprocessing.synchronize import Event

BATCH: Final = 500
CLAIM: Final = 200
TABLES: Final = ("message", "result", "owner", "tally")
DEPTH: Final = 20_000
"""Waiting tasks that the senders do not go beyond."""


def send(url: str, over: Event, depth: Synchronized[int]) -> None:
    """Enqueue until it is over."""
    broker = open_broker(url)
    while not over.is_set():
        if depth.value > DEPTH:
            time.sleep(0.005)
            continue
        now = time.time()
        broker.enqueue(
            [
                Message(id=new_id(), task="proj.add", body=b"[[1, 2], {}, {}]", argsrepr="(1, 2)", sent_at=now)
                for _ in range(BATCH)
            ]
        )
        with depth.get_lock():
            depth.value += BATCH
    broker.close()


def work(
    url: str, owner: str, over: Event, depth: Synchronized[int], settled: Synchronized[int], expiry: float
) -> None:
    """Claim and settle until it is over; an expiry of 0 stores no results."""
    broker = open_broker(url)
    while not over.is_set():
        deliveries = broker.claim(["celery"], CLAIM, owner, 60.0)
        if not deliveries:
            time.sleep(0.002)
            continue
        until = time.time() + expiry
        results = [
            StoredResult(id=one.lease.id, state="SUCCESS", body=b"3", expires=until) if expiry else None
            for one in deliveries
        ]
        pairs = zip(deliveries, results, strict=True)
        lost = broker.settle([Settlement(lease=one.lease, action="done", result=result) for one, result in pairs])
        assert not lost
        with depth.get_lock():
            depth.value -= len(deliveries)
        with settled.get_lock():
            settled.value += len(deliveries)
    broker.close()


def prune(url: str, over: Event) -> None:
    """Prune as a worker does."""
    broker = open_broker(url)
    pruner = Pruner(broker, None, lambda: None)
    while not over.wait(pruner.tick()):
        pass
    broker.close()


def look(connection: psycopg.Connection[Any], schema: str) -> dict[str, tuple[int, int]]:
    """Return deleted rows and bytes of each table."""
    rows = connection.execute(
        "SELECT relname, n_dead_tup, pg_total_relation_size(relid) FROM pg_stat_user_tables WHERE schemaname = %s",
        (schema,),
    ).fetchall()
    return {name: (dead, size) for name, dead, size in rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--every", type=float, default=15.0, help="seconds between two lines")
    parser.add_argument("--processes", type=int, default=2, help="processes that claim and settle")
    parser.add_argument("--result-expiry", type=float, default=0.0, help="seconds that results are kept; 0: none")
    options = parser.parse_args()
    broker = open_broker(options.url)
    broker.install()
    broker.purge("celery")
    broker.close()
    location = parse(options.url)
    over = multiprocessing.Event()
    depth = multiprocessing.Value("q", 0)
    settled = multiprocessing.Value("q", 0)
    processes = [
        multiprocessing.Process(target=send, args=(options.url, over, depth)),
        multiprocessing.Process(target=prune, args=(options.url, over)),
        *[
            multiprocessing.Process(
                target=work, args=(options.url, f"w{number}", over, depth, settled, options.result_expiry)
            )
            for number in range(options.processes)
        ],
    ]
    for process in processes:
        process.start()
    began = time.monotonic()
    before, before_at = 0, began
    print(f"{'s':>6} {'tasks/s':>8} {'dead rows':>10}  " + "  ".join(f"{name + ' MiB':>11}" for name in TABLES))
    with psycopg.connect(**location.parameters, autocommit=True) as connection:
        while (now := time.monotonic()) - began < options.seconds:
            time.sleep(min(options.every, options.seconds - (now - began)))
            found, at = look(connection, location.schema), time.monotonic()
            done = settled.value
            dead = sum(rows for rows, _ in found.values())
            sizes = "  ".join(f"{found.get(name, (0, 0))[1] / 2**20:>11.1f}" for name in TABLES)
            print(f"{at - began:>6.0f} {(done - before) / (at - before_at):>8.0f} {dead:>10}  {sizes}", flush=True)
            before, before_at = done, at
    over.set()
    for process in processes:
        process.join()
    print(f"{settled.value} tasks in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
