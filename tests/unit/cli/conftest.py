"""A project in a folder of its own, which the test's process can import and forgets after the test; commands in it."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from celeriac.app import state
from celeriac.cli.main import main
from tests.support.site import TASKS, Done

Project = Callable[..., Path]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """Return a function that writes files, given as ``{"proj/tasks.py": "text"}``, and works in their folder."""
    known = set(sys.modules)
    path = list(sys.path)
    bytecode = sys.dont_write_bytecode
    sys.dont_write_bytecode = True

    def write(files: dict[str, str] | None = None, **modules: str) -> Path:
        for name, text in {**(files or {}), **{f"{name}.py": text for name, text in modules.items()}}.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(text))
        return tmp_path

    monkeypatch.chdir(tmp_path)
    yield write
    sys.dont_write_bytecode = bytecode
    sys.path[:] = path
    for name in set(sys.modules) - known:
        if str(tmp_path) in str(
            getattr(sys.modules[name], "__file__", "") or getattr(sys.modules[name], "__path__", "")
        ):
            del sys.modules[name]
    state.set_current(None)
    state.set_default(None)


class Celeriac:
    """The command line, run in this process."""

    def __init__(self, write: Project, capsys: pytest.CaptureFixture[str]) -> None:
        self.write = write
        self.folder = write({"proj/__init__.py": "", "proj/tasks.py": TASKS})
        self._capsys = capsys

    def __call__(self, *words: str, code: int | None = 0, app: str | None = "proj.tasks") -> Done:
        """Run a command and check its exit code."""
        self._capsys.readouterr()
        found = main([*(["-A", app] if app else []), *words])
        written = self._capsys.readouterr()
        done = Done(found, written.out, written.err)
        assert code is None or done.code == code, done
        return done

    def json(self, *words: str, code: int = 0) -> Any:
        """Run a command that writes JSON."""
        return json.loads(self(*words, "-j", code=code).out)


@pytest.fixture
def celeriac(project: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Celeriac:
    """Return what runs commands in a project without a worker."""
    for name in [*os.environ, "CELERIAC_BROKER_URL", "CELERIAC_RESULT_BACKEND"]:
        if name.startswith(("CELERIAC_", "CELERY_")):
            # Set first, so that it is put back whatever a command does to it.
            monkeypatch.setenv(name, "")
            monkeypatch.delenv(name)
    return Celeriac(project, capsys)
