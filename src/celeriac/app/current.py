"""``current_app``, ``current_task`` and ``shared_task``: for code that is not handed an app.

Each is a stand-in that looks up what it stands for whenever it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, ParamSpec, TypeVar, Unpack, cast, overload

from celeriac.app import state
from celeriac.app.app import Celeriac
from celeriac.app.options import TaskOptions
from celeriac.app.registering import BoundTaskDecorator, TaskDecorator, check_definition, decorated
from celeriac.app.task import Task

P = ParamSpec("P")
R = TypeVar("R")


class StandIn:
    """Passes everything on to what a function returns.

    Args:
        find: Returns it.
        like: A function whose module and documentation it shows as its own.
    """

    __slots__ = ("__dict__", "_find")

    def __init__(self, find: Callable[[], Any], like: Callable[..., Any] | None = None) -> None:
        object.__setattr__(self, "_find", find)
        if like is not None:
            vars(self).update(__doc__=like.__doc__, __module__=like.__module__)

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride]
        # isinstance() shall see what is stood in for.
        return cast("type", _target(self).__class__)

    def __getattr__(self, name: str) -> Any:
        return getattr(_target(self), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(_target(self), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(_target(self), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _target(self)(*args, **kwargs)

    def __bool__(self) -> bool:
        return bool(_target(self))

    def __dir__(self) -> list[str]:
        return dir(_target(self))

    def __eq__(self, other: object) -> bool:
        return bool(_target(self) == (_target(other) if type(other) is StandIn else other))

    def __hash__(self) -> int:
        return hash(_target(self))

    def __repr__(self) -> str:
        return repr(_target(self))

    def __str__(self) -> str:
        return str(_target(self))

    def __reduce__(self) -> Any:
        return _target(self).__reduce__()


def _target(stand_in: Any) -> Any:
    return object.__getattribute__(stand_in, "_find")()


def _current_task() -> Task[..., Any] | None:
    return state.get_current().current_task


current_app: Celeriac = cast("Celeriac", StandIn(state.get_current))
current_task: Task[..., Any] = cast("Task[..., Any]", StandIn(_current_task))


@overload
def shared_task(function: Callable[P, R], /) -> Task[P, R]: ...
@overload
def shared_task(*, bind: Literal[True], base: None = None, **options: Unpack[TaskOptions]) -> BoundTaskDecorator: ...
@overload
def shared_task(
    *, bind: Literal[False] = False, base: None = None, **options: Unpack[TaskOptions]
) -> TaskDecorator: ...
@overload
def shared_task(*, bind: Literal[True], base: type[Task[..., Any]], **options: Any) -> BoundTaskDecorator: ...
@overload
def shared_task(*, bind: Literal[False] = False, base: type[Task[..., Any]], **options: Any) -> TaskDecorator: ...
def shared_task(*args: Any, **options: Any) -> Any:
    """Make a task of a function in every app of the process; what is returned is that of the current app.

    For reusable code that has no app to hand: ``@shared_task`` or ``@shared_task(...)``, with the arguments of
    ``app.task``.
    """
    return decorated(_share, args, options, "shared_task")


def _share(function: Callable[..., Any], options: dict[str, Any]) -> Any:
    check_definition(function, options)

    def make(app: Celeriac) -> Any:
        return app.make_task(function, options)

    state.share(make)

    def find() -> Task[..., Any]:
        app = state.get_current()
        name = options.get("name") or app.gen_task_name(function.__name__, function.__module__)
        return app.tasks[name]

    return StandIn(find, function)
