"""What a kit tells of tasks: calls that were sent, and runs that ended. Values, to be looked at in tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final

from celeriac.core import state
from celeriac.core.codec import decode_args
from celeriac.core.codec.reprs import saferepr
from celeriac.core.message import Message

ENDS: Final = (*sorted(state.READY_STATES), state.PENDING, state.RETRY)
"""How a run can end."""
_LEVELS = 6


class Call:
    """A task with its arguments, as they were sent.

    Attributes:
        message: The message.
    """

    def __init__(self, message: Message) -> None:
        self.message = message

    @cached_property
    def _parts(self) -> tuple[Any, Any, Mapping[str, Any]]:
        one = self.message
        return decode_args(
            one.body,
            one.content_type,
            one.content_encoding,
            compression=one.compression,
            accept=frozenset({one.content_type}),
        )

    @property
    def id(self) -> str:
        """The task id."""
        return self.message.id

    @property
    def task(self) -> str:
        """The task's name."""
        return self.message.task

    @property
    def args(self) -> tuple[Any, ...]:
        """Positional arguments, as a worker reads them: JSON has made lists of tuples."""
        return tuple(self._parts[0])

    @property
    def kwargs(self) -> dict[str, Any]:
        """Keyword arguments, as a worker reads them."""
        return dict(self._parts[1])

    @property
    def queue(self) -> str:
        """The queue it was sent to."""
        return self.message.queue

    @property
    def priority(self) -> int:
        """From 0 to 9; the greater one is the more urgent."""
        return self.message.priority

    @property
    def headers(self) -> dict[str, Any]:
        """Headers of the call."""
        return self.message.headers

    @property
    def text(self) -> str:
        """The call as it could be written."""
        parts = [saferepr(one, levels=_LEVELS) for one in self.args]
        parts += [f"{name}={saferepr(one, levels=_LEVELS)}" for name, one in self.kwargs.items()]
        return f"{self.task}({', '.join(parts)})"


class Enqueued(Call):
    """A call that was sent.

    Attributes:
        at: When, in UTC.
    """

    def __init__(self, message: Message, at: float) -> None:
        super().__init__(message)
        self.at = datetime.fromtimestamp(at, UTC)
        self._at = at

    @property
    def eta(self) -> datetime | None:
        """When it is to run at the earliest, in UTC; None: at once."""
        return None if self.message.eta is None else datetime.fromtimestamp(self.message.eta, UTC)

    @property
    def countdown(self) -> float | None:
        """Seconds from being sent to its eta; None: it was sent without."""
        return None if self.message.eta is None else self.message.eta - self._at

    @property
    def expires(self) -> datetime | None:
        """From when on it does not run any more, in UTC; None: it always may."""
        return None if self.message.expires is None else datetime.fromtimestamp(self.message.expires, UTC)

    def __repr__(self) -> str:
        more = [f"queue={self.queue!r}"]
        if self.priority:
            more.append(f"priority={self.priority}")
        if self.countdown is not None:
            more.append(f"countdown={self.countdown:g}")
        return f"<{self.text} {' '.join(more)}>"


@dataclass
class Told:
    """What the events of a run told of its end."""

    value: Any = None
    exception: BaseException | None = None
    expected: bool = False


class Ran(Call):
    """The end of one run, or of a task that was not to run.

    Attributes:
        state: SUCCESS, FAILURE, RETRY (it is tried again), REVOKED (or expired), REJECTED, IGNORED, DEAD (a dead
            letter), or PENDING (it went back to its queue).
        value: What the function returned.
        exception: What it raised, or why it was tried again.
        expected: The exception is one of the task's ``throws``.
        started: The task's code ran.
        reason: Why it is a dead letter, was revoked or was given back, in words.
        at: When, in UTC.
    """

    def __init__(
        self,
        message: Message,
        at: float,
        ended: str,
        *,
        told: Told,
        given: tuple[Any, Any] | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(message)
        if given is not None:  # With what the steps before it returned, where it is one of a workflow.
            self._parts = (*given, {})
        self.at = datetime.fromtimestamp(at, UTC)
        self.state = ended
        self.value = told.value
        self.exception = told.exception
        self.expected = told.expected
        self.started = given is not None
        self.reason = reason

    @property
    def retries(self) -> int:
        """How often the task had been tried before."""
        return self.message.retries

    @property
    def went_wrong(self) -> bool:
        """It failed for good, and with nothing that the task says it may raise."""
        return self.state in (state.FAILURE, state.DEAD) and not self.expected and self.exception is not None

    def __repr__(self) -> str:
        told = f" {self.exception!r}" if self.exception is not None else ""
        told = f" {saferepr(self.value, levels=_LEVELS)}" if self.state == state.SUCCESS else told
        return f"<{self.text} {self.state}{told}>"
