from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "make_venv.sh"
OLD = 'case "$2" in *version_info*) exit 1;; esac'
# A distribution's Python without its venv package: old enough for nothing, unable to make environments.
BARE = "case \"$2\" in *'import ensurepip'*) exit 1;; *print*) echo python3.11-venv;; esac"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with nothing but the script, and an empty folder of programs."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "programs").mkdir()
    shutil.copy(SCRIPT, tmp_path / "scripts")
    for tool in ("dirname", "id"):
        (tmp_path / "programs" / tool).symlink_to(shutil.which(tool) or tool)
    return tmp_path


def put(checkout: Path, name: str, script: str) -> None:
    path = checkout / "programs" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def make_venv(checkout: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", str(checkout / "scripts" / "make_venv.sh")],
        env={"PATH": str(checkout / "programs"), **env},
        text=True,
        capture_output=True,
        check=False,
        timeout=60,
    )


@pytest.mark.slow
def test_a_good_python_makes_the_environment(checkout: Path) -> None:
    put(checkout, "python3.13", "exit 127")  # as the shims of version managers do for versions that are not there
    put(checkout, "python3", f'exec {sys.executable} "$@"')
    done = make_venv(checkout)
    assert done.returncode == 0, done.stderr
    assert (checkout / ".venv" / "bin" / "pip").exists()
    made = (checkout / ".venv" / "pyvenv.cfg").stat().st_mtime_ns
    assert make_venv(checkout).returncode == 0
    assert (checkout / ".venv" / "pyvenv.cfg").stat().st_mtime_ns == made


def test_an_old_python_is_not_taken(checkout: Path) -> None:
    put(checkout, "python3", OLD)
    done = make_venv(checkout)
    assert done.returncode == 1
    assert "Celeriac needs Python 3.11 or newer" in done.stderr


def test_a_named_python_that_does_not_do_is_refused(checkout: Path) -> None:
    done = make_venv(checkout, PYTHON="/nowhere/python3")
    assert done.returncode == 1
    assert "PYTHON=/nowhere/python3 is not a Python of 3.11 or newer" in done.stderr


def test_a_python_without_venv_names_the_package(checkout: Path) -> None:
    put(checkout, "python3", BARE)
    done = make_venv(checkout)
    assert done.returncode == 1
    assert "Install the package python3.11-venv, then run make again" in done.stderr


@pytest.mark.parametrize("root", [True, False])
def test_apt_get_installs_the_package_for_root_only(checkout: Path, root: bool) -> None:
    put(checkout, "python3", BARE)
    put(checkout, "apt-get", f'echo "$@" >> {checkout}/calls')
    (checkout / "programs" / "id").unlink()
    put(checkout, "id", f"echo {0 if root else 1000}")
    assert make_venv(checkout).returncode == 1
    calls = checkout / "calls"
    asked = calls.read_text().splitlines() if calls.exists() else []
    assert [line.split()[-1] for line in asked] == (["-qq", "python3.11-venv"] if root else [])
    assert os.path.lexists(checkout / ".venv") is False
