"""Signature: a task to be called later, as a plain dictionary that any serializer carries.

A signature names the task, so it can be made where the task's code is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Unpack, cast

from celeriac.app import state
from celeriac.app.narrowing import is_list, is_mapping
from celeriac.app.options import SendOptions
from celeriac.app.signature_parts import Parts
from celeriac.app.stamping import StampingVisitor, stamp
from celeriac.errors import InvalidTaskError

if TYPE_CHECKING:
    from celeriac.app.app import Celeriac
    from celeriac.app.eager_result import EagerResult
    from celeriac.app.result import AsyncResult
    from celeriac.app.task import Task

_UNTYPED = {"celery.map": "map", "celery.starmap": "starmap", "celery.chunks": "chunks"}


class Signature(Parts):
    """A task with arguments and options to call it with.

    Args:
        task: The task, its name, or the dictionary of another signature.
        args: Positional arguments; what is given at the call comes before them.
        kwargs: Keyword arguments; what is given at the call overrides them.
        options: Options of ``apply_async``.
        type: The task, if it is at hand.
        subtask_type: The kind of a workflow; None for a task.
        immutable: Arguments given at the call (a linked task's return value) are ignored.
        app: Default: the current app.
    """

    kinds: ClassVar[dict[str, type[Signature]]] = {}
    """The classes of workflows, by their ``subtask_type``."""
    joined: ClassVar[Callable[[Signature, Any], Signature]]
    """What ``|`` makes of two of them."""
    changed: bool = False
    """In what ``Task.retry`` asks for: the next try differs from this one."""

    def __init__(
        self,
        task: str | Task[..., Any] | Mapping[str, Any] | None = None,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        type: Task[..., Any] | None = None,
        subtask_type: str | None = None,
        immutable: bool = False,
        app: Celeriac | None = None,
        **extra: Any,
    ) -> None:
        self._app = app
        self._type = type
        if isinstance(task, Mapping):
            super().__init__(_plain(task))
            return
        if task is not None and not isinstance(task, str):
            self._type = task
            self._app = app or task.app
            task = task.name
        if args is not None and isinstance(args, (str, bytes, Mapping)):
            raise TypeError(f"args of the signature of {task!r} must be a list or tuple, not {args!r}")
        super().__init__(
            task=task,
            args=tuple(args or ()),
            kwargs=dict(kwargs or {}),
            options={**(options or {}), **extra},
            subtask_type=subtask_type,
            immutable=immutable,
        )

    @classmethod
    def from_dict(cls, d: Mapping[str, Any], app: Celeriac | None = None) -> Signature:
        """Return the signature that a dictionary says.

        Raises:
            InvalidTaskError: It is not one.
        """
        # Celery's map, starmap and chunks have no type of their own once they are JSON.
        kind = Signature.kinds.get(str(d.get("subtask_type") or _UNTYPED.get(str(d.get("task")))))
        if kind is not None and kind is not cls:
            return kind.from_dict(d, app=app)
        return cls(checked(d), app=app)

    # What it holds.

    @property
    def task(self) -> str:
        """The task's name."""
        return cast("str", self["task"])

    @property
    def name(self) -> str:
        """The task's name."""
        return cast("str", self["task"])

    @property
    def args(self) -> tuple[Any, ...]:
        return tuple(self["args"])

    @property
    def kwargs(self) -> dict[str, Any]:
        return cast("dict[str, Any]", self["kwargs"])

    @property
    def options(self) -> dict[str, Any]:
        return cast("dict[str, Any]", self["options"])

    @property
    def immutable(self) -> bool:
        return bool(self["immutable"])

    @property
    def subtask_type(self) -> str | None:
        return cast("str | None", self["subtask_type"])

    @property
    def id(self) -> str | None:
        """The task id it will have, where that is settled."""
        return cast("str | None", self["options"].get("task_id"))

    @property
    def app(self) -> Celeriac:
        """The app it is sent through."""
        return self._app or state.get_current()

    @property
    def bound_app(self) -> Celeriac | None:
        """The app that it was made for; None: the current one."""
        return self._app if self._app is not None or self._type is None else self._type.app

    @property
    def type(self) -> Task[..., Any]:
        """The task.

        Raises:
            NotRegistered: The app does not have it.
        """
        return self._type or self.app.tasks[self.task]

    # Changing it.

    def clone(self, args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Any) -> Signature:
        """Return a copy with arguments put before its own, and options added."""
        merged_args, merged_kwargs, merged_options = self.merge(tuple(args), kwargs or {}, options)
        copy = Signature.from_dict(self, app=self._app)
        copy._type = self._type
        copy.update(args=merged_args, kwargs=merged_kwargs, options=merged_options)
        return copy

    partial = clone

    def set(self, immutable: bool | None = None, **options: Any) -> Signature:
        """Set options of ``apply_async``; return the signature itself."""
        if immutable is not None:
            self.set_immutable(immutable)
        self.options.update(options)
        return self

    def set_immutable(self, immutable: bool) -> None:
        """Say whether arguments given at the call are ignored."""
        self["immutable"] = immutable

    def link(self, callback: Signature) -> Signature:
        """Run ``callback`` with the return value when the task succeeds; return ``callback``."""
        return self._append("link", callback)

    def link_error(self, errback: Signature) -> Signature:
        """Run ``errback`` when the task fails; return ``errback``."""
        return self._append("link_error", errback)

    def on_error(self, errback: Signature) -> Signature:
        """Run ``errback`` when the task fails; return the signature itself."""
        self.link_error(errback)
        return self

    def stamp(self, visitor: StampingVisitor | None = None, append_stamps: bool = False, **headers: Any) -> Signature:
        """Put headers on it, and on all that it is made of; return the signature itself.

        Args:
            visitor: Says what to put on which.
            append_stamps: Values of stamps that are there already, and new ones, become lists.
            **headers: For all of them.
        """
        stamp(self, visitor, headers, append=append_stamps)
        return self

    def _append(self, option: str, signature: Signature) -> Signature:
        listed = signatures(self.options.get(option), option)
        one = checked(signature)
        if one not in listed:
            listed.append(one)
        self.options[option] = listed
        return signature

    # Calling it.

    def merge(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], options: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any], dict[str, Any]]:
        """Return what to call the task with when these come in addition."""
        if self.immutable:
            return self.args, dict(self.kwargs), {**self.options, **options}
        return (*args, *self.args), {**self.kwargs, **kwargs}, {**self.options, **options}

    def delay(self, *partial_args: Any, **partial_kwargs: Any) -> AsyncResult[Any]:
        """Send the task."""
        return self.apply_async(partial_args, partial_kwargs)

    def apply_async(
        self,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[SendOptions],
    ) -> AsyncResult[Any]:
        """Send the task, with these arguments before its own and these options over its own."""
        found = self.merge(tuple(args), kwargs or {}, cast("dict[str, Any]", options))
        known = self.known
        if known is not None:
            return known.apply_async(found[0], found[1], **found[2])
        return self.app.send_task(self.task, found[0], found[1], **found[2])

    async def adelay(self, *partial_args: Any, **partial_kwargs: Any) -> AsyncResult[Any]:
        """Send the task; the awaitable twin of :meth:`delay`."""
        return await self.aapply_async(partial_args, partial_kwargs)

    async def aapply_async(
        self,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[SendOptions],
    ) -> AsyncResult[Any]:
        """Send the task; the awaitable twin of :meth:`apply_async`."""
        found = self.merge(tuple(args), kwargs or {}, cast("dict[str, Any]", options))
        known = self.known
        if known is not None:
            return await known.aapply_async(found[0], found[1], **found[2])
        return await self.app.asend_task(self.task, found[0], found[1], **found[2])

    def apply(
        self, args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> EagerResult[Any]:
        """Run the task here and now."""
        found = self.merge(tuple(args), kwargs or {}, options)
        return self.type.apply(found[0], found[1], **found[2])

    def __call__(self, *partial_args: Any, **partial_kwargs: Any) -> Any:
        """Call the task's function."""
        args, kwargs, _ = self.merge(partial_args, partial_kwargs, {})
        return self.type(*args, **kwargs)

    @property
    def known(self) -> Task[..., Any] | None:
        """The task, where its code is here."""
        return self._type or self.app.tasks.get(self.task)

    def __or__(self, other: Any) -> Signature:  # type: ignore[override]
        """Run ``other`` after this, with what it returns; a group with something behind it is a chord."""
        if not is_mapping(other):
            return NotImplemented
        return Signature.joined(self, other)

    def __ror__(self, other: Any) -> Signature:  # type: ignore[override]
        if not is_mapping(other):
            return NotImplemented
        return Signature.joined(Signature.from_dict(other, app=self._app), self)

    def __ior__(self, other: Any) -> Signature:  # type: ignore[override]
        return self.__or__(other)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_dict, (dict(self),)

    def __deepcopy__(self, memo: dict[int, Any]) -> Signature:
        return self.clone()

    def __repr__(self) -> str:
        return self.reprcall()


def signature(varies: str | Task[..., Any] | Mapping[str, Any], *args: Any, **kwargs: Any) -> Signature:
    """Return a signature: of a task, a task's name, or the dictionary of a signature.

    Args:
        varies: One of these.
        *args: As for :class:`Signature`: ``args``, ``kwargs``, ``options``.
        **kwargs: As for :class:`Signature`.
    """
    if isinstance(varies, Signature):
        return varies.clone()
    if isinstance(varies, Mapping):
        return Signature.from_dict(varies, app=kwargs.get("app"))
    return Signature(varies, *args, **kwargs)


def maybe_signature(d: Any, app: Celeriac | None = None, clone: bool = False) -> Any:
    """Return the signature that a dictionary says; a signature, or None, as it is.

    Args:
        d: The dictionary.
        app: The app it is sent through.
        clone: Copy a signature.
    """
    if isinstance(d, Signature):
        return d.clone() if clone else d
    return None if d is None else Signature.from_dict(d, app=app)


def signatures(value: Any, option: str) -> list[dict[str, Any]]:
    """Return the plain dictionaries of one signature or several, as ``link`` takes them.

    Raises:
        TypeError: One of them is not a signature.
    """
    if value is None:
        return []
    found: list[dict[str, Any]] = []
    for one in value if is_list(value) else (value,):
        if not is_mapping(one):
            raise TypeError(
                f"{option}={one!r} is not a signature: give task.s(...) or task.si(...), or a list of these"
            )
        found.append(checked(one))
    return found


def checked(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a signature's plain dictionary.

    Raises:
        InvalidTaskError: It is not one of a task.
    """
    plain = _plain(value)
    if not isinstance(plain["task"], str) or not plain["task"]:
        raise InvalidTaskError(f"{dict(value)!r} is not a signature: it has no task name")
    if plain["subtask_type"] is not None and plain["subtask_type"] not in Signature.kinds:
        raise InvalidTaskError(
            f"the signature of {plain['task']!r} is a {plain['subtask_type']!r};"
            f" workflows are {', '.join(Signature.kinds)}"
        )
    if not isinstance(plain["args"], (list, tuple)) or not isinstance(plain["kwargs"], dict):
        raise InvalidTaskError(
            f"the signature of {plain['task']!r} must have a list of args and a dictionary of kwargs"
        )
    if not isinstance(plain["options"], dict):
        raise InvalidTaskError(f"the signature of {plain['task']!r} must have a dictionary of options")
    return plain


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a dictionary of the signature's keys, with plain dictionaries inside where signatures were."""
    options: Any = value.get("options") or {}
    if is_mapping(options):
        options = dict(options)
        for name in ("link", "link_error"):
            if options.get(name) is not None:
                options[name] = signatures(options[name], name)
    args = value.get("args")
    kwargs = value.get("kwargs")
    return {
        "task": value.get("task"),
        "args": () if args is None else tuple(args) if is_list(args) else args,
        "kwargs": dict(kwargs) if is_mapping(kwargs) else kwargs or {},
        "options": options,
        "subtask_type": value.get("subtask_type"),
        "immutable": bool(value.get("immutable", False)),
    }
