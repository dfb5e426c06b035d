"""The path of one delivery: open, run, conclude.

:func:`open_call` decodes the message and finds the task; what cannot run gets its settlement there and then.
:func:`execute` (:func:`aexecute` for coroutines) runs the task's code with ``self.request`` in place, calls the hooks,
and returns the settlement. Nothing in here raises: whatever user code or a hostile message does, the delivery ends in
a settlement.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from celeriac.core.codec import decode_args
from celeriac.core.message import Delivery, Message, Refusal, Settlement, StoredResult
from celeriac.errors import DecodeError, NotRegistered
from celeriac.events import SecurityRefused, TaskDead, TaskParked, signals
from celeriac.execution import announce, capture, results, steps
from celeriac.execution.conclude import conclude, revoke
from celeriac.execution.context import DeliveredRequest, current_request
from celeriac.execution.outcome import Failed, Outcome, Revoked, Succeeded, classify
from celeriac.execution.record import Call
from celeriac.execution.runnable import Surroundings

REFUSAL_REST = 1.0
"""Seconds for which a message rests of which it could not be found out whether it may run."""


def open_call(delivery: Delivery, surroundings: Surroundings) -> Call | Settlement:
    """Return what is to be run, or the settlement of a delivery that is not to run."""
    if delivery.refusal is not None:
        return _refuse(delivery, delivery.refusal, surroundings)
    message = delivery.message
    if message is None:
        return _bury(delivery, surroundings, f"its stored bytes ({len(delivery.raw)}) are not a task message")
    task = surroundings.tasks.get(message.task)
    if task is None:
        return _park(delivery, message, surroundings)
    try:
        args, kwargs, embed = decode_args(
            message.body,
            message.content_type,
            message.content_encoding,
            compression=message.compression,
            accept=surroundings.accept,
        )
    except DecodeError as exc:
        return _bury(delivery, surroundings, f"its body cannot be decoded: {exc}", exc)
    request = DeliveredRequest(delivery, message, args=args, kwargs=kwargs, embed=embed, hostname=surroundings.hostname)
    if message.headers and capture.SCHEDULED in message.headers:
        capture.begin(request)
    call = Call(delivery, message, task, request)
    if delivery.cancelled:
        return revoke(call, surroundings, Revoked("revoked"))
    if message.expires is not None and message.expires <= surroundings.clock.now():
        return revoke(call, surroundings, Revoked("expired"))
    return call if delivery.given is None else _given(call, delivery.given, surroundings)


def _given(call: Call, given: dict[int, StoredResult], surroundings: Surroundings) -> Call | Settlement:
    """Put what the steps before it came to in front of a step's arguments, or end it where one of them failed."""
    message, request = call.message, call.request
    failure = steps.failure_given(given)
    if failure is not None:
        return steps.skip(call, surroundings, failure)
    place = message.place
    if place is not None and place.patience is not None:
        since = max((one.date_done or 0.0 for one in given.values()), default=0.0) + (place.delay or 0.0)
        if since + place.patience <= surroundings.clock.now():
            return revoke(call, surroundings, Revoked("expired"))
    try:
        request.args = call.args = (*steps.values_given(message, given, surroundings), *call.args)
    except DecodeError as exc:
        return conclude(call, surroundings, Failed(exc))
    return call


def execute(
    call: Call, surroundings: Surroundings, guard: Callable[[Callable[[], Any]], Any] | None = None
) -> Settlement:
    """Run a task and return its settlement.

    Args:
        call: What :func:`open_call` returned.
        surroundings: What all runs of the process share.
        guard: Called with the function that runs the task's code; time limits interrupt only inside it.
    """
    token = current_request.set(call.request)
    try:
        if signals.task_prerun.receivers:
            announce.prerun(call)
        outcome: Outcome
        try:
            call.started = surroundings.clock.monotonic()
            value = _invoke(call) if guard is None else guard(lambda: _invoke(call))
            outcome = Succeeded(value)
        except BaseException as exc:
            outcome = classify(call.task, call.request, exc)
        settlement = conclude(call, surroundings, outcome)
        if signals.task_postrun.receivers:
            announce.postrun(call, outcome, settlement)
        return settlement
    finally:
        current_request.reset(token)


async def aexecute(call: Call, surroundings: Surroundings, guard: Callable[[Any], Any] | None = None) -> Settlement:
    """Run a coroutine task and return its settlement; ``guard`` wraps the coroutine, as in :func:`execute`."""
    token = current_request.set(call.request)
    try:
        if signals.task_prerun.receivers:
            announce.prerun(call)
        outcome: Outcome
        try:
            call.started = surroundings.clock.monotonic()
            value = _invoke(call)
            if inspect.isawaitable(value):
                coroutine = value if inspect.iscoroutine(value) else _wait_for(value)
                value = await (coroutine if guard is None else guard(coroutine))
            outcome = Succeeded(value)
        except BaseException as exc:
            outcome = classify(call.task, call.request, exc)
        settlement = conclude(call, surroundings, outcome)
        if signals.task_postrun.receivers:
            announce.postrun(call, outcome, settlement)
        return settlement
    finally:
        current_request.reset(token)


async def _wait_for(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def _invoke(call: Call) -> Any:
    """Call the task's code with its arguments."""
    task = call.task
    args, kwargs = call.args, call.kwargs
    if task.converter is not None:
        args, kwargs = call.args, call.kwargs = task.converter.inbound(args, kwargs)
    if "before_start" in task.hooks:
        task.before_start(call.message.id, args, kwargs)
    return task(*args, **kwargs) if task.overrides_call else task.run(*args, **kwargs)


def _park(delivery: Delivery, message: Message, surroundings: Surroundings) -> Settlement:
    """Give a message of an unknown task back for later, or bury it when its window is over."""
    now = surroundings.clock.now()
    since = message.parked_at
    if since is None or not since <= now:  # A message may say anything, even that it is parked from tomorrow on.
        since = now
    left = since + surroundings.unknown_window - now
    if left <= 0:
        reason = (
            f"no worker knew task {message.task!r} for {surroundings.unknown_window:.0f} s"
            " (setting worker_unknown_task_window)"
        )
        return _bury(delivery, surroundings, reason, NotRegistered(message.task))
    delay = min(surroundings.unknown_delay, left)
    if signals.task_unknown.receivers and message.parked_at is None:  # Not again at each further look.
        announce.unknown(message, NotRegistered(message.task), surroundings)
    surroundings.bus.emit(TaskParked(message.id, message.task, delay, left))
    return Settlement(
        lease=delivery.lease,
        action="release",
        message=msgspec.structs.replace(message, parked_at=since),
        due=now + delay,
        reason="unknown task",
        arrival=steps.if_revoked(message),
    )


def _refuse(delivery: Delivery, refusal: Refusal, surroundings: Surroundings) -> Settlement:
    """Bury a message that is none of this app's, or give back one of which that could not be found out.

    No result is stored: one of a task that did run, under the id that a copy of its message has, must stay.
    """
    name = delivery.message.task if delivery.message is not None else "?"
    if not refusal.final:
        due = surroundings.clock.now() + REFUSAL_REST
        return Settlement(lease=delivery.lease, action="release", due=due, reason=refusal.reason)
    reason = f"refused: {refusal.reason}"
    if signals.task_rejected.receivers:
        announce.rejected(delivery, None, surroundings)
    surroundings.bus.emit(SecurityRefused("message", delivery.lease.id, name, refusal.reason))
    surroundings.bus.emit(TaskDead(delivery.lease.id, name, reason))
    return Settlement(lease=delivery.lease, action="dead", reason=reason)


def _bury(delivery: Delivery, surroundings: Surroundings, reason: str, exc: BaseException | None = None) -> Settlement:
    """Make a dead letter of a delivery that cannot run."""
    if signals.task_rejected.receivers:
        announce.rejected(delivery, exc, surroundings)
    name = delivery.message.task if delivery.message is not None else "?"
    surroundings.bus.emit(TaskDead(delivery.lease.id, name, reason))
    message = delivery.message
    parked = message is not None and message.parked_at is not None
    settlement = Settlement(
        lease=delivery.lease,
        action="dead",
        # A dead letter that a person puts back gets the whole window again.
        message=msgspec.structs.replace(message, parked_at=None) if message is not None and parked else None,
        reason=reason,
        result=results.dead(delivery, surroundings, exc if exc is not None else DecodeError(reason)),
    )
    return settlement if message is None else steps.arriving(settlement, message)
