"""Every setting that Celeriac knows: the one table.

Celery's names and meanings are kept. A setting whose status is ``accepted`` may be set, so that an existing
configuration loads without a warning, and has no effect; its note says why. The reference page is generated from this
table (``scripts/settings_reference.py``).
"""

from __future__ import annotations

from typing import Any, Final

from celeriac.core.settings_accepted import ACCEPTED
from celeriac.core.settings_kinds import (
    ANYTHING,
    COMPRESSION,
    CONCURRENCY,
    CONTENT,
    COUNT,
    DURATION,
    KEYS,
    MAPPING,
    NAMES,
    PORT,
    POSITIVE,
    PRIORITY,
    SECONDS,
    SERIALIZER,
    SWITCH,
    TEXT,
    URL,
    Kind,
    Setting,
    choice,
)

_DAY: Final = 86400.0
_MIB: Final = 1024 * 1024
_PUBLISH_RETRY: Final = {"max_retries": 3, "interval_start": 0, "interval_step": 0.2, "interval_max": 1}


def _set(name: str, kind: Kind, default: Any, doc: str, *, own: bool = False, nullable: bool = False) -> Setting:
    return Setting(name=name, kind=kind, default=default, doc=doc, own=own, nullable=nullable or default is None)


_GENERAL: Final = (
    _set("accept_content", CONTENT, ("json",), "Serializers that workers read; anything else is a dead letter."),
    _set("timezone", TEXT, None, "Time zone of naive times and of crontabs, an IANA name; None: see `enable_utc`."),
    _set("enable_utc", SWITCH, True, "Without `timezone`: UTC, or if False the time zone of the machine."),
    _set("imports", NAMES, (), "Modules that a worker imports when it starts, because they define tasks."),
    _set("include", NAMES, (), "More such modules; added to those of `imports`."),
)

_BROKER: Final = (
    _set("broker_url", URL, None, "Where tasks are queued; None means the SQLite file `celeriac.db`."),
    _set("broker_transport_options", MAPPING, {}, "More parameters of the broker's URL; Celery's names will do."),
    _set("broker_use_ssl", ANYTHING, False, "TLS to the broker: True or a dictionary of `ssl_` options."),
    _set("broker_connection_timeout", DURATION, 4.0, "Give up one attempt to connect to a server after this long."),
    _set(
        "broker_connection_retry_on_startup",
        SWITCH,
        None,
        "A worker waits for a broker that is away when it starts; None: as `broker_connection_retry` says.",
    ),
    _set(
        "broker_connection_retry",
        SWITCH,
        True,
        "A worker waits for a broker that is away when it starts. Once it works it always connects again.",
    ),
    _set(
        "broker_connection_max_retries",
        COUNT,
        100,
        "Attempts before a worker that starts gives up, about eight minutes; None or 0: it never does.",
        nullable=True,
    ),
    _set(
        "broker_operation_timeout",
        DURATION,
        5.0,
        "Give up any operation on a broker or result store behind a network after this long, retries included.",
        own=True,
    ),
    _set("publish_timeout", DURATION, 5.0, "Give up sending a task after this long, retries included.", own=True),
    _set(
        "dead_letter_expires",
        SECONDS,
        14 * _DAY,
        "Dead letters are kept this long; None: for ever.",
        own=True,
        nullable=True,
    ),
)

_TASKS: Final = (
    _set("task_acks_late", SWITCH, True, "At-least-once: a task is done when it has run. False: at most once."),
    _set("task_reject_on_worker_lost", SWITCH, True, "A task whose process died runs again."),
    _set("task_delivery_limit", POSITIVE, 3, "Runs lost to a dying process before a task is a dead letter.", own=True),
    _set("task_message_max_bytes", POSITIVE, 16 * _MIB, "Arguments that are longer, encoded, are not sent.", own=True),
    _set("task_serializer", SERIALIZER, "json", "How arguments are encoded."),
    _set("task_compression", COMPRESSION, None, "How the encoded arguments are compressed."),
    _set("task_default_queue", TEXT, "celery", "The queue of tasks that nothing else routes."),
    _set("task_queues", ANYTHING, None, "More queues, by name or as `Queue`s: a worker serves them unless `-Q` says."),
    _set("task_create_missing_queues", SWITCH, True, "RabbitMQ: queues that `task_queues` does not name are made."),
    _set(
        "task_default_queue_type",
        TEXT,
        "quorum",
        "RabbitMQ: type of queues that say none, `quorum` or `classic`. `queue_type` in the broker's URL goes before.",
    ),
    _set("task_default_priority", PRIORITY, None, "Priority of tasks that have none: 0 to 9, higher is more urgent."),
    _set("task_inherit_parent_priority", SWITCH, False, "A task sent by a task takes over its priority."),
    _set("task_routes", ANYTHING, None, "Which queue a task goes to: a dictionary, a list, or functions."),
    _set("task_annotations", ANYTHING, None, "Attributes to change on tasks, by name; `*` stands for all."),
    _set("task_ignore_result", SWITCH, False, "Return values are not stored; failures are, in any case."),
    _set("task_track_started", SWITCH, False, "Store the state STARTED when a task starts."),
    _set("task_time_limit", DURATION, None, "After this long the process that runs the task is killed."),
    _set("task_soft_time_limit", DURATION, None, "After this long SoftTimeLimitExceeded is raised in the task."),
    _set("task_publish_retry", SWITCH, True, "Try again if a task cannot be sent."),
    _set("task_publish_retry_policy", MAPPING, _PUBLISH_RETRY, "How often and after how long (seconds) that is tried."),
    _set("task_always_eager", SWITCH, False, "Run tasks in the calling process instead of sending them."),
    _set("task_eager_propagates", SWITCH, False, "Eager tasks raise their errors in the caller."),
    _set("task_store_eager_result", SWITCH, False, "Store the results of eager tasks."),
    _set("task_repr_maxlevels", COUNT, 3, "How deep nested arguments are shown in logs."),
)

_RESULTS: Final = (
    _set(
        "result_backend",
        URL,
        None,
        "Where results are kept; None means nowhere, or in `celeriac.db` if there is no `broker_url`.",
    ),
    _set("result_expires", SECONDS, _DAY, "Results are kept this long; None or 0: for ever.", nullable=True),
    _set("result_max_bytes", POSITIVE, 16 * _MIB, "A task whose result is longer, encoded, fails.", own=True),
    _set("result_backend_transport_options", MAPPING, {}, "More parameters of the result store's URL."),
    _set("database_url", URL, None, "The database of results where `result_backend` says just `database`."),
    _set("database_engine_options", MAPPING, {}, "Arguments of SQLAlchemy's `create_engine` for a result database."),
    _set("database_short_lived_sessions", SWITCH, False, "Open a connection to a result database for each request."),
    _set("database_table_names", MAPPING, None, "Name of the table of results in a database, as `{'task': name}`."),
    _set("database_table_schemas", MAPPING, None, "Its schema, as `{'task': schema}`."),
    _set("database_create_tables_at_setup", SWITCH, True, "Create that table when it is first used."),
    _set("redis_backend_use_ssl", ANYTHING, None, "TLS to a result store in Redis: True or a dictionary of options."),
    _set("result_serializer", SERIALIZER, "json", "How return values are encoded."),
    _set("result_accept_content", CONTENT, None, "Serializers that readers of results accept; None: `accept_content`."),
)

_WORKER: Final = (
    _set("worker_concurrency", CONCURRENCY, None, "Tasks that run at once (`-c`); None means one for each core."),
    _set("worker_pool", choice("prefork", "threads", "asyncio", "solo"), "prefork", "How tasks run (`-P`)."),
    _set("worker_async_concurrency", POSITIVE, 100, "Coroutine tasks that each process runs at once.", own=True),
    _set(
        "worker_start_method",
        choice("forkserver", "spawn", "fork"),
        "forkserver",
        "How child processes start.",
        own=True,
    ),
    _set("worker_max_tasks_per_child", POSITIVE, None, "Replace a child process after this many tasks."),
    _set("worker_max_memory_per_child", POSITIVE, None, "Replace a child process that grows above so many KiB."),
    _set("worker_lease", DURATION, 6.0, "A worker that is silent for so long has lost its tasks.", own=True),
    _set("worker_claim_ahead", SECONDS, 0.02, "Work that a process claims before it has a free slot for it.", own=True),
    _set("worker_shutdown_grace", SECONDS, 25.0, "Running tasks may take so long to end at a shutdown.", own=True),
    _set(
        "worker_unknown_task_window", SECONDS, 300.0, "Tasks with an unknown name wait so long for a worker.", own=True
    ),
    _set("worker_unknown_task_delay", DURATION, 5.0, "Between two looks at a task with an unknown name.", own=True),
    _set(
        "worker_watchdog_timeout",
        DURATION,
        60.0,
        "A child that has not reached the broker for so long is replaced.",
        own=True,
    ),
    _set("worker_health_file", TEXT, None, "A file that is touched every second while the worker works.", own=True),
    _set(
        "worker_health_port", PORT, None, "Answer GET /health on this port of 127.0.0.1; 0 picks a free one.", own=True
    ),
)

_SCHEDULE: Final = (
    _set("beat_schedule", MAPPING, {}, "Schedule entries by name: `task`, `schedule`, and what else entries have."),
    _set("beat_cron_starting_deadline", SECONDS, None, "The `window` of crontabs of the program that have none."),
)

_SECURITY: Final = (
    _set("security_signing_keys", KEYS, None, "Keys that sign messages; the first signs, all are accepted.", own=True),
    _set("security_encryption_keys", KEYS, None, "Keys that encrypt; the first encrypts, all are accepted.", own=True),
    _set("security_required", SWITCH, True, "With keys: refuse what is not signed or encrypted.", own=True),
    _set(
        "security_replay_window",
        SECONDS,
        _DAY,
        "With keys: refuse messages that are older, and copies of those that ran. None: neither.",
        own=True,
        nullable=True,
    ),
)

SECTIONS: Final[dict[str, tuple[Setting, ...]]] = {
    "General": _GENERAL,
    "Broker": _BROKER,
    "Tasks": _TASKS,
    "Results": _RESULTS,
    "Worker": _WORKER,
    "Schedule": _SCHEDULE,
    "Security": _SECURITY,
    **ACCEPTED,
}
"""The settings in the order of the reference page."""

SETTINGS: Final[dict[str, Setting]] = {one.name: one for group in SECTIONS.values() for one in group}
"""Every setting by its name."""
