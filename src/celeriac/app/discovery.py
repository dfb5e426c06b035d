"""Importing the modules that define tasks.

A package without a ``tasks`` module is no mistake; an error inside such a module is, and passes on, with a note that
says which module it was.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterable

Packages = Iterable[str] | Callable[[], Iterable[str]]


def import_module(name: str, why: str) -> None:
    """Import a module.

    Args:
        name: The module.
        why: Who wants it, for the note on an error: ``include``.

    Raises:
        Exception: What the import raised.
    """
    try:
        importlib.import_module(name)
    except Exception as exc:
        exc.add_note(f"celeriac was importing {name!r}, which {why} names, to find the tasks in it")
        raise


def import_related(package: str, related_name: str | None) -> bool:
    """Import ``package.related_name``, or the package itself if that is None; return whether it is there.

    Raises:
        Exception: What the import raised.
    """
    why = "autodiscover_tasks"
    if related_name is None:
        import_module(package, why)
        return True
    if not _has_module(package):
        # Django's INSTALLED_APPS may name a class in a module: "proj.apps.ProjConfig".
        parent = package.rpartition(".")[0]
        while parent and not _has_module(parent):
            parent = parent.rpartition(".")[0]
        if not parent:
            raise ModuleNotFoundError(
                f"autodiscover_tasks was given the package {package!r}, which was not found; is its directory on"
                " sys.path?",
                name=package,
            )
        package = parent.removesuffix(".apps")
    name = f"{package}.{related_name}"
    if not _has_module(name):
        return False
    import_module(name, why)
    return True


def _has_module(name: str) -> bool:
    """Return whether there is such a module; imports the packages above it."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError as exc:
        # A package above it is missing, or it is no package.
        if exc.name is not None and (name == exc.name or name.startswith(f"{exc.name}.")):
            return False
        raise
    except ValueError:  # A module made by hand, without a spec: it is there.
        return True
