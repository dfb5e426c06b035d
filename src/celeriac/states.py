"""The names of states, under Celery's name: ``from celeriac import states``."""

from celeriac.core.state import (
    ALL_STATES,
    DEAD,
    EXCEPTION_STATES,
    FAILURE,
    IGNORED,
    PENDING,
    PROPAGATE_STATES,
    READY_STATES,
    RECEIVED,
    REJECTED,
    RETRY,
    REVOKED,
    SCHEDULED,
    STARTED,
    SUCCESS,
    UNREADY_STATES,
)

__all__ = [
    "ALL_STATES",
    "DEAD",
    "EXCEPTION_STATES",
    "FAILURE",
    "IGNORED",
    "PENDING",
    "PROPAGATE_STATES",
    "READY_STATES",
    "RECEIVED",
    "REJECTED",
    "RETRY",
    "REVOKED",
    "SCHEDULED",
    "STARTED",
    "SUCCESS",
    "UNREADY_STATES",
]
