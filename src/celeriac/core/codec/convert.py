"""Values back to the types that a task's annotations name.

What travels is plain (:mod:`celeriac.core.codec.tags`): an Enum is its value, a model is a dictionary. The annotations
of a task say what it was. The rule for each argument: a value in the wire form of the annotated type is converted or
refused with an error that names the argument; any other value is left alone, for annotations are not enforced.
Annotations that cannot be resolved, and types that need no conversion, are ignored.
"""

from __future__ import annotations

import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from celeriac.core.codec.shapes import Convert, converter_for
from celeriac.core.codec.tags import is_pydantic_model
from celeriac.errors import InvalidTaskError

_Hints = dict[str, Any]


class _Ends(msgspec.Struct, frozen=True):
    """The converters of what has no position or name of its own, and of what is returned."""

    rest: Convert | None = None
    any_name: Convert | None = None
    returned: Convert | None = None
    dump: Callable[[Any], Any] | None = None


class Converter:
    """What the annotations of one task ask for. Made by :func:`build_converter`.

    Attributes:
        converts_arguments: :meth:`inbound` may change something.
        converts_result: :meth:`convert_result` may change something.
        dumps_result: :meth:`dump_result` may change something.
    """

    def __init__(
        self, task: str, positional: Sequence[tuple[str, Convert | None]], named: Mapping[str, Convert], ends: _Ends
    ) -> None:
        self._task: Final = task
        self._positional: Final = [(index, name, one) for index, (name, one) in enumerate(positional) if one]
        self._named: Final = named
        self._rest_start: Final = len(positional)
        self._ends: Final = ends
        self.converts_arguments: Final = bool(self._positional or named or ends.rest or ends.any_name)
        self.converts_result: Final = ends.returned is not None
        self.dumps_result: Final = ends.dump is not None

    def inbound(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """Return the arguments as the task's annotations want them. The given ones are not changed.

        Args:
            args: Positional arguments, without the task itself where the function is bound.
            kwargs: Keyword arguments.

        Raises:
            InvalidTaskError: A value has the wire form of its annotation and is no such thing.
            pydantic.ValidationError: An argument annotated with a pydantic model does not fit it.
        """
        if not self.converts_arguments:
            return args, kwargs
        out = list(args)
        for index, name, convert in self._positional:
            if index >= len(out):
                break
            out[index] = self._apply(convert, out[index], f"argument {name!r}")
        rest, any_name = self._ends.rest, self._ends.any_name
        if rest is not None:
            for index in range(self._rest_start, len(out)):
                out[index] = self._apply(rest, out[index], f"positional argument {index + 1}")
        if not kwargs:
            return out, kwargs
        named: dict[str, Any] = {}
        for name, value in kwargs.items():
            known = self._named.get(name) or any_name
            named[name] = value if known is None else self._apply(known, value, f"argument {name!r}")
        return out, named

    def dump_result(self, value: Any) -> Any:
        """Return what the task returned, with a pydantic model as a dictionary where ``pydantic=True`` asks for it."""
        dump = self._ends.dump
        return value if dump is None else dump(value)

    def convert_result(self, value: Any) -> Any:
        """Return a decoded result as the task's return annotation wants it.

        Raises:
            InvalidTaskError: It has the wire form of the annotation and is no such thing.
        """
        returned = self._ends.returned
        return value if returned is None else self._apply(returned, value, "the result")

    def _apply(self, convert: Convert, value: Any, label: str) -> Any:
        try:
            return convert(value)
        except (ValueError, TypeError, ArithmeticError, msgspec.MsgspecError) as exc:
            # pydantic's own error says more than ours could, and callers know it.
            if type(exc).__module__.startswith("pydantic"):
                raise
            raise InvalidTaskError(f"{label} of task {self._task!r} does not fit its annotation: {exc}") from exc


def build_converter(
    function: Callable[..., Any],
    *,
    task: str = "",
    bound: bool = False,
    pydantic: bool = False,
    strict: bool | None = None,
    context: Mapping[str, Any] | None = None,
    dump_kwargs: Mapping[str, Any] | None = None,
) -> Converter | None:
    """Return what the annotations of ``function`` ask for; None if they ask for nothing.

    Args:
        function: The task's function.
        task: The task's name, for errors.
        bound: Its first parameter is the task itself and no argument.
        pydantic: A pydantic model returned by a function annotated to do so becomes a dictionary.
        strict: Given to pydantic's ``model_validate``; None means as the model says.
        context: Likewise.
        dump_kwargs: Given to pydantic's ``model_dump``; ``mode`` is ``json`` unless it says otherwise.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError, NameError):
        return None
    hints = _hints_of(function)
    known: dict[str, Convert] = {}
    for name, hint in hints.items():
        convert = converter_for(hint, strict=strict, context=context)
        if convert is not None:
            known[name] = convert
    dump = _dumper(hints.get("return"), dump_kwargs) if pydantic else None
    if not known and dump is None:
        return None
    rest = any_name = None
    positional: list[tuple[str, Convert | None]] = []
    named: dict[str, Convert] = {}
    for parameter in parameters[1:] if bound else parameters:
        convert = known.get(parameter.name)
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            rest = convert
        elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
            any_name = convert
        else:
            if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
                positional.append((parameter.name, convert))
            if convert is not None and parameter.kind is not inspect.Parameter.POSITIONAL_ONLY:
                named[parameter.name] = convert
    return Converter(task, positional, named, _Ends(rest, any_name, known.get("return"), dump))


def _hints_of(function: Callable[..., Any]) -> _Hints:
    """Return the annotations that can be resolved."""
    target = inspect.unwrap(function)
    if isinstance(target, functools.partial):
        target = cast("functools.partial[object]", target).func
    if not inspect.isroutine(target) and not inspect.isclass(target):
        target = getattr(target, "__call__", target)  # noqa: B004 -- an object whose class has __call__
    try:
        return typing.get_type_hints(target, include_extras=True)
    except Exception:  # an annotation may be any expression; one that fails must not hide the others
        pass
    try:
        raw: Mapping[str, Any] = target.__annotations__
    except Exception:  # as above, where annotations are computed when they are read
        return {}
    names = getattr(target, "__globals__", None) or vars(sys.modules.get(target.__module__, types))
    hints: _Hints = {}
    for name, annotation in raw.items():
        lone = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            hints.update(typing.get_type_hints(lone, globalns=names, include_extras=True))
        except Exception:  # as above
            continue
    return hints


def _dumper(hint: Any, dump_kwargs: Mapping[str, Any] | None) -> Callable[[Any], Any] | None:
    """Return what makes a dictionary of a returned model; None if the annotation is no model."""
    members = [one for one in typing.get_args(hint) if one is not type(None)] or [hint]
    if len(members) != 1 or not isinstance(members[0], type) or not is_pydantic_model(members[0]):
        return None
    model: Any = cast("object", members[0])
    options: dict[str, Any] = {"mode": "json", **(dump_kwargs or {})}

    def dump(value: Any) -> Any:
        return model.model_dump(value, **options) if isinstance(value, model) else value

    return dump
