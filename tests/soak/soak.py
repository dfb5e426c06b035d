"""A long run: a million tasks with failures, retries and results, while connections are cut, and nothing grows.

One worker and one sender work on one store. The sender keeps to a rate, so that what lies in the store (results that
have not expired yet, a short backlog) stays the same, and whatever grows is a leak. Afterwards every count must be
exact: each task was settled once in each state that it goes through, no run was for nothing, and the store is empty.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil

from celeriac import Celeriac
from celeriac.app.find import find_app
from celeriac.core import state
from celeriac.errors import TimeoutError
from tests.soak.watch import Bound, Trend, Watch, until
from tests.support.backing import Backing, RedisBacking, SqliteBacking

MODULE: Final = "soaked"
BATCH: Final = 500
BACKLOG: Final = 20_000
"""Most tasks that wait; the sender then waits, too."""
DRIVERS: Final[dict[str, type[Backing]]] = {one.name: one for one in (SqliteBacking, RedisBacking)}
"""Those whose size and connections this can look at."""
BOUNDS: Final = {
    "rss": Bound(0.04, 6.0),  # MiB
    "files": Bound(0.0, 1.0),
    "threads": Bound(0.0, 1.0),
    "keys": Bound(0.15, 2000.0),
    "memory": Bound(0.15, 4.0),  # MiB
    "size": Bound(0.15, 8.0),  # MiB
    "clients": Bound(0.0, 2.0),
}
RESULT_WITHIN: Final = 30
"""Seconds until the result of a task that was just sent must be there."""
REST: Final = 15
"""Most keys, or rows, that may be left when everything is over and has expired."""
TASKS: Final = """
from celeriac import Celeriac

app = Celeriac("soaked", broker={url!r}, backend={url!r})
app.conf.update(result_expires={expires})


@app.task(name="double")
def double(x):
    return 2 * x


@app.task(name="adouble")
async def adouble(x):
    return 2 * x


@app.task(name="quiet", ignore_result=True)
def quiet(x):
    return None


@app.task(name="fail")
def fail(x):
    raise ValueError(x)


@app.task(bind=True, name="again", max_retries=1, default_retry_delay=0.1)
def again(self, x):
    if self.request.retries == 0:
        raise self.retry(exc=KeyError(x))
    return x
"""
SHARES: Final = {"double": 200, "adouble": 150, "quiet": 100, "fail": 25, "again": 25}
"""How many of a batch are of each task."""
STATES: Final = {
    "double": {state.SUCCESS: 1},
    "adouble": {state.SUCCESS: 1},
    "quiet": {state.SUCCESS: 1},
    "fail": {state.FAILURE: 1},
    "again": {state.RETRY: 1, state.SUCCESS: 1},
}
"""How often each task is settled in each state."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to do.

    Attributes:
        driver: Of the broker.
        tasks: How many.
        reconnects: How often every connection to the server is cut; a store without a server has none.
        rate: Tasks a second that are sent; the machine may be slower.
        processes: Children of the worker.
        expires: Seconds that results are kept.
    """

    driver: str = "redis"
    tasks: int = 1_000_000
    reconnects: int = 100
    rate: float = 2000.0
    processes: int = 2
    expires: float = 10.0


@dataclass
class Report:
    """What came of it."""

    plan: Plan
    seconds: float = 0.0
    settled: dict[tuple[str, str], int] = field(default_factory=dict)
    expected: dict[tuple[str, str], int] = field(default_factory=dict)
    runs: int = 0
    read: int = 0
    wrong: int = 0
    missed: list[str] = field(default_factory=list)
    cuts: int = 0
    cut_connections: int = 0
    rest: int = 0
    exit_code: int | None = None
    trends: list[Trend] = field(default_factory=list)

    @property
    def lost(self) -> int:
        """Settlements that are missing."""
        return sum(max(0, count - self.settled.get(key, 0)) for key, count in self.expected.items())

    @property
    def surplus(self) -> int:
        """Settlements that are too many."""
        return sum(max(0, count - self.expected.get(key, 0)) for key, count in self.settled.items())

    @property
    def repeated(self) -> int:
        """Runs that were for nothing: more than there are settlements."""
        return self.runs - sum(self.settled.values())

    def faults(self) -> list[str]:
        """Return what is wrong, in words; empty if nothing is."""
        checks = {
            f"{self.lost} tasks are lost": self.lost,
            f"{self.surplus} settlements are too many": self.surplus,
            f"{self.wrong} of {self.read} results are wrong": self.wrong or not self.read,
            f"results did not come: {self.missed}": self.missed,
            f"{self.rest} keys are left": self.rest > REST,
            f"the worker ended with {self.exit_code}": self.exit_code != 0,
            f"connections were cut {self.cuts} times": self.cuts != self.plan.reconnects,
            f"{self.cut_connections} connections were cut": self.plan.driver != "sqlite"
            and self.cut_connections < self.plan.reconnects,
        }
        return [text for text, wrong in checks.items() if wrong] + [
            f"{one.name} grows by {one.growth:.1f}, and may by {one.allowed:.1f}" for one in self.trends if not one.flat
        ]


class Soak:
    """One run.

    Args:
        plan: What to do.
        folder: Where to do it; files are left there.
    """

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.report = Report(plan)
        self._plan = plan
        self._folder = folder
        self._backing: Backing = DRIVERS[plan.driver](folder)
        self._watch = Watch(BOUNDS, 2.5 * plan.expires)
        self._next_sample = 0.0
        self._sent: Counter[str] = Counter()
        self._every = max(0.25, plan.tasks / plan.rate / 300)

    def run(self) -> Report:
        """Do it, and return what came of it."""
        self._backing.start()
        try:
            with self._app() as app, self._worker() as worker:
                start = time.monotonic()
                self._send(app, worker)
                self._finish(app, worker)
                self.report.seconds = time.monotonic() - start
                worker.send_signal(signal.SIGTERM)
                self.report.exit_code = worker.wait(60)
                self._look_at_rest(app)
        finally:
            self._backing.close()
        self.report.trends = self._watch.trends()
        return self.report

    @contextlib.contextmanager
    def _app(self) -> Iterator[Celeriac]:
        source = TASKS.format(url=self._backing.url, expires=self._plan.expires)
        (self._folder / f"{MODULE}.py").write_text(source)
        sys.path.insert(0, str(self._folder))
        try:
            app = find_app(MODULE)
            app.broker.install()
            yield app
            app.close()
        finally:
            sys.path.remove(str(self._folder))
            sys.modules.pop(MODULE, None)

    @contextlib.contextmanager
    def _worker(self) -> Iterator[subprocess.Popen[bytes]]:
        health = self._folder / "health"
        command = [sys.executable, "-m", "celeriac", "-A", MODULE, "worker", "-l", "CRITICAL"]
        command += ["-c", str(self._plan.processes), "--health-file", str(health)]
        with (self._folder / "worker.log").open("wb") as log:
            process = subprocess.Popen(
                command, cwd=self._folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        try:
            assert until(lambda: health.exists() or process.poll() is not None, 60, lambda: time.sleep(0.05))
            assert process.poll() is None, (self._folder / "worker.log").read_text()
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)

    # While it runs.

    def _send(self, app: Celeriac, worker: subprocess.Popen[bytes]) -> None:
        batches = self._plan.tasks // BATCH
        cuts = {int((number + 1) * batches / (self._plan.reconnects + 1)) for number in range(self._plan.reconnects)}
        start = time.monotonic()
        for batch in range(batches):
            watched: list[Any] = []
            for name, share in SHARES.items():
                base = batch * BATCH
                results = app.tasks[name].apply_many([(base + number,) for number in range(share)])
                self._sent[name] += len(results)
                if name in ("double", "adouble") and batch % 20 == 0:
                    watched += [(result, 2 * (base + number)) for number, result in enumerate(results[:5])]
            if batch in cuts:
                self._cut()
            for result, value in watched:
                self._read(app, result, value)
            self._sample(app, worker)
            due = start + (batch + 1) * BATCH / self._plan.rate
            until(lambda: time.monotonic() >= due, 60, lambda: self._rest(app, worker))  # noqa: B023
            if batch % 10 == 0:
                until(lambda: self._waiting(app) < BACKLOG, 600, lambda: self._rest(app, worker))

    def _read(self, app: Celeriac, result: Any, value: int) -> None:
        """Compare a result; one that does not come is kept with all that the store says about it."""
        self.report.read += 1
        began = time.monotonic()
        try:
            self.report.wrong += result.get(timeout=RESULT_WITHIN) != value
        except TimeoutError as exc:
            seen = f"{exc}; the store has {app.broker.get([result.id])} and {app.broker.stats()}"
            self.report.missed.append(f"{seen}, after {time.monotonic() - began:.1f} s")

    def _finish(self, app: Celeriac, worker: subprocess.Popen[bytes]) -> None:
        """Wait until all is settled, and count."""
        report = self.report
        for name, states in STATES.items():
            for one, times in states.items():
                report.expected[name, one] = times * self._sent[name]
        total = sum(report.expected.values())

        def settled() -> bool:
            report.settled = app.broker.tallies()
            return sum(report.settled.values()) >= total and self._waiting(app) == 0

        until(settled, 300, lambda: time.sleep(0.2))

        def told() -> bool:
            report.runs = sum(int(record.info["runs"]) for record in app.broker.workers())
            return report.runs >= sum(report.settled.values())

        until(told, 10, lambda: time.sleep(0.2))  # A heartbeat comes every two seconds.

    def _look_at_rest(self, app: Celeriac) -> None:
        """Count what is left when everything has expired."""

        def rest() -> bool:
            app.broker.prune(None, BATCH)
            self.report.rest = self._keys()
            return self.report.rest <= REST

        until(rest, self._plan.expires + 30, lambda: time.sleep(0.2))

    def _rest(self, app: Celeriac, worker: subprocess.Popen[bytes]) -> None:
        time.sleep(0.02)
        self._sample(app, worker)

    def _waiting(self, app: Celeriac) -> int:
        return sum(one.ready + one.scheduled + one.owned for one in app.broker.stats())

    def _cut(self) -> None:
        """Cut every connection to the server, those that wait for something, too."""
        if isinstance(self._backing, RedisBacking):
            for kind in ("normal", "pubsub"):
                killed = self._backing.server.ask("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
                self.report.cut_connections += int(killed)
        self.report.cuts += 1

    def _sample(self, app: Celeriac, worker: subprocess.Popen[bytes]) -> None:
        now = time.monotonic()
        if now < self._next_sample:
            return
        self._next_sample = now + self._every
        self._watch.note_process("sender", psutil.Process())
        supervisor = psutil.Process(worker.pid)
        self._watch.note_process("supervisor", supervisor)
        # The fork server and the resource tracker are children, too, and do nothing.
        children = [one for one in supervisor.children(recursive=True) if one.num_threads() > 1]
        for number, child in enumerate(sorted(children, key=lambda one: one.pid)):
            self._watch.note_process(f"child {number}", child)
        self._watch.note("store keys", self._keys())
        if isinstance(self._backing, RedisBacking):
            with self._backing.server.client() as client:
                info: dict[str, Any] = client.info()
            self._watch.note("server memory", info["used_memory"] / 2**20)
            self._watch.note("server clients", info["connected_clients"])
        elif isinstance(self._backing, SqliteBacking):
            self._watch.note("file size", self._backing.path.stat().st_size / 2**20)

    def _keys(self) -> int:
        if isinstance(self._backing, RedisBacking):
            return int(self._backing.server.ask("DBSIZE"))
        assert isinstance(self._backing, SqliteBacking)
        with contextlib.closing(sqlite3.connect(self._backing.path, timeout=10)) as connection:
            return sum(
                int(connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0])
                for name in ("message", "result", "owner", "worker", "command", "reply")
            )
