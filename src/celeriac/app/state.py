"""Which app is the current one, for code that is not handed an app.

The current app is per thread. A thread that has none uses the process's: the one given to ``app.set_default()``, else
the last one made with ``set_as_current=True``, so that threads of a web server find it too.
This is the one place of the package that keeps state for the process.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celeriac.app.app import Celeriac

SharedTask = Callable[["Celeriac"], Any]
"""Makes a shared task in an app."""


class _Local(threading.local):
    app: Celeriac | None = None


class _Process:
    """What the process knows."""

    def __init__(self) -> None:
        self.default: Celeriac | None = None
        self.latest: Celeriac | None = None
        self.factory: Callable[[], Celeriac] | None = None
        self.shared: list[SharedTask] = []
        self.apps: weakref.WeakSet[Celeriac] = weakref.WeakSet()
        self.lock = threading.RLock()


_local = _Local()
_process = _Process()


def install_factory(factory: Callable[[], Celeriac]) -> None:
    """Say how an app is made when one is needed and nobody made one."""
    _process.factory = factory


def set_default(app: Celeriac | None) -> None:
    """Make this the app of every thread that has none of its own."""
    _process.default = app


def set_current(app: Celeriac | None) -> None:
    """Make this the app of the running thread, and of threads without one while there is no default."""
    _local.app = _process.latest = app


def get_current() -> Celeriac:
    """Return the current app; makes one without a name if there is none."""
    found = any_app()
    if found is not None:
        return found
    with _process.lock:
        if _process.latest is None:
            if _process.factory is None:  # Only if this module was imported without the app's.
                raise RuntimeError("no app was made yet: create one with Celeriac(...)")
            _process.latest = _process.factory()
        return _process.latest


def forget(app: Celeriac) -> None:
    """Let go of an app that was closed."""
    if _process.default is app:
        _process.default = None
    if _process.latest is app:
        _process.latest = None
    if _local.app is app:
        _local.app = None
    _process.apps.discard(app)


@contextlib.contextmanager
def stand_in(app: Any) -> Generator[None]:
    """Let this be the app of every thread that has none of its own, and of the running one, for a while."""
    before = _local.app, _process.default, _process.latest
    _local.app, _process.default = None, app
    try:
        yield
    finally:
        _local.app, _process.default, _process.latest = before


def any_app() -> Celeriac | None:
    """Return the current app; None if nobody made one."""
    return _local.app or _process.default or _process.latest


def add_app(app: Celeriac) -> None:
    """Remember an app, so that shared tasks that are defined later reach it."""
    _process.apps.add(app)


def after_fork() -> list[Celeriac]:
    """Return the apps, in a child process that has just been forked; what locks another thread held are new."""
    _process.lock = threading.RLock()
    return list(_process.apps)


def share(make: SharedTask) -> None:
    """Define a task in every app: in those that are finalised at once, in the others when they are."""
    with _process.lock:
        _process.shared.append(make)
        finalized = [app for app in _process.apps if app.finalized]
    for app in finalized:
        make(app)


def shared_tasks() -> tuple[SharedTask, ...]:
    """Return what makes the shared tasks defined so far."""
    with _process.lock:
        return tuple(_process.shared)
