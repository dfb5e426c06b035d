"""What running a delivery needs: of a task, and of its surroundings.

These protocols are all that this package knows of the app above it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from celeriac.core.clock import Clock
from celeriac.core.codec import Converter
from celeriac.core.message import Message
from celeriac.core.retry import RetryPolicy, Rng
from celeriac.events import Bus
from celeriac.execution.context import Request


class Runnable(Protocol):
    """A task, as far as running it goes. ``App.task`` makes these."""

    name: str
    is_async: bool
    """``run`` is a coroutine function."""
    overrides_call: bool
    """A base class has its own ``__call__``, which must be called in place of ``run``."""
    converter: Converter | None
    """Converts arguments by annotation; None where there is nothing to convert."""
    retry_policy: RetryPolicy
    autoretry_for: tuple[type[BaseException], ...]
    dont_autoretry_for: tuple[type[BaseException], ...]
    throws: tuple[type[BaseException], ...]
    at_most_once: bool
    track_started: bool
    ignore_result: bool
    result_serializer: str
    result_expires: float | None
    time_limit: float | None
    soft_time_limit: float | None
    hooks: frozenset[str]
    """Names of the hooks that the task's class overrides; the others are not called."""

    @property
    def run(self) -> Callable[..., Any]: ...

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None: ...

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None: ...

    def on_failure(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None: ...

    def on_retry(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None: ...

    def after_return(self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None: ...


class FollowUps(Protocol):
    """Makes messages that follow from a finished one."""

    def callbacks(self, signatures: Sequence[Any], parent: Message, value: Any) -> tuple[Message, ...]:
        """Return the messages of ``link``: each gets the return value as its first argument."""
        ...

    def errback(
        self, one: Mapping[str, Any], place: int, parent: Message, failure: tuple[Request, BaseException, str | None]
    ) -> tuple[Message, ...]:
        """Return the messages of one of ``link_error``; calls one of the new style (request, exc, traceback) here."""
        ...

    def retry(self, request: Request, policy: RetryPolicy, retry: BaseException) -> tuple[Message, float]:
        """Return the message that tries the task again, and when it is due (seconds since the epoch)."""
        ...

    def members(self, request: Request) -> tuple[Message, tuple[Message, ...]]:
        """Return the message of a run that adds members to its chord, as it arrives then, and those of the members."""
        ...


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What all runs of a process share.

    Attributes:
        tasks: Registered tasks by name.
        hostname: The worker's node name.
        accept: Content types that may be decoded.
        result_accept: The same of what earlier steps of a workflow returned; None: the same ones.
        follow_ups: Makes callbacks, errbacks and retries.
        clock: Where time comes from.
        bus: Where events go.
        rng: Where chance comes from.
        stores_results: A result backend is configured.
        result_expires: Seconds after which a result is forgotten; None means never.
        result_max_bytes: Most bytes of an encoded result.
        delivery_limit: Runs lost to dying processes before a task becomes a dead letter.
        unknown_window: Seconds for which a message of an unknown task is parked before it becomes a dead letter.
        unknown_delay: Seconds between two looks at a parked message.
    """

    tasks: Mapping[str, Runnable]
    hostname: str
    accept: frozenset[str]
    follow_ups: FollowUps
    clock: Clock
    bus: Bus
    rng: Rng = msgspec.field(default_factory=random.Random)
    stores_results: bool = True
    result_expires: float | None = 86400.0
    result_max_bytes: int = 16 * 1024 * 1024
    result_accept: frozenset[str] | None = None
    delivery_limit: int = 3
    unknown_window: float = 300.0
    unknown_delay: float = 5.0
