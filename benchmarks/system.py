"""The systems that are measured: how to start their worker, and what a reader must know to compare them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOREIGN: Final = "benchmarks/baselines/foreign"
"""Folder of what is not written in Python; ``install.sh`` in it installs what that needs."""
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
        coroutines: Tasks can be sent from coroutines.
        scale: How many times more tasks it is given than the base number, so that a measurement lasts seconds.
        broker: The store of its tasks: ``sqlite``, ``redis``, ``postgresql`` or ``rabbitmq``.
        backend: The store of its results.
        peer: Somebody else's system, which ours are compared with.
        script: What sends and works, with its interpreter, where that is not Python; then ``module`` says nothing.
        needs: A command that succeeds if such a system is installed.
        only: Names of the scenarios that tell it from another one of its kind; empty for all that fit.
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
    broker: str
    backend: str
    coroutines: bool = False
    peer: bool = False
    script: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    only: frozenset[str] = frozenset()

    def command(self) -> list[str]:
        """Return the command that starts a worker."""
        return [*self.script, "worker"] if self.script else [sys.executable, *self.worker]

    def producer(self) -> list[str]:
        """Return the command that carries out what :mod:`benchmarks.producer` does, for this system."""
        return [*self.script] if self.script else [sys.executable, "-m", "benchmarks.producer", self.module]

    @property
    def stores(self) -> frozenset[str]:
        """Everything that it needs."""
        return frozenset({self.broker, self.backend})


def is_installed(system: System) -> bool:
    """Return whether it can be measured here; what ``make`` installs is not looked for, and must be there."""
    if not system.needs:
        return True
    if shutil.which(system.needs[0]) is None:
        return False
    folder = Path(__file__).resolve().parent.parent / FOREIGN
    return subprocess.run(system.needs, capture_output=True, check=False, cwd=folder).returncode == 0


@dataclass(frozen=True)
class Family:
    """One table: one of ours beside the peers that it is compared with."""

    title: str
    ours: System
    peers: tuple[System, ...]

    @property
    def members(self) -> tuple[System, ...]:
        """Ours first."""
        return (self.ours, *self.peers)


SYNC_TASKS: Final = frozenset({"noop", "noop_early", "noop_stored", "stamp", "hold"})
ALL_TASKS: Final = SYNC_TASKS | {"async_noop", "async_noop_stored"}
_CELERIAC_WORKER: Final = (
    *("-m", "celeriac", "-A", "benchmarks.celeriac_app", "worker", "-c", str(PROCESSES), "-l", "WARNING"),
)

MEMORY_OF_REDIS: Final = "a private redis-server on the same machine without snapshots or append-only file"
DISK_OF_POSTGRES: Final = "a private PostgreSQL on the same machine, durable (fsync, synchronous_commit on)"
RABBIT: Final = "a private RabbitMQ on the same machine, persistent messages, publisher confirms on"


def _celeriac(key: str, title: str, *, kept: str, settings: str, broker: str, backend: str) -> System:
    return System(
        key=f"celeriac-{key}",
        title=f"Celeriac on {title}",
        package="celeriac",
        module="benchmarks.celeriac_app",
        worker=_CELERIAC_WORKER,
        kept=kept,
        settings=f"defaults, {settings}; log level WARNING; JSON",
        tasks=ALL_TASKS,
        scale=10,
        broker=broker,
        backend=backend,
        coroutines=True,
    )


CELERIAC: Final = _celeriac(
    "sqlite",
    "SQLite",
    kept="file",
    settings="its embedded SQLite file as broker and result store",
    broker="sqlite",
    backend="sqlite",
)

CELERIAC_REDIS: Final = _celeriac(
    "redis",
    "Redis",
    kept="memory",
    settings=f"{MEMORY_OF_REDIS} as broker and result store",
    broker="redis",
    backend="redis",
)

CELERIAC_POSTGRES: Final = _celeriac(
    "postgres",
    "PostgreSQL",
    kept="disk",
    settings=f"{DISK_OF_POSTGRES} as broker and result store",
    broker="postgresql",
    backend="postgresql",
)

CELERIAC_RABBITMQ: Final = _celeriac(
    "rabbitmq",
    "RabbitMQ",
    kept="disk (quorum queue)",
    settings=f"quorum queues; {RABBIT}; paired with {MEMORY_OF_REDIS} for leases and results",
    broker="rabbitmq",
    backend="redis",
)


def _celery(
    key: str, title: str, *, pool: str, kept: str, settings: str, broker: str, only: frozenset[str] = frozenset()
) -> System:
    return System(
        key=f"celery-{key}",
        title=f"Celery on {title}",
        package="celery",
        module="benchmarks.baselines.celery_app",
        worker=(
            *("-m", "celery", "-A", "benchmarks.baselines.celery_app", "worker", "-P", pool, "-c", str(PROCESSES)),
            *("-l", "WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat"),
        ),
        kept=kept,
        settings=(
            f"{pool}; worker_prefetch_multiplier=128, worker_disable_rate_limits, task_ignore_result, events off, "
            f"--without-gossip --without-mingle --without-heartbeat, -O fair (its default); {settings}; "
            "log level WARNING; JSON"
        ),
        tasks=SYNC_TASKS,
        scale=0.6,
        broker=broker,
        backend="redis",
        peer=True,
        only=only,
    )


CELERY: Final = _celery(
    "redis",
    "Redis",
    pool="prefork",
    kept="memory",
    settings=f"redis-py with hiredis; {MEMORY_OF_REDIS}",
    broker="redis",
)

CELERY_RABBITMQ: Final = _celery(
    "rabbitmq",
    "RabbitMQ",
    pool="prefork",
    kept="disk (classic queue)",
    settings=f"confirm_publish; {RABBIT}; Redis as result store",
    broker="rabbitmq",
)


def _dramatiq(key: str, title: str, *, kept: str, settings: str) -> System:
    return System(
        key=f"dramatiq-{key}",
        title=f"Dramatiq on {title}",
        package="dramatiq",
        module="benchmarks.baselines.dramatiq_app",
        worker=(
            *("-m", "dramatiq", "benchmarks.baselines.dramatiq_app", "--processes", str(PROCESSES)),
            *("--threads", "8"),
        ),
        kept=kept,
        settings=f"{PROCESSES} processes, 8 threads each, dramatiq_queue_prefetch=512; {settings}; level WARNING; JSON",
        tasks=frozenset({"noop", "stamp"}),
        scale=2,
        broker=key,
        backend=key,
        peer=True,
    )


DRAMATIQ_REDIS: Final = _dramatiq("redis", "Redis", kept="memory", settings=MEMORY_OF_REDIS)

DRAMATIQ_RABBITMQ: Final = _dramatiq("rabbitmq", "RabbitMQ", kept="disk (classic queue)", settings=RABBIT)

PROCRASTINATE: Final = System(
    key="procrastinate",
    title="Procrastinate",
    package="procrastinate",
    module="benchmarks.baselines.procrastinate_app",
    worker=("-m", "benchmarks.baselines.together", str(PROCESSES), "benchmarks.baselines.procrastinate_app"),
    kept="disk",
    settings=(
        f"{PROCESSES} processes with a concurrency of 20 each, finished jobs deleted (delete_jobs=always), psycopg 3; "
        f"{DISK_OF_POSTGRES}; log level WARNING; JSON"
    ),
    tasks=frozenset({"noop", "stamp", "async_noop"}),
    scale=0.4,
    broker="postgresql",
    backend="postgresql",
    peer=True,
)

CELERY_THREADS: Final = _celery(
    "redis-threads",
    "Redis, threads",
    pool="threads",
    kept="memory",
    settings=f"redis-py with hiredis; one process; {MEMORY_OF_REDIS}",
    broker="redis",
    only=frozenset({"drain-noop", "drain-noop_stored", "latency", "load", "footprint"}),
)


def _on_redis(
    key: str,
    title: str,
    *,
    worker: tuple[str, ...],
    settings: str,
    tasks: frozenset[str],
    scale: float,
    coroutines: bool = False,
) -> System:
    return System(
        key=key,
        title=title,
        package=key,
        module=f"benchmarks.baselines.{key}_app",
        worker=worker,
        kept="memory",
        settings=f"{settings}; {MEMORY_OF_REDIS}",
        tasks=tasks,
        scale=scale,
        broker="redis",
        backend="redis",
        coroutines=coroutines,
        peer=True,
    )


TASKIQ: Final = _on_redis(
    "taskiq",
    "Taskiq",
    worker=(
        *("-m", "taskiq", "worker", "benchmarks.baselines.taskiq_app:broker", "--workers", str(PROCESSES)),
        *("--log-level", "WARNING", "--max-async-tasks", "200"),
    ),
    settings=f"{PROCESSES} processes, RedisStreamBroker (the one that acknowledges), 200 tasks at once",
    tasks=frozenset({"async_noop", "stamp"}),
    scale=2,
    coroutines=True,
)

SAQ: Final = _on_redis(
    "saq",
    "SAQ",
    worker=("-m", "benchmarks.baselines.together", str(PROCESSES), "benchmarks.baselines.saq_app"),
    settings=f"{PROCESSES} processes, 50 tasks at once each, results not kept; its tasks are coroutines",
    tasks=frozenset({"async_noop", "stamp"}),
    scale=1,
    coroutines=True,
)

STREAQ: Final = _on_redis(
    "streaq",
    "streaQ",
    worker=("-m", "benchmarks.baselines.together", str(PROCESSES), "benchmarks.baselines.streaq_app"),
    settings=f"{PROCESSES} processes, 64 tasks at once each, results not kept; its tasks are coroutines",
    tasks=frozenset({"async_noop", "stamp"}),
    scale=1,
    coroutines=True,
)

HUEY: Final = _on_redis(
    "huey",
    "Huey",
    worker=(
        *("-m", "huey.bin.huey_consumer", "benchmarks.baselines.huey_app.huey", "-w", str(PROCESSES)),
        *("-k", "process", "-q", "-n"),
    ),
    settings=f"{PROCESSES} processes, no results, no periodic tasks; at most once, which is all it has",
    tasks=frozenset({"noop_early", "stamp"}),
    scale=2,
)

RQ: Final = _on_redis(
    "rq",
    "RQ",
    worker=("-m", "benchmarks.baselines.together", str(PROCESSES), "benchmarks.baselines.rq_app"),
    settings=f"{PROCESSES} processes of SimpleWorker, which does not fork for each task; results not kept",
    tasks=frozenset({"noop", "stamp"}),
    scale=0.3,
)


def _foreign(
    key: str, title: str, *, script: str, settings: str, tasks: frozenset[str], scale: float, broker: str = "redis"
) -> System:
    interpreter = "node" if script.endswith(".mjs") else "ruby"
    loads = f"await import('{key}')" if interpreter == "node" else f"require '{key}'"
    return System(
        key=key,
        title=title,
        package=key,
        module="",
        worker=(),
        kept="memory" if broker == "redis" else "disk",
        settings=f"{settings}; {MEMORY_OF_REDIS if broker == 'redis' else DISK_OF_POSTGRES}; JSON",
        tasks=tasks,
        scale=scale,
        broker=broker,
        backend=broker,
        peer=True,
        script=(interpreter, f"{FOREIGN}/{script}"),
        needs=("node", "--input-type=module", "-e", loads) if interpreter == "node" else ("ruby", "-e", loads),
    )


BULLMQ: Final = _foreign(
    "bullmq",
    "BullMQ",
    script="bullmq.mjs",
    settings=f"Node.js, {PROCESSES} processes, 100 tasks at once each, jobs removed; its tasks are async functions",
    tasks=frozenset({"async_noop", "stamp"}),
    scale=4,
)

SIDEKIQ: Final = _foreign(
    "sidekiq",
    "Sidekiq",
    script="sidekiq_app.rb",
    settings=f"Ruby, {PROCESSES} processes of 10 threads; at most once, which is all it has without Sidekiq Pro",
    tasks=frozenset({"noop_early", "stamp"}),
    scale=4,
)

GRAPHILE: Final = _foreign(
    "graphile-worker",
    "Graphile Worker",
    script="graphile.mjs",
    settings=(
        f"Node.js, {PROCESSES} processes, 24 tasks at once each, a local queue of 500, jobs completed in batches;"
        " its tasks are async functions"
    ),
    tasks=frozenset({"async_noop", "stamp"}),
    scale=5,
    broker="postgresql",
)

FAMILIES: Final = (
    Family("SQLite", CELERIAC, (CELERY,)),
    Family(
        "Redis",
        CELERIAC_REDIS,
        (CELERY, CELERY_THREADS, DRAMATIQ_REDIS, TASKIQ, HUEY, RQ, SAQ, STREAQ, BULLMQ, SIDEKIQ),
    ),
    Family("PostgreSQL", CELERIAC_POSTGRES, (PROCRASTINATE, GRAPHILE)),
    Family("RabbitMQ", CELERIAC_RABBITMQ, (CELERY_RABBITMQ, DRAMATIQ_RABBITMQ)),
)
"""The tables of the page. SQLite has no peer of its own here; Celery with Redis is what its users would install."""

SYSTEMS: Final = tuple(dict.fromkeys(system for family in FAMILIES for system in family.members))
