"""The pid file: held while the worker runs, refused while another lives, replaced when that is gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from celeriac.cli.pidfile import PidFile
from celeriac.errors import ImproperlyConfigured


def gone() -> int:
    """Return the id of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_holds_the_process_id_and_goes(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    with PidFile(str(path)):
        assert path.read_text() == f"{os.getpid()}\n"
    assert not path.exists()


def test_is_refused_while_another_process_lives(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text(f"{os.getppid()}\n")
    with pytest.raises(ImproperlyConfigured, match=f"names process {os.getppid()}, which lives"), PidFile(str(path)):
        pass
    assert path.read_text() == f"{os.getppid()}\n"


@pytest.mark.parametrize("left", ["gone", "own", "", "no number", "-1", "0"])
def test_replaces_a_file_that_was_left_behind(tmp_path: Path, left: str) -> None:
    path = tmp_path / "pid"
    path.write_text({"gone": str(gone()), "own": str(os.getpid())}.get(left, left))
    notes: list[str] = []
    with PidFile(str(path), notes.append):
        assert path.read_text() == f"{os.getpid()}\n"
    assert len(notes) == 1
    assert "was left behind" in notes[0]


def test_leaves_a_file_that_another_process_has_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    with PidFile(str(path)):
        path.write_text("1\n")
    assert path.read_text() == "1\n"


def test_none_keeps_no_file(tmp_path: Path) -> None:
    with PidFile(None):
        assert list(tmp_path.iterdir()) == []
