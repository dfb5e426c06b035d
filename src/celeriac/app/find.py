"""Finding the app that ``-A`` names, the same way in the command line and in every child process.

The order is Celery's: in a module its ``app``, ``celery`` or ``celeriac``; in a package then the same in its submodule
``celery`` or ``celeriac``; then any app that stands in it, if there is just one. Whatever goes wrong is one sentence
that says what was tried, and, if the user's code raised, what and where.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from types import ModuleType
from typing import Final

from celeriac.app.app import Celeriac
from celeriac.errors import ImproperlyConfigured

_NAMES: Final = ("app", "celery", "celeriac")
_SUBMODULES: Final = ("celery", "celeriac")


def find_app(target: str) -> Celeriac:
    """Return the app that ``target`` names and make it the current app of every thread.

    Args:
        target: ``proj``, ``proj.tasks``, ``proj:name``, ``proj.app:name`` or ``proj.app.name``.

    Raises:
        ImproperlyConfigured: There is no such module, importing it failed, or it has no app or several.
    """
    _see_working_directory()
    module_name, colon, attribute = target.strip().partition(":")
    parts = module_name.split(".")
    if not all(part.isidentifier() for part in parts) or (colon and not attribute):
        raise ImproperlyConfigured(
            f"-A {target!r} is not the name of an app: give a module (proj, proj.tasks) or a module and a name"
            " in it (proj:app)"
        )
    app = _find(target, parts, attribute)
    app.set_current()
    app.set_default()
    return app


def _find(target: str, parts: list[str], attribute: str) -> Celeriac:
    name = ".".join(parts)
    if not _exists(target, name):
        if attribute or len(parts) == 1 or not _exists(target, parent := ".".join(parts[:-1])):
            raise ImproperlyConfigured(_not_found(target, parts))
        # proj.app may say the name app in proj, as it may in Celery.
        return _named(target, _import(target, parent), parts[-1])
    module = _import(target, name)
    return _named(target, module, attribute) if attribute else _search(target, module)


def _search(target: str, module: ModuleType) -> Celeriac:
    """Return the app of a module that nobody named more closely."""
    app = _own_app(module)
    tried = [f"{module.__name__}.{name}" for name in _NAMES]
    if app is None and hasattr(module, "__path__"):
        for submodule in _SUBMODULES:
            name = f"{module.__name__}.{submodule}"
            tried.append(name)
            if app is None and _exists(target, name):
                app = _own_app(_import(target, name))
    if app is not None:
        return app
    several = {id(value): (name, value) for name, value in reversed(vars(module).items()) if _is_app(value)}
    if len(several) == 1:
        return _checked(next(iter(several.values()))[1])
    if several:
        names = sorted(f"{module.__name__}:{name}" for name, _ in several.values())
        raise ImproperlyConfigured(f"-A {target}: {module.__name__} has several apps; choose one: {', '.join(names)}")
    raise ImproperlyConfigured(
        f"-A {target}: {module.__name__} ({_file(module)}) has no Celeriac app; looked at {', '.join(tried)}"
        f" and everything else in it. Name it as {module.__name__}:name, or give the module that makes it"
    )


def _own_app(module: ModuleType) -> Celeriac | None:
    for name in _NAMES:
        value = getattr(module, name, None)
        if _is_app(value):
            return _checked(value)
    return None


def _named(target: str, module: ModuleType, path: str) -> Celeriac:
    """Return what ``module:path`` is."""
    value: object = module
    for name in path.split("."):
        try:
            value = getattr(value, name)
        except AttributeError:
            near = [name for name, one in vars(module).items() if _is_app(one)]
            hint = f"; its apps are {', '.join(sorted(near))}" if near else "; it has no app at all"
            if target.endswith(".py"):
                hint = f". A module is named without .py: -A {module.__name__}"
            raise ImproperlyConfigured(
                f"-A {target}: module {module.__name__} ({_file(module)}) has no {path!r}{hint}"
            ) from None
    if isinstance(value, ModuleType):
        return _search(target, value)
    if not _is_app(value):
        raise ImproperlyConfigured(
            f"-A {target}: {module.__name__}:{path} is a {type(value).__name__}, not a Celeriac app"
        )
    return _checked(value)


def _is_app(value: object) -> bool:
    """Tell an app from a proxy of one, such as ``current_app``, whose ``isinstance`` says yes as well."""
    return issubclass(type(value), Celeriac)


def _checked(value: object) -> Celeriac:
    assert isinstance(value, Celeriac)
    return value


def _exists(target: str, name: str) -> bool:
    """Return whether there is a module of that name; imports the packages above it."""
    if name in sys.modules:
        return True
    parent = name.rpartition(".")[0]
    if parent and (not _exists(target, parent) or not hasattr(_import(target, parent), "__path__")):
        return False
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _import(target: str, name: str) -> ModuleType:
    with user_code(f"-A {target}: importing {name!r}"):
        return importlib.import_module(name)
    raise AssertionError(name)


@contextmanager
def user_code(subject: str) -> Generator[None]:
    """Make one sentence of whatever the user's code raises, with the place in it; the error itself is its cause.

    Args:
        subject: What is being done, for the sentence: ``importing 'proj'``.

    Raises:
        ImproperlyConfigured: The code raised.
    """
    try:
        yield
    except ImproperlyConfigured:
        raise
    except (Exception, SystemExit) as exc:
        text = "it calls sys.exit()" if isinstance(exc, SystemExit) else f"{type(exc).__name__}: {exc}"
        notes = "".join(f"; {note}" for note in getattr(exc, "__notes__", ()))
        raise ImproperlyConfigured(f"{subject} failed: {text}{_place(exc)}{notes}") from exc


def _place(exc: BaseException) -> str:
    """Return where in the user's code the error came from, for people."""
    if isinstance(exc, SyntaxError):
        return ""  # Its text says it.
    ours = os.path.dirname(os.path.dirname(__file__))
    frames = [
        frame
        for frame in traceback.extract_tb(exc.__traceback__)
        if not frame.filename.startswith((ours, "<frozen ", importlib.__path__[0]))
    ]
    return f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""


def _not_found(target: str, parts: list[str]) -> str:
    for count in range(1, len(parts) + 1):
        name = ".".join(parts[:count])
        if not _exists(target, name):
            where = "looked in " + ", ".join(entry or os.getcwd() for entry in sys.path[:3]) + " and so on"
            if count > 1:
                where = f"looked in package {'.'.join(parts[: count - 1])}"
            return f"-A {target}: there is no module {name!r}; {where}. Start in the project's folder, or use --workdir"
    raise AssertionError(target)


def _see_working_directory() -> None:
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)


def _file(module: ModuleType) -> str:
    return getattr(module, "__file__", None) or "a folder without __init__.py"
