"""The part of a task that asks to be tried again, or to run again later."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn, Unpack

from celeriac.app import announcing, times
from celeriac.app.canvas import Signature
from celeriac.app.options import check_send_names
from celeriac.app.running import Running
from celeriac.app.sending import keywords, positional
from celeriac.core.ids import follow_up_id
from celeriac.errors import MaxRetriesExceededError, Retry
from celeriac.execution.context import Request

if TYPE_CHECKING:
    from celeriac.app.options import ResendOptions
    from celeriac.core.retry import RetryPolicy


class Retrying(Running):
    """``self.retry()``."""

    retry_policy: RetryPolicy

    def retry(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        exc: BaseException | None = None,
        throw: bool = True,
        eta: datetime | None = None,
        countdown: float | None = None,
        max_retries: int | None = None,
        **options: Unpack[ResendOptions],
    ) -> Retry:
        """Try the task again later: raise Retry, which tells the worker to.

        The worker finishes this try and schedules the next one in a single step; it keeps the task id.

        Args:
            args: New positional arguments; default: the same.
            kwargs: New keyword arguments; default: the same.
            exc: Why; stored as the reason, and raised when there are no tries left. Default: the exception being
                handled.
            throw: False returns the Retry; the task is tried again when it returns.
            eta: When to try again.
            countdown: Seconds until then. Default: what the task's backoff says, else ``default_retry_delay``.
            max_retries: How often at most; default: the task's.
            **options: As for ``apply_async``: ``queue``, ``priority``, ``expires``, ``headers``, ...

        Raises:
            Retry: Always, unless ``throw`` is False.
            MaxRetriesExceededError: There are no tries left and no ``exc`` was given.
            BaseException: ``exc``: there are no tries left, or the task was called like a function.
        """
        request = self.request
        handled = sys.exc_info()[1]
        cause = handled if exc is None else exc
        if request.called_directly:
            # There is no message to try again: what went wrong is the caller's to see.
            _raise(cause or Retry("the task was called like a function, so it cannot be retried"), handled)
        limit = self.retry_policy.max_retries if max_retries is None else max_retries
        if limit is not None and request.retries >= limit:
            if exc is not None:
                _raise(exc, handled)
            raise MaxRetriesExceededError(
                f"task {self.name}[{request.id}] was retried {request.retries} times, which is its limit"
                f" (max_retries={limit}); args {request.args!r:.200} kwargs {request.kwargs!r:.200}"
            )
        given: dict[str, Any] = {**options}
        check_send_names(given, f"retry of task {self.name!r}")
        if given.get("task_id") not in (None, request.id):
            raise TypeError(f"retry of task {self.name!r} keeps the task id: leave task_id= out, or send a new task")
        retry = Retry(exc=cause, when=self._due(eta, countdown, request), is_eager=request.is_eager)
        retry.sig = self._again(request, args, kwargs, given)
        if not throw:
            request.pending_retry = retry
            return retry
        raise retry from exc

    def reschedule(
        self,
        countdown: float | timedelta | None = None,
        *,
        eta: datetime | None = None,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[ResendOptions],
    ) -> str | None:
        """Let this task run again, later and as another task: one that goes on for ever.

        The next one is sent in the same step that finishes this one, whatever comes of it: a return, an exception, a
        rejection. A run that is lost with its process is repeated, and asks again; the id of the next one follows from
        this one's, so there is one next all the same. Being revoked ends the chain, as do a hard time limit and
        becoming a dead letter for killing its workers: there nothing is left of what the run asked for. Nothing follows
        a retry: the next try asks again. The last call in a run counts.

        Args:
            countdown: Seconds from this call until the next run; default: at once.
            eta: The time of the next run instead.
            args: Positional arguments; default: the same.
            kwargs: Keyword arguments; default: the same.
            **options: As for ``apply_async``; queue, priority and headers are as this run's by default.

        Returns:
            The id of the next one; None where there is none, because the task was called like a function or runs
            eagerly.

        Raises:
            TypeError, InvalidTaskError: As ``apply_async``.
        """
        request = self.request
        message = request.message
        if request.called_directly or request.is_eager or message is None or request.id is None:
            return None
        given: dict[str, Any] = {"queue": message.queue, "priority": message.priority, **options}
        if message.headers:
            given.setdefault("headers", message.headers)
        given["task_id"] = follow_up_id(request.id, "next")
        given["countdown"], given["eta"] = countdown, eta
        positionals = request.args if args is None else positional(args, self.name)
        named = request.kwargs if kwargs is None else keywords(kwargs, self.name)
        plan = self.app.publisher.plan(self.name)
        following = announcing.before_follow_up(plan, plan.message(tuple(positionals), dict(named), given), given)
        request.following = (following,)
        return following.id

    def _due(self, eta: datetime | None, countdown: float | None, request: Request) -> float | datetime:
        if eta is not None:
            times.not_before(countdown, eta, now=0.0, zone=self.app.timezone)
            return eta
        if countdown is not None:
            return max(0.0, times.seconds(countdown, "countdown"))
        return self.retry_policy.delay(request.retries, self.app.rng)

    def _again(
        self,
        request: Request,
        args: Iterable[Any] | None,
        kwargs: Mapping[str, Any] | None,
        options: dict[str, Any],
    ) -> Signature:
        """Return the signature of the next try; it is marked if it differs from this one."""
        again = Signature(
            self.name,
            request.args if args is None else positional(args, self.name),
            request.kwargs if kwargs is None else keywords(kwargs, self.name),
            options,
            app=self.app,
        )
        again.changed = args is not None or kwargs is not None or bool(options)
        return again


def _raise(exc: BaseException, handled: BaseException | None) -> NoReturn:
    if handled is None or handled is exc:
        raise exc
    raise exc from handled
