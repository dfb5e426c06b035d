"""Celeriac's pytest plugin: fixtures and markers. Celeriac itself is imported by the first test that uses one.

It is a package of its own because pytest imports a plugin, and so the package it is in, at the start of every run.
What the fixtures are made of is in :mod:`celeriac.testing.fixtures`.
"""

from __future__ import annotations

import importlib
from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from celeriac import Celeriac
    from celeriac.testing import Kit, ThreadedWorker

_MARKERS = (
    "celeriac(now, beat, queues): arguments of the Kit that the fixture celeriac_kit makes",
    "celery(**overrides): settings of the app that the fixture celery_app makes",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the setting that names the project's app."""
    parser.addini("celeriac_app", "The app that celeriac_kit is for, as the option -A names it: proj.celery:app")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)


def _fixtures() -> Any:
    return importlib.import_module("celeriac.testing.fixtures")


# The kit.


@pytest.fixture
def celeriac_app(request: pytest.FixtureRequest) -> Celeriac:
    """The app under test: what the setting ``celeriac_app`` of pytest names, else the current app, else a new one.
    Redefine it to return yours."""
    found: Celeriac | None = _fixtures().project_app(request.config.getini("celeriac_app"))
    return found if found is not None else request.getfixturevalue("celery_app")


@pytest.fixture
def celeriac_kit(request: pytest.FixtureRequest, celeriac_app: Celeriac) -> Generator[Kit]:
    """A started Kit of the app; ``@pytest.mark.celeriac(...)`` has its arguments."""
    mark = request.node.get_closest_marker("celeriac")
    with _fixtures().kit(celeriac_app, {} if mark is None else mark.kwargs) as kit:
        yield kit


# Under the names of Celery's plugin: a new app, and a real worker in threads.


@pytest.fixture(scope="session")
def celery_config() -> Mapping[str, Any]:
    """Settings of the apps that are made here; redefine it."""
    return {}


@pytest.fixture(scope="session")
def celery_parameters() -> Mapping[str, Any]:
    """Arguments of the apps that are made here; redefine it."""
    return {}


@pytest.fixture(scope="session")
def celery_enable_logging() -> bool:
    """Whether workers log as they do in production; redefine it."""
    return False


@pytest.fixture(scope="session")
def celery_includes() -> Sequence[str]:
    """Modules that a worker imports; redefine it."""
    return ()


@pytest.fixture(scope="session")
def celery_worker_pool() -> str:
    """Celery's worker pool. Here tasks run in threads of the test's process, whatever it says."""
    return "solo"


@pytest.fixture(scope="session")
def celery_worker_parameters() -> Mapping[str, Any]:
    """Arguments of ``celeriac.testing.start_worker``; redefine it."""
    return {}


@pytest.fixture(scope="session")
def celery_class_tasks() -> Sequence[Any]:
    """Classes of tasks to register in ``celery_session_app``; redefine it."""
    return ()


@pytest.fixture(scope="session")
def use_celery_app_trap() -> bool:
    """Whether the use of the current or default app is an error; redefine it."""
    return False


@pytest.fixture(scope="session")
def celery_session_app(
    request: pytest.FixtureRequest,
    celery_config: Mapping[str, Any],
    celery_parameters: Mapping[str, Any],
    celery_enable_logging: bool,
    use_celery_app_trap: bool,
) -> Generator[Celeriac]:
    """An app for the whole session, which is the current one where ``use_celery_app_trap`` does not forbid that."""
    settings = _settings(request, celery_config)
    with _fixtures().new_app(
        settings, celery_parameters, logging=celery_enable_logging, trap=use_celery_app_trap, current=True
    ) as app:
        yield app


@pytest.fixture(scope="session")
def celery_session_worker(
    celery_session_app: Celeriac,
    celery_includes: Sequence[str],
    celery_class_tasks: Sequence[Any],
    celery_worker_pool: Any,
    celery_worker_parameters: Mapping[str, Any],
) -> Generator[ThreadedWorker]:
    """A worker of ``celery_session_app`` that lives as long as the session."""
    for one in celery_class_tasks:
        celery_session_app.register_task(one)
    with _fixtures().worker(celery_session_app, celery_includes, celery_worker_pool, celery_worker_parameters) as found:
        yield found


@pytest.fixture
def celery_app(
    request: pytest.FixtureRequest,
    celery_config: Mapping[str, Any],
    celery_parameters: Mapping[str, Any],
    celery_enable_logging: bool,
    use_celery_app_trap: bool,
) -> Generator[Celeriac]:
    """An app for this test; ``@pytest.mark.celery(...)`` has settings for it."""
    settings = _settings(request, celery_config)
    with _fixtures().new_app(
        settings, celery_parameters, logging=celery_enable_logging, trap=use_celery_app_trap
    ) as app:
        yield app


@pytest.fixture
def celery_worker(
    celery_app: Celeriac,
    celery_includes: Sequence[str],
    celery_worker_pool: Any,
    celery_worker_parameters: Mapping[str, Any],
) -> Generator[ThreadedWorker]:
    """A worker of ``celery_app`` that lives as long as the test."""
    with _fixtures().worker(celery_app, celery_includes, celery_worker_pool, celery_worker_parameters) as found:
        yield found


@pytest.fixture
def depends_on_current_app(celery_app: Celeriac) -> None:
    """Make ``celery_app`` the current app."""
    celery_app.set_current()


def _settings(request: pytest.FixtureRequest, config: Mapping[str, Any]) -> dict[str, Any]:
    mark = request.node.get_closest_marker("celery")
    return {**config, **({} if mark is None else mark.kwargs)}
