"""The states of a task and the only table of transitions between them.

Every change of state in every driver is a row of :data:`TRANSITIONS`; the diagram in the documentation is generated
from the table (``scripts/state_diagram.py``), and the drivers' property tests walk it.

Celery's names are kept. Two are added: SCHEDULED is a task that waits for its time in the broker, DEAD is a task that
was given up and is kept, with the reason, for a person to look at.
"""

from __future__ import annotations

from typing import Final

PENDING: Final = "PENDING"
SCHEDULED: Final = "SCHEDULED"
RECEIVED: Final = "RECEIVED"
STARTED: Final = "STARTED"
RETRY: Final = "RETRY"
SUCCESS: Final = "SUCCESS"
FAILURE: Final = "FAILURE"
REVOKED: Final = "REVOKED"
REJECTED: Final = "REJECTED"
IGNORED: Final = "IGNORED"
DEAD: Final = "DEAD"

ALL_STATES: Final = frozenset(
    {PENDING, SCHEDULED, RECEIVED, STARTED, RETRY, SUCCESS, FAILURE, REVOKED, REJECTED, IGNORED, DEAD}
)
READY_STATES: Final = frozenset({SUCCESS, FAILURE, REVOKED, REJECTED, IGNORED, DEAD})
"""States in which a task is over."""
UNREADY_STATES: Final = ALL_STATES - READY_STATES
PROPAGATE_STATES: Final = frozenset({FAILURE, REVOKED, REJECTED, DEAD})
"""States for which ``AsyncResult.get()`` raises."""
EXCEPTION_STATES: Final = frozenset({RETRY, FAILURE, REVOKED, REJECTED, DEAD})
"""States whose stored value is an exception."""
WAITING_STATES: Final = frozenset({PENDING, SCHEDULED, RETRY})
"""States in which the broker holds the task and no worker owns it."""
OWNED_STATES: Final = frozenset({RECEIVED, STARTED})
"""States in which a worker owns the task under a lease."""

TRANSITIONS: Final[dict[tuple[str, str], str]] = {
    # (state, event): next state
    ("", "enqueued"): PENDING,
    ("", "scheduled"): SCHEDULED,
    (SCHEDULED, "promoted"): PENDING,
    (RETRY, "promoted"): PENDING,
    (PENDING, "claimed"): RECEIVED,
    (RECEIVED, "started"): STARTED,
    # A worker need not tell the store that it started a task before it tells how the task ended.
    (RECEIVED, "succeeded"): SUCCESS,
    (STARTED, "succeeded"): SUCCESS,
    (RECEIVED, "failed"): FAILURE,
    (STARTED, "failed"): FAILURE,
    (RECEIVED, "retried"): RETRY,
    (STARTED, "retried"): RETRY,
    (RECEIVED, "released"): PENDING,
    (STARTED, "released"): PENDING,
    (RECEIVED, "parked"): SCHEDULED,
    (STARTED, "parked"): SCHEDULED,
    (RECEIVED, "ignored"): IGNORED,
    (STARTED, "ignored"): IGNORED,
    (RECEIVED, "rejected"): REJECTED,
    (STARTED, "rejected"): REJECTED,
    (RECEIVED, "buried"): DEAD,
    (STARTED, "buried"): DEAD,
    (RECEIVED, "lost"): PENDING,
    (STARTED, "lost"): PENDING,
    (PENDING, "revoked"): REVOKED,
    (SCHEDULED, "revoked"): REVOKED,
    (RETRY, "revoked"): REVOKED,
    (RECEIVED, "revoked"): REVOKED,
    (STARTED, "revoked"): REVOKED,
    (DEAD, "revived"): PENDING,
}

EVENTS: Final = tuple(dict.fromkeys(event for _, event in TRANSITIONS))


def after(state: str, event: str) -> str:
    """Return the state that follows ``state`` on ``event``.

    Raises:
        ValueError: The table has no such transition.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise ValueError(f"no transition from {state or 'nothing'} on {event!r}") from None
