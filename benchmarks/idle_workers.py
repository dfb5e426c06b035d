"""What idle workers cost a Redis server: ``python -m benchmarks.idle_workers``, for the broker of the environment.

A thousand workers of two children each are only pretended: their records, their leases and their questions are sent by
one client, one after the other, and the server tells how much processor time that took it. Each operation is asked many
times, and its cost is multiplied by how often a worker asks. Prints one line of JSON.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any, Final

import redis

from celeriac.brokers import open_broker
from celeriac.brokers.facade import SyncBroker
from celeriac.brokers.port import WorkerRecord
from celeriac.worker.control import SELDOM
from celeriac.worker.fetcher import IDLE_LOOK
from celeriac.worker.keeper import HEARTBEAT_EVERY, HEARTBEAT_TTL, REAP_EVERY
from celeriac.worker.options import WorkerOptions

WORKERS: Final = 1_000
CHILDREN: Final = 2
ROUNDS: Final = 3
PROMOTE_EVERY: Final = 1.0
BATCH: Final = 500
_INFO: Final[dict[str, Any]] = {
    "pid": 12345,
    "pool": "prefork",
    "queues": ["celery"],
    "children": [12346, 12347],
    "running": 0,
    "runs": 123456,
    "uptime": 1234.5678,
}


class Crowd:
    """The workers."""

    def __init__(self, url: str) -> None:
        self._admin: redis.Redis = redis.Redis.from_url(url)
        self._broker: SyncBroker[Any, Any] = open_broker(url)
        self._lease = WorkerOptions(target="t", node="n", queues=("celery",)).lease
        self._cursor: int | None = None

    def costs(self) -> dict[str, float]:
        """Return the share of a core, in percent, that each operation of all workers takes the server."""
        broker, lease = self._broker, self._lease
        asked: dict[str, tuple[float, Callable[[int], object]]] = {
            "heartbeat": (1 / HEARTBEAT_EVERY, self._beat),
            "extend": (4 / lease, lambda n: broker.extend([f"w{n}#boot/keeper", *_owners(n)], lease)),
            "commands": (1 / SELDOM, self._look),
            "reclaim": (1 / REAP_EVERY, lambda n: broker.reclaim(f"w{n}/judge", BATCH, crash_limit=3, before=0.0)),
            "promote": (1 / PROMOTE_EVERY + CHILDREN / IDLE_LOOK, lambda n: broker.promote(BATCH)),
            "claim": (CHILDREN / IDLE_LOOK, lambda n: broker.claim(["celery"], 1, _owners(n)[0], lease)),
        }
        for number in range(WORKERS):  # All are there before anything is measured.
            self._beat(number)
            broker.extend([f"w{number}#boot/keeper", *_owners(number)], lease)
        return {name: self._cost(act) * rate * WORKERS * 100 for name, (rate, act) in asked.items()}

    def _beat(self, number: int) -> None:
        record = WorkerRecord(name=f"celery@w{number}", owners=_owners(number), info=_INFO)
        self._broker.heartbeat(record, HEARTBEAT_TTL)

    def _look(self, number: int) -> None:
        _, self._cursor = self._broker.commands(self._cursor)

    def _cost(self, act: Callable[[int], object]) -> float:
        """Return the seconds of the server's processor time that one call takes."""
        before = self._spent()
        for _ in range(ROUNDS):
            for number in range(WORKERS):
                act(number)
        return (self._spent() - before) / (ROUNDS * WORKERS)

    def _spent(self) -> float:
        info: Any = self._admin.info("cpu")
        return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


def _owners(number: int) -> tuple[str, ...]:
    return tuple(f"celery@w{number}#boot/{child}" for child in range(1, CHILDREN + 1))


if __name__ == "__main__":
    print(json.dumps(Crowd(os.environ["CELERIAC_BENCH_BROKER"]).costs()), flush=True)
