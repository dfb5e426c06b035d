"""What the tests of faults share: a project with real workers, which leave nothing behind."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fleet import Project, seeded


@pytest.fixture
def make_project(tmp_path: Path) -> Iterator[Callable[..., Project]]:
    """Return what makes a project: settings as keywords; ``extra``, more source for its module; ``separate_results``,
    to keep results in a file of their own."""
    made: list[Project] = []

    def make(*, extra: str = "", separate_results: bool = False, **settings: Any) -> Project:
        folder = tmp_path / f"{tmp_path.name}_{len(made)}"
        folder.mkdir()
        project = Project(folder, settings=settings, extra=extra, separate_results=separate_results)
        made.append(project)
        return project

    yield make
    for project in made:
        project.close()


@pytest.fixture
def project(make_project: Callable[..., Project]) -> Project:
    """A project with default settings."""
    return make_project()


@pytest.fixture
def rng() -> Iterator[random.Random]:
    """A generator whose seed is printed with a failure."""
    for _, generator in seeded():
        yield generator
