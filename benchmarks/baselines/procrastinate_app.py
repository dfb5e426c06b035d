"""The tasks of the benchmarks on Procrastinate, which keeps them in PostgreSQL."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any, Final

import procrastinate
import psycopg
from procrastinate.exceptions import ConnectorException

from benchmarks.tally import tally_from_environment

CONCURRENCY: Final = 20
URL: Final = os.environ["CELERIAC_BENCH_BROKER"]
logging.getLogger("procrastinate").setLevel(logging.WARNING)
app: Final = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=URL))
tally: Final = tally_from_environment()


@app.task(name="noop", pass_context=False)
def noop() -> None:
    """Count, at least once, no result."""
    tally.hit()


@app.task(name="async_noop")
async def async_noop() -> None:
    """Count, at least once, no result."""
    tally.hit()


@app.task(name="stamp")
def stamp(sent: int = 0) -> None:
    """Note when it runs."""
    tally.stamp(sent)


class _Sending:
    """A producer's app, which knows tasks by their names; it is open for as long as the process lives."""

    def __init__(self) -> None:
        self._app: Any = None

    def _opened(self) -> Any:
        if self._app is None:
            self._app = procrastinate.App(connector=procrastinate.SyncPsycopgConnector(conninfo=URL))
            self._app.open()
            with psycopg.connect(URL) as connection:
                found = connection.execute("SELECT to_regclass('procrastinate_jobs')").fetchone()
            if found == (None,):
                self._app.schema_manager.apply_schema()
        return self._app

    def one(self, name: str, **arguments: Any) -> int:
        """Send one."""
        return int(self._opened().configure_task(name).defer(**arguments))

    def many(self, name: str, count: int) -> int:
        """Send many in one statement."""
        return int(self._opened().configure_task(name).batch_defer(*[{} for _ in range(count)])[-1])


_sending: Final = _Sending()


class _Task:
    """A task, called as the producer does."""

    def __init__(self, name: str) -> None:
        self._name = name

    def delay(self, sent: int | None = None) -> int:
        """Send it."""
        return _sending.one(self._name) if sent is None else _sending.one(self._name, sent=sent)


tasks: Final[dict[str, Any]] = {name: _Task(name) for name in ("noop", "async_noop", "stamp")}


def send_many(name: str, count: int) -> str:
    """Send a task many times, 1,000 a statement; return the last id."""
    last = 0
    for begin in range(0, count, 1_000):
        last = _sending.many(name, min(1_000, count - begin))
    return str(last)


def left() -> int:
    """Return how many tasks the broker still holds, waiting or running."""
    with psycopg.connect(URL) as connection:
        row = connection.execute("SELECT count(*) FROM procrastinate_jobs").fetchone()
    assert row is not None
    return int(row[0])


def state(task_id: str) -> str:
    """Return the state of a task, which is not kept here."""
    raise NotImplementedError(task_id)


def work() -> None:
    """Be a worker until SIGTERM."""

    async def run() -> None:
        async with app.open_async():
            while True:
                try:
                    await app.run_worker_async(concurrency=CONCURRENCY, delete_jobs="always", wait=True)
                    return
                except ConnectorException:  # The tables are not there yet.
                    await asyncio.sleep(0.1)

    asyncio.run(run())
