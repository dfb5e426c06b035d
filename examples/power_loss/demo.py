"""Kill a worker with everything it runs, as a power loss would, and count what is lost.

Run it by ``python -m examples.power_loss.demo``. With ``--redis`` the queue is on a Redis server that the demo starts,
with ``appendfsync always``, and which is killed at the same moment. The exit code is 0 only if no invoice is missing.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).parents[2]
INVOICES: Final = 40


class Machine:
    """The machine that loses its power: a worker and, with Redis, the server."""

    def __init__(self, folder: Path, redis: bool) -> None:
        self._folder = folder
        self._port = free_port() if redis else None
        self.store = f"redis://127.0.0.1:{self._port}/0" if redis else f"sqlite:///{folder / 'queue.db'}"
        self._processes: list[subprocess.Popen[bytes]] = []

    def switch_on(self) -> None:
        """Start the server, if there is one, and a worker with two processes."""
        if self._port is not None:
            self._start(
                "redis-server", "--port", str(self._port), "--bind", "127.0.0.1", "--dir", str(self._folder),
                "--save", "", "--appendonly", "yes", "--appendfsync", "always",
            )  # fmt: skip
            wait(self._answers, "the Redis server answers")
        self._start(sys.executable, "-m", "celeriac", "-A", "examples.power_loss.app", "worker", "-c", "2")

    def lose_power(self) -> None:
        """SIGKILL everything at once."""
        for process in self._processes:
            os.killpg(process.pid, signal.SIGKILL)
        for process in self._processes:
            process.wait()
        self._processes.clear()

    def switch_off(self) -> None:
        """End the worker first, as a service manager would, then the server."""
        while self._processes:
            process = self._processes.pop()
            process.terminate()
            process.wait(30)

    def _start(self, *command: str) -> None:
        with (self._folder / "log").open("ab") as log:
            self._processes.append(
                subprocess.Popen(
                    command, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
            )

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port or 0)) == 0


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait(until: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Wait until something holds.

    Raises:
        TimeoutError: It did not, in time.
    """
    end = time.monotonic() + seconds
    while not until():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:.0f} s in vain until {what}")
        time.sleep(0.02)


def ledger(folder: Path) -> dict[str, Counter[int]]:
    """Return how often each invoice was started and imported."""
    found: dict[str, Counter[int]] = {"started": Counter(), "imported": Counter()}
    path = folder / "ledger"
    for line in path.read_text().splitlines() if path.exists() else ():
        word, invoice, _ = line.split()
        found[word][int(invoice)] += 1
    return found


def run(folder: Path, redis: bool) -> int:
    """Play the story in this folder; return the exit code."""
    machine = Machine(folder, redis)
    os.environ["POWER_LOSS_DIR"] = str(folder)
    os.environ["POWER_LOSS_STORE"] = machine.store
    with ExitStack() as stack:
        stack.callback(machine.lose_power)
        machine.switch_on()
        # Only now: the app reads the two variables when it is imported.
        from examples.power_loss.app import app, import_invoice

        stack.callback(app.close)
        results = [import_invoice.delay(invoice) for invoice in range(INVOICES)]
        wait(lambda: len(ledger(folder)["imported"]) >= 5, "the first invoices are imported")
        machine.lose_power()
        lost_at = time.monotonic()
        before = ledger(folder)
        running = set(before["started"]) - set(before["imported"])
        print(f"Power lost: {len(before['imported'])} of {INVOICES} imported, {len(running)} were being imported.")
        machine.switch_on()
        wait(lambda: running <= set(ledger(folder)["imported"]), "what was running has run again")
        print(f"What was running has run again {time.monotonic() - lost_at:.1f} s after the power loss.")
        for result in results:
            result.get(timeout=60)
        after = ledger(folder)
        machine.switch_off()
    missing = set(range(INVOICES)) - set(after["imported"])
    twice = {invoice for invoice, times in after["started"].items() if times > 1}
    print(
        f"Invoices {INVOICES}, lost {len(missing)}, started twice {len(twice)} (running at the loss: {len(running)})."
    )
    return 1 if missing else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo as a command."""
    parser = argparse.ArgumentParser(prog="python -m examples.power_loss.demo", description="Lose power, lose nothing.")
    parser.add_argument("--redis", action="store_true", help="queue on a Redis server of its own, killed as well")
    options = parser.parse_args(arguments)
    # Told to end, it stops what it started, as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="power-loss-") as folder:
        return run(Path(folder), options.redis)


if __name__ == "__main__":
    sys.exit(main())
