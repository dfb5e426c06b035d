"""The assertions of a kit: what was sent, and what was run."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, TypeVar, Unpack

from celeriac.testing.kit.matching import Matcher, expected, nearest
from celeriac.testing.kit.records import Call, Enqueued, Ran

if TYPE_CHECKING:
    from celeriac.app import Celeriac
    from celeriac.app.task import Task

C = TypeVar("C", bound=Call)
AnyTask: TypeAlias = "Task[..., Any] | str"


class AnyCall(TypedDict, total=False):
    """What may be said of a call; what is left out may be anything.

    Attributes:
        args, kwargs: All its arguments. Whether one was passed by place or by name does not matter, and they are
            compared as a worker reads them, so that a tuple equals the list that JSON makes of it.
        where: Some of its arguments, by the names of the task's parameters.
        id: The task id.
        queue: The queue's name.
        priority: 0 to 9.
        headers: All its headers.
    """

    args: Iterable[Any]
    kwargs: Mapping[str, Any]
    where: Mapping[str, Any]
    id: str
    queue: str
    priority: int
    headers: Mapping[str, Any]


class SentCall(AnyCall, total=False):
    """What may be said of a call that was sent.

    Attributes:
        countdown: Seconds or a timedelta from when it was sent; None: it was sent to run at once.
        eta: A datetime, without a time zone in UTC; None: at once.
        expires: A datetime, without a time zone in UTC; None: never.
    """

    countdown: timedelta | float | None
    eta: datetime | None
    expires: datetime | None


class RunCall(AnyCall, total=False):
    """What may be said of a run.

    Attributes:
        state: How it ended: SUCCESS, FAILURE, RETRY, REVOKED, REJECTED, IGNORED, DEAD, PENDING. Left out: any way, if
            the task's code ran.
        value: What it returned.
        exception: What it raised: a class, or an exception that is equal.
        retries: How often the task had been tried before.
    """

    state: str
    value: Any
    exception: type[BaseException] | BaseException | None
    retries: int


class Asserting(abc.ABC):
    """Looks at what was sent and at what was run, since the kit was started or cleared."""

    app: Celeriac

    @abc.abstractmethod
    def sent(self) -> Sequence[Enqueued]:
        """Return every call that was sent."""

    @abc.abstractmethod
    def ended(self) -> Sequence[Ran]:
        """Return every run that ended, and the end of every task that was not to run."""

    def enqueued(self, task: AnyTask | None = None, **wanted: Unpack[SentCall]) -> list[Enqueued]:
        """Return the calls that were sent, oldest first: by the test, by tasks, by schedules, and steps of workflows
        as soon as they could run. What has run meanwhile is among them.

        Args:
            task: The task or its name; None: all.
            **wanted: See :class:`SentCall`.
        """
        calls = self.sent()
        return list(calls) if task is None else _fitting(Matcher(self.app, expected(task, SentCall, wanted)), calls)

    def assert_enqueued(self, task: AnyTask, *, count: int | None = None, **wanted: Unpack[SentCall]) -> list[Enqueued]:
        """Pass if the task was sent like this, and return the calls.

        Args:
            task: The task or its name.
            count: How often; None: at least once.
            **wanted: See :class:`SentCall`.

        Raises:
            AssertionError: It was not, or not as often; the text shows what was sent instead.
        """
        return _assert(Matcher(self.app, expected(task, SentCall, wanted)), self.sent(), count, "enqueued")

    def refute_enqueued(self, task: AnyTask, **wanted: Unpack[SentCall]) -> None:
        """Pass if the task was not sent like this.

        Args:
            task: The task or its name.
            **wanted: See :class:`SentCall`.

        Raises:
            AssertionError: It was; the text shows the calls.
        """
        _refute(Matcher(self.app, expected(task, SentCall, wanted)), self.sent(), "enqueued")

    def ran(self, task: AnyTask | None = None, **wanted: Unpack[RunCall]) -> list[Ran]:
        """Return the runs that ended, oldest first; each try of a task is one.

        Args:
            task: The task or its name; None: all.
            **wanted: See :class:`RunCall`.
        """
        runs = self.ended()
        return list(runs) if task is None else _fitting(Matcher(self.app, _run(task, wanted)), runs)

    def assert_ran(self, task: AnyTask, *, count: int | None = None, **wanted: Unpack[RunCall]) -> list[Ran]:
        """Pass if a run of the task ended like this, and return the runs.

        Args:
            task: The task or its name.
            count: How often; None: at least once.
            **wanted: See :class:`RunCall`.

        Raises:
            ValueError: No run ends in that state.
            AssertionError: None did, or not as many; the text shows those that ran.
        """
        return _assert(Matcher(self.app, _run(task, wanted)), self.ended(), count, "run")

    def refute_ran(self, task: AnyTask, **wanted: Unpack[RunCall]) -> None:
        """Pass if no run of the task ended like this.

        Args:
            task: The task or its name.
            **wanted: See :class:`RunCall`.

        Raises:
            ValueError: No run ends in that state.
            AssertionError: One did; the text shows it.
        """
        _refute(Matcher(self.app, _run(task, wanted)), self.ended(), "run")


def _run(task: AnyTask, wanted: RunCall) -> Any:
    found = expected(task, RunCall, wanted)
    return found if "state" in wanted else found.with_option("started", True)


def _fitting(matcher: Matcher, calls: Sequence[C]) -> list[C]:
    return [one for one in calls if matcher.fits(one)]


def _assert(matcher: Matcher, calls: Sequence[C], count: int | None, what: str) -> list[C]:
    found = _fitting(matcher, calls)
    if (count is None and found) or len(found) == count:
        return found
    often = "" if count is None else f" {count} times but {len(found)}"
    raise AssertionError(f"{matcher.wanted} was not {what}{often}.\n{nearest(matcher, calls, what=what)}")


def _refute(matcher: Matcher, calls: Sequence[C], what: str) -> None:
    found = _fitting(matcher, calls)
    if found:
        shown = "\n".join(f"  {one!r}" for one in found)
        raise AssertionError(f"{matcher.wanted} was {what}, and should not be:\n{shown}")


def moment(until: datetime | timedelta | float, now: float) -> float:
    """Return a moment in seconds since the epoch.

    Args:
        until: A datetime (without a time zone it is in UTC), or from now: a timedelta, or seconds.
        now: The time.

    Raises:
        TypeError: It is none of these.
        ValueError: It is over already.
    """
    if not isinstance(until, datetime | timedelta | float | int):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"expected a datetime, a timedelta or seconds, not {until!r:.200}")
    if isinstance(until, datetime):
        aware = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
        found = aware.timestamp()
    else:
        found = now + (until.total_seconds() if isinstance(until, timedelta) else until)
    if found < now:
        raise ValueError(f"{until!r} is in the past: the kit's clock never goes back")
    return found
