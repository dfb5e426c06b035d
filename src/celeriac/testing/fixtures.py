"""What the pytest plugin's fixtures are made of; it needs no pytest."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Generator, Mapping, Sequence
from itertools import count
from typing import Any, Final, NoReturn

from celeriac.app import Celeriac
from celeriac.app import state as app_state
from celeriac.app.find import find_app
from celeriac.testing.kit.kit import Kit
from celeriac.testing.worker import ThreadedWorker, start_worker
from celeriac.worker import logs

_numbers = count(1)
_IN_MEMORY: Final = frozenset({"memory://", "memory", "cache+memory://", "cache"})
"""What Celery's users write for stores of the test's process."""


class AppTrap:
    """Stands in for the current app where a test says that nothing may use it."""

    def __getattr__(self, name: str) -> NoReturn:
        raise RuntimeError(
            f"the current app was used ({name}), and the fixture use_celery_app_trap says that nothing may: hand the"
            " app over, or ask for the fixture depends_on_current_app"
        )


def project_app(target: str) -> Celeriac | None:
    """Return the app that ``target`` names, as ``-A`` does; if it is empty the current one, or None without one."""
    if target:
        return find_app(target)
    return app_state.any_app()


@contextlib.contextmanager
def kit(app: Celeriac, arguments: Mapping[str, Any]) -> Generator[Kit]:
    """Return a kit of the app, which is the current one meanwhile.

    Args:
        app: The app.
        arguments: Of the kit.
    """
    with app_state.stand_in(app), Kit(app, **arguments) as started:
        yield started


@contextlib.contextmanager
def new_app(
    settings: Mapping[str, Any],
    parameters: Mapping[str, Any],
    *,
    logging: bool,
    trap: bool,
    current: bool = False,
) -> Generator[Celeriac]:
    """Return a new app, the default one meanwhile.

    Args:
        settings: Its settings. Stores in memory, which are the default, are its own.
        parameters: Arguments of its class.
        logging: Set up the logging of a worker.
        trap: Let the use of the default app be an error.
        current: Make it the current app of this thread, too.
    """
    url = f"memory://celery-app-{next(_numbers)}"
    chosen = {"broker_url": url, "result_backend": url, **settings}
    chosen.update({name: url for name in ("broker_url", "result_backend") if chosen[name] in _IN_MEMORY})
    arguments: dict[str, Any] = {"main": "celery.tests", "set_as_current": False, **parameters}
    app = Celeriac(**arguments, changes=chosen)
    if logging:
        logs.setup("INFO", None)
    with app_state.stand_in(AppTrap() if trap else app):
        if current and not trap:
            app.set_current()
        try:
            yield app
        finally:
            app.close()


@contextlib.contextmanager
def worker(
    app: Celeriac, includes: Sequence[str], pool: Any, parameters: Mapping[str, Any]
) -> Generator[ThreadedWorker]:
    """Return a worker of the app.

    Args:
        app: The app.
        includes: Modules to import before it starts.
        pool: Means nothing here.
        parameters: Arguments of :func:`~celeriac.testing.start_worker`.
    """
    for name in includes:
        importlib.import_module(name)
    with start_worker(app, **{"pool": pool, **parameters}) as started:
        yield started
