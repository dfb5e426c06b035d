"""The part of an app that has periodic tasks said in code: ``@app.periodic`` and ``app.add_periodic_task``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

from celeriac.app.canvas import Signature
from celeriac.app.hooks import AfterFork, Moment
from celeriac.app.registering import Registering
from celeriac.app.task import Task
from celeriac.errors import InvalidTaskError

T = TypeVar("T")
_NAME_BYTES = 200


class Periodic(Registering):
    """An app's periodic tasks that code says.

    Args:
        **options: See :class:`Registering`.

    Attributes:
        on_after_configure: Comes when the settings have been read and all tasks of the app are bound, with its first
            use. Functions connected to it may add periodic tasks; they are given the settings as ``source``.
        on_after_finalize: Comes right after that.
        on_after_fork: Comes in each child process of a worker, and in each process that is forked from one that has
            the app.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.on_after_configure = Moment(self)
        self.on_after_finalize = Moment(self)
        self.on_after_fork = AfterFork(self)
        self._periodic: dict[str, dict[str, Any]] = {}

    def add_periodic_task(
        self,
        schedule: Any,
        sig: Signature | Task[..., Any] | str,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        name: str | None = None,
        **options: Any,
    ) -> str:
        """Send a task periodically; what a scheduler that starts later brings into the store.

        Args:
            schedule: Seconds, a timedelta, five fields in one text, or one of :mod:`celeriac.schedules`.
            sig: A signature (``add.s(1)``), a task, or a task's name.
            args: Positional arguments after those of the signature.
            kwargs: Keyword arguments besides those of the signature.
            name: Name of the entry. None: the signature as text.
            **options: Of the call, such as ``queue`` and ``expires``; and fields of entries, such as ``zone``,
                ``misfire``, ``jitter`` (:class:`celeriac.core.schedule.Entry`).

        Returns:
            The name.

        Raises:
            InvalidTaskError: A value is not valid, or another entry has the name.
        """
        if isinstance(sig, Signature):
            sig = one_task(sig)
            task, first, words, given = sig.task, sig.args, sig.kwargs, dict(sig.options)
        else:
            task, first, words, given = (sig.name or "" if isinstance(sig, Task) else sig), (), {}, {}
        called, named = (*first, *args), {**words, **(kwargs or {})}
        key = name or _text(task, called, named)
        if not 0 < len(key.encode(errors="replace")) <= _NAME_BYTES:
            raise InvalidTaskError(f"add_periodic_task: {key!r:.80} is no name of 1 to {_NAME_BYTES} bytes: give name=")
        fields = {one: options.pop(one) for one in list(options) if one in ENTRY_FIELDS}
        entry = {"task": task, "schedule": schedule, "args": called, "kwargs": named, "options": {**given, **options}}
        self._keep(key, {**entry, **fields})
        return key

    def _keep(self, key: str, entry: dict[str, Any]) -> None:
        if self._periodic.setdefault(key, entry) != entry:
            raise InvalidTaskError(
                f"there is a periodic task {key!r} already that says something else: give one of them another name="
            )

    def periodic(self, schedule: Any, **fields: Any) -> Callable[[T], T]:
        """Send the decorated task periodically: ``@app.periodic(crontab(minute=0))`` above ``@app.task``.

        Args:
            schedule: As for :meth:`add_periodic_task`.
            **fields: As for it: ``args``, ``kwargs``, ``name`` (None: that of the task), options and fields of entries.

        Raises:
            InvalidTaskError: What is decorated is no task, or as :meth:`add_periodic_task`.
        """

        def decorate(task: T) -> T:
            given: Any = task
            if not isinstance(given, Task):
                raise InvalidTaskError(f"@app.periodic stands above @app.task; {task!r:.200} is no task")
            sent = cast("Task[..., Any]", given)
            said: dict[str, Any] = {"name": sent.name, **fields}
            self.add_periodic_task(schedule, sent, **said)
            return task

        return decorate

    @property
    def periodic_tasks(self) -> Mapping[str, dict[str, Any]]:
        """What code has said so far, by name, in the form of the setting ``beat_schedule``."""
        return self._periodic

    def _before_use(self) -> None:
        self.on_after_configure.come(source=self.conf)
        self.on_after_finalize.come()


ENTRY_FIELDS = frozenset(
    {
        "description", "enabled", "end", "end_time", "jitter", "keep", "misfire", "one_off", "overlap", "relative",
        "start", "start_time", "window", "zone",
    }
)  # fmt: skip
"""What of an entry may stand beside the options of its call."""


def one_task(sig: Signature) -> Signature:
    """Return a signature of which an entry can send the task.

    Raises:
        InvalidTaskError: It is a workflow.
    """
    if sig.subtask_type is not None:
        raise InvalidTaskError(
            f"{sig!r:.200} is a {sig.subtask_type}, and a schedule entry sends one task: write a task that starts the"
            " workflow"
        )
    return sig


def _text(task: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    said = [repr(one) for one in args] + [f"{name}={value!r}" for name, value in kwargs.items()]
    return f"{task}({', '.join(said)})"
