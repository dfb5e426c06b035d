"""From an outcome to the one settlement that carries it out.

Hooks run here, in the task's own context, before the settlement is sent. A hook or callback that raises is reported
and changes nothing. If what follows a success cannot be built (a value that cannot be encoded), the task has failed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celeriac.core import state
from celeriac.core.message import Delivery, Message, Settlement, StoredResult
from celeriac.errors import TaskError, TaskRevokedError
from celeriac.events import (
    TaskDead,
    TaskFailed,
    TaskIgnored,
    TaskRetried,
    TaskRevoked,
    TaskSucceeded,
    signals,
)
from celeriac.execution import announce, results, steps
from celeriac.execution.errbacks import errbacks, report
from celeriac.execution.outcome import (
    ExceptionInfo,
    Failed,
    Ignored,
    Outcome,
    Rejected,
    Retried,
    Revoked,
    Succeeded,
    format_traceback,
)
from celeriac.execution.record import Call, Replacement
from celeriac.execution.runnable import Surroundings

REQUEUE_DELAY = 1.0
"""Seconds for which a message rejected with ``requeue=True`` rests, so that it cannot spin."""


def conclude(call: Call, surroundings: Surroundings, outcome: Outcome) -> Settlement:
    """Return the settlement of a run that ended with this outcome."""
    message = call.message
    if call.request.replacement is not None and isinstance(outcome, Ignored):
        return _replaced(call, surroundings, call.request.replacement)
    settlement = _concluded(call, surroundings, outcome)
    return settlement if message.place is None else steps.arriving(settlement, message)


def _concluded(call: Call, surroundings: Surroundings, outcome: Outcome) -> Settlement:
    if type(outcome) is Succeeded:
        request = call.request
        if request.pending_retry is not None:
            outcome = Retried(request.pending_retry)
        else:
            try:
                return _succeeded(call, surroundings, outcome.value)
            except Exception as exc:
                outcome = Failed(exc, format_traceback(exc))
    match outcome:
        case Retried():
            return _retried(call, surroundings, outcome)
        case Ignored():
            surroundings.bus.emit(TaskIgnored(call.message.id, call.message.task))
            following = call.request.following
            return Settlement(lease=call.delivery.lease, action="done", state=state.IGNORED, follow_ups=following)
        case Rejected():
            return _rejected(call, surroundings, outcome)
        case Revoked():
            return revoke(call, surroundings, outcome)
        case Failed():
            return _failed(call, surroundings, outcome)
        case _:  # Succeeded was handled above.
            raise AssertionError(outcome)


def wants_result(call: Call, surroundings: Surroundings) -> bool:
    """Return whether the return value of this run is to be stored."""
    if not surroundings.stores_results:
        return False
    ignore = call.message.ignore_result
    return not (call.task.ignore_result if ignore is None else ignore)


def revoke(call: Call, surroundings: Surroundings, outcome: Revoked) -> Settlement:
    """Return the settlement of a task that is not to run, or was stopped."""
    message = call.message
    if signals.task_revoked.receivers:
        announce.revoked(call, outcome)
    surroundings.bus.emit(TaskRevoked(message.id, message.task, outcome.reason))
    stored = results.failure(
        message, surroundings, TaskRevokedError(outcome.reason), state_name=state.REVOKED, request=call.request
    )
    settlement = Settlement(lease=call.delivery.lease, action="done", result=stored, reason=outcome.reason)
    return steps.arriving(settlement, message)


def settle_crash(delivery: Delivery, surroundings: Surroundings, exc: BaseException) -> Settlement:
    """Return the settlement of a delivery whose run ended outside of every rule: it has failed with ``exc``."""
    message = delivery.message if delivery.message is not None else Message(id=delivery.lease.id, task="?")
    traceback = format_traceback(exc)
    if signals.task_internal_error.receivers:
        announce.internal_error(delivery, message, exc, surroundings)
    surroundings.bus.emit(TaskFailed(message.id, message.task, 0.0, exc, traceback))
    settlement = Settlement(
        lease=delivery.lease,
        action="done",
        result=results.failure(message, surroundings, exc, traceback=traceback),
    )
    return steps.arriving(settlement, message)


def _succeeded(call: Call, surroundings: Surroundings, value: Any) -> Settlement:
    message, task, request = call.message, call.task, call.request
    runtime = surroundings.clock.monotonic() - call.started
    follow_ups = request.following
    if request.embed and request.embed.get("callbacks"):
        follow_ups += surroundings.follow_ups.callbacks(request.embed["callbacks"], message, value)
    stored: StoredResult | None = None
    wanted = wants_result(call, surroundings)
    if wanted or message.place is not None:
        kept = value if task.converter is None else task.converter.dump_result(value)
        stored = results.success(
            message, request, kept, serializer=task.result_serializer, runtime=runtime, surroundings=surroundings
        )
    arrival = None
    if message.place is not None and stored is not None:
        arrives = message
        if request.members:
            arrives, members = surroundings.follow_ups.members(request)
            follow_ups += members
        arrival = steps.returned(arrives, stored, goes_on=bool(vars(request).get("chain", True)))
        stored = stored if wanted else None
    if task.hooks:
        _hook(call, surroundings, "on_success", lambda: task.on_success(value, message.id, call.args, call.kwargs))
    if signals.task_success.receivers:
        signals.task_success.send(task, result=value, runtime=runtime)
    if task.hooks:
        _after_return(call, surroundings, state.SUCCESS, value, None)
    bus = surroundings.bus
    if bus.wanted(TaskSucceeded):
        bus.emit(TaskSucceeded(message.id, message.task, runtime, value))
    lease = call.delivery.lease
    return Settlement(lease=lease, action="done", result=stored, follow_ups=follow_ups, arrival=arrival)


def _failed(call: Call, surroundings: Surroundings, outcome: Failed) -> Settlement:
    message, exc = call.message, outcome.exception
    runtime = surroundings.clock.monotonic() - call.started if call.started else 0.0
    _failure_hooks(call, surroundings, outcome)
    surroundings.bus.emit(
        TaskFailed(
            message.id,
            message.task,
            runtime,
            exc,
            outcome.traceback,
            outcome.expected,
            message.argsrepr,
            message.kwargsrepr,
        )
    )
    return Settlement(
        lease=call.delivery.lease,
        action="done",
        result=results.failure(
            message, surroundings, exc, traceback=outcome.traceback, request=call.request, runtime=runtime
        ),
        follow_ups=call.request.following + errbacks(call, surroundings, exc, outcome.traceback),
    )


def bury(call: Call, surroundings: Surroundings, exc: BaseException) -> Settlement:
    """Return the settlement of a task that is given up and kept as a dead letter."""
    message, reason = call.message, str(exc)
    _failure_hooks(call, surroundings, Failed(exc))
    surroundings.bus.emit(TaskDead(message.id, message.task, reason))
    settlement = Settlement(
        lease=call.delivery.lease,
        action="dead",
        reason=reason,
        result=results.failure(message, surroundings, exc, state_name=state.DEAD, request=call.request),
        follow_ups=call.request.following + errbacks(call, surroundings, exc, None),
    )
    return steps.arriving(settlement, message)


def _failure_hooks(call: Call, surroundings: Surroundings, outcome: Failed) -> None:
    task, exc = call.task, outcome.exception
    call.failed = outcome
    einfo = ExceptionInfo(exc, outcome.traceback)
    if task.hooks:
        _hook(
            call,
            surroundings,
            "on_failure",
            lambda: task.on_failure(exc, call.message.id, call.args, call.kwargs, einfo),
        )
    if signals.task_failure.receivers:
        announce.failure(call, outcome)
    if task.hooks:
        _after_return(call, surroundings, state.FAILURE, exc, einfo)


def _retried(call: Call, surroundings: Surroundings, outcome: Retried) -> Settlement:
    message, task, request = call.message, call.task, call.request
    try:
        again, due = surroundings.follow_ups.retry(request, task.retry_policy, outcome.retry)
    except Exception as exc:
        # Arguments given to retry() that cannot be encoded: the task cannot be tried again, so it has failed.
        return _failed(call, surroundings, Failed(exc, format_traceback(exc)))
    cause: BaseException = outcome.retry.exc if isinstance(outcome.retry.exc, BaseException) else outcome.retry
    if "on_retry" in task.hooks:
        einfo = ExceptionInfo(cause, outcome.traceback)
        _hook(call, surroundings, "on_retry", lambda: task.on_retry(cause, message.id, call.args, call.kwargs, einfo))
    if signals.task_retry.receivers:
        announce.retry(call, cause, outcome)
    delay = max(0.0, due - surroundings.clock.now())
    surroundings.bus.emit(
        TaskRetried(message.id, message.task, delay, again.retries, outcome.retry.exc, outcome.traceback)
    )
    stored = None
    if wants_result(call, surroundings):
        stored = results.failure(
            message, surroundings, cause, state_name=state.RETRY, traceback=outcome.traceback, request=request
        )
    lease, arrival = call.delivery.lease, steps.if_revoked(message)
    return Settlement(lease=lease, action="retry", message=again, due=due, result=stored, arrival=arrival)


def _replaced(call: Call, surroundings: Surroundings, replacement: Replacement) -> Settlement:
    """Return the settlement of a task whose place another takes, or a workflow, whose last step has its id."""
    lease, message = call.delivery.lease, call.message
    surroundings.bus.emit(TaskIgnored(message.id, message.task))
    if replacement.again is None:
        return Settlement(lease=lease, action="done", state=state.IGNORED, follow_ups=replacement.first)
    now, arrival = surroundings.clock.now(), steps.if_revoked(message)
    return Settlement(
        lease=lease,
        action="retry",
        message=replacement.again,
        due=now,
        follow_ups=replacement.first,
        arrival=arrival,
    )


def _rejection(outcome: Rejected) -> TaskError:
    """Return what a reader of the result gets: not Reject itself, which would reject a task that waits for this one."""
    return TaskError(f"rejected: {outcome.reason}")


def _rejected(call: Call, surroundings: Surroundings, outcome: Rejected) -> Settlement:
    message = call.message
    if outcome.requeue:
        return Settlement(
            lease=call.delivery.lease,
            action="release",
            due=surroundings.clock.now() + REQUEUE_DELAY,
            reason=outcome.reason,
            arrival=steps.if_revoked(message),
        )
    surroundings.bus.emit(TaskDead(message.id, message.task, outcome.reason))
    return Settlement(
        lease=call.delivery.lease,
        action="dead",
        reason=outcome.reason,
        result=results.failure(
            message, surroundings, _rejection(outcome), state_name=state.REJECTED, request=call.request
        ),
        follow_ups=call.request.following,
    )


def _after_return(call: Call, surroundings: Surroundings, status: str, value: Any, einfo: ExceptionInfo | None) -> None:
    _hook(
        call,
        surroundings,
        "after_return",
        lambda: call.task.after_return(status, value, call.message.id, call.args, call.kwargs, einfo),
    )


def _hook(call: Call, surroundings: Surroundings, name: str, invoke: Callable[[], None]) -> None:
    if name in call.task.hooks:
        try:
            invoke()
        except BaseException:  # sys.exit() in a hook is as harmless as any other failure of it.
            report(call, surroundings, name)
