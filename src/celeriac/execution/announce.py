"""The signals of a run, with Celery's arguments. Callers look for receivers first."""

from __future__ import annotations

import signal
from typing import Any, Final

from celeriac.core import state
from celeriac.core.message import Delivery, Message, Settlement
from celeriac.events import signals
from celeriac.execution.context import DeliveredRequest
from celeriac.execution.outcome import ExceptionInfo, Failed, Outcome, Retried, Revoked, Succeeded, format_traceback
from celeriac.execution.record import Call
from celeriac.execution.runnable import Surroundings

_BY_ACTION: Final = {"retry": state.RETRY, "dead": state.REJECTED, "release": state.REJECTED}


class Node:
    """The sender of signals whose sender is the worker.

    Args:
        hostname: The worker's node name.
        app: Its app; None in a child process, whose signals about messages know no app.
    """

    def __init__(self, hostname: str, app: Any = None) -> None:
        self.hostname = hostname
        self.app = app

    def __str__(self) -> str:
        return self.hostname

    def __repr__(self) -> str:
        return f"<Node: {self.hostname}>"


def prerun(call: Call) -> None:
    """Send task_prerun."""
    task = call.task
    signals.task_prerun.send(task, task_id=call.message.id, task=task, args=call.args, kwargs=call.kwargs)


def postrun(call: Call, outcome: Outcome, settlement: Settlement) -> None:
    """Send task_postrun; ``outcome`` is how the task's code ended."""
    if call.failed is not None:  # What it returned may turn out to be no result.
        outcome = call.failed
    retval: Any = None
    match outcome:
        case Succeeded(value):
            retval = value
        case Failed(exception):
            retval = exception
        case Retried(retry):
            retval = retry
        case _:
            pass
    task = call.task
    signals.task_postrun.send(
        task,
        task_id=call.message.id,
        task=task,
        args=call.args,
        kwargs=call.kwargs,
        retval=retval,
        state=_state(outcome, settlement),
    )


def _state(outcome: Outcome, settlement: Settlement) -> str:
    if isinstance(outcome, Failed):
        return state.FAILURE
    if isinstance(outcome, Revoked):
        return state.REVOKED
    return _BY_ACTION.get(settlement.action, settlement.state)


def failure(call: Call, outcome: Failed) -> None:
    """Send task_failure."""
    exc = outcome.exception
    signals.task_failure.send(
        call.task,
        task_id=call.message.id,
        exception=exc,
        args=call.args,
        kwargs=call.kwargs,
        traceback=exc.__traceback__,
        einfo=ExceptionInfo(exc, outcome.traceback),
    )


def retry(call: Call, cause: BaseException, outcome: Retried) -> None:
    """Send task_retry."""
    einfo = ExceptionInfo(cause, outcome.traceback)
    signals.task_retry.send(call.task, request=call.request, reason=outcome.retry, einfo=einfo)


def revoked(call: Call, outcome: Revoked) -> None:
    """Send task_revoked."""
    signals.task_revoked.send(
        call.task,
        request=call.request,
        terminated=outcome.terminated,
        signum=signal.SIGTERM if outcome.terminated else None,
        expired=outcome.reason == "expired",
    )


def received(delivery: Delivery, message: Message, surroundings: Surroundings) -> None:
    """Send task_received. The arguments are not decoded yet: the request has ``argsrepr`` and ``kwargsrepr``."""
    request = DeliveredRequest(delivery, message, args=None, kwargs=None, embed={}, hostname=surroundings.hostname)
    vars(request).update(
        name=message.task, task_name=message.task, argsrepr=message.argsrepr, kwargsrepr=message.kwargsrepr
    )
    signals.task_received.send(Node(surroundings.hostname), request=request)


def unknown(message: Message, exc: BaseException, surroundings: Surroundings) -> None:
    """Send task_unknown."""
    signals.task_unknown.send(Node(surroundings.hostname), message=message, exc=exc, name=message.task, id=message.id)


def rejected(delivery: Delivery, exc: BaseException | None, surroundings: Surroundings) -> None:
    """Send task_rejected; where the bytes are no message, ``message`` is the delivery, which has them."""
    message = delivery.message if delivery.message is not None else delivery
    signals.task_rejected.send(Node(surroundings.hostname), message=message, exc=exc)


def internal_error(delivery: Delivery, message: Message, exc: BaseException, surroundings: Surroundings) -> None:
    """Send task_internal_error."""
    request = DeliveredRequest(delivery, message, args=None, kwargs=None, embed={}, hostname=surroundings.hostname)
    signals.task_internal_error.send(
        surroundings.tasks.get(message.task),
        task_id=message.id,
        args=None,
        kwargs=None,
        request=request,
        exception=exc,
        traceback=exc.__traceback__,
        einfo=ExceptionInfo(exc, format_traceback(exc)),
    )
