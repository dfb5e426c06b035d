"""The page that starts each broker in a folder, played from end to end on servers of this machine."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.ensure_server import ensure_server
from tests.docs.pages import PROJECT, Scenario
from tests.support.postgres import folder_of_programs
from tests.support.waiting import wait_for

PAGE = PROJECT / "docs" / "howto" / "try-a-broker.md"
PID_FILES = ("redis/pid", "pg/postmaster.pid", "rabbit/pid")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that any user can reach; what still runs in it at the end is ended."""
    found = Path(tempfile.mkdtemp(prefix="celeriac-try-"))
    yield found
    for name in PID_FILES:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError):
            os.kill(int((found / name).read_text().split()[0]), signal.SIGKILL)
    shutil.rmtree(found, ignore_errors=True)


@pytest.fixture
def programs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the servers' programs on the PATH; PostgreSQL's run as its own user where this is root."""
    for server in ("redis-server", "rabbitmq-server"):
        ensure_server(server)
    place = folder_of_programs()
    if os.geteuid() == 0:
        owner = pwd.getpwnam("postgres")
        shims = folder / "as-postgres"
        shims.mkdir()
        for name in ("initdb", "pg_ctl"):
            shim = shims / name
            how = f"setpriv --reuid {owner.pw_uid} --regid {owner.pw_gid} --clear-groups"
            shim.write_text(f'#!/bin/sh\nexec {how} {place / name} "$@"\n')
            shim.chmod(0o755)
        place = shims
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.usefixtures("programs")
def test_every_broker_starts_passes_the_trial_and_stops(folder: Path) -> None:
    scenario = Scenario(folder)
    scenario.play(PAGE)
    assert scenario.done > 5
    wait_for(lambda: not any((folder / name).exists() for name in PID_FILES), 30, "the end of all servers")
