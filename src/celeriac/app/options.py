"""The options of ``@app.task`` and of ``apply_async``: their names, their types, and what is wrong with a bad one.

Every option is checked where it is given, at registration or at the call, so that no worker meets a bad one later.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypedDict, cast

from celeriac.app.narrowing import is_list
from celeriac.core.codec import compression_type, content_type_of
from celeriac.core.message import MAX_PRIORITY, MAX_QUEUE_BYTES
from celeriac.errors import CeleriacError, ImproperlyConfigured

if TYPE_CHECKING:
    from celeriac.app.canvas import Signature

Seconds = float | timedelta
Exceptions = type[BaseException] | Sequence[type[BaseException]]


class TaskOptions(TypedDict, total=False):
    """Options of ``@app.task``. What is left out follows the setting ``task_<option>`` where there is one.

    Attributes:
        name: The task's name; default ``module.function``.
        autoretry_for: Exceptions after which the task is tried again by itself.
        dont_autoretry_for: Exceptions among them after which it is not.
        max_retries: How often; None means without end. Default 3.
        default_retry_delay: Seconds between tries where there is no backoff. Default 180.
        retry_backoff: True or a factor in seconds: the delay doubles with each try.
        retry_backoff_max: Longest delay in seconds. Default 600.
        retry_jitter: Draw the delay at random between zero and its length. Default True.
        retry_kwargs: ``{"max_retries": ..., "countdown": ...}``, Celery's older way to say the two.
        acks_late: True (the default): the task runs again if its process dies. False: it runs at most once, and a
            process that dies is recorded as WorkerLostError.
        reject_on_worker_lost: False means at most once as well.
        ignore_result: The return value is not stored. A failure is.
        track_started: Tell the result store when the task starts.
        time_limit: Seconds after which the process that runs the task is killed.
        soft_time_limit: Seconds after which SoftTimeLimitExceeded is raised in the task.
        rate_limit: Most runs per unit of time: ``"10/s"``, ``"100/m"``, ``"5/h"``, or a number per second.
        expires: Seconds or a moment after which the task is not started any more.
        priority: 0 to 9; higher is more urgent.
        queue: Where the task is sent, unless ``task_routes`` or the call say otherwise.
        serializer, compression: How arguments are encoded.
        result_serializer: How the return value is encoded.
        typing: Check arguments against the signature at the call. Default True.
        throws: Exceptions that are expected: logged as information, without a traceback.
        pydantic: Convert arguments and return value by their annotations.
    """

    name: str | None
    autoretry_for: Exceptions
    dont_autoretry_for: Exceptions
    max_retries: int | None
    default_retry_delay: Seconds
    retry_backoff: bool | int | float
    retry_backoff_max: Seconds
    retry_jitter: bool
    retry_kwargs: Mapping[str, Any]
    acks_late: bool | None
    acks_on_failure_or_timeout: bool | None
    reject_on_worker_lost: bool | None
    ignore_result: bool | None
    store_errors_even_if_ignored: bool | None
    store_eager_result: bool | None
    track_started: bool | None
    send_events: bool
    trail: bool
    time_limit: Seconds | None
    soft_time_limit: Seconds | None
    rate_limit: str | int | float | None
    expires: Seconds | datetime | None
    priority: int | None
    queue: str | None
    exchange: str | None
    routing_key: str | None
    delivery_mode: int | str | None
    serializer: str | None
    compression: str | None
    result_serializer: str | None
    typing: bool
    throws: Exceptions
    pydantic: bool
    pydantic_strict: bool
    pydantic_context: Mapping[str, Any] | None
    pydantic_dump_kwargs: Mapping[str, Any] | None
    resultrepr_maxsize: int
    lazy: bool
    shared: bool


class ResendOptions(TypedDict, total=False):
    """Options of ``apply_async`` and of ``self.retry``.

    Attributes:
        task_id: At most 200 bytes; default a new UUID. Sending the same id twice, while it waits, sends one task.
        connection: A connection or session of the caller's, in whose transaction the task is sent: with its commit, or
            not at all. The broker must be in the same database, PostgreSQL or SQLite. See
            :meth:`celeriac.Celeriac.transaction`.
        expires: Seconds from now, or the moment, after which it is not started.
        queue: Where to send it.
        priority: 0 to 9; higher is more urgent.
        link: Signatures to run with the return value when it succeeds.
        link_error: Signatures to run when it fails.
        retry: Try again while the broker cannot be reached. Default: setting ``task_publish_retry``.
        retry_policy: ``max_retries``, ``interval_start``, ``interval_step``, ``interval_max`` for that.
        serializer, compression: How arguments are encoded.
        headers: What the task shall find in ``self.request.headers``.
        ignore_result: Overrides the task's option.
        time_limit, soft_time_limit: Override the task's, in seconds.
        shadow: The name to show in logs.
        root_id, parent_id: Default: of the task that sends.
        add_to_parent: List it among the sending task's children. Default True.
    """

    task_id: str | None
    producer: None
    connection: Any
    link: Signature | Mapping[str, Any] | Sequence[Signature | Mapping[str, Any]] | None
    link_error: Signature | Mapping[str, Any] | Sequence[Signature | Mapping[str, Any]] | None
    shadow: str | None
    expires: Seconds | datetime | None
    queue: str | None
    priority: int | None
    retry: bool | None
    retry_policy: Mapping[str, Any] | None
    serializer: str | None
    compression: str | None
    headers: Mapping[str, Any] | None
    ignore_result: bool | None
    time_limit: Seconds | None
    soft_time_limit: Seconds | None
    root_id: str | None
    parent_id: str | None
    group_id: str | None
    group_index: int | None
    exchange: str | None
    routing_key: str | None
    delivery_mode: int | str | None
    reply_to: str | None
    correlation_id: str | None
    retries: int
    argsrepr: str | None
    kwargsrepr: str | None
    add_to_parent: bool
    replaced_task_nesting: int
    stamped_headers: Sequence[str] | None


class SendOptions(ResendOptions, total=False):
    """Options of ``apply_async`` and ``send_task``: those of :class:`ResendOptions`, and when.

    Attributes:
        countdown: Seconds to wait before the task may run.
        eta: The moment before which it must not run; without a time zone it is read in the app's.
    """

    countdown: Seconds | None
    eta: datetime | float | None


SEND_NAMES: Final = frozenset(SendOptions.__annotations__)
TASK_NAMES: Final = frozenset(TaskOptions.__annotations__)


def check_send_names(options: Mapping[str, Any], what: str) -> None:
    """Pass if every option is one that ``apply_async`` knows, or a stamp named in ``stamped_headers``.

    Raises:
        TypeError: One is not.
    """
    unknown = options.keys() - SEND_NAMES
    if unknown:
        unknown -= set(stamp_names(options.get("stamped_headers")) or ())
    if unknown:
        name = sorted(unknown)[0]
        raise TypeError(f"{what} got an unknown option {name!r}{did_you_mean(name, SEND_NAMES | {'args', 'kwargs'})}")
    if options.get("producer") is not None:
        raise TypeError(f"{what} got producer=: leave it out, the app keeps one connection for the process")


def stamp_names(value: object) -> tuple[str, ...] | None:
    """Return the names that ``stamped_headers`` lists; None if it is no list of texts."""
    listed = (
        value if is_list(value) else tuple(cast("set[Any]", value)) if isinstance(value, (set, frozenset)) else None
    )
    if listed is None or not all(isinstance(one, str) for one in listed):
        return None
    return tuple(listed)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a proposal to put behind the mention of an unknown name."""
    near = difflib.get_close_matches(name, sorted(known), n=1)
    return f": did you mean {near[0]!r}?" if near else f"; known are {', '.join(sorted(known))}"


class Wrong(Exception):
    """An option's value is not valid; the text continues a sentence that names the option."""


def check_options(options: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """Return the options in their plain form: durations as float seconds, exceptions as tuples.

    Args:
        options: Any of :class:`TaskOptions`; others pass as they are.
        owner: What to call the task in errors, such as ``task 'proj.add'``.

    Raises:
        ImproperlyConfigured: An option's value is not valid.
    """
    found: dict[str, Any] = {}
    for name, value in options.items():
        check = _CHECKS.get(name)
        try:
            found[name] = value if check is None else check(value)
        except (Wrong, CeleriacError) as exc:
            raise ImproperlyConfigured(f"{owner}: {name}={value!r} {exc}") from None
    hard, soft = found.get("time_limit"), found.get("soft_time_limit")
    if hard is not None and soft is not None and soft >= hard:
        raise ImproperlyConfigured(
            f"{owner}: soft_time_limit={soft:g} must be shorter than time_limit={hard:g}, or it never acts"
        )
    return found


def _optional(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else check(value)


def flag(value: Any) -> bool:
    """Return a switch."""
    if not isinstance(value, bool):
        raise Wrong("must be True or False")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise Wrong("must be a text that is not empty")
    return value


def _duration(value: Any) -> float:
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not math.isfinite(number):
        raise Wrong("must be seconds (a finite number) or a timedelta")
    if number < 0:
        raise Wrong("must not be negative")
    return float(number)


def _limit(value: Any) -> float:
    found = _duration(value)
    if found == 0:
        raise Wrong("must be greater than zero; None means no limit")
    return found


def priority(value: Any) -> int:
    """Return a priority that brokers know."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_PRIORITY:
        raise Wrong(f"must be a whole number from 0 to {MAX_PRIORITY} (higher is more urgent)")
    return value


def queue_name(value: Any) -> str:
    """Return the name of a queue; a queue object stands for its name."""
    name = value if isinstance(value, str) else getattr(value, "name", None)
    if not isinstance(name, str) or not name or len(name.encode(errors="replace")) > MAX_QUEUE_BYTES:
        raise Wrong(f"must be the name of a queue, 1 to {MAX_QUEUE_BYTES} bytes")
    return name


def _exceptions(value: Any) -> tuple[type[BaseException], ...]:
    found = (value,) if isinstance(value, type) else value
    if not isinstance(found, (tuple, list, set, frozenset)):
        raise Wrong("must be a tuple of exception classes")
    classes = tuple(cast("Iterable[object]", found))
    for one in classes:
        if not (isinstance(one, type) and issubclass(one, BaseException)):
            raise Wrong(f"must hold exception classes, and {one!r} is none")
    return cast("tuple[type[BaseException], ...]", classes)


_RATE: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:/\s*([smh]))?\s*")
_UNIT_SECONDS: Final[Mapping[str | None, float]] = {None: 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def rate(value: Any) -> float:
    """Return runs per second, as ``rate_limit`` says them: ``"10/s"``, ``"100/m"``, ``"5/h"``, or a number."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0:
        return float(value)
    match = _RATE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise Wrong('must be a number of runs per second, or text such as "10/s", "100/m", "5/h"')
    return float(match[1]) / _UNIT_SECONDS[match[2]]


def _rate_limit(value: Any) -> Any:
    rate(value)
    return value


def _expires(value: Any) -> Any:
    return value if isinstance(value, datetime) else _duration(value)


def serializer(value: Any) -> str:
    """Return the name of a serializer."""
    name = _text(value)
    content_type_of(name)
    return name


def compression(value: Any) -> str:
    """Return the name of a compression."""
    name = _text(value)
    compression_type(name)
    return name


def _retry_kwargs(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise Wrong("must be a dictionary")
    found = dict(cast("Mapping[str, Any]", value))
    unknown = found.keys() - {"max_retries", "countdown"}
    if unknown:
        raise Wrong(f"has an unknown key {min(unknown)!r}; known are max_retries and countdown")
    return found


_CHECKS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "name": _optional(_text),
    "autoretry_for": _exceptions,
    "dont_autoretry_for": _exceptions,
    "throws": _exceptions,
    "retry_kwargs": _retry_kwargs,
    "time_limit": _optional(_limit),
    "soft_time_limit": _optional(_limit),
    "rate_limit": _optional(_rate_limit),
    "expires": _optional(_expires),
    "priority": _optional(priority),
    "queue": _optional(queue_name),
    "serializer": _optional(serializer),
    "result_serializer": _optional(serializer),
    "compression": _optional(compression),
    "acks_late": _optional(flag),
    "acks_on_failure_or_timeout": _optional(flag),
    "reject_on_worker_lost": _optional(flag),
    "ignore_result": _optional(flag),
    "store_errors_even_if_ignored": _optional(flag),
    "store_eager_result": _optional(flag),
    "track_started": _optional(flag),
    "typing": flag,
    "pydantic": flag,
    "trail": flag,
    "send_events": flag,
}
