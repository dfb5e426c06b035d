"""Names that settings had before Celery 4, and the present name of each.

The rule: ``task_x`` was ``CELERY_X``, ``worker_x`` was ``CELERYD_X``, ``beat_x`` was ``CELERYBEAT_X``; other settings
had their name in capitals, some of them after ``CELERY_``. The table has what does not follow the rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from celeriac.core.settings_table import SETTINGS

_EXCEPTIONS: Final = {
    "CELERY_DISABLE_RATE_LIMITS": "worker_disable_rate_limits",
    "CELERY_EAGER_PROPAGATES_EXCEPTIONS": "task_eager_propagates",
    "CELERY_ENABLE_REMOTE_CONTROL": "worker_enable_remote_control",
    "CELERY_MAX_CACHED_RESULTS": "result_cache_max",
    "CELERY_MESSAGE_COMPRESSION": "task_compression",
    "CELERY_REDIRECT_STDOUTS": "worker_redirect_stdouts",
    "CELERY_REDIRECT_STDOUTS_LEVEL": "worker_redirect_stdouts_level",
    "CELERY_RESULT_DBURI": "database_url",
    "CELERY_RESULT_DB_SHORT_LIVED_SESSIONS": "database_short_lived_sessions",
    "CELERY_RESULT_DB_TABLENAMES": "database_table_names",
    "CELERY_RESULT_ENGINE_OPTIONS": "database_engine_options",
    "CELERY_SEND_EVENTS": "worker_send_task_events",
    "CELERY_SEND_TASK_SENT_EVENT": "task_send_sent_event",
    "CELERY_TASK_RESULT_EXPIRES": "result_expires",
    "CELERYD_TASK_SOFT_TIME_LIMIT": "task_soft_time_limit",
    "CELERYD_TASK_TIME_LIMIT": "task_time_limit",
    "CELERYD_WORKER_LOST_WAIT": "worker_lost_wait",
    "CELERYD_LOG_FORMAT": "worker_log_format",
    "CELERYD_TASK_LOG_FORMAT": "worker_task_log_format",
}
_OLD_PREFIXES: Final = {"task_": "CELERY_", "worker_": "CELERYD_", "beat_": "CELERYBEAT_"}
# Other names in capitals without CELERY_ may be anybody's: DATABASE_URL, TIMEZONE.
_BARE: Final = frozenset({"enable_utc", "result_accept_content"})


def _old_names(name: str) -> Iterator[str]:
    yield f"CELERY_{name.upper()}"
    for prefix, old in _OLD_PREFIXES.items():
        if name.startswith(prefix):
            yield old + name.removeprefix(prefix).upper()
            return
    if name.startswith("broker_") or name in _BARE:
        yield name.upper()


OLD_NAMES: Final[dict[str, str]] = {
    **{old: setting.name for setting in SETTINGS.values() if not setting.own for old in _old_names(setting.name)},
    **_EXCEPTIONS,
}
"""Old name to present name."""

PREFIXES: Final = ("task_", "worker_", "broker_", "result_", "beat_")
"""How the names of settings begin that a module without a namespace may misspell."""
