"""A relay in a process of its own that kills itself at one step, or that others kill and stop."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, Final

import sqlalchemy
from sqlalchemy import Connection

from celeriac import Celeriac
from celeriac.contrib.sqlalchemy import Batch, Outbox, Relay
from celeriac.core.message import Message
from celeriac.errors import InvalidTaskError, OperationalError

PROJECT = Path(__file__).parents[2]
STEPS: Final = ("after look", "in take", "after take", "after publish", "in finish", "after finish")
"""What every batch comes by. *in*: what it writes is written and not committed."""
IDLE: Final = ("in renewal", "after renewal", "in prune", "after prune")
"""What it does while nothing waits: it renews its lease, and deletes what was kept for long enough."""
LEADING: Final = ("after look at the leader", "in lead", "after lead", "in close", "after close")
TROUBLE: Final = ("in set aside", "after set aside", "in release", "after release")
"""What happens to a message that cannot be read, and to a batch that the broker refuses."""
LEASE: Final = 0.5


class KilledRelay(Relay):
    step = "never"
    doing: Sequence[str] = ()
    idle = False

    def die_at(self, step: str) -> None:
        if step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)

    @contextlib.contextmanager
    def _connection(self) -> Generator[Connection]:
        with super()._connection() as connection:
            yield connection
            doing, *self.doing = self.doing or ("something",)
            if doing == "take" and self.idle:
                doing = "renewal"
            self.die_at(f"in {doing}")
        self.die_at(f"after {doing}")

    def _look(self, asked: sqlalchemy.Executable) -> Sequence[Any]:
        found = super()._look(asked)
        self.die_at("after look" if self.doing == ("take",) else "after look at the leader")
        return found

    def lead(self) -> bool:
        self.doing = ("lead",)
        return super().lead()

    def take(self) -> Batch | None:
        self.doing = ("take",)
        return super().take()

    def _rows(self, connection: Connection, number: int) -> tuple[tuple[int, bytes], ...]:
        found = super()._rows(connection, number)
        self.idle = not found
        return found

    def publish(self, batch: Batch) -> None:
        self.doing = ("set aside",)
        super().publish(batch)
        self.die_at("after publish")

    def _release(self, batch: Batch) -> None:
        self.doing = ("release",)
        super()._release(batch)

    def finish(self, batch: Batch) -> None:
        self.doing = ("finish",)
        super().finish(batch)

    def _prune(self) -> None:
        self.doing = ("prune",)
        super()._prune()

    def close(self) -> None:
        self.doing = ("close",)
        super().close()


def start(outbox: Outbox, app: Celeriac, step: str, *, keep: float = 0.0) -> subprocess.Popen[bytes]:
    """Start such a relay on this outbox: until step ``empty``, or for ever with ``never``."""
    url = outbox.engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "tests.support.killed_relay", url, *map(str, app.urls()), step, str(keep)]
    return subprocess.Popen(command, cwd=PROJECT)


def relay_in_process(outbox: Outbox, app: Celeriac, step: str, *, keep: float = 0.0) -> None:
    """Run such a relay on this outbox, and see that it ended as it should."""
    process = start(outbox, app, step, keep=keep)
    try:
        code = process.wait(50)
    finally:
        process.kill()
    assert code == (0 if step == "empty" else -signal.SIGKILL), (step, code)


def holder(process: subprocess.Popen[bytes]) -> str:
    """Return the name that such a relay leads under."""
    return f"victim {process.pid}"


def main(database: str, broker: str, backend: str, step: str, keep: str) -> None:
    """Relay until killed; with step ``empty``, or one of the end, until nothing waits."""
    app = Celeriac("shop", broker=broker, backend=backend)
    outbox = Outbox(app, sqlalchemy.create_engine(database))
    relay = KilledRelay(
        outbox, f"victim {os.getpid()}", batch=10, lease=LEASE, interval=0.02, keep_published=float(keep)
    )
    relay.step = step
    if step.endswith("release"):
        refuse_batches(app)
    ends = step == "empty" or step.endswith("close")
    while not (ends and relay.leads and not outbox.lag()[0]):
        try:
            delay = relay.tick()
        except OperationalError:
            delay = 0.1
        time.sleep(delay)
    relay.close()
    app.close()


def refuse_batches(app: Celeriac) -> None:
    """Have the broker refuse whatever is not a single message."""
    forward: Any = app.publisher.forward

    def picky(messages: Sequence[Message], sending: Any) -> None:
        if len(messages) > 1:
            raise InvalidTaskError("refused by a test")
        forward(messages, sending)

    app.publisher.forward = picky  # type: ignore[method-assign]


if __name__ == "__main__":
    main(*sys.argv[1:])
