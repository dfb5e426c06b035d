"""What a worker was asked to be: settings and command line, checked, as one frozen value.

It travels to child processes, so it holds plain values only.
"""

from __future__ import annotations

import os
import socket
from typing import Final, Literal, TypeAlias

import msgspec

from celeriac.core.settings import Settings
from celeriac.errors import ImproperlyConfigured
from celeriac.worker.logs import LogStyle, style_of

Pool: TypeAlias = Literal["prefork", "threads", "asyncio", "solo"]
POOLS: Final[tuple[Pool, ...]] = ("prefork", "threads", "asyncio", "solo")
START_METHODS: Final = ("forkserver", "spawn", "fork")


class WorkerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """One worker's shape.

    Attributes:
        target: What ``-A`` named; child processes load the app from it.
        node: ``name@host``.
        queues: Queues to claim from.
        pool: The preset that the next four came from.
        processes: Child processes to start with.
        processes_max: Most child processes (autoscale); equal to ``processes`` without it.
        threads: Sync slots in threads for each child; 0 means one slot, the main thread.
        coroutines: Coroutine tasks at once in each child.
        start_method: How children start: forkserver, spawn or fork.
        lease: Seconds for which a lease holds unless renewed.
        claim_ahead: Seconds of work to claim ahead.
        grace: Seconds a shutdown waits for running tasks.
        max_tasks_per_child: Tasks after which a child is replaced; None for never.
        max_memory_per_child: Resident size in KiB above which a child is replaced; None for never.
        delivery_limit: Runs lost to dying processes before a task is a dead letter.
        watchdog: Seconds without a successful claim poll after which a child that runs nothing is replaced.
        health_file: File touched each second while the worker is healthy.
        health_port: Port of the HTTP probe on 127.0.0.1; 0 picks one.
        beat: It is a scheduler, too.
        loglevel, logfile, log: Of the log.
        time_limit, soft_time_limit: Seconds; they take the place of the settings' (a task's own still come first).
        include: More modules to import for the tasks in them.
        has_logging_receivers: A child sets up logging after it imported the app, whose receivers have a say in it.
    """

    target: str
    node: str
    queues: tuple[str, ...]
    pool: Pool = "prefork"
    processes: int = 1
    processes_max: int = 1
    threads: int = 0
    coroutines: int = 100
    start_method: str = "forkserver"
    lease: float = 6.0
    claim_ahead: float = 0.02
    grace: float = 25.0
    max_tasks_per_child: int | None = None
    max_memory_per_child: int | None = None
    delivery_limit: int = 3
    watchdog: float = 60.0
    health_file: str | None = None
    health_port: int | None = None
    beat: bool = False
    loglevel: str = "WARNING"
    logfile: str | None = None
    log: LogStyle = LogStyle()
    time_limit: float | None = None
    soft_time_limit: float | None = None
    include: tuple[str, ...] = ()
    has_logging_receivers: bool = False

    @property
    def sync_slots(self) -> int:
        """Sync tasks that one child runs at once."""
        return max(1, self.threads)

    @property
    def slots(self) -> int:
        """Rows of a child's slot table."""
        return self.sync_slots + self.coroutines


def node_name(name: str | None) -> str:
    """Return ``name@host`` with ``%h`` (host with domain), ``%n`` (host) and ``%d`` (domain) expanded.

    Raises:
        ImproperlyConfigured: The name has characters that names cannot have.
    """
    host = socket.gethostname()
    short, _, domain = host.partition(".")
    text = name or "celeriac@%h"
    for mark, value in (("%h", host), ("%n", short), ("%d", domain), ("%%", "%")):
        text = text.replace(mark, value)
    if "@" not in text:
        text = f"{text}@{host}"
    if any(character.isspace() or character in "/#" for character in text):
        raise ImproperlyConfigured(f"worker name {text!r} (-n) must not contain blanks, '/' or '#'")
    return text


def boot_id() -> str:
    """Return what tells this start of a worker from every other, also of one with its name and process id.

    A worker that took over the owner names of its predecessor would renew the leases on what that one left behind.
    """
    return os.urandom(6).hex()


def shape(pool: str, concurrency: int | None, threads: int | None) -> dict[str, int]:
    """Return processes, threads and coroutines of a preset; ``concurrency`` is what ``-c`` said.

    Raises:
        ImproperlyConfigured: No such preset, or a number below 1.
    """
    if pool not in POOLS:
        raise ImproperlyConfigured(f"pool {pool!r} (-P) is not known; choose one of {', '.join(POOLS)}")
    count = concurrency if concurrency is not None else (os.cpu_count() or 1)
    if count < 1:
        raise ImproperlyConfigured(f"concurrency {count} (-c) must be at least 1")
    if threads is not None and threads < 1:
        raise ImproperlyConfigured(f"--threads {threads} must be at least 1")
    match pool:
        case "prefork":
            return {"processes": count, "threads": threads or 0}
        case "threads":
            return {"processes": 1, "threads": threads or count}
        case "asyncio":
            return {"processes": 1, "threads": threads or 0, "coroutines": concurrency or 100}
        case _:
            return {"processes": 1, "threads": 0}


def from_settings(settings: Settings, **chosen: object) -> WorkerOptions:
    """Return the options that the settings give, with what the command line chose on top of them.

    Args:
        settings: The app's configuration.
        **chosen: Fields of WorkerOptions, and ``concurrency`` and ``autoscale`` ((max, min), as Celery writes it);
            those that are None count as not chosen.

    Raises:
        ImproperlyConfigured: Something does not fit.
    """
    given = {name: value for name, value in chosen.items() if value is not None}
    pool = str(given.pop("pool", None) or settings.worker_pool or "prefork")
    concurrency = given.pop("concurrency", None) or settings.worker_concurrency
    fields: dict[str, object] = {
        "coroutines": settings.worker_async_concurrency,
        "start_method": settings.worker_start_method,
        "lease": settings.worker_lease,
        "claim_ahead": settings.worker_claim_ahead,
        "grace": settings.worker_shutdown_grace,
        "max_tasks_per_child": settings.worker_max_tasks_per_child,
        "max_memory_per_child": settings.worker_max_memory_per_child,
        "delivery_limit": settings.task_delivery_limit,
        "watchdog": settings.worker_watchdog_timeout,
        "health_file": settings.worker_health_file,
        "health_port": settings.worker_health_port,
        "log": style_of(settings),
        "queues": (settings.task_default_queue,),
    }
    threads = given.pop("threads", None)
    fields |= shape(pool, concurrency, threads)  # type: ignore[arg-type]
    autoscale = given.pop("autoscale", None)
    fields["node"] = node_name(given.pop("node", None))  # type: ignore[arg-type]
    fields |= given
    fields["pool"] = pool
    fields["processes_max"] = fields["processes"]
    if autoscale is not None:
        most, least = max(autoscale), min(autoscale)  # type: ignore[call-overload]
        if least < 1 or pool not in ("prefork",):
            raise ImproperlyConfigured(f"--autoscale {most},{least} needs the prefork pool and numbers of at least 1")
        fields |= {"processes": least, "processes_max": most}
    if fields["start_method"] not in START_METHODS:
        raise ImproperlyConfigured(
            f"worker_start_method {fields['start_method']!r} is not known; choose one of {', '.join(START_METHODS)}"
        )
    return msgspec.convert(fields, WorkerOptions)


def configure(settings: Settings, options: WorkerOptions) -> None:
    """Set what the command line chose over the settings; in every process of the worker, before tasks are imported.

    Raises:
        ImproperlyConfigured: A value is not one that its setting accepts.
    """
    if options.time_limit is not None:
        settings.task_time_limit = options.time_limit
    if options.soft_time_limit is not None:
        settings.task_soft_time_limit = options.soft_time_limit
    if options.include:
        settings.include = (*settings.include, *options.include)
