"""Workflows as signatures: chain, group, chord, and the tasks that map another over many arguments.

They are made of signatures and are signatures themselves, so they nest, travel as JSON, and are called alike. What
they become when they are sent is worked out by :mod:`celeriac.app.planting`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self, cast

from celeriac.app import planting
from celeriac.app.canvas import Signature
from celeriac.app.narrowing import is_list, is_mapping
from celeriac.errors import InvalidTaskError

if TYPE_CHECKING:
    from celeriac.app.app import Celeriac
    from celeriac.app.group_result import GroupResult
    from celeriac.app.task import Task


class Workflow(Signature):
    """What all of them have in common: calling it sends it."""

    def apply_async(self, args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Any) -> Any:
        """Send it, with these arguments for the tasks it begins with.

        Returns:
            The result of its last step; of a group, a GroupResult.
        """
        return planting.send(self, tuple(args), kwargs or {}, options)

    async def aapply_async(
        self, args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Any:
        """Send it; the awaitable twin of :meth:`apply_async`."""
        return await planting.asend(self, tuple(args), kwargs or {}, options)

    def delay(self, *partial_args: Any, **partial_kwargs: Any) -> Any:
        """Send it."""
        return self.apply_async(partial_args, partial_kwargs)

    async def adelay(self, *partial_args: Any, **partial_kwargs: Any) -> Any:
        """Send it; the awaitable twin of :meth:`delay`."""
        return await self.aapply_async(partial_args, partial_kwargs)

    def apply(self, args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Any) -> Any:
        """Run it here and now."""
        return planting.run_here(self, tuple(args), kwargs or {}, options)

    def __call__(self, *partial_args: Any, **partial_kwargs: Any) -> Any:
        """Send it."""
        return self.apply_async(partial_args, partial_kwargs)

    @property
    def app(self) -> Celeriac:
        """The app it is sent through: its own, that of a task in it, or the current one."""
        return self.bound_app or super().app

    @property
    def bound_app(self) -> Celeriac | None:
        """The app it was made for, or that of the first task in it that has one; None: the current one."""
        if self._app is not None:
            return self._app
        return next((found for one in self.parts if (found := one.bound_app) is not None), None)

    @property
    def parts(self) -> list[Signature]:
        """The signatures that it is made of."""
        return cast("list[Signature]", self["kwargs"]["tasks"])

    @property
    def extra_kwargs(self) -> dict[str, Any]:
        """Keyword arguments for the tasks it begins with."""
        own = {name: value for name, value in self.kwargs.items() if name not in ("tasks", "header", "body", "kwargs")}
        return {**(self.kwargs.get("kwargs") or {}), **own}  # Celery's chords keep them by themselves.

    def freeze(self, _id: str | None = None, *args: Any, **fields: Any) -> Any:
        """Settle the ids that its tasks will have, and return its result before it is sent; see ``Signature.freeze``.

        Args:
            _id: The id of its last task, or of the group.
            *args: Have no meaning here.
            **fields: Likewise, but ``root_id``.
        """
        return planting.freeze(self, _id, fields.get("root_id"))

    def link_error(self, errback: Signature) -> Signature:
        """Run ``errback`` when one of its tasks fails; return ``errback``."""
        for one in self.parts:
            one.link_error(errback)
        return errback

    def clone(self, args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Any) -> Self:
        """Return a copy, with arguments put before its own, and options added."""
        copy = type(self).from_dict(self, app=self.bound_app)
        copy.update(
            args=(*args, *self.args), kwargs={**copy.kwargs, **(kwargs or {})}, options={**copy.options, **options}
        )
        return cast("Self", copy)

    partial = clone


class chain(Workflow):
    """Tasks that run one after the other; each is given what the one before returned, as its first argument.

    Args:
        *tasks: Signatures, or one list of them. A group that something follows becomes a chord.
        **options: Options of ``apply_async``.
    """

    def __new__(cls, *tasks: Any, **options: Any) -> Any:
        given = _given(tasks)
        parts = _joined(given)
        if len(parts) == 1 and isinstance(parts[0], chord) and len(given) > 1:
            return parts[0].set(**{name: value for name, value in options.items() if name != "app"})
        made = super().__new__(cls)
        made._made_of = parts  # A generator can be asked once.
        return made

    _made_of: list[Signature]

    def __init__(self, *tasks: Any, app: Celeriac | None = None, **options: Any) -> None:
        parts = self._made_of
        super().__init__("celery.chain", kwargs={"tasks": parts}, options=options, subtask_type="chain", app=app)

    @classmethod
    def from_dict(cls, d: Mapping[str, Any], app: Celeriac | None = None) -> Signature:
        made = cls(app=app)
        made["kwargs"]["tasks"] = _signatures(d, "tasks", app)
        return _filled(made, d)

    @property
    def tasks(self) -> list[Signature]:
        """Its steps."""
        return self.parts

    def link(self, callback: Signature) -> Signature:
        """Run ``callback`` with what the last step returns; return ``callback``."""
        return self.parts[-1].link(callback) if self.parts else super().link(callback)

    def __len__(self) -> int:
        return len(self.parts)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return " | ".join(map(repr, self.parts)) or "<empty chain>"


class group(Workflow):
    """Tasks that run side by side.

    Args:
        *tasks: Signatures, or one list or generator of them.
        **options: Options of ``apply_async``, for each of them.
    """

    def __init__(self, *tasks: Any, app: Celeriac | None = None, **options: Any) -> None:
        parts = [_signature(one, app) for one in _given(tasks)]
        super().__init__("celery.group", kwargs={"tasks": parts}, options=options, subtask_type="group", app=app)

    @classmethod
    def from_dict(cls, d: Mapping[str, Any], app: Celeriac | None = None) -> Signature:
        made = cls(app=app)
        made["kwargs"]["tasks"] = _signatures(d, "tasks", app)
        return _filled(made, d)

    @property
    def tasks(self) -> list[Signature]:
        """Its tasks."""
        return self.parts

    def skew(self, start: float = 1.0, stop: float | None = None, step: float = 1.0) -> Self:
        """Let its tasks begin at different times: give each a countdown, in seconds.

        Args:
            start: The first one's.
            stop: The longest; None: there is none.
            step: How much longer than the one before.
        """
        delays = _skewed(start, stop, step)
        for one in self.parts:
            one.set(countdown=next(delays))
        return self

    def link(self, callback: Signature) -> Signature:
        """Run ``callback`` when the first task succeeds, without its value, as Celery does; return what is run.

        See also ``chord``.
        """
        alone = callback.clone().set(immutable=True)
        return self.parts[0].link(alone) if self.parts else super().link(alone)

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[Any]:
        return super().__iter__()

    def __repr__(self) -> str:
        return f"group({self.parts!r})"


class chord(Workflow):
    """A group, and a task that is given the list of what its tasks returned, once all have.

    Args:
        header: A group, or signatures.
        body: A signature; it may be given when the chord is called, as in ``chord(header)(body)``.
        **options: Options of ``apply_async``.
    """

    def __init__(self, header: Any, body: Any = None, *, app: Celeriac | None = None, **options: Any) -> None:
        first = header if isinstance(header, group) else _signature(header, app) if _is_group(header) else group(header)
        kwargs = {"header": first, "body": None if body is None else _signature(body, app)}
        super().__init__("celery.chord", kwargs=kwargs, options=options, subtask_type="chord", app=app)

    @classmethod
    def from_dict(cls, d: Mapping[str, Any], app: Celeriac | None = None) -> Signature:
        kwargs = d.get("kwargs")
        if not is_mapping(kwargs) or kwargs.get("header") is None:
            raise InvalidTaskError(f"{dict(d)!r:.300} is not the signature of a chord: it has no header")
        header = kwargs["header"]
        made = cls(group(*_list(header)) if is_list(header) else Signature.from_dict(header, app=app), app=app)
        body = kwargs.get("body")
        made["kwargs"]["body"] = None if body is None else Signature.from_dict(body, app=app)
        return _filled(made, d)

    @property
    def header(self) -> group:
        """The group."""
        return cast("group", self["kwargs"]["header"])

    @property
    def tasks(self) -> list[Signature]:
        """The tasks of the header."""
        return self.header.tasks

    @property
    def body(self) -> Signature | None:
        """What is given the list."""
        return cast("Signature | None", self["kwargs"]["body"])

    @body.setter
    def body(self, value: Signature | None) -> None:
        self["kwargs"]["body"] = value

    @property
    def parts(self) -> list[Signature]:
        return [self.header, *([] if self.body is None else [self.body])]

    def __call__(self, body: Any = None, *args: Any, **options: Any) -> Any:
        """Send it, with this body if one is given."""
        whole = self
        if body is not None:
            whole = self.clone()
            whole.body = _signature(body, self._app)
        return whole.apply_async(args, **options)

    def link(self, callback: Signature) -> Signature:
        """Run ``callback`` with what the body returns; return ``callback``."""
        return super().link(callback) if self.body is None else self.body.link(callback)

    def link_error(self, errback: Signature) -> Signature:
        """Run ``errback`` when the body fails, which it does if a task of the header failed; return ``errback``."""
        return super(Workflow, self).link_error(errback) if self.body is None else self.body.link_error(errback)

    def __repr__(self) -> str:
        return f"chord({self.header.tasks!r}, {self.body!r})"


class _Mapping(Signature):
    """A task that calls another once for each of many arguments; the list of what it returned is its value."""

    starred = False

    @classmethod
    def over(cls, task: Signature, it: Iterable[Any]) -> Self:
        """Return the signature of a task that maps ``task`` over the arguments."""
        made = cls(
            cls.name_,
            kwargs={"task": task, "it": list(it)},
            subtask_type=cls.name_.partition(".")[2],
            immutable=True,
            app=task.bound_app,
        )
        return made

    name_ = "celery.map"

    @classmethod
    def from_dict(cls, d: Mapping[str, Any], app: Celeriac | None = None) -> Signature:
        return cls(d, app=app)


class xmap(_Mapping):
    """``task.map(it)``: ``[task(one) for one in it]``, as one task."""


class xstarmap(_Mapping):
    """``task.starmap(it)``: ``[task(*one) for one in it]``, as one task."""

    name_ = "celery.starmap"


class chunks(Workflow):
    """``task.chunks(it, n)``: arguments in parts of ``n``, each a task of its own.

    Args:
        task: The signature that is called with each of the arguments.
        it: Tuples of arguments.
        n: How many make one task.
    """

    def __init__(
        self, task: Signature, it: Iterable[Any], n: int, *, app: Celeriac | None = None, **options: Any
    ) -> None:
        if n < 1:
            raise ValueError(f"chunks of {n} cannot be made: n must be at least 1")
        kwargs = {"task": task, "it": list(it), "n": n}
        super().__init__("celery.chunks", kwargs=kwargs, options=options, subtask_type="chunks", app=app)

    @classmethod
    def from_dict(cls, d: Mapping[str, Any], app: Celeriac | None = None) -> Signature:
        kwargs = d.get("kwargs")
        if not is_mapping(kwargs) or not {"task", "it", "n"} <= kwargs.keys():
            raise InvalidTaskError(f"{dict(d)!r:.300} is not the signature of chunks")
        return _filled(cls(Signature.from_dict(kwargs["task"], app=app), kwargs["it"], kwargs["n"], app=app), d)

    @property
    def parts(self) -> list[Signature]:
        return [cast("Signature", self["kwargs"]["task"])]

    def group(self) -> group:
        """Return the group of its tasks; each returns a list."""
        task: Signature = self["kwargs"]["task"]
        it: list[Any] = self["kwargs"]["it"]
        n: int = self["kwargs"]["n"]
        parts = [it[first : first + n] for first in range(0, len(it), n)]
        return group(*[xstarmap.over(task, part) for part in parts], app=self._app, **self.options)

    def apply_chunks(self, **options: Any) -> GroupResult:
        """Send it."""
        return cast("GroupResult", self.apply_async(**options))


def _is_group(value: Any) -> bool:
    return is_mapping(value) and value.get("subtask_type") == "group"


def _given(tasks: tuple[Any, ...]) -> list[Any]:
    """Return signatures that are given one by one, or as one list, generator or group."""
    if len(tasks) == 1 and not is_mapping(tasks[0]):
        return _list(tasks[0])
    if len(tasks) == 1 and isinstance(tasks[0], group):
        return list(tasks[0].tasks)
    return list(tasks)


def _list(value: Any) -> list[Any]:
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        raise TypeError(f"a workflow is made of signatures such as task.s(1), not {value!r:.200}")
    return list(value)


def _signature(value: Any, app: Celeriac | None) -> Signature:
    if isinstance(value, Signature):
        return value
    if not is_mapping(value):
        raise TypeError(f"a workflow is made of signatures such as task.s(1), not {value!r:.200}")
    return Signature.from_dict(value, app=app)


def _signatures(d: Mapping[str, Any], name: str, app: Celeriac | None) -> list[Signature]:
    kwargs = d.get("kwargs")
    listed = kwargs.get(name) if is_mapping(kwargs) else None
    if not is_list(listed):
        raise InvalidTaskError(f"{dict(d)!r:.300} is not the signature of a workflow: it has no list of {name}")
    return [_copied(one, app) for one in listed]


def _copied(one: Any, app: Celeriac | None) -> Signature:
    return one.clone() if isinstance(one, Signature) else Signature.from_dict(one, app=app)


def _filled(made: Workflow, d: Mapping[str, Any]) -> Workflow:
    """Take over the arguments and options of a dictionary."""
    made.update(args=tuple(d.get("args") or ()), options=dict(d.get("options") or {}))
    kwargs = d.get("kwargs")
    for name, value in kwargs.items() if is_mapping(kwargs) else ():
        made["kwargs"].setdefault(name, value)
    made.set_immutable(bool(d.get("immutable")))
    return made


def _joined(tasks: Iterable[Any]) -> list[Signature]:
    """Return the steps of a chain: those of chains in it are its own, and a group with something behind it a chord."""
    parts: list[Signature] = []
    for one in tasks:
        signature = _signature(one, None)
        if isinstance(signature, chain) and not signature.args and not signature.options and not signature.extra_kwargs:
            more = [_copied(step, None) for step in signature.tasks]
        else:
            more = [signature]
        for step in more:
            last = parts[-1] if parts else None
            if isinstance(last, group):
                parts[-1] = chord(last, step)
            else:
                parts.append(step)
    return parts


def _join(left: Signature, right: Any) -> Signature:
    other = _signature(right, None)
    if isinstance(left, chord) and left.body is not None and not isinstance(other, group):
        whole = left.clone()
        whole.body = left.body.clone() | other
        return whole
    return cast("Signature", chain(left.clone(), other.clone(), app=left.bound_app))


def _skewed(start: float, stop: float | None, step: float) -> Iterator[float]:
    value = start
    while True:
        yield value
        if stop is None or value + step <= stop:
            value += step


Signature.kinds = {
    "chain": chain,
    "group": group,
    "chord": chord,
    "map": xmap,
    "starmap": xstarmap,
    "chunks": chunks,
}
Signature.joined = staticmethod(_join)


def map_signature(task: Task[..., Any], it: Iterable[Any], *, starred: bool) -> Signature:
    """Return ``task.map(it)`` or ``task.starmap(it)``."""
    return (xstarmap if starred else xmap).over(task.s(), it)
