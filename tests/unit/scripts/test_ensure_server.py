from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scripts.ensure_server import MANAGERS, SERVERS, ServerMissingError, ensure_server, main


def program(folder: Path, name: str, script: str = "exit 0") -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def apt_get(folder: Path, *, puts: str | None) -> Path:
    """Put an apt-get into a folder; it notes what it was asked and, asked to install, creates a program."""
    install = f'case "$*" in install*) : > {folder}/{puts}; /bin/chmod 755 {folder}/{puts};; esac' if puts else ""
    return program(folder, "apt-get", f'echo "$*" >> {folder}/calls\n{install}')


def test_a_program_that_is_there_is_returned_and_nothing_installed(tmp_path: Path) -> None:
    apt_get(tmp_path, puts="redis-server")
    there = program(tmp_path, "valkey-server")
    assert ensure_server("redis-server", path=str(tmp_path), root=True) == there
    assert not (tmp_path / "calls").exists()


def test_root_gets_the_package_installed(tmp_path: Path) -> None:
    apt_get(tmp_path, puts="redis-server")
    assert ensure_server("redis-server", path=str(tmp_path), root=True) == tmp_path / "redis-server"
    update, install = (tmp_path / "calls").read_text().splitlines()
    assert update.startswith("update")
    assert install.startswith("install")
    assert install.endswith(" redis-server")


def test_several_at_once_install_once(tmp_path: Path) -> None:
    apt_get(tmp_path, puts="redis-server")
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(ensure_server, "redis-server", path=str(tmp_path), root=True) for _ in range(4)]
        assert {call.result(timeout=30) for call in calls} == {tmp_path / "redis-server"}
    assert (tmp_path / "calls").read_text().count("install ") == 1


def test_others_are_told_the_package(tmp_path: Path) -> None:
    apt_get(tmp_path, puts="redis-server")
    sentence = "redis-server is missing. Install the package redis-server: sudo apt-get install redis-server"
    with pytest.raises(ServerMissingError, match=re.escape(sentence)):
        ensure_server("redis-server", path=str(tmp_path), root=False)
    assert not (tmp_path / "calls").exists()


def test_an_installation_without_effect_is_an_error(tmp_path: Path) -> None:
    apt_get(tmp_path, puts=None)
    with pytest.raises(ServerMissingError, match="still missing after `apt-get install redis-server`"):
        ensure_server("redis-server", path=str(tmp_path), root=True)


def test_a_machine_without_a_package_manager_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(ServerMissingError, match="none of the package managers apt-get, "):
        ensure_server("redis-server", path=str(tmp_path), root=True)


def test_an_unknown_server_names_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["redis"]) == 1
    assert "no server named 'redis' here; known are redis-server, postgres" in capsys.readouterr().err


@pytest.mark.parametrize("name", SERVERS)
def test_every_server_has_a_package_for_every_manager(name: str) -> None:
    assert set(SERVERS[name].packages) == set(MANAGERS)
