"""Tasks by name.

Two different functions of one name are an error: the worker would run the wrong one. The same function again, as when a
module is reloaded or imported both as a script and by its name, takes the earlier one's place.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from celeriac.errors import AlreadyRegistered, NotRegistered

if TYPE_CHECKING:
    from celeriac.app.task import Task


class TaskRegistry(dict[str, "Task[..., Any]"]):
    """The tasks of one app. Reading an unknown name raises NotRegistered."""

    def __missing__(self, name: str) -> Task[..., Any]:
        near = difflib.get_close_matches(name, self, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise NotRegistered(
            f"no task named {name!r} is registered.{hint} Is the module that defines it imported"
            " (include=, the imports setting, autodiscover_tasks)?"
        )

    def register(self, task: Task[..., Any]) -> None:
        """Add a task.

        Raises:
            AlreadyRegistered: Another function has that name.
        """
        known = self.get(task.name)
        if known is not None and known is not task and not _same_source(known, task):
            raise AlreadyRegistered(
                f"two tasks are named {task.name!r}: {_place(known)} and {_place(task)}. Give one of them another name"
                " with @app.task(name=...)"
            )
        self[task.name] = task

    def unregister(self, name: str | Task[..., Any]) -> None:
        """Remove a task.

        Raises:
            NotRegistered: There is none of that name.
        """
        key = name if isinstance(name, str) else name.name
        if key not in self:
            self.__missing__(key)
        del self[key]

    def regular(self) -> dict[str, Task[..., Any]]:
        """Return the tasks that users defined."""
        return {name: task for name, task in self.items() if not name.startswith(("celery.", "celeriac."))}


def _same_source(one: Task[..., Any], other: Task[..., Any]) -> bool:
    first, second = one.definition, other.definition
    if getattr(first, "__qualname__", None) != getattr(second, "__qualname__", None):
        return False
    if first.__module__ == second.__module__:
        return True
    files = [getattr(getattr(source, "__code__", None), "co_filename", None) for source in (first, second)]
    return files[0] is not None and files[0] == files[1]


def _place(task: Task[..., Any]) -> str:
    source = task.definition
    return f"{source.__module__}.{getattr(source, '__qualname__', source)}"
