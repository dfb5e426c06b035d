"""``celeriac relay`` and the relay in a worker, as processes."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from celeriac import Celeriac
from celeriac.cli.main import main
from tests.support.waiting import wait_for

PROJECT = """
from pathlib import Path
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker
from celeriac import Celeriac
from celeriac.contrib.sqlalchemy import Outbox

here = Path(__file__).parent
app = Celeriac("shop", broker=f"sqlite:///{here / 'tasks.db'}", backend=f"sqlite:///{here / 'tasks.db'}")
outbox = Outbox(app, create_engine(f"sqlite:///{here / 'shop.db'}"), lease=1.0)
outbox.create()
Session = outbox.bind(sessionmaker(outbox.engine))

@app.task
def add(a, b):
    return a + b

def send():
    with Session.begin():
        return add.delay(1, 2).id
"""


@pytest.fixture
def celeriac(tmp_path: Path) -> Callable[..., list[str]]:
    (tmp_path / "proj.py").write_text(PROJECT)

    def command(*words: str) -> list[str]:
        return [sys.executable, "-m", "celeriac", "--workdir", str(tmp_path), "-A", "proj", *words]

    return command


def send(folder: Path) -> str:
    told = subprocess.run(
        [sys.executable, "-c", "import proj; print(proj.send())"],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    return told.stdout.strip()


def probed(address: str) -> dict[str, Any]:
    with urllib.request.urlopen(address, timeout=10) as answer:
        told: dict[str, Any] = json.loads(answer.read())
    return told


def ask(command: list[str]) -> dict[str, object]:
    told: dict[str, object] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return told


@pytest.mark.slow
def test_the_command_relays_until_told_to_end(celeriac: Callable[..., list[str]], tmp_path: Path) -> None:
    sent = send(tmp_path)
    before = ask(celeriac("relay", "--status", "-j"))
    assert (before["waiting"], before["leader"], before["error"]) == (1, None, None)
    assert float(str(before["oldest"])) > 0
    file = tmp_path / "health"
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(celeriac("relay", "--health-file", str(file), "--health-port", "0"), stderr=log)
    broker = f"sqlite:///{tmp_path / 'tasks.db'}"
    try:
        with Celeriac("look", broker=broker, backend=broker, set_as_current=False) as app:
            app.broker.install()
            wait_for(lambda: app.broker.get([sent]), 20, "the task in the broker")
        wait_for(file.exists, 10, "the health file")
        (address,) = re.findall(r"http://127\.0\.0\.1:\d+/", (tmp_path / "log").read_text())
        holder = f"{socket.gethostname()}:{process.pid}"
        wait_for(lambda: probed(address)["outbox"]["waiting"] == 0, 10, "a probe that tells of an empty outbox")
        told = probed(address)
        assert told["outbox"].pop("seen") < 5
        nothing = {"waiting": 0, "oldest": 0.0, "refused": 0, "error": None}
        assert told == {"ok": True, "problems": [], "outbox": {**nothing, "leader": holder, "leads": True}}
        seen = ask(celeriac("relay", "--status", "-j"))
        assert (seen["waiting"], seen["leader"]) == (0, holder)
        words = subprocess.run(celeriac("relay", "--status"), check=True, capture_output=True, text=True).stdout
        assert re.fullmatch(rf"0 waiting\n{re.escape(holder)} leads, seen \d\.\ds ago\n", words)
    finally:
        process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert not file.exists()
    # It resigned, so the next one leads at once.
    assert subprocess.run(celeriac("-q", "relay", "--once"), timeout=30, check=False).returncode == 0
    after = ask(celeriac("relay", "--status", "-j"))
    assert after == {"waiting": 0, "oldest": 0.0, "refused": 0, "leader": None, "seen": None, "error": None}


@pytest.mark.slow
def test_the_command_ends_in_order_without_its_database(celeriac: Callable[..., list[str]], tmp_path: Path) -> None:
    send(tmp_path)
    file, database = tmp_path / "health", tmp_path / "shop.db"
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(celeriac("relay", "--health-file", str(file)), stderr=log)
    try:
        wait_for(lambda: ask(celeriac("relay", "--status", "-j"))["leader"], 30, "a leader")
        database.rename(tmp_path / "away.db")
        database.mkdir()
        wait_for(lambda: "trying again" in (tmp_path / "log").read_text(), 20, "the loss to be seen")
    finally:
        process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert not file.exists()
    told = (tmp_path / "log").read_text()
    assert "Another relay takes over when this one's lease has ended" in told
    assert "tables" not in told


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_a_worker_relays(celeriac: Callable[..., list[str]], tmp_path: Path, pool: str) -> None:
    sent = send(tmp_path)
    log = (tmp_path / "log").open("wb")
    probe = ("--health-port", "0") if pool == "prefork" else ()
    process = subprocess.Popen(celeriac("worker", "-c", "1", "-P", pool, *probe), stdout=log, stderr=log)
    broker = f"sqlite:///{tmp_path / 'tasks.db'}"
    try:
        with Celeriac("look", broker=broker, backend=broker, set_as_current=False) as app:
            app.broker.install()
            assert app.AsyncResult(sent).get(timeout=30) == 3

            def told() -> list[tuple[object, ...]]:
                found = [one.info.get("outbox", {}) for one in app.broker.workers()]
                return [tuple(one.get(name) for name in ("waiting", "oldest", "leads", "error")) for one in found]

            wait_for(lambda: told() == [(0, 0.0, True, None)], 15, "a heartbeat that tells of an empty outbox")
            ((_, stats),) = (app.control.inspect().stats() or {}).items()
            assert (stats["outbox"]["waiting"], stats["outbox"]["leads"]) == (0, True)
            words = subprocess.run(celeriac("status"), check=True, capture_output=True, text=True).stdout
            assert re.search(r"^outbox: 0 waiting; \S+ leads, seen 0\.0s ago$", words, re.MULTILINE)
            if probe:
                (address,) = re.findall(r"http://127\.0\.0\.1:\d+/", (tmp_path / "log").read_text())
                found = probed(address)
                assert (found["ok"], found["outbox"]["waiting"], found["outbox"]["leads"]) == (True, 0, True)
    finally:
        process.terminate()
        assert process.wait(30) == 0
        log.close()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--health-file", "no/such/file"), "Error: --health-file 'no/such/file' cannot be written: No such file"),
        (("--health-port", "{taken}"), "Error: --health-port {taken} cannot be used: Address already in use"),
        (("-l", "LOUD"), "Error: log level 'LOUD' (-l) is not known"),
    ],
)
def test_a_wrong_flag_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    complaint: str,
) -> None:
    (tmp_path / "flagged_shop.py").write_text(PROJECT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        assert main(["-A", "flagged_shop", "relay", *[word.format(taken=taken) for word in words]]) == 2
    assert complaint.format(taken=taken) in capsys.readouterr().err


def test_an_app_without_an_outbox_has_nothing_to_relay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bare_shop.py").write_text("from celeriac import Celeriac\napp = Celeriac('bare')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["-A", "bare_shop", "relay", "--status"]) == 2
    assert "this app has no outbox" in capsys.readouterr().err
