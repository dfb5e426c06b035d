"""How often a task is tried again, and after how long.

One policy serves every path: ``self.retry()``, ``autoretry_for``, and a retry that the worker decides on. The names and
the formula are Celery's; unlike there, ``self.retry()`` honours the task's backoff too.
"""

from __future__ import annotations

from datetime import timedelta
from math import isfinite
from typing import Protocol

import msgspec

from celeriac.errors import ImproperlyConfigured

_MAX_DOUBLINGS = 1000
"""Beyond this a float is full; any maximum has been reached long before."""


class Rng(Protocol):
    """The part of :class:`random.Random` that is needed; tests pass a seeded one."""

    def random(self) -> float:
        """Return a number from 0.0 up to, not including, 1.0."""
        ...


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When a failed task is tried again. Made by :func:`retry_policy`, which checks the values.

    Attributes:
        max_retries: Retries after the first run; None means for ever.
        default_retry_delay: Seconds before a retry where there is no backoff.
        backoff: Factor in seconds of the exponential backoff; None means none.
        backoff_max: The longest delay of the backoff, in seconds.
        jitter: Draw each delay of the backoff at random between 0 and its value, so that tasks that failed together
            do not come back together.
    """

    max_retries: int | None = 3
    default_retry_delay: float = 180.0
    backoff: float | None = None
    backoff_max: float = 600.0
    jitter: bool = True

    def delay(self, retries: int, rng: Rng) -> float:
        """Return the seconds to wait before the next try.

        Args:
            retries: How often the task has been retried already, so 0 for the first retry.
            rng: Where chance comes from.
        """
        if self.backoff is None:
            return self.default_retry_delay
        longest = min(self.backoff_max, self.backoff * 2.0 ** min(max(retries, 0), _MAX_DOUBLINGS))
        return longest * rng.random() if self.jitter else longest

    def exhausted(self, retries: int) -> bool:
        """Return True if a task that has been retried so often must not be retried again."""
        return self.max_retries is not None and retries >= self.max_retries


def retry_policy(
    *,
    max_retries: object = 3,
    default_retry_delay: object = 180.0,
    backoff: object = False,
    backoff_max: object = 600.0,
    jitter: object = True,
    task: str = "",
) -> RetryPolicy:
    """Return a policy from the options of ``@app.task``.

    Args:
        max_retries: A whole number of at least 0, or None for no limit.
        default_retry_delay: Seconds (a number or a timedelta).
        backoff: False for none; True for a factor of 1 second; else the factor in seconds.
        backoff_max: Seconds (a number or a timedelta).
        jitter: True or False.
        task: The task's name, for errors.

    Raises:
        ImproperlyConfigured: A value is not of its type or out of range; the text names the option and the task.
    """
    where = f" of task {task!r}" if task else ""
    if max_retries is not None and (type(max_retries) is not int or max_retries < 0):
        raise ImproperlyConfigured(
            f"max_retries={max_retries!r}{where} must be a whole number of at least 0, or None to retry for ever"
        )
    if type(jitter) is not bool:
        raise ImproperlyConfigured(f"retry_jitter={jitter!r}{where} must be True or False")
    factor: float | None
    if backoff is False or backoff is None:
        factor = None
    else:
        factor = _seconds("retry_backoff", backoff, where, allowed="True, False or a number of seconds")
    return RetryPolicy(
        max_retries=max_retries,
        default_retry_delay=_seconds("default_retry_delay", default_retry_delay, where),
        backoff=factor or None,
        backoff_max=_seconds("retry_backoff_max", backoff_max, where),
        jitter=jitter,
    )


def _seconds(option: str, value: object, where: str, *, allowed: str = "a number of seconds or a timedelta") -> float:
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, (int, float)):
        seconds = float(value)
    else:
        raise ImproperlyConfigured(f"{option}={value!r}{where} must be {allowed}")
    if not isfinite(seconds) or seconds < 0:
        raise ImproperlyConfigured(f"{option}={value!r}{where} must not be negative or without end")
    return seconds
