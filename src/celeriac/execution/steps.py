"""Steps of workflows: what they are given, and what the steps behind them are told.

A step that awaits others is claimed like any message. Whoever claims it reads what the others came to before it is
opened, and puts it into the delivery. If one of them failed the step does not run: it ends
with that failure, and hands it on.
"""

from __future__ import annotations

from typing import Any

import msgspec

from celeriac.core import state
from celeriac.core.codec import decode
from celeriac.core.codec.exceptions import decode_exception
from celeriac.core.message import Arrival, Delivery, Message, Place, Settlement, StoredResult
from celeriac.core.workflow import MEMBERS, PARTS, taken
from celeriac.errors import ChordError, TaskError, TaskRevokedError
from celeriac.events import TaskFailed
from celeriac.execution import results
from celeriac.execution.errbacks import errbacks
from celeriac.execution.record import Call
from celeriac.execution.runnable import Surroundings


def awaits(delivery: Delivery) -> bool:
    """Tell whether a delivery is a step that is given what others came to."""
    message = delivery.message
    return message is not None and message.place is not None and message.place.awaits is not None


def awaited(delivery: Delivery) -> tuple[str, int]:
    """Return the workflow and the join whose values a delivery is given; only of one that :func:`awaits` some."""
    message = delivery.message
    place = None if message is None else message.place
    if message is None or place is None or place.awaits is None:
        raise ValueError(f"task {delivery.lease.id} awaits no other")
    return message.workflow or "", place.awaits


def gone(workflow: str) -> StoredResult:
    """Return what stands for the values of a workflow that is not there any more."""
    blank = Message(id=workflow, task="?")
    return _told(blank, TaskRevokedError(f"workflow {workflow} was revoked or forgotten"), state.REVOKED)


def failure_given(given: dict[int, StoredResult]) -> StoredResult | None:
    """Return the failure among what a step is given."""
    return next((one for one in given.values() if one.state != state.SUCCESS), None)


def values_given(message: Message, given: dict[int, StoredResult], surroundings: Surroundings) -> tuple[Any, ...]:
    """Return what comes before the step's own arguments.

    Raises:
        DecodeError: A value cannot be read here.
    """
    place = message.place
    if place is None or place.takes is None:
        return ()
    accept = surroundings.result_accept or surroundings.accept
    values = {
        slot: decode(one.body, one.content_type, one.content_encoding, accept=accept) for slot, one in given.items()
    }
    return (taken(place.takes, values, {slot for slot, one in given.items() if one.task == MEMBERS}),)


def skip(call: Call, surroundings: Surroundings, failure: StoredResult) -> Settlement:
    """Return the settlement of a step that cannot run, because one before it failed.

    A step of a chain ends as the one before it did. The step behind a group fails with ChordError, and calls its own
    errbacks.
    """
    message = call.message
    follow_ups: tuple[Message, ...] = ()
    if message.place is not None and message.place.gathers:
        error = _chord_error(failure, surroundings)
        surroundings.bus.emit(TaskFailed(message.id, message.task, 0.0, error, failure.traceback, expected=True))
        stored = results.failure(message, surroundings, error, traceback=failure.traceback)
        follow_ups = errbacks(call, surroundings, error, failure.traceback)
    else:
        named = failure.state if failure.state == state.REVOKED else state.FAILURE
        blank = results.failure(message, surroundings, TaskError(""), state_name=named, traceback=failure.traceback)
        stored = msgspec.structs.replace(
            blank,
            body=failure.body,
            content_type=failure.content_type,
            content_encoding=failure.content_encoding,
        )
    settlement = Settlement(lease=call.delivery.lease, action="done", result=stored, follow_ups=follow_ups)
    # By its message whoever goes on after a fix finds the part in which something failed.
    of_part = message.place is not None and (message.place.awaits or 0) >= PARTS
    return arriving(settlement, message, again=of_part)


def _chord_error(failure: StoredResult, surroundings: Surroundings) -> ChordError:
    try:
        accept = surroundings.result_accept or surroundings.accept
        told = decode(failure.body, failure.content_type, failure.content_encoding, accept=accept)
        cause: object = decode_exception(told) if isinstance(told, dict) else told  # pyright: ignore[reportUnknownVariableType]
    except Exception as exc:
        cause = exc
    error = ChordError(f"Dependency {failure.id} raised {cause!r}")
    if isinstance(cause, BaseException):
        error.__cause__ = cause
    return error


def arriving(settlement: Settlement, message: Message, *, again: bool = True) -> Settlement:
    """Return the settlement with the arrival of a step that did not return; of any other as it is.

    Args:
        settlement: What its result says is what the steps behind it are told.
        message: The step.
        again: It failed itself, and may be tried again by hand; or what it awaits is in no graph.
    """
    place = message.place
    if place is None or settlement.arrival is not None or settlement.action not in ("done", "dead"):
        return settlement
    told = settlement.result
    if told is None:
        told = _told(message, TaskError(f"task {message.task}[{message.id}] ended without a value"), state.FAILURE)
    arrival = Arrival(
        workflow=message.workflow or "",
        join=place.join,
        slot=place.slot,
        result=slim(told),
        failed=True,
        message=message if again else None,
    )
    return msgspec.structs.replace(settlement, arrival=arrival)


def returned(message: Message, result: StoredResult, *, goes_on: bool = True) -> Arrival | None:
    """Return the arrival of a step that returned; None for a task that is none.

    Args:
        message: The step.
        result: What it returned.
        goes_on: False where it has ended the chain that it is in.
    """
    place = message.place
    if place is None:
        return None
    if not goes_on and place.then is not None and not place.shares:
        return _ended(message, place)
    return Arrival(workflow=message.workflow or "", join=place.join, slot=place.slot, result=slim(result))


def if_revoked(message: Message | None) -> Arrival | None:
    """Return what is to arrive if a message that is given back goes, because it was revoked; None if nothing waits."""
    if message is None or message.place is None:
        return None
    told = _told(message, TaskRevokedError("revoked"), state.REVOKED)
    place = message.place
    return Arrival(
        workflow=message.workflow or "", join=place.join, slot=place.slot, result=told, failed=True, message=message
    )


def _ended(message: Message, place: Place) -> Arrival:
    told = _told(message, TaskRevokedError(f"task {message.task}[{message.id}] ended the chain"), state.REVOKED)
    return Arrival(workflow=message.workflow or "", join=place.join, slot=place.slot, result=told, failed=True)


def _told(message: Message, exc: BaseException, state_name: str) -> StoredResult:
    encoded = results.encoded_failure(exc)
    return StoredResult(
        id=message.id,
        state=state_name,
        body=encoded.body,
        content_type=encoded.content_type,
        content_encoding=encoded.content_encoding,
        task=message.task,
    )


def slim(result: StoredResult) -> StoredResult:
    """Return what the steps behind need of a result."""
    return StoredResult(
        id=result.id,
        state=state.FAILURE if result.state in (state.DEAD, state.REJECTED) else result.state,
        body=result.body,
        content_type=result.content_type,
        content_encoding=result.content_encoding,
        traceback=result.traceback,
        date_done=result.date_done,
        task=result.task,
    )
