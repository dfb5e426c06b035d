"""Kill the web process that leads, and see that no reminder is missed or sent twice.

``python -m examples.web_schedule.demo``. The exit code is 0 only if each due time was sent once.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

PROJECT: Final = Path(__file__).parents[2]
EVERY: Final = 0.2
NAMES: Final = ("ada", "grace", "edsger")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def running(folder: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command beside the block; its log is in the folder."""
    environment = {**os.environ, "WEB_SCHEDULE_DIR": str(folder)}
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def wait_for(look: Callable[[], Any], what: str, seconds: float = 40.0) -> Any:
    """Return what ``look`` returns as soon as that is true.

    Raises:
        TimeoutError: It was not, in time.
    """
    end = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(0.05)
    return found


class Site:
    """The web application, from outside."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/"

    def ask(self, path: str = "", method: str = "GET") -> dict[str, Any] | None:
        """Return an answer; None if there is none yet."""
        try:
            with urllib.request.urlopen(urllib.request.Request(self._url + path, method=method), timeout=10) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except OSError:
            return None

    def leader(self, *, but: int = 0) -> int | None:
        """Return the process that leads, if it is the one that answers, and another than ``but``."""
        told = self.ask()
        return told["pid"] if told is not None and told["leads"] and told["pid"] != but else None


def reminders(folder: Path) -> list[tuple[str, float]]:
    """Return who was reminded, and for which due time."""
    diary = folder / "reminded"
    lines = diary.read_text().splitlines() if diary.exists() else []
    return [(line.split()[0], float(line.split()[1])) for line in lines]


def check(found: list[tuple[str, float]]) -> tuple[int, int]:
    """Return how many due times were missed, and how many were sent twice."""
    missed = 0
    for name in NAMES:
        dues = sorted({due for whom, due in found if whom == name})
        missed += sum(round((later - sooner) / EVERY) - 1 for sooner, later in itertools.pairwise(dues))
    return missed, len(found) - len(set(found))


def run(folder: Path) -> int:
    """Play the story in this folder; return the exit code."""
    port = free_port()
    site = Site(port)
    server = ("gunicorn", "-c", str(Path(__file__).with_name("gunicorn.conf.py")), "-b", f"127.0.0.1:{port}")
    worker = ("celeriac", "-A", "examples.web_schedule.app", "worker", "-c", "1")
    with running(folder, *worker), running(folder, *server):
        first = wait_for(site.leader, "a process to lead")
        for name in NAMES:
            site.ask(f"reminders?{name}={EVERY}", "POST")
        wait_for(lambda: len(reminders(folder)) > 20, "reminders")
        before = len(reminders(folder))
        began = time.monotonic()
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: site.leader(but=first), "another process to lead")
        wait_for(lambda: len(reminders(folder)) > before + 20, "more reminders")
        print(f"The process that led was killed; others went on within {time.monotonic() - began:.1f} s")
        # The rest of what was sent is done before the worker ends.
    found = reminders(folder)
    missed, doubled = check(found)
    print(f"Reminders: {len(found)}; missed {missed}, sent twice {doubled}")
    return 0 if (missed, doubled) == (0, 0) else 1


def main() -> int:
    """Run the demo as a command."""
    with tempfile.TemporaryDirectory(prefix="web-schedule-") as folder:
        return run(Path(folder))


if __name__ == "__main__":
    sys.exit(main())
