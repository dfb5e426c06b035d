"""What the tests of faults share: projects with real workers on each driver, which leave nothing behind.

A scenario of the reliability suite asks for its drivers by :func:`tests.support.scenarios.on`; any other test gets
SQLite, the default, because it is about workers and not about their broker.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.backing import Backing, Keeps, SqliteBacking
from tests.support.backings import BACKINGS
from tests.support.fleet import Project, seeded
from tests.support.rabbitmq import close_shared


@pytest.fixture(scope="session", autouse=True)
def no_node_left() -> Iterator[None]:
    """End the RabbitMQ node that scenarios shared, if there were any."""
    yield
    close_shared()


@pytest.fixture
def driver(request: pytest.FixtureRequest) -> type[Backing]:
    """The driver of the test."""
    return BACKINGS[getattr(request, "param", SqliteBacking.name)]


@pytest.fixture
def make_project(driver: type[Backing], tmp_path: Path) -> Iterator[Callable[..., Project]]:
    """Return what makes a project: settings as keywords; ``extra``, more source for its module; ``separate_results``,
    to keep results in a store of their own; ``keeps``, what the store is to keep when its server is killed; ``disk``,
    to give it a disk of that size for itself."""
    with ExitStack() as stack:

        def make(
            *,
            extra: str = "",
            separate_results: bool = False,
            keeps: Keeps = "nothing",
            disk: str | None = None,
            **settings: Any,
        ) -> Project:
            folder = tmp_path / f"{tmp_path.name}_{len(made)}"
            folder.mkdir()
            backing = driver(folder, keeps, disk)
            stack.callback(backing.close)
            backing.start()
            project = Project(folder, backing, settings=settings, extra=extra, separate_results=separate_results)
            stack.callback(project.close)
            made.append(project)
            return project

        made: list[Project] = []
        yield make


@pytest.fixture
def project(make_project: Callable[..., Project]) -> Project:
    """A project with default settings."""
    return make_project()


@pytest.fixture
def rng() -> Iterator[random.Random]:
    """A generator whose seed is printed with a failure."""
    for _, generator in seeded():
        yield generator
