"""What the scripts of the Redis driver cost the server, and what a queued task weighs.

    python -m benchmarks.redis_scripts [--tasks 100000] [--body 100]

A private server on a Unix socket, and one client that does one thing after the other: what is measured is the server's
own time (SLOWLOG, which logs every call), not the client's. Printed are, for each size of batch, the microseconds of a
call (of the fastest tenth, which nothing disturbed; the median; the longest), those of the fastest tenth per task, and
all the processor time of the server per task, which includes reading and answering; then bytes of memory
(``used_memory``) per queued task and per kept result.
"""

from __future__ import annotations

import argparse
import gc
import statistics
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import redis

from celeriac.brokers.facade import SyncBroker
from celeriac.brokers.redis.driver import RedisDriver
from celeriac.brokers.redis.requests import RedisOperation
from celeriac.brokers.redis.url import parse
from celeriac.core.ids import new_id
from celeriac.core.message import Delivery, Message, Settlement, Start, StoredResult
from celeriac.core.operation import run
from tests.support.servers import RedisServer

LEASE: Final = 600.0
QUEUE: Final = "celery"

T = TypeVar("T")


class Bench:
    """Runs operations on a fresh server and asks it what they cost."""

    def __init__(self, server: RedisServer, tasks: int, body: int) -> None:
        self.admin: redis.Redis = redis.Redis(unix_socket_path=str(server.socket))
        self.admin.config_set("slowlog-log-slower-than", 0)
        self.admin.config_set("slowlog-max-len", 100_000)
        driver = RedisDriver(parse(server.url))
        self.broker: SyncBroker[Any, Any] = SyncBroker(driver)
        self.ops = driver.operations
        self.performer = driver.performer()
        self.tasks = tasks
        self.body = b"x" * body

    def do(self, operation: RedisOperation[T]) -> T:
        """Carry out an operation as it is: the facade would cut large batches."""
        return run(operation, self.performer.perform)

    def messages(self, count: int, **fields: Any) -> list[Message]:
        return [
            Message(id=new_id(), task="proj.tasks.add", queue=QUEUE, body=self.body, argsrepr="(1, 2)", **fields)
            for _ in range(count)
        ]

    def processor(self) -> float:
        """Return the seconds of processor time that the server has had."""
        used = self.admin.info("cpu")
        return float(used["used_cpu_user_main_thread"]) + float(used["used_cpu_sys_main_thread"])

    def memory(self) -> int:
        return int(self.admin.info("memory")["used_memory"])

    def cost(self, name: str, size: int, act: Callable[[], int]) -> None:
        """Carry out one kind of operation and print what it cost."""
        self.admin.slowlog_reset()
        before = self.processor()
        gc.disable()
        done = act()
        gc.enable()
        spent = self.processor() - before
        log = self.admin.slowlog_get(100_000)
        times = sorted([one["duration"] for one in log if one["command"].startswith(b"EVALSHA")])
        least, median = times[len(times) // 10], statistics.median(times)
        row = (size, least / size, spent / done * 1e6, least, median, times[-1], len(times))
        print(f"{name:28} {row[0]:6} {row[1]:9.2f} {row[2]:9.2f} {row[3]:9} {row[4]:9.0f} {row[5]:9} {row[6]:8}")

    # What is measured; each returns for how many tasks it was done.

    def enqueue(self, size: int, **fields: Any) -> int:
        for _ in range(self.tasks // size):
            self.do(self.ops.enqueue(self.messages(size, **fields)))
        return self.tasks

    def claim(self, size: int, into: list[list[Delivery]]) -> int:
        while found := self.do(self.ops.claim((QUEUE,), size, "owner", LEASE)):
            into.append(found)
        return sum(map(len, into))

    def settle(self, batches: Sequence[Sequence[Delivery]], *, results: bool) -> int:
        for batch in batches:
            assert self.do(self.ops.settle([_done(delivery, results=results) for delivery in batch])) == ()
        return sum(map(len, batches))

    def start(self, batches: Sequence[Sequence[Delivery]]) -> int:
        for batch in batches:
            assert self.broker.start([Start(delivery.lease) for delivery in batch]) == ()
        return sum(map(len, batches))

    def release(self, batches: Sequence[Sequence[Delivery]]) -> int:
        for batch in batches:
            self.broker.settle([Settlement(lease=delivery.lease, action="release") for delivery in batch])
        return sum(map(len, batches))

    def reclaim(self, size: int) -> int:
        count = 0
        while freed := self.broker.reclaim("judge", size, crash_limit=3, owner="owner").released:
            count += len(freed)
        return count

    def cycle(self, size: int, *, results: bool) -> None:
        """The way of every task: in, out, done."""
        self.admin.flushall()
        self.cost("enqueue", size, lambda: self.enqueue(size))
        batches: list[list[Delivery]] = []
        self.cost("claim", size, lambda: self.claim(size, batches))
        self.cost(f"settle{' with result' if results else ''}", size, lambda: self.settle(batches, results=results))

    def rarer(self, size: int) -> None:
        """What happens to some tasks."""
        self.admin.flushall()
        self.enqueue(size)
        batches: list[list[Delivery]] = []
        self.claim(size, batches)
        self.cost("start", size, lambda: self.start(batches))
        self.cost("release", size, lambda: self.release(batches))
        batches = []
        self.cost("claim of what was given back", size, lambda: self.claim(size, batches))
        self.cost("reclaim", size, lambda: self.reclaim(size))
        self.admin.flushall()
        self.cost("enqueue with eta", size, lambda: self.enqueue(size, eta=self.broker.now() + 3600))
        self.cost("purge", size, lambda: self.broker.purge(QUEUE))

    def weigh(self) -> None:
        """Print what a queued task and a result weigh."""
        self.admin.config_set("slowlog-log-slower-than", -1)
        self.admin.slowlog_reset()
        self.admin.flushall()
        before = self.memory()
        self.enqueue(500)
        print(f"\nqueued task: {(self.memory() - before) / self.tasks:.0f} bytes, body of {len(self.body)} bytes")
        self.admin.flushall()
        before = self.memory()
        self.enqueue(500, eta=self.broker.now() + 3600)
        print(f"task with an eta: {(self.memory() - before) / self.tasks:.0f} bytes")
        self.admin.flushall()
        before = self.memory()
        expires = self.broker.now() + 86400
        for _ in range(self.tasks // 500):
            self.broker.store(
                [StoredResult(id=new_id(), state="SUCCESS", body=b"42", expires=expires) for _ in range(500)]
            )
        print(f"result: {(self.memory() - before) / self.tasks:.0f} bytes")


def _done(delivery: Delivery, *, results: bool) -> Settlement:
    result = StoredResult(id=delivery.lease.id, state="SUCCESS", body=b"42", expires=4e9) if results else None
    return Settlement(lease=delivery.lease, action="done", result=result)


def main() -> None:
    parser = argparse.ArgumentParser(description="What the scripts of the Redis driver cost the server.")
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--body", type=int, default=100, help="bytes of a message's body")
    options = parser.parse_args()
    with RedisServer(unix=True) as server:
        bench = Bench(server, options.tasks, options.body)
        print(f"Redis {bench.admin.info('server')['redis_version']}, {options.tasks} tasks")
        titles = ("batch", "us/task", "all/task", "us/call", "median", "longest", "calls")
        print(
            f"{'operation':28} {titles[0]:>6} "
            + " ".join(f"{title:>9}" for title in titles[1:-1])
            + f" {titles[-1]:>8}"
        )
        for size in (1, 200, 500, 1000):
            bench.tasks = options.tasks if size > 1 else options.tasks // 20
            bench.cycle(size, results=True)
        bench.tasks = options.tasks
        bench.cycle(200, results=False)
        bench.rarer(500)
        bench.weigh()
        bench.broker.close()
        bench.performer.close()


if __name__ == "__main__":
    main()
