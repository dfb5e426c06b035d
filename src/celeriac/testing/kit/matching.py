"""Which calls fit what a test expects; and of those that do not, what differs."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from celeriac.app.options import did_you_mean
from celeriac.core.codec import decode_args, encode_args
from celeriac.core.codec.reprs import saferepr
from celeriac.errors import CeleriacError
from celeriac.testing.kit.records import ENDS, Call

if TYPE_CHECKING:
    from celeriac.app import Celeriac
    from celeriac.app.task import Task


SHOWN: Final = 5
_SAME_TIME: Final = 0.001
"""Seconds by which times may differ and are the same: floats of seconds since the epoch are no finer."""


class Unset:
    """Stands for what a test says nothing about."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset()


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What a test says about a call; what is UNSET may be anything.

    Attributes:
        task: The task's name.
        args, kwargs: All arguments of the call, by place and by name.
        where: Some of its arguments, by the names of the task's parameters.
        options: Attributes of the record: queue, priority, countdown, eta, expires, state, ...
    """

    task: str
    args: Any = UNSET
    kwargs: Any = UNSET
    where: Mapping[str, Any] | None = None
    options: Mapping[str, Any] = {}

    def with_option(self, name: str, value: Any) -> Expected:
        """Return the same with one more thing expected."""
        return msgspec.structs.replace(self, options={**self.options, name: value})

    def __str__(self) -> str:
        said: list[str] = []
        for name, value in (("args", self.args), ("kwargs", self.kwargs)):
            if value is not UNSET:
                said.append(f"{name}={value!r}")
        said += [f"{name}={value!r}" for name, value in (self.where or {}).items()]
        said += [f"{name}={value!r}" for name, value in self.options.items() if name != "started"]
        return f"{self.task} with {', '.join(said)}" if said else self.task


def expected(task: Task[..., Any] | str, kind: type, wanted: Mapping[str, Any]) -> Expected:
    """Return what is expected, checked.

    Args:
        task: The task or its name.
        kind: The TypedDict that says what may be wanted.
        wanted: What is.

    Raises:
        TypeError: ``task`` is none, or nothing that could name one; or something is wanted that records do not have.
        ValueError: No run ends in this state.
    """
    name = task if isinstance(task, str) else getattr(task, "name", None)
    if not isinstance(name, str) or isinstance(task, Mapping):  # A signature: its arguments would be overlooked.
        raise TypeError(f"expected a task or the name of one, not {task!r:.200}")
    options = dict(wanted)
    known: frozenset[str] = vars(kind)["__optional_keys__"]
    for key in options.keys() - known:
        raise TypeError(f"{key!r} cannot be expected of task {name!r}{did_you_mean(key, known)}")
    state = options.get("state")
    if isinstance(state, str) and state not in ENDS:
        raise ValueError(f"no run of task {name!r} can end in state {state!r}{did_you_mean(state, ENDS)}")
    args, kwargs, where = (options.pop(key, UNSET) for key in ("args", "kwargs", "where"))
    return Expected(
        task=name,
        args=args if args is UNSET else tuple(args),
        kwargs=kwargs if kwargs is UNSET else dict(kwargs),
        where=None if where is UNSET else where,
        options=options,
    )


class Matcher:
    """Compares calls with what is expected of them.

    Args:
        app: Whose tasks they are.
        wanted: What is expected.

    Raises:
        TypeError: An argument is expected that the task cannot be given, so that nothing could ever fit.
    """

    def __init__(self, app: Celeriac, wanted: Expected) -> None:
        self._app = app
        self.wanted = wanted
        self._signature = _signature_of(app, wanted.task)
        parameters: Mapping[str, inspect.Parameter] = {} if self._signature is None else self._signature.parameters
        self._rest: str | None = next((one.name for one in parameters.values() if one.kind is one.VAR_KEYWORD), None)
        if self._signature is not None and self._rest is None:
            for name in (wanted.where or {}).keys() - parameters.keys():
                raise TypeError(f"task {wanted.task!r} has no argument {name!r}{did_you_mean(name, parameters)}")

    def fits(self, call: Call) -> bool:
        """Tell whether a call is as expected."""
        return call.task == self.wanted.task and not self.differences(call)

    def differences(self, call: Call) -> list[str]:
        """Return what differs, in words; empty where all is as expected."""
        found = self._arguments(call)
        for name, value in self.wanted.options.items():
            actual = getattr(call, name)
            if not _same(actual, value):
                found.append(f"{name} is {_shown(actual)}, not {_shown(value)}")
        return found

    def _arguments(self, call: Call) -> list[str]:
        wanted = self.wanted
        found: list[str] = []
        if wanted.args is not UNSET or wanted.kwargs is not UNSET:
            args = () if wanted.args is UNSET else wanted.args
            kwargs: dict[str, Any] = {} if wanted.kwargs is UNSET else wanted.kwargs
            found += _different(self._bound(call.args, call.kwargs), self._bound(*self._as_sent(call, args, kwargs)))
        if wanted.where:
            actual = self._bound(call.args, call.kwargs)
            _, named = self._as_sent(call, (), dict(wanted.where))
            found += _different({name: one for name, one in actual.items() if name in named}, named)
        return found

    def _bound(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return arguments by the names of the parameters, so that it does not matter how they were passed."""
        if self._signature is not None:
            try:
                found = dict(self._signature.bind(*args, **kwargs).arguments)
                return {**found, **found.pop(self._rest, {})} if self._rest is not None else found
            except TypeError:
                pass  # They fit no call; then they are compared as they are.
        return {**{f"argument {place + 1}": one for place, one in enumerate(args)}, **kwargs}

    def _as_sent(self, call: Call, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Return expected arguments as a worker would read them: what a serializer changes, it changes in both."""
        return (
            [_through(call, one) for one in args],
            {name: _through(call, one) for name, one in kwargs.items()},
        )


def _through(call: Call, value: Any) -> Any:
    """Return a value as the serializer of the call makes it; one that it cannot carry (``mock.ANY``) as it is."""
    message = call.message
    serializer = message.content_type.rpartition("/")[2].removeprefix("x-").replace("python-serialize", "pickle")
    try:
        encoded = encode_args((value,), {}, serializer=serializer)
        accept = frozenset({encoded.content_type})
        args, _, _ = decode_args(encoded.body, encoded.content_type, encoded.content_encoding, accept=accept)
    except (CeleriacError, TypeError, ValueError):
        return value
    return args[0]


def _signature_of(app: Celeriac, name: str) -> inspect.Signature | None:
    task = app.tasks.get(name)
    if task is None:
        return None
    try:
        return inspect.signature(task.run)
    except (TypeError, ValueError):
        return None


def _different(actual: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    for name in dict.fromkeys((*wanted, *actual)):
        if name not in actual:
            found.append(f"{name} is not given, and should be {_shown(wanted[name])}")
        elif name not in wanted:
            found.append(f"{name} is {_shown(actual[name])}, and should not be given")
        elif actual[name] != wanted[name]:
            found.append(f"{name} is {_shown(actual[name])}, not {_shown(wanted[name])}")
    return found


def _same(actual: Any, wanted: Any) -> bool:
    if isinstance(wanted, timedelta):
        wanted = wanted.total_seconds()
    if isinstance(wanted, datetime) and isinstance(actual, datetime):
        aware = wanted if wanted.tzinfo is not None else wanted.replace(tzinfo=UTC)
        return abs((actual - aware).total_seconds()) <= _SAME_TIME
    if isinstance(wanted, float | int) and isinstance(actual, float):
        return math.isclose(actual, wanted, abs_tol=_SAME_TIME)
    if isinstance(wanted, type) and isinstance(actual, BaseException):
        return isinstance(actual, wanted)
    return bool(actual == wanted)


def _shown(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else saferepr(value, levels=6)


def nearest(matcher: Matcher, calls: Iterable[Call], *, what: str) -> str:
    """Return the calls that come nearest to what is expected, a line each with what differs.

    Args:
        matcher: Says what is expected.
        calls: All there are.
        what: What was done with them: ``enqueued`` or ``run``.
    """
    everything = list(calls)
    same = [one for one in everything if one.task == matcher.wanted.task]
    if same:
        told = [(matcher.differences(one), one) for one in same]
        told.sort(key=lambda pair: len(pair[0]))
        lines = [f"{len(same)} of that name {_were(len(same))} {what}; the nearest:"]
        lines += [f"  {one!r}\n    {'; '.join(found) or 'fits'}" for found, one in told[:SHOWN]]
        return "\n".join(lines)
    if not everything:
        how = ": drain() runs what is due, advance() and finish() also what is due later" if what == "run" else ""
        return f"Nothing was {what}{how}."
    counts: dict[str, int] = {}
    for one in everything:
        counts[one.task] = counts.get(one.task, 0) + 1
    names = ", ".join(f"{name} ({count})" for name, count in list(counts.items())[: 2 * SHOWN])
    return f"None of that name was {what}; there were: {names}."


def _were(count: int) -> str:
    return "was" if count == 1 else "were"
