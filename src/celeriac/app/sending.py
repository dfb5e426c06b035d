"""The ways to send a task: one call, many, blocking, awaiting, or run here instead.

Each blocking method has an awaitable twin of the same signature whose name begins with ``a``. A blocking one may be
called in a coroutine; it then holds the event loop for as long as the broker takes.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, Unpack, cast, overload

from celeriac.app import eager
from celeriac.app.canvas import Signature
from celeriac.app.eager_result import EagerResult
from celeriac.app.narrowing import is_mapping
from celeriac.app.publisher import Order
from celeriac.app.result import AsyncResult
from celeriac.app.workflows import chunks, map_signature

if TYPE_CHECKING:
    from celeriac.app.app import Celeriac
    from celeriac.app.options import SendOptions
    from celeriac.app.plan import Plan
    from celeriac.app.task import Task
    from celeriac.execution.context import Request

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")

ArgumentSet = Sequence[Any] | Mapping[str, Any]
"""One call's arguments: a tuple or list of positional ones, a dictionary of named ones, or a signature of the task."""


class Sending(Generic[P, R_co]):
    """The part of a task that sends it."""

    name: str
    app: Celeriac
    send_plan: Plan | None = None
    """What the publisher worked out about this task."""

    @overload
    def delay(self: Sending[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> AsyncResult[T]: ...
    @overload
    def delay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R_co]: ...
    def delay(self, *args: Any, **kwargs: Any) -> AsyncResult[Any]:
        """Send the task, with these arguments.

        Raises:
            TypeError: The task does not take these arguments, or one of them cannot be encoded.
            OperationalError: The broker could not be reached in time; nothing was sent.
        """
        return self.app.publisher.send(self._task, args, kwargs)

    @overload
    async def adelay(self: Sending[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> AsyncResult[T]: ...
    @overload
    async def adelay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R_co]: ...
    async def adelay(self, *args: Any, **kwargs: Any) -> AsyncResult[Any]:
        """Send the task, with these arguments; the awaitable twin of :meth:`delay`."""
        return await self.app.publisher.asend(self._task, args, kwargs)

    @overload
    def apply_async(
        self: Sending[P, Coroutine[Any, Any, T]],
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[SendOptions],
    ) -> AsyncResult[T]: ...
    @overload
    def apply_async(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[SendOptions],
    ) -> AsyncResult[R_co]: ...
    def apply_async(
        self, args: Iterable[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult[Any]:
        """Send the task.

        Args:
            args: Positional arguments.
            kwargs: Keyword arguments.
            **options: See :class:`celeriac.app.options.SendOptions`.

        Raises:
            TypeError: The task does not take these arguments, one of them cannot be encoded, or an option is unknown.
            InvalidTaskError: An option's value is not valid.
            OperationalError: The broker could not be reached in time; nothing was sent.
        """
        return self.app.publisher.send(self._task, positional(args, self.name), keywords(kwargs, self.name), options)

    @overload
    async def aapply_async(
        self: Sending[P, Coroutine[Any, Any, T]],
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[SendOptions],
    ) -> AsyncResult[T]: ...
    @overload
    async def aapply_async(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[SendOptions],
    ) -> AsyncResult[R_co]: ...
    async def aapply_async(
        self, args: Iterable[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult[Any]:
        """Send the task; the awaitable twin of :meth:`apply_async`."""
        return await self.app.publisher.asend(
            self._task, positional(args, self.name), keywords(kwargs, self.name), options
        )

    def apply_many(
        self, argument_sets: Iterable[ArgumentSet], **options: Unpack[SendOptions]
    ) -> list[AsyncResult[Any]]:
        """Send the task once for each set of arguments, in one round trip per 500.

        The sets may come from a generator; they are sent as they come. Should the broker fail on the way, the error
        says how many were sent.

        Args:
            argument_sets: Each is a tuple or list of positional arguments, a dictionary of keyword arguments, or a
                signature of this task, whose own options count too.
            **options: For all of them, as for :meth:`apply_async`, without ``task_id``.

        Raises:
            TypeError, InvalidTaskError, OperationalError: As :meth:`apply_async`.
        """
        return self.app.publisher.send_many(self._orders(argument_sets), cast("dict[str, Any]", options))

    async def aapply_many(
        self, argument_sets: Iterable[ArgumentSet], **options: Unpack[SendOptions]
    ) -> list[AsyncResult[Any]]:
        """Send the task once for each set of arguments; the awaitable twin of :meth:`apply_many`."""
        return await self.app.publisher.asend_many(self._orders(argument_sets), cast("dict[str, Any]", options))

    def apply(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        throw: bool | None = None,
        **options: Any,
    ) -> EagerResult[Any]:
        """Run the task here and now, as a worker would: same encoding, hooks, retries, callbacks.

        Args:
            args: Positional arguments.
            kwargs: Keyword arguments.
            throw: Raise what the task raises; default: setting ``task_eager_propagates``.
            **options: As for :meth:`apply_async`; those that say where and when have no meaning here.
        """
        return eager.apply(self._task, positional(args, self.name), keywords(kwargs, self.name), options, throw=throw)

    # Signatures.

    def signature(self, args: Iterable[Any] | None = None, *starargs: Any, **starkwargs: Any) -> Signature:
        """Return a signature of this task; the arguments are those of :class:`~celeriac.app.canvas.Signature`."""
        return Signature(self._task, args, *starargs, **starkwargs)

    subtask = signature

    def s(self, *args: Any, **kwargs: Any) -> Signature:
        """Return a signature with these arguments."""
        return Signature(self._task, args, kwargs)

    def si(self, *args: Any, **kwargs: Any) -> Signature:
        """Return an immutable signature with these arguments: it ignores what a linked task returned."""
        return Signature(self._task, args, kwargs, immutable=True)

    def signature_from_request(
        self,
        request: Request | None = None,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        queue: str | None = None,
        **extra_options: Any,
    ) -> Signature:
        """Return a signature that sends a run once more.

        Args:
            request: The run; None: the current one.
            args: Positional arguments; None: those of the run.
            kwargs: Keyword arguments; None: those of the run.
            queue: Name of the queue; None: that of the run.
            **extra_options: Options of ``apply_async`` over those of the run.
        """
        run = self._task.request if request is None else request
        options = {name: value for name, value in run.execution_options.items() if value is not None}
        found = queue or run.delivery_info.get("queue")
        placed = {"queue": found} if found else {}
        return self.signature(
            run.args if args is None else args,
            run.kwargs if kwargs is None else kwargs,
            {**options, **placed, **extra_options},
        )

    subtask_from_request = signature_from_request

    def map(self, it: Iterable[Any]) -> Signature:
        """Return the signature of one task that calls this one with each argument: ``[task(one) for one in it]``."""
        return map_signature(self._task, it, starred=False)

    def starmap(self, it: Iterable[Any]) -> Signature:
        """Return the signature of one task that calls this one with each tuple of arguments."""
        return map_signature(self._task, it, starred=True)

    def chunks(self, it: Iterable[Any], n: int) -> chunks:
        """Return the signature of a group of tasks, each of which calls this one with ``n`` tuples of arguments."""
        return chunks(self.s(), it, n, app=self._task.app)

    @property
    def _task(self) -> Task[..., Any]:
        return cast("Task[..., Any]", self)

    def _orders(self, argument_sets: Iterable[ArgumentSet]) -> Iterable[Order]:
        task = self._task
        for one in argument_sets:
            if type(one) is tuple:  # By far the most usual; the others take a microsecond to be told apart.
                yield Order(task, one, {}, None)
            elif isinstance(one, Signature):
                if one.task != self.name:
                    raise TypeError(
                        f"apply_many of task {self.name!r} got a signature of {one.task!r}: use app.send_tasks() for"
                        " different tasks"
                    )
                yield Order(task, one.args, one.kwargs, one.options)
            elif isinstance(one, Mapping):
                yield Order(task, (), keywords(one, self.name), None)
            else:
                yield Order(task, positional(one, self.name), {}, None)


def positional(args: Iterable[Any] | None, name: str) -> tuple[Any, ...]:
    """Return positional arguments as a tuple.

    Raises:
        TypeError: They are one value, as text is, and not several.
    """
    if args is None:
        return ()
    if type(args) is tuple:
        return args  # pyright: ignore[reportUnknownVariableType]
    if isinstance(args, (str, bytes, bytearray, Mapping)) or not hasattr(args, "__iter__"):
        raise TypeError(f"args of task {name!r} must be a list or tuple of arguments, not {args!r:.200}")
    return tuple(args)


def keywords(kwargs: Any, name: str) -> dict[str, Any]:
    """Return keyword arguments as a dictionary.

    Raises:
        TypeError: They are none, or a key is not text.
    """
    if kwargs is None:
        return {}
    if not is_mapping(kwargs):
        raise TypeError(f"kwargs of task {name!r} must be a dictionary of arguments, not {kwargs!r:.200}")
    found = dict(kwargs)
    for key in found:
        if type(key) is not str:
            raise TypeError(f"kwargs of task {name!r} must have text as keys, not {key!r:.200}")
    return found
