"""Celery's settings that Celeriac accepts and that change nothing, each with the reason.

They are part of the one table in :mod:`celeriac.core.settings_table`. Those marked as not having an effect *yet* move
there when they get one.
"""

from __future__ import annotations

from typing import Any, Final

from celeriac.core.settings_kinds import (
    ANYTHING,
    COMPRESSION,
    COUNT,
    MAPPING,
    NUMBER,
    POSITIVE,
    PRIORITY,
    SECONDS,
    SERIALIZER,
    SWITCH,
    TEXT,
    URL,
    WHOLE,
    Kind,
    Setting,
)

_YET: Final = "no effect yet"
_REDIS: Final = "put it into the URL of the result store"
_EVENTS: Final = "no effect yet: task events for monitors come in a later version"
_NO_STORE: Final = "Celeriac has no such result store"
_CLAIMS: Final = "workers claim only what they are about to run, and give it back if they cannot"
_URL: Final = "put it into broker_url"
_POOLS: Final = "the parts of a worker cannot be exchanged by setting"
_LOG_FORMAT: Final = "[%(asctime)s: %(levelname)s/%(processName)s] %(message)s"
_TASK_LOG_FORMAT: Final = "[%(asctime)s: %(levelname)s/%(processName)s] %(task_name)s[%(task_id)s]: %(message)s"


def _for(note: str, *rows: tuple[str, Kind, Any, str]) -> tuple[Setting, ...]:
    """Return rows (name, kind, default, doc) that share a note; all of them may be None."""
    return tuple(
        Setting(name=name, kind=kind, default=default, doc=doc, nullable=True, works=False, note=note)
        for name, kind, default, doc in rows
    )


_BROKER: Final = (
    *_for(
        _YET,
        ("broker_read_url", URL, None, "Broker for workers, where it differs from `broker_url`."),
        ("broker_write_url", URL, None, "Broker for senders, where it differs from `broker_url`."),
        ("broker_failover_strategy", ANYTHING, None, "Order in which several broker URLs are tried."),
        ("broker_pool_limit", COUNT, 10, "Most connections that a sender keeps open."),
        ("broker_pool_acquire_timeout", SECONDS, None, "Wait for one of these connections."),
        ("broker_channel_error_retry", SWITCH, False, "Connect again also after an error of one channel."),
    ),
    *_for(
        "put `heartbeat=` into the broker's URL",
        ("broker_heartbeat", COUNT, 120, "Seconds between AMQP heartbeats."),
        ("broker_heartbeat_checkrate", NUMBER, 3.0, "Checks of the heartbeat in that time."),
    ),
    *_for("it is always PLAIN, best with TLS", ("broker_login_method", TEXT, None, "AMQP login mechanism.")),
    *_for(
        "delayed tasks wait in the store, or in queues of the type of all others",
        ("broker_native_delayed_delivery_queue_type", TEXT, "quorum", "Type of the queues that delay messages."),
    ),
    *_for(
        _URL,
        ("broker_transport", TEXT, None, "Scheme of the broker's URL."),
        ("broker_host", TEXT, None, "Host in the broker's URL."),
        ("broker_port", COUNT, None, "Port in the broker's URL."),
        ("broker_user", TEXT, None, "User in the broker's URL."),
        ("broker_password", TEXT, None, "Password in the broker's URL."),
        ("broker_vhost", TEXT, None, "Virtual host in the broker's URL."),
    ),
)

_TASKS: Final = (
    *_for(
        _YET,
        ("task_default_rate_limit", ANYTHING, None, "Rate limit of all tasks, such as `10/s`."),
        ("task_send_sent_event", SWITCH, False, "Senders emit an event for each task."),
        ("task_acks_on_failure", SWITCH, None, "A failed task with late acknowledgement is over."),
        ("task_acks_on_timeout", SWITCH, None, "The same for one that ran into its time limit."),
        ("task_acks_on_failure_or_timeout", SWITCH, True, "Celery's older name for both of these."),
        ("task_retry_on_worker_lost", SWITCH, False, "A task whose process died counts as retried."),
        (
            "task_allow_error_cb_on_chord_header",
            SWITCH,
            False,
            "Error callbacks also for the tasks of a chord's header.",
        ),
    ),
    *_for(
        "`task_default_queue_type` says it for all queues",
        ("task_create_missing_queue_type", TEXT, "classic", "Type of queues that are not declared."),
    ),
    *_for(
        "tasks go to their queues by name; name exchanges in `task_queues`, or by `exchange=`",
        ("task_create_missing_queue_exchange_type", TEXT, None, "Type of their exchanges."),
        ("task_default_exchange", TEXT, None, "Default exchange."),
        ("task_default_exchange_type", TEXT, "direct", "Its type."),
        ("task_default_routing_key", TEXT, None, "Default routing key."),
    ),
    *_for(
        "messages always do",
        ("task_default_delivery_mode", ANYTHING, 2, "Messages survive a restart of the broker: 2 or `persistent`."),
    ),
    *_for(
        "every queue has the priorities 0 to 9",
        ("task_queue_max_priority", PRIORITY, None, "Highest priority of a queue."),
    ),
    *_for(
        "failures are always stored",
        ("task_store_errors_even_if_ignored", SWITCH, False, "Store failures of tasks with ignored results."),
    ),
    *_for(
        "the remote traceback is always part of the result",
        ("task_remote_tracebacks", SWITCH, False, "Raise errors with the remote traceback."),
    ),
    *_for(
        "Celeriac writes one form of messages",
        ("task_protocol", POSITIVE, 2, "Version of Celery's message protocol."),
    ),
)

_RESULTS: Final = (
    *_for(
        _YET,
        ("result_compression", COMPRESSION, None, "How stored results are compressed."),
        ("result_failure_expires", SECONDS, None, "Failed results are kept this long; None means `result_expires`."),
        ("result_chord_expires", SECONDS, None, "What a chord collects is kept this long."),
        ("result_chord_join_timeout", SECONDS, 3.0, "Wait for the results of a chord's header."),
        ("result_cache_max", WHOLE, -1, "Results that a client keeps in memory; -1 means none."),
    ),
    *_for(
        "these are always stored",
        ("result_extended", SWITCH, False, "Store name, arguments, worker, queue and retries with each result."),
    ),
    *_for(
        "a broken connection to the result store is always made again",
        ("result_backend_always_retry", SWITCH, False, "Try again after errors that may pass."),
        ("result_backend_max_retries", NUMBER, float("inf"), "How often."),
        ("result_backend_base_sleep_between_retries_ms", COUNT, 10, "First pause, in milliseconds."),
        ("result_backend_max_sleep_between_retries_ms", COUNT, 10000, "Longest pause, in milliseconds."),
        ("result_backend_thread_safe", SWITCH, False, "Threads share the connection."),
    ),
    *_for(
        "a chord's body is sent by the step that finishes its header; nothing polls",
        ("result_chord_retry_interval", SECONDS, 1.0, "Pause between two looks at a chord's header."),
    ),
    *_for(
        "with rpc:// results are always persistent, and go by way of the default exchange",
        ("result_persistent", SWITCH, None, "Result messages survive a restart of the broker."),
        ("result_exchange", TEXT, "celeryresults", "Exchange of result messages."),
        ("result_exchange_type", TEXT, "direct", "Its type."),
    ),
    *_for(
        _POOLS,
        ("override_backends", MAPPING, {}, "Classes of result stores by scheme."),
    ),
)

_WORKER: Final = (
    *_for(
        _YET,
        ("worker_disable_rate_limits", SWITCH, False, "Ignore rate limits."),
        ("worker_direct", SWITCH, False, "Each worker also serves a queue of its own."),
        ("worker_enable_remote_control", SWITCH, True, "Workers listen to commands."),
        ("worker_proc_alive_timeout", SECONDS, 4.0, "Wait for a child process to start."),
        ("worker_deduplicate_successful_tasks", SWITCH, False, "Skip a task that has succeeded already."),
        ("worker_log_format", TEXT, _LOG_FORMAT, "Format of the worker's own log lines."),
        ("worker_log_datefmt", TEXT, None, "Format of the time in them."),
        ("worker_task_log_format", TEXT, _TASK_LOG_FORMAT, "Format of log lines written inside tasks."),
        ("worker_task_log_datefmt", TEXT, None, "Format of the time in them."),
        ("worker_log_color", SWITCH, None, "Colours in the log; None means where it goes to a terminal."),
        ("worker_redirect_stdouts", SWITCH, True, "What tasks print goes to the log."),
        ("worker_redirect_stdouts_level", TEXT, "WARNING", "At this level."),
    ),
    *_for(_EVENTS, ("worker_send_task_events", SWITCH, False, "Workers emit events about tasks (`-E`).")),
    *_for(
        _CLAIMS,
        ("worker_prefetch_multiplier", COUNT, 4, "Messages that a process fetches ahead."),
        ("worker_disable_prefetch", SWITCH, False, "Fetch only for free slots."),
        ("worker_enable_prefetch_count_reduction", SWITCH, True, "Fetch less after a reconnection."),
        ("worker_eta_task_limit", COUNT, None, "Most tasks with an ETA that a worker holds."),
        ("worker_detect_quorum_queues", SWITCH, True, "Count what is fetched as quorum queues want it."),
    ),
    *_for(
        "a lease tells at once that a process died",
        ("worker_lost_wait", SECONDS, 10.0, "Wait for the result of a process that died."),
    ),
    *_for(
        "a worker that has lost its broker keeps its tasks as long as its lease holds",
        ("worker_cancel_long_running_tasks_on_connection_loss", SWITCH, False, "Kill such tasks."),
    ),
    *_for(
        "use worker_shutdown_grace",
        ("worker_soft_shutdown_timeout", SECONDS, 0.0, "Time for running tasks at a shutdown that is in a hurry."),
        ("worker_enable_soft_shutdown_on_idle", SWITCH, False, "Take that time even where no task runs."),
    ),
    *_for("use worker_start_method", ("worker_pool_start_method", TEXT, "fork", "How child processes start.")),
    *_for(
        "a logger that is configured already is never touched",
        ("worker_hijack_root_logger", SWITCH, True, "Replace the handlers of the root logger."),
    ),
    *_for(
        "revoked tasks are remembered by the broker",
        ("worker_state_db", TEXT, None, "File in which a worker remembers revoked tasks."),
    ),
    *_for(
        _POOLS,
        ("worker_agent", ANYTHING, None, "Class of the agent."),
        ("worker_autoscaler", ANYTHING, None, "Class of the autoscaler."),
        ("worker_consumer", ANYTHING, None, "Class of the consumer."),
        ("worker_timer", ANYTHING, None, "Class of the timer."),
        ("worker_timer_precision", SECONDS, 1.0, "How exact that timer is."),
        ("worker_pool_putlocks", SWITCH, True, "A lock around the pool's queue."),
        ("worker_pool_restarts", SWITCH, False, "Allow the command that restarts the pool."),
    ),
)

_SCHEDULING: Final = (
    *_for(
        "the scheduler wakes exactly when something is due",
        ("beat_max_loop_interval", SECONDS, 0.0, "Longest pause between two looks at the schedule."),
    ),
    *_for(
        "the schedule is kept by the broker's store",
        ("beat_scheduler", ANYTHING, None, "Class of the scheduler."),
        ("beat_schedule_filename", TEXT, "celerybeat-schedule", "File of the schedule."),
        ("beat_sync_every", COUNT, 0, "Write that file after so many tasks."),
        ("beat_enable_remote_control", SWITCH, False, "The scheduler answers a ping."),
        ("beat_remote_control_max_tick_age", SECONDS, None, "Not if it has stood still for longer than this."),
    ),
)

_CONTROL: Final = (
    *_for(
        "commands travel through the broker's store and expire there",
        ("control_exchange", TEXT, "celery", "Exchange of commands."),
        ("control_queue_ttl", SECONDS, 300.0, "Commands expire after this long."),
        ("control_queue_expires", SECONDS, 10.0, "Unused queues of commands go after this long."),
        ("control_queue_durable", SWITCH, False, "These queues survive a restart of the broker."),
        ("control_queue_exclusive", SWITCH, True, "These queues belong to one connection."),
    ),
    *_for(
        _EVENTS,
        ("event_exchange", TEXT, "celeryev", "Exchange of events."),
        ("event_serializer", SERIALIZER, "json", "How events are encoded."),
        ("event_queue_prefix", TEXT, "celeryev", "First part of the names of event queues."),
        ("event_queue_ttl", SECONDS, 5.0, "Events expire after this long."),
        ("event_queue_expires", SECONDS, 60.0, "Unused queues of events go after this long."),
        ("event_queue_durable", SWITCH, False, "These queues survive a restart of the broker."),
        ("event_queue_exclusive", SWITCH, True, "These queues belong to one connection."),
    ),
)

_SECURITY: Final = _for(
    "no effect: messages are signed with `security_signing_keys`, not with certificates",
    ("security_key", TEXT, None, "File of the private key."),
    ("security_key_password", ANYTHING, None, "Its password."),
    ("security_certificate", TEXT, None, "File of the own certificate."),
    ("security_cert_store", TEXT, None, "Folder of the certificates of others."),
    ("security_digest", TEXT, "sha256", "Digest of signatures."),
)

_REDIS_STORE: Final = _for(
    _REDIS,
    ("redis_host", TEXT, None, "Host of the result store."),
    ("redis_port", COUNT, None, "Its port."),
    ("redis_db", ANYTHING, None, "Its database."),
    ("redis_username", TEXT, None, "User."),
    ("redis_password", TEXT, None, "Password."),
    ("redis_max_connections", POSITIVE, None, "Most connections."),
    ("redis_socket_timeout", SECONDS, 120.0, "Wait for an answer."),
    ("redis_socket_connect_timeout", SECONDS, None, "Wait for a connection."),
    ("redis_socket_keepalive", SWITCH, False, "TCP keepalive."),
    ("redis_retry_on_timeout", SWITCH, False, "Try again after a timeout."),
    ("redis_client_name", TEXT, None, "Name of the connections."),
    ("redis_backend_health_check_interval", SECONDS, None, "Check a connection that was idle for this long."),
    ("redis_backend_credential_provider", ANYTHING, None, "Source of user and password."),
)

# Stores that Celeriac does not have: what each part of a name means.
_FOREIGN: Final[dict[str, dict[str, Any]]] = {
    "arangodb": {"backend_settings": None},
    "azureblockblob": {
        "base_path": "",
        "connection_timeout": 20,
        "container_name": "celery",
        "read_timeout": 120,
        "retry_increment_base": 2,
        "retry_initial_backoff_sec": 2,
        "retry_max_attempts": 3,
    },
    "cache": {"backend": None, "backend_options": {}},
    "cassandra": {
        "auth_kwargs": None,
        "auth_provider": None,
        "bundle_path": None,
        "entry_ttl": None,
        "keyspace": None,
        "options": {},
        "port": None,
        "read_consistency": None,
        "servers": None,
        "table": None,
        "write_consistency": None,
    },
    "cosmosdbsql": {
        "collection_name": "celerycol",
        "consistency_level": "Session",
        "database_name": "celerydb",
        "max_retry_attempts": 9,
        "max_retry_wait_time": 30,
    },
    "couchbase": {"backend_settings": None},
    "database": {
        "engine_callback": None,
    },
    "dynamodb": {"endpoint_url": None},
    "elasticsearch": {"max_retries": None, "retry_on_timeout": None, "save_meta_as_text": True, "timeout": None},
    "gcs": {"base_path": "", "bucket": None, "project": None, "threadpool_maxsize": None, "ttl": 0},
    "mongodb": {"backend_settings": None},
    "s3": {
        "access_key_id": None,
        "base_path": None,
        "bucket": None,
        "endpoint_url": None,
        "region": None,
        "secret_access_key": None,
    },
}

_STORES: Final = tuple(
    row
    for store, parts in _FOREIGN.items()
    for part, default in parts.items()
    for row in _for(
        _NO_STORE, (f"{store}_{part}", ANYTHING, default, f"Celery's {store} result store: {part.replace('_', ' ')}.")
    )
)

ACCEPTED: Final[dict[str, tuple[Setting, ...]]] = {
    "Broker, accepted": _BROKER,
    "Tasks, accepted": _TASKS,
    "Results, accepted": _RESULTS,
    "Worker, accepted": _WORKER,
    "Scheduler": _SCHEDULING,
    "Control and events": _CONTROL,
    "Security, accepted": _SECURITY,
    "Redis as a result store": _REDIS_STORE,
    "Other result stores": _STORES,
}
