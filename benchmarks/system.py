"""The systems that are measured: how to start their worker, and what a reader must know to compare them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Final

PROCESSES: Final = 2
"""Worker processes of every system."""


@dataclass(frozen=True, kw_only=True)
class System:
    """One system under measurement.

    Attributes:
        key: Name in the JSON file and on the command line.
        title: Name in the table.
        package: What is imported.
        module: The app with the tasks, the same ones for every system.
        worker: Arguments of the Python interpreter that start a worker.
        kept: Where tasks are kept, in a word.
        settings: What was set, for the reader.
        tasks: Names of the tasks it can run.
        scale: How many times more tasks it is given than the base number, so that a measurement lasts seconds.
        redis: It needs a Redis server.
        peer: Somebody else's system, which ours are compared with.
    """

    key: str
    title: str
    package: str
    module: str
    worker: tuple[str, ...]
    kept: str
    settings: str
    tasks: frozenset[str]
    scale: float
    redis: bool = False
    peer: bool = False

    def command(self) -> list[str]:
        """Return the command that starts a worker."""
        return [sys.executable, *self.worker]


SYNC_TASKS: Final = frozenset({"noop", "noop_early", "noop_stored", "stamp"})
ALL_TASKS: Final = SYNC_TASKS | {"async_noop", "async_noop_stored"}
_CELERIAC_WORKER: Final = (
    *("-m", "celeriac", "-A", "benchmarks.celeriac_app", "worker", "-c", str(PROCESSES), "-l", "WARNING"),
)

CELERIAC: Final = System(
    key="celeriac-sqlite",
    title="Celeriac on SQLite",
    package="celeriac",
    module="benchmarks.celeriac_app",
    worker=_CELERIAC_WORKER,
    kept="file",
    settings="defaults, its embedded SQLite file as broker and result store; log level WARNING; JSON",
    tasks=ALL_TASKS,
    scale=10,
)

CELERIAC_REDIS: Final = System(
    key="celeriac-redis",
    title="Celeriac on Redis",
    package="celeriac",
    module="benchmarks.celeriac_app",
    worker=_CELERIAC_WORKER,
    kept="memory",
    settings="defaults, the same Redis server as broker and result store; log level WARNING; JSON",
    tasks=ALL_TASKS,
    scale=10,
    redis=True,
)

CELERY: Final = System(
    key="celery-redis",
    title="Celery on Redis",
    package="celery",
    module="benchmarks.baselines.celery_app",
    worker=(
        *("-m", "celery", "-A", "benchmarks.baselines.celery_app", "worker", "-P", "prefork", "-c", str(PROCESSES)),
        *("-l", "WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat"),
    ),
    kept="memory",
    settings=(
        "prefork; worker_prefetch_multiplier=128, worker_disable_rate_limits, task_ignore_result, events off, "
        "--without-gossip --without-mingle --without-heartbeat, -O fair (its default); log level WARNING; JSON; "
        "redis-py with hiredis; a private redis-server on the same machine without snapshots or append-only file"
    ),
    tasks=SYNC_TASKS,
    scale=1,
    redis=True,
    peer=True,
)

SYSTEMS: Final = (CELERIAC, CELERIAC_REDIS, CELERY)
