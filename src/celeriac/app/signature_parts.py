"""What a signature offers to code that takes it apart or puts it together by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self

from celeriac.app.narrowing import is_list
from celeriac.core.ids import new_id

if TYPE_CHECKING:
    from celeriac.app.app import Celeriac


class Parts(dict[str, Any]):
    """The part of a signature that few programs need."""

    if TYPE_CHECKING:

        @property
        def app(self) -> Celeriac: ...

        def clone(self, args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Any) -> Any: ...

    def freeze(
        self,
        _id: str | None = None,
        group_id: str | None = None,
        chord: Any = None,
        root_id: str | None = None,
        parent_id: str | None = None,
        group_index: int | None = None,
    ) -> Any:
        """Settle the id that the task will have, and return its result before it is sent.

        Args:
            _id: The id; None: the one it has already, or a new one.
            group_id, root_id, parent_id, group_index: As for ``apply_async``.
            chord: Has no meaning here.
        """
        options: dict[str, Any] = self["options"]
        given = {"group_id": group_id, "root_id": root_id, "parent_id": parent_id, "group_index": group_index}
        options.update({name: value for name, value in given.items() if value is not None})
        options["task_id"] = str(_id or options.get("task_id") or new_id())
        return self.app.AsyncResult(options["task_id"])

    def replace(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Self:
        """Return a copy with other arguments or options in place of its own; None keeps them."""
        copy: Self = self.clone()
        if args is not None:
            copy["args"] = tuple(args)
        if kwargs is not None:
            copy["kwargs"] = dict(kwargs)
        if options is not None:
            copy["options"] = dict(options)
        return copy

    def append_to_list_option(self, key: str, value: Any) -> Any:
        """Put a value behind those of an option that is a list, unless it is there; return the value."""
        listed = self._listed(key)
        if value not in listed:
            listed.append(value)
        return value

    def extend_list_option(self, key: str, value: Any) -> None:
        """Put a value, or each of a list, behind those of an option that is a list."""
        self._listed(key).extend(value if is_list(value) else [value])

    def _listed(self, key: str) -> list[Any]:
        found = self["options"].get(key)
        listed: list[Any] = [] if found is None else list(found) if is_list(found) else [found]
        self["options"][key] = listed
        return listed

    def flatten_links(self) -> list[Any]:
        """Return the signature with its callbacks, theirs, and so on."""
        found: list[Any] = [self]
        for one in self._listed("link") if self["options"].get("link") else ():
            found += (one if isinstance(one, Parts) else type(self)(one)).flatten_links()
        return found

    def reprcall(self, *args: Any, **kwargs: Any) -> str:
        """Return how a call with these arguments in addition looks, as text."""
        whole = self.clone(args, kwargs)
        words = [*map(repr, whole["args"]), *(f"{name}={value!r}" for name, value in whole["kwargs"].items())]
        return f"{self['task']}({', '.join(words)})"
