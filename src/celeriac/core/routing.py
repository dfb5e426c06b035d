"""Which queue a task goes to: the setting ``task_routes``.

Rules are checked when they are configured. They are asked in the order given; of one dictionary, first the entry with
the task's exact name, then its patterns in their order. What the caller of ``apply_async`` says always wins.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

from celeriac.core.settings import Settings
from celeriac.errors import ImproperlyConfigured

Options: TypeAlias = dict[str, Any]
Route: TypeAlias = Mapping[str, Any]
"""Options to add, such as ``{"queue": "images", "priority": 5}``."""
Rule: TypeAlias = Callable[..., Any]
"""Called with (name, args, kwargs, options, task=...); returns options, a queue name, or None to pass."""

_FORMS: Final = (
    "a dictionary such as {'proj.images.*': {'queue': 'images'}}, a function, or a list of dictionaries, functions and"
    " (pattern, route) pairs"
)
_NO_OPTIONS: Final[Route] = {}


class Router:
    """Applies ``task_routes`` and ``task_default_queue``.

    Args:
        routes: The setting ``task_routes``.
        default_queue: The setting ``task_default_queue``.

    Raises:
        ImproperlyConfigured: A route is malformed; the text names it.
    """

    def __init__(self, routes: object = None, *, default_queue: str = "celery") -> None:
        self._rules: Final = [_rule(one) for one in _as_list(routes)]
        self._default_queue: Final = default_queue

    @classmethod
    def from_settings(cls, settings: Settings) -> Router:
        """Return the router that ``task_routes`` and ``task_default_queue`` ask for."""
        return cls(settings.task_routes, default_queue=settings.task_default_queue)

    def resolve(
        self,
        name: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        task: Any = None,
    ) -> Options:
        """Return the options with which a task is sent; they always hold ``queue``.

        Args:
            name: The task's name.
            args, kwargs: The task's arguments.
            options: What the caller and the task itself said. Those that are not None win over a route.
            task: The task, where it is registered here.

        Raises:
            ImproperlyConfigured: A routing function returned something that is no route.
        """
        if not self._rules and not options:
            return {"queue": self._default_queue}
        given = _NO_OPTIONS if options is None else options
        found = _NO_OPTIONS
        for rule in self._rules:
            answer = rule(name, args, kwargs or {}, given, task=task)
            if answer:
                found = answer if isinstance(rule, _Table) else _checked_answer(rule, answer)
                break
        out = dict(found)
        out.update((key, value) for key, value in given.items() if value is not None or key not in out)
        if out.get("queue") is None:
            out["queue"] = self._default_queue
        return out


class _Table:
    """One dictionary of ``task_routes``."""

    def __init__(self, entries: Iterable[tuple[object, object]]) -> None:
        self._exact: dict[str, Route] = {}
        self._patterns: list[tuple[re.Pattern[str], Route]] = []
        for key, value in entries:
            route = _route(value, f"of {key!r}")
            if isinstance(key, re.Pattern):
                self._patterns.append((cast("re.Pattern[str]", key), route))
            elif not isinstance(key, str) or not key:
                raise ImproperlyConfigured(f"task_routes: {key!r} is no task name and no pattern")
            elif any(mark in key for mark in "*?["):
                self._patterns.append((re.compile(fnmatch.translate(key)), route))
            else:
                self._exact.setdefault(key, route)

    def __call__(self, name: str, *_args: Any, **_more: Any) -> Route | None:
        exact = self._exact.get(name)
        if exact is not None:
            return exact
        return next((route for pattern, route in self._patterns if pattern.match(name)), None)


def _as_list(routes: object) -> Iterable[object]:
    if routes is None:
        return ()
    if isinstance(routes, (list, tuple)):
        # A single pair without a list around it is the one tuple that is no list of rules.
        items = cast("Sequence[object]", routes)
        return (items,) if isinstance(routes, tuple) and _is_pair(items) else items
    return (routes,)


def _is_pair(value: object) -> bool:
    if not isinstance(value, (list, tuple)):
        return False
    pair = cast("Sequence[object]", value)
    return len(pair) == 2 and isinstance(pair[0], (str, re.Pattern)) and isinstance(pair[1], (str, Mapping))


def _rule(one: object) -> Rule:
    """Return the function for one entry of the list."""
    if isinstance(one, Mapping):
        return _Table(cast("Mapping[object, object]", one).items())
    if callable(one):
        return one
    method = getattr(one, "route_for_task", None)
    if callable(method):
        return _RouterObject(method)
    if _is_pair(one):
        return _Table([cast("tuple[object, object]", one)])
    if isinstance(one, (list, tuple)) and all(map(_is_pair, cast("Sequence[object]", one))):
        return _Table(cast("Sequence[tuple[object, object]]", one))
    raise ImproperlyConfigured(f"task_routes: {one!r} is no route; the setting takes {_FORMS}")


class _RouterObject:
    """An object with ``route_for_task(name, args, kwargs)``, the older form of a routing function."""

    def __init__(self, method: Rule) -> None:
        self._method = method

    def __call__(self, name: str, args: Any, kwargs: Any, options: Any, task: Any = None) -> Any:
        return self._method(name, args, kwargs)


def _route(value: object, where: str) -> Route:
    """Return a route as options; a text is the name of a queue."""
    if isinstance(value, str) and value:
        return {"queue": value}
    if not isinstance(value, Mapping):
        raise ImproperlyConfigured(
            f"task_routes: the route {where} must be a queue name or a dictionary of options, not {value!r}"
        )
    route = dict(cast("Mapping[str, Any]", value))
    queue = route.get("queue")
    if queue is not None and (not isinstance(queue, str) or not queue):
        raise ImproperlyConfigured(f"task_routes: the queue of the route {where} must be a name, not {queue!r}")
    priority = route.get("priority")
    if priority is not None and (type(priority) is not int or not 0 <= priority <= 9):
        raise ImproperlyConfigured(
            f"task_routes: the priority of the route {where} must be a whole number from 0 to 9, not {priority!r}"
        )
    return route


def _checked_answer(rule: Rule, answer: object) -> Route:
    return _route(answer, f"returned by {getattr(rule, '__qualname__', rule)!s}")
