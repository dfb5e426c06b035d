"""Many schedulers of one app, as processes that are killed, stopped, and told wrong times, and what came of it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from typing import Any, Final

from celeriac import Celeriac
from celeriac.core.message import Delivery, Settlement
from celeriac.core.scheduled import StoredEntry, Writing
from celeriac.errors import CeleriacError, OperationalError
from celeriac.scheduler import flows
from celeriac.scheduler.runs import unpack_history
from tests.support.fleet import Project
from tests.support.waiting import wait_for

WRONG_CLOCK: Final = """
_time = time.time
if "CLOCK_STEPS" in os.environ:
    # The clock of this process is set back and forth, as an operator or a bad NTP server would set the machine's.
    time.time = lambda: _time() + (3600, -3600, 0)[int(_time() * 2) % 3]
"""


class Drain(threading.Thread):
    """Takes what was sent and remembers it: ids by entry and due time."""

    def __init__(self, app: Celeriac) -> None:
        super().__init__(daemon=True)
        self._broker = app.broker
        self._stop_asked = threading.Event()
        self.seen: defaultdict[tuple[str, float], int] = defaultdict(int)

    def run(self) -> None:
        while not self._stop_asked.wait(0.005):
            try:
                self.take()
            except OperationalError:
                continue  # A scheduler was stopped while it held the lock of a file, for longer than a request waits.

    def take(self) -> int:
        """Take what is there, until nothing is; return how much it was."""
        count = 0
        while deliveries := self._broker.claim(["celery"], 500, "drain", 60.0):
            for one in deliveries:
                self.seen[_key(one)] += 1
            self._broker.settle([Settlement(lease=one.lease, action="done") for one in deliveries])
            count += len(deliveries)
        return count

    def stop(self) -> None:
        """Stop taking."""
        self._stop_asked.set()
        self.join(10)


class Receiver(Drain):
    """A drain that goes on through crashes of the store, and counts what was settled rather than what was claimed.

    What was claimed and then lost comes again, as it should; what was settled must not.
    """

    def __init__(self, app: Celeriac) -> None:
        super().__init__(app)
        self._unsure: set[tuple[str, float]] = set()

    def take(self) -> int:
        """Take what is there; after an error, first give back what may be held without knowing."""
        count = 0
        try:
            while self._broker.reclaim("drain", 500, crash_limit=1000, owner="drain").released:
                pass
            while deliveries := self._broker.claim(["celery"], 500, "drain", 60.0):
                keys = {one.lease.id: _key(one) for one in deliveries}
                self._unsure.update(keys.values())
                refused = self._broker.settle([Settlement(lease=one.lease, action="done") for one in deliveries])
                for id in keys.keys() - set(refused):
                    self.seen[keys[id]] += 1
                    self._unsure.discard(keys[id])
                count += len(deliveries)
        except CeleriacError:
            return count
        return count

    def finish(self) -> None:
        """Count those whose settlement was not answered, and that never came again: they were settled."""
        for key in self._unsure - self.seen.keys():
            self.seen[key] = 1


def _key(delivery: Delivery) -> tuple[str, float]:
    assert delivery.message is not None
    headers = delivery.message.headers
    return headers["periodic_task_name"], headers["periodic_task_due"]


class Schedulers:
    """Processes of ``celeriac beat``.

    Args:
        project: Their app.
        count: How many.
        steps_clocks: Set the clocks of their processes back and forth.
    """

    def __init__(self, project: Project, count: int, *, steps_clocks: bool) -> None:
        self._project = project
        self._env = {**os.environ, **({"CLOCK_STEPS": "1"} if steps_clocks else {})}
        self._starts = 0
        self.processes = [self._start() for _ in range(count)]

    def _start(self) -> subprocess.Popen[bytes]:
        self._starts += 1
        folder = self._project.folder
        with (folder / f"beat{self._starts}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "celeriac", "-A", self._project.module, "beat", "-l", "WARNING"],
                cwd=folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=self._env,
            )

    def kill(self, place: int) -> None:
        """SIGKILL one, and start another in its place."""
        self.processes[place].kill()
        self.processes[place].wait(10)
        self.processes[place] = self._start()

    def trouble(self, rng: random.Random, until: float) -> dict[str, int]:
        """Kill, stop and end schedulers at random until this moment; return how often."""
        counts = {"killed": 0, "stopped": 0, "ended": 0}
        paused: dict[int, float] = {}
        while time.monotonic() < until:
            time.sleep(rng.uniform(0.2, 0.8))
            for place, end in list(paused.items()):
                if time.monotonic() >= end:
                    self.processes[place].send_signal(signal.SIGCONT)
                    del paused[place]
            place = rng.randrange(len(self.processes))
            if place in paused or self.processes[place].poll() is not None:
                continue
            what = rng.choice(["killed", "stopped", "ended"])
            counts[what] += 1
            if what == "killed":
                self.kill(place)
            elif what == "stopped":
                self.processes[place].send_signal(signal.SIGSTOP)
                paused[place] = time.monotonic() + rng.uniform(0.5, 4.5)
            else:
                self.processes[place].terminate()
                # One that has not come so far as to handle signals just ends.
                assert self.processes[place].wait(10) in (0, -signal.SIGTERM)
                self.processes[place] = self._start()
        for place in paused:
            self.processes[place].send_signal(signal.SIGCONT)
        return counts

    def close(self) -> None:
        """End all in order."""
        for process in self.processes:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


def add_entries(app: Celeriac, count: int, every: float, misfire: str = "all") -> None:
    """Add so many entries, each due every so many seconds, spread over that time."""
    now = app.broker.now()
    writings: list[Writing] = []
    for number in range(count):
        entry = app.schedule._entry(f"e{number:05d}", "note", {"every": every, "misfire": misfire})
        due = now + 1.0 + every * number / count
        edition = flows.new_edition()
        stored = StoredEntry(name=entry.name, body=flows.pack_body(entry), edition=edition, due=due)
        writings.append(Writing(stored, 0))
    assert app.broker.put_entries(writings) == ()


def account(app: Celeriac, drain: Drain, every: float) -> tuple[int, int, int]:
    """Return how many due times there were until now, how many of them were missed, and how many sent twice.

    No scheduler runs any more.
    """
    entries: list[Any] = []
    while page := app.broker.page_entries(entries[-1].name if entries else "", 500):
        entries += page
    by_entry: defaultdict[str, list[float]] = defaultdict(list)
    for name, due in drain.seen:
        by_entry[name].append(due)
    total = missed = 0
    for entry in entries:
        history = unpack_history(entry.state)
        dues = sorted(by_entry[entry.name])
        assert entry.due is not None
        # Each due time is one interval after the one before; the next is the entry's.
        steps = [later - sooner for sooner, later in zip(dues, [*dues[1:], entry.due], strict=True)]
        missed += sum([round(step / every) - 1 for step in steps]) + history.missed
        total += len(dues)
        assert history.total == len(dues), (entry.name, history.total, len(dues))
    return total, missed, sum([count - 1 for count in drain.seen.values()])


def settle_down(app: Celeriac, drain: Drain) -> None:
    """Wait until nothing is due any more, and all that was sent is taken."""
    wait_for(lambda: len(app.broker.due_entries(500).turns) < 50, 60, "what was due to be sent")


def finish(drain: Drain) -> None:
    """Take the rest."""
    drain.stop()
    drain.take()
