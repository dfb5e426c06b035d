"""Task: what ``@app.task`` makes of a function, and the base of class-based tasks.

A task is also what the worker runs (:class:`celeriac.execution.runnable.Runnable`): the attributes of that protocol are
worked out when the task is bound to its app, from its options and, where they are silent, from the settings.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final, ParamSpec, TypeVar, cast

from celeriac.app import state
from celeriac.app.arguments import ArgumentCheck, parameters_of, signature_check
from celeriac.app.joining import Joining
from celeriac.app.options import TASK_NAMES
from celeriac.app.replacing import Replacing
from celeriac.app.reporting import Reporting
from celeriac.app.retrying import Retrying
from celeriac.app.sending import Sending
from celeriac.core.codec.content import check_writable
from celeriac.core.codec.convert import Converter, build_converter
from celeriac.core.retry import RetryPolicy, retry_policy
from celeriac.errors import CeleriacWarning, ImproperlyConfigured, MaxRetriesExceededError, OperationalError
from celeriac.execution.context import Request, current_request

if TYPE_CHECKING:
    from celeriac.app.app import Celeriac

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)

HOOKS: Final = ("before_start", "on_success", "on_failure", "on_retry", "after_return")
FROM_SETTINGS: Final[Mapping[str, str]] = {
    "acks_late": "task_acks_late",
    "acks_on_failure_or_timeout": "task_acks_on_failure_or_timeout",
    "compression": "task_compression",
    "ignore_result": "task_ignore_result",
    "rate_limit": "task_default_rate_limit",
    "reject_on_worker_lost": "task_reject_on_worker_lost",
    "result_expires": "result_expires",
    "result_serializer": "result_serializer",
    "serializer": "task_serializer",
    "soft_time_limit": "task_soft_time_limit",
    "store_eager_result": "task_store_eager_result",
    "store_errors_even_if_ignored": "task_store_errors_even_if_ignored",
    "time_limit": "task_time_limit",
    "track_started": "task_track_started",
}
"""Option to the setting that holds where the option is not given."""
_LATE: Final = frozenset({*FROM_SETTINGS, "retry_policy"})


class Task(Sending[P, R_co], Replacing, Joining, Retrying, Reporting):
    """A task of an app.

    Class attributes are options (see :class:`celeriac.app.options.TaskOptions`); a subclass may set them, ``@app.task``
    sets them for one task. Subclass it, or ``app.Task``, and define ``run`` for a class-based task, or give it to
    ``@app.task(base=...)`` to share behaviour. An instance serves all runs of its process.
    """

    MaxRetriesExceededError: ClassVar = MaxRetriesExceededError
    OperationalError: ClassVar = OperationalError

    # Options. Those without a value here are as the settings say.
    abstract: bool = True
    typing: bool = True
    max_retries: int | None = 3
    default_retry_delay: float = 180.0
    retry_backoff: bool | float = False
    retry_backoff_max: float = 600.0
    retry_jitter: bool = True
    retry_kwargs: Mapping[str, Any] = {}
    autoretry_for: tuple[type[BaseException], ...] = ()
    dont_autoretry_for: tuple[type[BaseException], ...] = ()
    throws: tuple[type[BaseException], ...] = ()
    rate_limit: str | float | None
    acks_late: bool | None
    acks_on_failure_or_timeout: bool | None
    reject_on_worker_lost: bool | None
    store_errors_even_if_ignored: bool | None
    store_eager_result: bool | None
    expires: float | datetime | None = None
    priority: int | None = None
    queue: str | None = None
    exchange: str | None = None
    routing_key: str | None = None
    delivery_mode: int | str | None = None
    serializer: str | None
    compression: str | None
    time_limit: float | None
    soft_time_limit: float | None
    result_expires: float | None
    trail: bool = True
    send_events: bool = True
    pydantic: bool = False
    pydantic_strict: bool | None = None
    pydantic_context: Mapping[str, Any] | None = None
    pydantic_dump_kwargs: Mapping[str, Any] | None = None
    resultrepr_maxsize: int = 1024
    ignore_result: bool
    track_started: bool
    result_serializer: str

    # Worked out by bind().
    name: str
    app: Celeriac
    at_most_once: bool = False
    retry_policy: RetryPolicy
    is_async: bool = False
    overrides_call: bool = False
    hooks: frozenset[str] = frozenset()
    converter: Converter | None = None
    argument_check: ArgumentCheck | None = None
    """Raises TypeError for arguments that the task does not take; None where nothing is checked."""
    parameter_names: tuple[str, ...] = ()
    """Names of the positional parameters, so that errors can name an argument."""
    _function: Callable[..., Any] | None = None
    _self_given = False
    _bound = False
    _from_settings: frozenset[str] = frozenset()

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Do the task's work. A class-based task defines it."""
        raise NotImplementedError(f"task class {type(self).__qualname__} must define run()")

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Run the task's function here, like any function: nothing is sent, stored or retried."""
        caller = current_request.get()
        if self.overrides_call and _is_entry(caller, self.name):
            # A class's own __call__ has called super() inside a delivered run.
            vars(caller)["entered"] = True
            return cast("R_co", self.run(*args, **kwargs))
        request = Request(task=self.name, args=args, kwargs=kwargs, caller=caller)
        if self.is_async:
            return cast("R_co", self._call_async(request, args, kwargs))
        token = current_request.set(request)
        try:
            return cast("R_co", self.run(*args, **kwargs))
        finally:
            current_request.reset(token)

    async def _call_async(self, request: Request, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        token = current_request.set(request)
        try:
            return await cast("Coroutine[Any, Any, Any]", self.run(*args, **kwargs))
        finally:
            current_request.reset(token)

    # Hooks. Only those that a class overrides are called.

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Called before the task's code runs."""

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        """Called when the task returned."""

    def on_failure(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Called when the task failed for good."""

    def on_retry(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Called when the task is to be tried again."""

    def after_return(self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Called when the task is over, however it ended."""

    @classmethod
    def on_bound(cls, app: Celeriac) -> None:
        """Called when the task has been bound to its app."""

    # Being made.

    @property
    def definition(self) -> Any:
        """The function or class that the task was made of."""
        return self._function if self._function is not None else type(self)

    def wrap(self, function: Callable[..., Any], *, bound: bool) -> None:
        """Run this function, and look like it.

        Args:
            function: What the task does.
            bound: Give it the task as its first argument.
        """
        functools.update_wrapper(cast("Callable[..., Any]", self), function)
        attributes = vars(self)
        attributes["run"] = function.__get__(self) if bound else function
        attributes["_function"] = function
        attributes["_self_given"] = bound

    def bind(self, app: Celeriac) -> None:
        """Belong to this app: work out what the worker and the sender need to know."""
        kind: Any = type(self)
        found = vars(self)
        found["app"] = app
        function = self._function or kind.run
        is_method = not isinstance(inspect.getattr_static(kind, "run"), staticmethod)
        without_first = self._self_given if self._function is not None else is_method
        found["is_async"] = inspect.iscoroutinefunction(self.run)
        found["overrides_call"] = kind.__call__ is not cast("Any", Task).__call__
        found["hooks"] = frozenset(name for name in HOOKS if getattr(kind, name) is not getattr(Task, name))
        parameters = parameters_of(function, bound=without_first)
        positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        found["parameter_names"] = tuple(one.name for one in parameters or () if one.kind in positional)
        if self.typing and app.strict_typing and parameters is not None:
            found["argument_check"] = signature_check(parameters, getattr(self.definition, "__name__", self.name))
        found["converter"] = build_converter(
            function,
            task=self.name,
            bound=without_first,
            pydantic=self.pydantic,
            strict=self.pydantic_strict,
            context=self.pydantic_context,
            dump_kwargs=self.pydantic_dump_kwargs,
        )
        found["_bound"] = True
        self.settle_options()
        self._check_serializers()
        self._warn_of_limits()
        self.on_bound(app)

    def _check_serializers(self) -> None:
        app = self.app
        for option, accept in (("serializer", app.accept), ("result_serializer", app.result_accept)):
            name: str | None = getattr(self, option, None)
            own = option == "result_serializer" and app.conf.result_accept_content is not None
            if name is not None:
                try:
                    check_writable(name, accept, setting="result_accept_content" if own else "accept_content")
                except ImproperlyConfigured as exc:
                    raise ImproperlyConfigured(f"task {self.name!r}: {option}={name!r} {exc}") from None

    def _warn_of_limits(self) -> None:
        hard, soft = self.time_limit, self.soft_time_limit
        both_from_settings = self._from_settings >= {"time_limit", "soft_time_limit"}
        if hard is not None and soft is not None and soft >= hard and not both_from_settings:
            warnings.warn(
                f"task {self.name!r}: soft_time_limit={soft:g} is not shorter than time_limit={hard:g}, so it never"
                " acts (one of them comes from the settings)",
                CeleriacWarning,
                stacklevel=2,
            )

    def settle_options(self) -> None:
        """Work out what depends on options and settings; called again when either changes."""
        conf = self.app.conf
        found = vars(self)
        taken: set[str] = set()
        for name, value in self.app.annotations_of(self.name).items():
            found[name] = value
        for name, setting in FROM_SETTINGS.items():
            if name in self._from_settings or getattr(self, name, None) is None:
                found[name] = conf[setting]
                taken.add(name)
        found["result_expires"] = self.result_expires or None  # 0 means never, too.
        found["_from_settings"] = frozenset(taken)
        found["at_most_once"] = self.acks_late is False or self.reject_on_worker_lost is False
        found["retry_policy"] = self.make_retry_policy()
        found["send_plan"] = None

    def make_retry_policy(self) -> RetryPolicy:
        """Return what the retry options say.

        Raises:
            ImproperlyConfigured: One of them is not valid.
        """
        older = self.retry_kwargs
        return retry_policy(
            max_retries=older.get("max_retries", self.max_retries),
            default_retry_delay=older.get("countdown", self.default_retry_delay),
            backoff=self.retry_backoff,
            backoff_max=self.retry_backoff_max,
            jitter=self.retry_jitter,
            task=self.name,
        )

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; an option that changes after registration takes effect at once."""
        object.__setattr__(self, name, value)
        if self._bound and name in TASK_NAMES:
            vars(self)["_from_settings"] = self._from_settings - {name}
            self.settle_options()

    if not TYPE_CHECKING:  # A type checker would take every misspelt attribute for one that is there.

        def __getattr__(self, name: str) -> Any:
            # Reached only for what is not there: options that follow the settings, before the task was bound.
            if name in _LATE and not self._bound:
                if "app" not in vars(self):
                    return None
                self.app.finalize(auto=True)
                return getattr(self, name)
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.name,)

    def __repr__(self) -> str:
        return f"<@task: {getattr(self, 'name', '?')}>"


def _is_entry(caller: Request | None, name: str) -> bool:
    """Tell whether the caller is the delivered run of that task, about to enter its code."""
    return caller is not None and caller.task == name and not caller.called_directly and not caller.get("entered")


def _restored(name: str) -> Task[..., Any]:
    return state.get_current().tasks[name]
