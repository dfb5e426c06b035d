"""Celery's signals, by name. What each is sent with stands in docs/reference/signals.md."""

from __future__ import annotations

from typing import Final

from celeriac.events.signal import Signal

_NO_EVENTLET: Final = "there is no eventlet pool; `async def` tasks and -P asyncio run many tasks at once"

# Sending.
before_task_publish: Final = Signal("before_task_publish")
after_task_publish: Final = Signal("after_task_publish")
task_sent: Final = Signal("task_sent", never="it is deprecated in Celery; connect to after_task_publish")

# Running.
task_received: Final = Signal("task_received")
task_prerun: Final = Signal("task_prerun")
task_postrun: Final = Signal("task_postrun")
task_success: Final = Signal("task_success")
task_retry: Final = Signal("task_retry")
task_failure: Final = Signal("task_failure")
task_internal_error: Final = Signal("task_internal_error")
task_revoked: Final = Signal("task_revoked")
task_rejected: Final = Signal("task_rejected")
task_unknown: Final = Signal("task_unknown")

# The worker.
celeryd_init: Final = Signal("celeryd_init")
celeryd_after_setup: Final = Signal("celeryd_after_setup")
import_modules: Final = Signal("import_modules")
worker_init: Final = Signal("worker_init")
worker_before_create_process: Final = Signal("worker_before_create_process")
worker_process_init: Final = Signal("worker_process_init")
worker_process_shutdown: Final = Signal("worker_process_shutdown")
worker_ready: Final = Signal("worker_ready")
worker_shutting_down: Final = Signal("worker_shutting_down")
worker_shutdown: Final = Signal("worker_shutdown")
heartbeat_sent: Final = Signal("heartbeat_sent")

# Logging.
setup_logging: Final = Signal("setup_logging")
after_setup_logger: Final = Signal("after_setup_logger")
after_setup_task_logger: Final = Signal("after_setup_task_logger")

# What has nothing here that could send it.
beat_init: Final = Signal("beat_init")
beat_embedded_init: Final = Signal("beat_embedded_init")
user_preload_options: Final = Signal("user_preload_options", never="commands take no options of the app's own")
eventlet_pool_started: Final = Signal("eventlet_pool_started", never=_NO_EVENTLET)
eventlet_pool_preshutdown: Final = Signal("eventlet_pool_preshutdown", never=_NO_EVENTLET)
eventlet_pool_postshutdown: Final = Signal("eventlet_pool_postshutdown", never=_NO_EVENTLET)
eventlet_pool_apply: Final = Signal("eventlet_pool_apply", never=_NO_EVENTLET)
