"""A relay in a process of its own that kills itself at one step: ``-m tests.support.killed_relay DB BROKER STEP``."""

from __future__ import annotations

import os
import signal
import sys
import time

import sqlalchemy

from celeriac import Celeriac
from celeriac.contrib.sqlalchemy import Batch, Outbox, Relay

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


def main(database: str, broker: str, step: str) -> None:
    """Relay until killed, or until nothing waits."""
    app = Celeriac("shop", broker=broker, backend=broker)
    outbox = Outbox(app, sqlalchemy.create_engine(database))
    relay = KilledRelay(outbox, f"victim {os.getpid()}", batch=10, lease=0.5, interval=0.02)
    relay.step = step
    while not relay.leads or outbox.lag()[0]:
        time.sleep(relay.tick())
    relay.close()
    app.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
