"""What probes are told: by a file that is touched, and over HTTP."""

from __future__ import annotations

import json
import os
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from celeriac.errors import ImproperlyConfigured
from celeriac.worker.health import Health, HealthBeat, HealthFile, HealthServer

WELL = Health(True, (), 2, 17)
ILL = Health(False, ("child 7 has not claimed for 60 s",), 0, 17)


# The file.


def test_file_appears_with_health_and_goes_with_the_worker(tmp_path: Path) -> None:
    path = tmp_path / "health"
    file = HealthFile(str(path))
    assert not path.exists(), "a file of an earlier worker would tell a lie"
    file.update(ILL)
    assert not path.exists()
    file.update(WELL)
    assert path.read_text() == f"{os.getpid()}\n"
    file.remove()
    assert not path.exists()
    file.remove()


def test_file_of_an_earlier_worker_is_removed_at_once(tmp_path: Path) -> None:
    path = tmp_path / "health"
    path.write_text("1\n")
    HealthFile(str(path))
    assert not path.exists()


def test_file_is_touched_only_while_all_is_well(tmp_path: Path) -> None:
    path = tmp_path / "health"
    file = HealthFile(str(path))
    file.update(WELL)
    os.utime(path, (1.0, 1.0))
    file.update(ILL)
    assert path.stat().st_mtime == 1.0
    file.update(WELL)
    assert path.stat().st_mtime > 1.0


def test_file_that_cannot_be_written_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(
        ImproperlyConfigured, match=r"setting worker_health_file, .*missing/health' cannot be written: No such"
    ):
        HealthFile(str(tmp_path / "missing" / "health"))


def test_file_that_cannot_be_written_later_ends_no_worker(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    file = HealthFile(str(folder / "health"))
    folder.rmdir()
    file.update(WELL)
    file.remove()


def test_beat_of_a_worker_without_a_supervisor(tmp_path: Path) -> None:
    path = tmp_path / "health"
    answers = [ILL, WELL]
    beat = HealthBeat(HealthFile(str(path)), lambda: answers.pop(0))
    assert beat.tick() > 0
    assert not path.exists()
    beat.tick()
    assert path.exists()


# The probe.


class Probed:
    def __init__(self) -> None:
        self.health = WELL
        self.server = HealthServer(0, lambda: self.health)
        self.server.start()

    def ask(self, path: str = "/health") -> tuple[int, dict[str, Any]]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.server.port}{path}", timeout=5) as reply:
                return reply.status, json.load(reply)
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, json.load(refusal)


@pytest.fixture
def probed() -> Iterator[Probed]:
    probed = Probed()
    yield probed
    probed.server.stop()


def test_probe_says_200_while_all_is_well_and_503_with_the_reason(probed: Probed) -> None:
    assert probed.ask() == (200, {"ok": True, "problems": [], "children": 2, "runs": 17})
    probed.health = ILL
    code, answer = probed.ask()
    assert (code, answer["ok"], answer["problems"]) == (503, False, ["child 7 has not claimed for 60 s"])
    probed.health = WELL
    assert probed.ask()[0] == 200


def test_probe_is_quiet(probed: Probed, capfd: pytest.CaptureFixture[str]) -> None:
    probed.ask()
    assert capfd.readouterr() == ("", "")


def test_probe_is_for_this_machine_alone(probed: Probed) -> None:
    assert probed.server.port > 0
    other = socket.gethostbyname(socket.gethostname())
    if other.startswith("127."):
        other = "127.0.0.2"
    with pytest.raises(OSError, match=r"refused|unreachable|timed out"):
        socket.create_connection((other, probed.server.port), timeout=2)


def test_port_that_is_taken_is_refused_by_name(probed: Probed) -> None:
    with pytest.raises(
        ImproperlyConfigured, match=f"setting worker_health_port, {probed.server.port} cannot be used: Address"
    ):
        HealthServer(probed.server.port, lambda: WELL)


def test_probe_ends_with_the_worker() -> None:
    probed = Probed()
    probed.server.stop()
    with pytest.raises(urllib.error.URLError):
        probed.ask()
