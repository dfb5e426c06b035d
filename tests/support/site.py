"""A project in a folder, and the command ``celeriac`` run in it as people run it: as a process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import psutil

from celeriac.brokers import open_broker
from celeriac.brokers.facade import SyncBroker
from tests.support.waiting import wait_for

PATIENCE: Final = 30.0
TASKS: Final = """
import os, time
from celeriac import Celeriac
from celeriac.exceptions import Reject

app = Celeriac("proj", broker="sqlite:///q.db", backend="sqlite:///q.db")
app.conf.update(worker_shutdown_grace=5, redis_password="never shown")


@app.task
def add(x=0, y=0):
    return x + y


@app.task
def fail(text):
    raise ValueError(text)


@app.task
def hold(name):
    open(name + ".started", "w").close()
    until = time.monotonic() + 30
    while not os.path.exists(name + ".go") and time.monotonic() < until:
        time.sleep(0.01)
    return name


@app.task
def pass_gate(name):
    if not os.path.exists(name):
        raise Reject("the gate " + name + " is closed", requeue=False)
    return "passed"
"""


class Site:
    """A project in a folder, and what is started in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self._broker: SyncBroker[Any, Any] | None = None
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CELERIAC_", "CELERY_"))}
        self.env = {**kept, "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "100"}
        self.write("proj/__init__.py", "")
        self.write("proj/tasks.py", TASKS)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def run(self, *words: str, code: int | None = 0, app: str | None = "proj.tasks", **more: Any) -> Done:
        """Run a command to its end and check its exit code."""
        command = [sys.executable, "-m", "celeriac", *(["-A", app] if app else []), *words]
        options = {"cwd": self.folder, "env": self.env, "timeout": PATIENCE, "capture_output": True, "text": True}
        done = subprocess.run(command, check=False, **{**options, **more})
        result = Done(done.returncode, done.stdout, done.stderr)
        assert code is None or result.code == code, result
        assert "Traceback" not in result.err or "DEBUG" in words, result
        return result

    def json(self, *words: str, code: int = 0) -> Any:
        """Run a command that writes JSON."""
        return json.loads(self.run(*words, "-j", code=code).out)

    def start(self, *words: str, app: str = "proj.tasks", log: str) -> subprocess.Popen[bytes]:
        """Start a command that goes on."""
        command = [sys.executable, "-m", "celeriac", "-A", app, *words]
        with (self.folder / log).open("wb") as output:
            process = subprocess.Popen(
                command, cwd=self.folder, env=self.env, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        self.processes.append(process)
        return process

    def worker(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        """Start a worker and wait until it is healthy: a child of it works."""
        health = self.folder / f"{name}.health"
        process = self.start("worker", "-n", f"{name}@test", "--health-file", str(health), *words, log=f"{name}.log")
        wait_for(lambda: health.exists() or process.poll() is not None, PATIENCE, f"worker {name} healthy")
        assert process.poll() is None, self.log(name)
        return process

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    @property
    def broker(self) -> SyncBroker[Any, Any]:
        """The broker, opened in this process: a look at it costs no process."""
        if self._broker is None:
            self._broker = open_broker(f"sqlite:///{self.folder}/q.db")
        return self._broker

    def close(self) -> None:
        """End everything that was started, and whatever that started."""
        if self._broker is not None:
            self._broker.close()
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
                for one in psutil.Process(process.pid).children(recursive=True):
                    one.kill()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


class Done:
    """What came of a command."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    def __repr__(self) -> str:
        return f"exit code {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"
