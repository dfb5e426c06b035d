"""The public names and signatures, as text: ``python -m tests.api.snapshot`` prints them.

A change of ``public_api.txt`` is a change of the contract with users; it stands in a commit of its own right, where it
can be seen.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

MODULES: Final = (
    "celeriac",
    "celeriac.canvas",
    "celeriac.exceptions",
    "celeriac.result",
    "celeriac.schedules",
    "celeriac.signals",
    "celeriac.states",
    "celeriac.testing",
    "celeriac.utils",
    "celeriac.utils.log",
)
ALSO: Final = (
    ("celeriac.app.control", "Control"),
    ("celeriac.app.control", "Inspect"),
    ("celeriac.app.options", "ResendOptions"),
    ("celeriac.app.options", "SendOptions"),
    ("celeriac.app.options", "TaskOptions"),
    ("celeriac.app.schedule", "Schedule"),
    ("celeriac.execution.context", "Request"),
)
"""Classes that users meet without importing them."""
SNAPSHOT: Final = Path(__file__).with_name("public_api.txt")


def snapshot() -> str:
    """Return one line for each name."""
    lines: list[str] = []
    seen: dict[type, str] = {}
    for name in MODULES:
        module = importlib.import_module(name)
        for public in sorted(module.__all__):
            lines += _lines(f"{name}.{public}", getattr(module, public), seen)
    for name, public in ALSO:
        lines += _lines(f"{name}.{public}", getattr(importlib.import_module(name), public), seen)
    return "\n".join(lines) + "\n"


def _lines(name: str, value: Any, seen: dict[type, str]) -> Iterator[str]:
    # The type, not isinstance: a stand-in claims to be what it stands for.
    if issubclass(type(value), type):
        home = seen.setdefault(value, name)
        if home != name:
            yield f"{name} is {home}"
        elif issubclass(value, BaseException):
            yield f"{name}({', '.join(base.__name__ for base in value.__bases__)})"
        elif hasattr(value, "__total__"):
            yield from (f"{name}[{key!r}]: {hint.__forward_arg__}" for key, hint in value.__annotations__.items())
        else:
            yield f"{name}{_signature(value)}"
            yield from _members(name, value)
    elif inspect.isroutine(value):
        yield f"{name}{_signature(value)}"
    elif isinstance(value, (str, frozenset)) and name != "celeriac.__version__":
        yield f"{name} = {sorted(value) if isinstance(value, frozenset) else value}"
    else:
        yield name


def _members(name: str, value: type) -> Iterator[str]:
    members: dict[str, Any] = {}
    for base in reversed(value.__mro__):
        members |= dict.fromkeys(vars(base).get("__annotations__", {}))
        members |= vars(base)
    for key in sorted(members):
        if key.startswith("_") or hasattr(dict, key):
            continue
        found = inspect.getattr_static(value, key, None)
        if isinstance(found, (property, functools.cached_property)):
            yield f"{name}.{key}"
        elif inspect.isroutine(found):
            yield f"{name}.{key}{_signature(getattr(value, key))}"
        elif not inspect.ismodule(found):
            yield f"{name}.{key}"


def _signature(value: Any) -> str:
    """Return the parameters with their defaults; annotations are the type checkers' business."""
    bare = [one.replace(annotation=inspect.Parameter.empty) for one in inspect.signature(value).parameters.values()]
    return re.sub(r" object at 0x\w+", "", str(inspect.Signature(bare)))


if __name__ == "__main__":
    SNAPSHOT.write_text(snapshot())
    print(SNAPSHOT)  # noqa: T201 -- a command line tool
