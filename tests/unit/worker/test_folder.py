"""A worker's folder goes with it; that of a killed worker goes with the next one's start, and no other does."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from celeriac.worker.folder import LOCK, PREFIX, YOUNG, RuntimeFolder


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_it_goes_when_it_is_cleaned_up_and_when_it_is_forgotten(temporary: Path) -> None:
    folder = RuntimeFolder()
    assert Path(folder.name).parent == temporary
    Path(folder.name, "slots").write_text("x")
    folder.cleanup()
    folder.cleanup()
    RuntimeFolder()
    assert not list(temporary.iterdir())


def test_that_of_a_killed_worker_goes_and_that_of_a_live_one_stays(temporary: Path) -> None:
    held = "folder = RuntimeFolder(); print(folder.name, flush=True); sys.stdin.read()"
    program = f"import sys; from celeriac.worker.folder import RuntimeFolder; {held}"
    process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        left = Path(process.stdout.readline().decode().strip())
        alive = RuntimeFolder()
        assert left.exists()
        process.kill()
        process.wait(10)
    assert left.exists()
    another = RuntimeFolder()
    assert not left.exists()
    assert Path(alive.name).exists()
    for folder in (alive, another):
        folder.cleanup()


def test_what_is_not_a_worker_s_stays(temporary: Path) -> None:
    new, old, other = (temporary / name for name in (f"{PREFIX}new", f"{PREFIX}old", "celeriac-other"))
    for folder in (new, old, other):
        folder.mkdir()
    target = temporary / "target"
    target.mkdir()
    (target / LOCK).touch()
    (temporary / f"{PREFIX}link").symlink_to(target)
    (temporary / f"{PREFIX}file").touch()
    long_ago = time.time() - 2 * YOUNG
    os.utime(old, (long_ago, long_ago))
    RuntimeFolder().cleanup()
    assert not old.exists()
    assert new.exists()
    assert other.exists()
    assert (target / LOCK).exists()
    assert (temporary / f"{PREFIX}file").exists()
