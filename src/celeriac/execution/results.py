"""What is stored about a task, as StoredResult values.

A return value is stored unless the task or the message says ``ignore_result``; a failure is stored always, so that an
ignored result still leaves a record that a person can see.
"""

from __future__ import annotations

import os
from typing import Any, Final

from celeriac.core import state
from celeriac.core.codec import Encoded, encode, encode_exception
from celeriac.core.message import Delivery, Message, StoredResult
from celeriac.errors import SerializationError
from celeriac.execution import capture
from celeriac.execution.context import Request
from celeriac.execution.runnable import Surroundings

_TRACEBACK_END: Final = 100_000
"""How many of the last characters are kept of a traceback that is too long."""


def success(
    message: Message, request: Request, value: Any, *, serializer: str, runtime: float, surroundings: Surroundings
) -> StoredResult:
    """Return what is stored for a return value.

    Raises:
        SerializationError: The value cannot be encoded, or is too long to be stored.
    """
    encoded = encode(value, serializer)
    check_size(encoded.body, f"the result of task {message.task!r}", surroundings.result_max_bytes)
    return _stored(
        message,
        surroundings,
        state=state.SUCCESS,
        body=encoded.body,
        content_type=encoded.content_type,
        content_encoding=encoded.content_encoding,
        children=tuple(request.children),
        runtime=runtime,
        log=None if request.lines is None else capture.text_of(request),
    )


def failure(
    message: Message,
    surroundings: Surroundings,
    exc: BaseException,
    *,
    state_name: str = state.FAILURE,
    traceback: str | None = None,
    request: Request | None = None,
    runtime: float | None = None,
) -> StoredResult:
    """Return what is stored for an exception, in any of the states whose value is one."""
    encoded = encoded_failure(exc)
    if traceback is not None and len(traceback) > surroundings.result_max_bytes:
        traceback = f"...{traceback[-_TRACEBACK_END:]}"
    return _stored(
        message,
        surroundings,
        state=state_name,
        body=encoded.body,
        content_type=encoded.content_type,
        content_encoding=encoded.content_encoding,
        traceback=traceback,
        children=tuple(request.children) if request is not None else (),
        runtime=runtime,
        log=capture.text_of(request),
    )


def encoded_failure(exc: BaseException) -> Encoded:
    """Return what is stored of an exception."""
    return encode(encode_exception(exc), "json")


def check_size(body: bytes, what: str, most: int) -> None:
    """Check that a result is not too long to be stored.

    Args:
        body: As it would be stored.
        what: Its name in the error.
        most: The setting ``result_max_bytes``.

    Raises:
        SerializationError: It is.
    """
    if len(body) > most:
        raise SerializationError(
            f"{what} has {len(body):,} bytes, and setting result_max_bytes allows {most:,}: store it elsewhere and"
            " return a reference to it, or raise the setting"
        )


def started(message: Message, surroundings: Surroundings) -> StoredResult:
    """Return what is stored when a tracked task starts: the host and process, as Celery's meta has them."""
    encoded = encode({"pid": os.getpid(), "hostname": surroundings.hostname}, "json")
    return _stored(message, surroundings, state=state.STARTED, body=encoded.body)


def dead(delivery: Delivery, surroundings: Surroundings, exc: BaseException) -> StoredResult:
    """Return what is stored for a dead letter."""
    message = delivery.message
    if message is None:
        message = Message(id=delivery.lease.id, task="?")
    return failure(message, surroundings, exc, state_name=state.DEAD)


def _stored(message: Message, surroundings: Surroundings, **fields: Any) -> StoredResult:
    now = surroundings.clock.now()
    expires = surroundings.result_expires
    return StoredResult(
        id=message.id,
        date_done=now,
        task=message.task,
        args=message.argsrepr,
        kwargs=message.kwargsrepr,
        worker=surroundings.hostname,
        queue=message.queue,
        retries=message.retries,
        parent_id=message.parent_id,
        root_id=message.root_id,
        group=message.group,
        reply_to=message.reply_to,
        expires=None if expires is None else now + expires,
        **fields,
    )
