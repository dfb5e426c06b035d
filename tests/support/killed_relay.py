"""A relay in a process of its own that kills itself at one step."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import sqlalchemy

from celeriac import Celeriac
from celeriac.contrib.sqlalchemy import Batch, Outbox, Relay

PROJECT = Path(__file__).parents[2]
STEPS = ("before take", "after take", "after publish", "after finish", "never")


class KilledRelay(Relay):
    step = "never"

    def die_at(self, step: str) -> None:
        if step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)

    def take(self) -> Batch | None:
        self.die_at("before take")
        batch = super().take()
        if batch is not None:
            self.die_at("after take")
        return batch

    def publish(self, batch: Batch) -> None:
        super().publish(batch)
        self.die_at("after publish")

    def finish(self, batch: Batch) -> None:
        super().finish(batch)
        self.die_at("after finish")


def relay_in_process(outbox: Outbox, app: Celeriac, step: str) -> None:
    """Run such a relay on this outbox, and see that it ended as it should."""
    url = outbox.engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "tests.support.killed_relay", url, *map(str, app.urls()), step]
    code = subprocess.run(command, cwd=PROJECT, timeout=50, check=False).returncode
    assert code == (0 if step == "never" else -signal.SIGKILL), (step, code)


def main(database: str, broker: str, backend: str, step: str) -> None:
    """Relay until killed, or until nothing waits."""
    app = Celeriac("shop", broker=broker, backend=backend)
    outbox = Outbox(app, sqlalchemy.create_engine(database))
    relay = KilledRelay(outbox, f"victim {os.getpid()}", batch=10, lease=0.5, interval=0.02)
    relay.step = step
    while not relay.leads or outbox.lag()[0]:
        time.sleep(relay.tick())
    relay.close()
    app.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
