"""What becomes of deliveries whose process died: the reasons, told apart.

A process may end because a task crashed it, because one of its tasks passed its hard time limit or was revoked, because
the worker shut down, or because it was stuck. Only the task that is to blame pays; the others go back to their queue
unmarked, unless they are at-most-once, which a killed run has used up.
"""

from __future__ import annotations

import signal
from typing import Literal, TypeAlias

import msgspec

from celeriac.brokers.port import Record
from celeriac.core.message import Delivery, Lease, Refusal, Settlement
from celeriac.errors import TimeLimitExceeded, WorkerLostError
from celeriac.execution.call import open_call
from celeriac.execution.conclude import bury, conclude
from celeriac.execution.outcome import Failed, Revoked
from celeriac.execution.record import Call
from celeriac.execution.runnable import Surroundings
from celeriac.execution.steps import if_revoked
from celeriac.worker.slots import Running

Cause: TypeAlias = Literal["crashed", "out of memory", "time limit", "revoked", "shutdown", "stuck"]
_LOST_RUN: frozenset[Cause] = frozenset({"crashed", "out of memory"})


class Death(msgspec.Struct, frozen=True, kw_only=True):
    """The end of one child process.

    Attributes:
        owner: The name it claimed under.
        pid: Its process id.
        cause: Why it ended.
        reason: The same in words.
        running: What it ran.
        culprit: Id of the task to blame, for ``time limit`` and ``revoked``.
        unsettled: What had ended in it without being settled, where it failed and said so. It counts as lost runs: a
            task that makes its process fail once it has ended must not do so for ever.
    """

    owner: str
    pid: int
    cause: Cause
    reason: str
    running: tuple[Running, ...] = ()
    culprit: str | None = None
    unsettled: tuple[Lease, ...] = ()


def describe_exit(code: int | None) -> str:
    """Return a process's exit code in words."""
    if code is None:
        return "is gone"
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was killed by signal {-code} ({signal.Signals(-code).name})"
    except ValueError:
        return f"was killed by signal {-code}"


def judge_death(death: Death, run: Running, record: Record, surroundings: Surroundings, limit: int) -> Settlement:
    """Return the settlement of a task that ran in a process that ended.

    Args:
        death: How the process ended.
        run: The run.
        record: The task's record at the broker.
        surroundings: What all runs share.
        limit: Lost runs that make a dead letter.
    """
    lease = run.lease(death.owner)
    refusal = None if record.refused is None else Refusal(record.refused)
    delivery = Delivery(record.message, lease, record.crashes, suspect=True, raw=record.raw, refusal=refusal)
    call = _reopen(delivery, surroundings)
    if isinstance(call, Settlement):
        return call
    if death.culprit == run.id and death.cause == "time limit":
        hard = call.time_limits[0]
        return conclude(call, surroundings, Failed(TimeLimitExceeded(f"hard time limit of {hard} s exceeded")))
    if death.culprit == run.id and death.cause == "revoked":
        return conclude(call, surroundings, Revoked("terminated", terminated=True))
    if call.task.at_most_once:
        return _lost(call, surroundings, death.reason)
    arrival = if_revoked(call.message)
    if death.cause in _LOST_RUN:
        if record.crashes + 1 >= limit:
            poisoned = _poison(call, surroundings, record.crashes + 1, death.reason)
            return msgspec.structs.replace(poisoned, crashed=True)
        return Settlement(lease=lease, action="release", crashed=True, reason=death.reason, arrival=arrival)
    return Settlement(lease=lease, action="release", reason=death.reason, arrival=arrival)


def judge_expired(delivery: Delivery, surroundings: Surroundings, limit: int) -> Settlement:
    """Return the settlement of a delivery whose owner's lease ran out and which must not simply run again."""
    call = _reopen(delivery, surroundings)
    if isinstance(call, Settlement):
        return call
    reason = f"the worker that ran it stopped renewing its lease ({delivery.crashes} run(s) lost)"
    if delivery.crashes >= limit:
        return _poison(call, surroundings, delivery.crashes, reason)
    return _lost(call, surroundings, reason)


def _reopen(delivery: Delivery, surroundings: Surroundings) -> Call | Settlement:
    """Open what has run already: that it has expired since then is no reason any more."""
    message = delivery.message
    if message is not None and message.expires is not None:
        delivery = msgspec.structs.replace(delivery, message=msgspec.structs.replace(message, expires=None))
    return open_call(delivery, surroundings)


def _lost(call: Call, surroundings: Surroundings, reason: str) -> Settlement:
    text = f"{reason}; the task is at-most-once (acks_late=False or reject_on_worker_lost=False) and does not run again"
    return conclude(call, surroundings, Failed(WorkerLostError(text)))


def _poison(call: Call, surroundings: Surroundings, crashes: int, reason: str) -> Settlement:
    text = f"killed its worker process {crashes} times (setting task_delivery_limit); the last time {reason}"
    return bury(call, surroundings, WorkerLostError(text))
