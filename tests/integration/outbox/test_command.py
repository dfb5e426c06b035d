"""``celeriac relay`` and the relay in a worker, as processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

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


def ask(command: list[str]) -> dict[str, object]:
    told: dict[str, object] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return told


@pytest.mark.slow
def test_the_command_relays_until_told_to_end(celeriac: Callable[..., list[str]], tmp_path: Path) -> None:
    sent = send(tmp_path)
    assert ask(celeriac("relay", "--status", "-j"))["waiting"] == 1
    process = subprocess.Popen(celeriac("-q", "relay"))
    broker = f"sqlite:///{tmp_path / 'tasks.db'}"
    try:
        with Celeriac("look", broker=broker, backend=broker, set_as_current=False) as app:
            app.broker.install()
            wait_for(lambda: app.broker.get([sent]), 20, "the task in the broker")
    finally:
        process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    # It resigned, so the next one leads at once.
    assert subprocess.run(celeriac("-q", "relay", "--once"), timeout=30, check=False).returncode == 0
    assert ask(celeriac("relay", "--status", "-j")) == {"waiting": 0, "oldest": 0.0}


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_a_worker_relays(celeriac: Callable[..., list[str]], tmp_path: Path, pool: str) -> None:
    sent = send(tmp_path)
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen(celeriac("worker", "-c", "1", "-P", pool), stdout=log, stderr=log)
    broker = f"sqlite:///{tmp_path / 'tasks.db'}"
    try:
        with Celeriac("look", broker=broker, backend=broker, set_as_current=False) as app:
            app.broker.install()
            assert app.AsyncResult(sent).get(timeout=30) == 3
            wait_for(
                lambda: [one.info.get("outbox") for one in app.broker.workers()] == [{"waiting": 0, "oldest": 0.0}],
                15,
                "a heartbeat that tells of an empty outbox",
            )
    finally:
        process.terminate()
        assert process.wait(30) == 0
        log.close()


def test_an_app_without_an_outbox_has_nothing_to_relay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bare_shop.py").write_text("from celeriac import Celeriac\napp = Celeriac('bare')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["-A", "bare_shop", "relay", "--status"]) == 2
    assert "this app has no outbox" in capsys.readouterr().err
