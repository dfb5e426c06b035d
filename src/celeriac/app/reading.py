"""What a stored result says: its value, its exception, its meta.

A value is given the type that the task's return annotation names, where the task is registered here.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any, cast

from celeriac.app.narrowing import is_mapping
from celeriac.core import state
from celeriac.core.codec import decode
from celeriac.core.codec.exceptions import decode_exception
from celeriac.errors import CeleriacError, DecodeError

if TYPE_CHECKING:
    from celeriac.app.app import Celeriac
    from celeriac.core.message import StoredResult


class RemoteTraceback(CeleriacError):
    """The traceback of a task's exception, as the worker saw it; it stands behind the exception as its cause."""

    def __str__(self) -> str:
        return f"\n\n{self.args[0]}" if self.args else ""


def value_of(stored: StoredResult, app: Celeriac) -> Any:
    """Return the value, exception or meta.

    Raises:
        ContentDisallowed: ``result_accept_content`` (or ``accept_content``) does not have the content type.
        DecodeError: The bytes cannot be decoded.
    """
    try:
        value = decode(stored.body, stored.content_type, stored.content_encoding, accept=app.result_accept)
    except DecodeError as exc:
        raise type(exc)(f"the result of task {stored.id}: {exc}") from exc
    if stored.state in state.EXCEPTION_STATES:
        return _exception(value, stored)
    if stored.state == state.SUCCESS and stored.task is not None:
        task = app.tasks.get(stored.task)
        if task is not None and task.converter is not None:
            return task.converter.convert_result(value)
    return value


def meta_of(stored: StoredResult, app: Celeriac) -> dict[str, Any]:
    """Return the dictionary that ``on_message`` gets."""
    return {
        "task_id": stored.id,
        "status": stored.state,
        "result": value_of(stored, app),
        "traceback": stored.traceback,
        "children": list(stored.children),
        "date_done": moment_of(stored.date_done),
    }


def moment_of(seconds: float | None, zone: tzinfo = UTC) -> datetime | None:
    """Return a stored moment; None if there is none, or if the number is none that a calendar has."""
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, zone)
    except (ValueError, OverflowError, OSError):
        return None


def _exception(value: Any, stored: StoredResult) -> Any:
    """Return the exception, with the remote traceback as its cause; meta of the user's own where it is none."""
    if not is_mapping(value) or "exc_type" not in value:
        return cast("Any", value)
    found = decode_exception(value)
    if stored.traceback and found.__cause__ is None:
        found.__cause__ = RemoteTraceback(stored.traceback)
    return found
