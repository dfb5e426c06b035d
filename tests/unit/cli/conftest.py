"""A project in a folder of its own, which the test's process can import, and forgets after the test."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from celeriac.app import state

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
