"""Exceptions as data, and back.

An exception is kept as ``{"exc_type", "exc_message", "exc_module"}``, the form that Celery's peers store: its qualified
class name, its arguments, its module. Reading imports nothing and runs no code but the constructor of an exception
class that this process has already loaded. An ``except`` clause can only name a loaded class, so nothing is missed;
where the class is not loaded, a stand-in of the same name, derived from :class:`~celeriac.errors.TaskError`, takes its
place.

Two kinds of class always get a stand-in: what is no exception at all, and what is no :class:`Exception`, such as
SystemExit or CancelledError: raised by ``get()``, it would end the caller.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from celeriac.core.codec.reprs import saferepr
from celeriac.core.codec.serializers import write_json
from celeriac.errors import DecodeError, TaskError

MAX_ARGUMENT: Final = 64 * 1024
"""Bytes of JSON that one argument of an exception may take; a longer one is kept as its shortened repr."""
MAX_ARGUMENTS: Final = 32
_MAX_NAME: Final = 300
_REPR: Final = 4096


def encode_exception(exc: BaseException) -> dict[str, Any]:
    """Return the exception as plain data that every serializer can carry. Never raises.

    An argument that cannot be encoded, or is very long, is replaced by its representation.
    """
    kind = type(exc)
    try:
        arguments = _arguments_of(exc)[:MAX_ARGUMENTS]
    except Exception:  # ``args`` may be anything: a class can override it
        arguments = [saferepr(exc, _REPR)]
    return {
        "exc_type": kind.__qualname__[:_MAX_NAME],
        "exc_message": [_argument(value) for value in arguments],
        "exc_module": str(kind.__module__)[:_MAX_NAME],
    }


def decode_exception(data: Any) -> BaseException:
    """Return the exception that :func:`encode_exception` (or a peer) made ``data`` from.

    Raises:
        DecodeError: ``data`` has not that form.
    """
    if not isinstance(data, Mapping):
        raise DecodeError(f"a stored exception must be a dictionary, not {type(data).__name__}")
    fields = cast("Mapping[str, Any]", data)
    name, module = fields.get("exc_type"), fields.get("exc_module")
    if not isinstance(name, str) or not name:
        raise DecodeError("a stored exception must have its class name as text in 'exc_type'")
    if module is not None and not isinstance(module, str):
        raise DecodeError("a stored exception must have its module's name as text in 'exc_module'")
    given = fields.get("exc_message")
    if given is None:
        arguments: Sequence[Any] = ()
    else:
        arguments = cast("Sequence[Any]", given) if isinstance(given, (list, tuple)) else (given,)
    kind = _loaded_class(module, name) or _stand_in(module or "celeriac.errors", name)
    return _make(kind, tuple(arguments))


def _arguments_of(exc: BaseException) -> Sequence[Any]:
    if isinstance(exc, OSError) and exc.filename is not None:
        # The file's name is an argument of the constructor, but not one of ``args``.
        return exc.errno, exc.strerror, exc.filename
    return exc.args


def _argument(value: Any) -> Any:
    try:
        if len(write_json(value)) <= MAX_ARGUMENT:
            return value
    except Exception:  # it cannot be encoded; what is raised is up to the object
        pass
    return saferepr(value, _REPR)


def _loaded_class(module: str | None, name: str) -> type[Exception] | None:
    """Return the class if this process has loaded it and it is an Exception.

    Only dictionaries are looked into: getattr would run the code of modules and classes that compute their attributes.
    """
    loaded = sys.modules.get(module) if module else None
    if loaded is None:
        return None
    names: Mapping[str, object] = vars(loaded)
    found: object = None
    for part in name.split("."):
        found = names.get(part)
        if not isinstance(found, type):
            return None
        names = vars(found)
    return found if isinstance(found, type) and issubclass(found, Exception) else None


@functools.lru_cache(maxsize=256)
def _stand_in(module: str, name: str) -> type[TaskError]:
    """Return a class of that name; the same one each time, so that it can be compared."""
    # A class cannot be called by a null character or by half a surrogate pair.
    short = name[:_MAX_NAME].replace("\0", "?").encode("utf-8", "replace").decode()
    details = {
        "__module__": module[:_MAX_NAME],
        "__qualname__": short,
        "__doc__": "Stands in for an exception class that this process has not loaded.",
    }
    return type(short.rpartition(".")[2] or short, (TaskError,), details)


def _make(kind: type[Exception], arguments: tuple[Any, ...]) -> Exception:
    """Return an instance, by the constructor if that takes the stored arguments, else without it."""
    try:
        made = kind(*arguments)
        # A __new__ may return anything, and a __str__ that fails would hide the error when it is logged.
        if isinstance(made, kind) and isinstance(str(made), str) and isinstance(repr(made), str):  # pyright: ignore[reportUnnecessaryIsInstance]
            return made
    except Exception:  # the constructor wants other arguments than it handed on to its base
        pass
    return _bare(kind, arguments)


def _bare(kind: type[Exception], arguments: tuple[Any, ...]) -> Exception:
    """Return an instance of a subclass of ``kind`` whose constructor, str and repr are those of Exception."""
    plain = {
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "__doc__": kind.__doc__,
        "__new__": _new,
        "__init__": _init,
        "__str__": Exception.__str__,
        "__repr__": Exception.__repr__,
    }
    try:
        made: Exception = type(kind.__name__, (kind,), plain)(*arguments)
    except Exception:  # a metaclass or __init_subclass__ forbids it
        made = _stand_in(kind.__module__, kind.__qualname__)(*arguments)
    return made


def _new(kind: type[Exception], *arguments: Any) -> Exception:
    return Exception.__new__(kind, *arguments)


def _init(self: Exception, *arguments: Any) -> None:
    self.args = arguments
