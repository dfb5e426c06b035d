"""The tasks that every app has: those that call another task once for each of many arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from celeriac.app import eager
from celeriac.app.canvas import Signature
from celeriac.core.workflow import MEMBERS

if TYPE_CHECKING:
    from celeriac.app.app import Celeriac


def functions(app: Celeriac) -> dict[str, Callable[..., Any]]:
    """Return what they do, by their names.

    Args:
        app: The app whose tasks they call.
    """

    def over_each(task: Mapping[str, Any], it: Iterable[Any]) -> list[Any]:
        called = Signature.from_dict(task, app=app)
        return [_call(called, (one,)) for one in it]

    def over_tuples(task: Mapping[str, Any], it: Iterable[Any]) -> list[Any]:
        called = Signature.from_dict(task, app=app)
        return [_call(called, tuple(one)) for one in it]

    def accumulate(*args: Any, **kwargs: Any) -> Any:
        index = kwargs.get("index")
        return args[index] if index is not None else args[0] if len(args) == 1 else list(args)

    def members(values: list[Any]) -> list[Any]:
        return values

    return {"celery.accumulate": accumulate, MEMBERS: members, "celery.map": over_each, "celery.starmap": over_tuples}


def _call(called: Signature, given: tuple[Any, ...]) -> Any:
    args, kwargs, _ = called.merge(given, {}, {})
    return eager.call(called.type, args, kwargs)
