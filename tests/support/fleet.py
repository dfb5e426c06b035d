"""Real workers for tests: a project in a folder, its workers as processes, and the diary of what ran.

The diary is a file to which tasks append one line each time they start and end. Appending is one write of one line, so
a process may be killed at any moment without spoiling it. It is what happened, told by nobody but the tasks.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil

from celeriac import Celeriac
from celeriac.app.find import find_app
from celeriac.brokers.port import Record
from celeriac.core.message import StoredResult
from celeriac.core.state import READY_STATES
from tests.support.backing import Backing
from tests.support.freezing import freeze
from tests.support.waiting import wait_for

READY_WITHIN: Final = 30.0
_CHILD_LINE: Final = re.compile(r"child (\S+) \(pid (\d+)\) (started|ended)")

PROJECT: Final = """
import os, signal, time
from celeriac import Celeriac

app = Celeriac(
    "{name}", broker=os.environ.get("FLEET_BROKER", {broker!r}), backend=os.environ.get("FLEET_RESULTS", {results!r})
)
app.conf.update({settings!r})
DIARY = os.open({diary!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def write(word, request):
    line = f"{{word}} {{request.id}} {{request.fencing_token}} {{os.getpid()}} {{time.monotonic()!r}}\\n"
    os.write(DIARY, line.encode())


@app.task(bind=True, name="note")
def note(self, seconds=0.0):
    write("start", self.request)
    if seconds:
        time.sleep(seconds)
    write("end", self.request)
    return self.request.fencing_token


@app.task(bind=True, name="anote")
async def anote(self, seconds=0.0):
    import asyncio
    write("start", self.request)
    await asyncio.sleep(seconds)
    write("end", self.request)
    return self.request.fencing_token


@app.task(bind=True, name="hold")
def hold(self, seconds=0.0):
    # Blocks with the GIL held: no other thread of the process runs meanwhile.
    import ctypes
    write("start", self.request)
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))
    write("end", self.request)
    return self.request.fencing_token


@app.task(bind=True, name="once", acks_late=False)
def once(self, seconds=0.0):
    write("start", self.request)
    time.sleep(seconds)
    write("end", self.request)
    return self.request.fencing_token


@app.task(bind=True, name="poison")
def poison(self):
    write("start", self.request)
    os.kill(os.getpid(), signal.SIGKILL)
"""


class Entry(NamedTuple):
    """One line of the diary."""

    word: str
    id: str
    token: int
    pid: int
    at: float


class Project:
    """An app in a folder of its own.

    Args:
        folder: Its module, its diary and the logs of its workers.
        backing: Its broker.
        settings: Settings of the app.
        extra: More source for its module.
        separate_results: Keep results in a store of their own.
    """

    def __init__(
        self,
        folder: Path,
        backing: Backing,
        *,
        settings: dict[str, Any] | None = None,
        extra: str = "",
        separate_results: bool = False,
    ) -> None:
        self.folder = folder
        self.backing = backing
        self.diary_path = folder / "diary"
        self.diary_path.touch()
        self.module = f"fleet_{folder.name.replace('-', '_')}"
        self._reading = threading.Lock()
        self._ended = 0
        self._read = 0
        source = PROJECT.format(
            name=self.module,
            broker=backing.url,
            results=backing.results_url if separate_results else backing.backend_url,
            settings=settings or {},
            diary=str(self.diary_path),
        )
        (folder / f"{self.module}.py").write_text(source + extra)
        self.workers: list[Worker] = []
        self._app: Celeriac | None = None

    @property
    def app(self) -> Celeriac:
        """The app, imported into this process."""
        if self._app is None:
            sys.path.insert(0, str(self.folder))
            try:
                self._app = find_app(self.module)
            finally:
                sys.path.remove(str(self.folder))
        return self._app

    def start_worker(
        self, *options: str, node: str | None = None, wait: bool = True, env: Mapping[str, str] | None = None
    ) -> Worker:
        """Start a worker; it leads a process group of its own. ``env`` is added to its environment."""
        name = f"w{len(self.workers)}"
        worker = Worker(self, name, options, node or f"{name}@test", env or {})
        self.workers.append(worker)
        if wait:
            worker.wait_ready()
        return worker

    def diary(self) -> list[Entry]:
        """Return the diary so far; an unfinished last line is left out."""
        entries: list[Entry] = []
        for line in self.diary_path.read_text().splitlines():
            parts = line.split()
            if len(parts) == 5:
                entries.append(Entry(parts[0], parts[1], int(parts[2]), int(parts[3]), float(parts[4])))
        return entries

    def ended(self) -> int:
        """Return how many runs have ended, from the diary; each line of it is read once."""
        with self._reading, self.diary_path.open("rb") as diary:
            diary.seek(self._read)
            new, _, _ = diary.read().rpartition(b"\n")
            if new:
                self._read += len(new) + 1
                self._ended += sum(line.startswith(b"end ") for line in new.splitlines())
            return self._ended

    def wait_more(self, tasks: int, timeout: float = 60.0) -> None:
        """Wait until so many more runs have ended."""
        goal = self.ended() + tasks
        wait_for(lambda: self.ended() >= goal, timeout, f"{tasks} more tasks done")

    def next_start(self, at: float, timeout: float = 20.0) -> float:
        """Return the seconds from this moment to the next start of a task; wait for it."""

        def after() -> list[float]:
            return [entry.at for entry in self.diary() if entry.word == "start" and entry.at > at]

        wait_for(after, timeout, "a task that starts after the fault", every=0.05)
        return min(after()) - at

    def held(self, ids: Iterable[str]) -> frozenset[str]:
        """Return those of the ids that the broker has not done with."""
        return frozenset(record.id for record in self.app.broker.get(list(ids)))

    def send_each(self, name: str, seconds: Iterable[float]) -> list[str]:
        """Send one call of a task for each of these run times, in bulk; return their ids."""
        return [result.id for result in self.app.tasks[name].apply_many([(one,) for one in seconds])]

    def send(self, name: str, count: int, *args: Any, **options: Any) -> list[str]:
        """Send ``count`` calls of a task with these arguments; return their ids."""
        return [self.app.tasks[name].apply_async(args, **options).id for _ in range(count)]

    def runs(self, task_id: str) -> list[Entry]:
        """Return the starts of one task, in order."""
        return self.starts().get(task_id, [])

    def wait_started(self, task_id: str, count: int = 1, timeout: float = 15.0) -> Entry:
        """Wait until the task has started for the ``count``-th time; return that start."""
        wait_for(lambda: len(self.runs(task_id)) >= count, timeout, f"start {count} of task {task_id}")
        return self.runs(task_id)[count - 1]

    def freeze(self, pids: Collection[int]) -> None:
        """Stop these processes, which go on later, at a moment when they do not keep the store from all others.

        A file of SQLite's belongs to who writes to it until that is over, also while the writer stands still.
        """
        wait_for(lambda: self._frozen(pids), 20, "processes that stand still without holding the store")

    def _frozen(self, pids: Collection[int]) -> bool:
        freeze(pids)
        if not self.backing.is_held():
            return True
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        return False

    def results(self, ids: Iterable[str]) -> dict[str, StoredResult]:
        """Return the stored results of those ids that have one."""
        wanted = list(ids)
        return {result.id: result for result in self.app.backend.fetch(wanted)}

    def wait_empty(self, timeout: float) -> None:
        """Wait until the broker holds nothing any more."""
        wait_for(
            lambda: self.app.broker.stats() == [] and not self.backing.under_way(),
            timeout,
            "all tasks settled",
            every=0.05,
        )

    def wait_states(self, ids: Iterable[str], timeout: float = 20.0) -> dict[str, str]:
        """Wait until every task is over; return the state of each."""
        wanted = list(ids)
        left = set(wanted)
        found: dict[str, str] = {}

        def look() -> bool:
            ended = {one: result.state for one, result in self.results(left).items() if result.state in READY_STATES}
            found.update(ended)
            left.difference_update(ended)
            return not left

        wait_for(look, timeout, f"{len(wanted)} tasks over")
        return {one: found[one] for one in wanted}

    def wait_state(self, task_id: str, timeout: float = 20.0) -> str:
        """Wait until the task is over; return its state."""
        return self.wait_states([task_id], timeout)[task_id]

    def error(self, task_id: str) -> str:
        """Return the exception that is stored for a task, as text with its type's name."""
        kept = json.loads(self.results([task_id])[task_id].body)
        return f"{kept['exc_type']}: {kept['exc_message']}"

    def record(self, task_id: str) -> Record | None:
        """Return the broker's record of a task, None if it has none."""
        return next(iter(self.app.broker.get([task_id])), None)

    def starts(self) -> dict[str, list[Entry]]:
        """Return the starts of each task id, in order."""
        found: dict[str, list[Entry]] = defaultdict(list)
        for entry in self.diary():
            if entry.word == "start":
                found[entry.id].append(entry)
        return found

    def close(self) -> None:
        """End every worker and whatever it started, and make sure that nothing is left."""
        for worker in self.workers:
            worker.destroy()
        if self._app is not None:
            self._app.close()
        for worker in self.workers:
            wait_for(worker.group_is_empty, 5, f"no process of {worker.name} left")


class Worker:
    """One worker process with its children."""

    def __init__(
        self, project: Project, name: str, options: tuple[str, ...], node: str, env: Mapping[str, str]
    ) -> None:
        self.log_path = project.folder / f"{name}.log"
        self.name = name
        self.node = node
        command = [sys.executable, "-m", "celeriac", "-A", project.module, "worker", "-n", node]
        command += ["-l", "INFO", *options]
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=project.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **env},
            )
        self.pid = self.process.pid

    def wait_ready(self) -> None:
        """Wait until the worker says that all its children claim."""
        ready = f"{self.node} ready."
        wait_for(lambda: ready in self.log() or self.process.poll() is not None, READY_WITHIN, f"{self.name} ready")
        assert self.process.poll() is None, self.log()

    def children(self) -> dict[int, str]:
        """Return the owner names of the children that are ready and live, by process id."""
        ready: dict[int, str] = {}
        for owner, pid, what in _CHILD_LINE.findall(self.log()):
            if what == "started":
                ready[int(pid)] = owner
            else:
                ready.pop(int(pid), None)
        # The log tells of a death a moment after it.
        return {pid: owner for pid, owner in ready.items() if is_alive(pid)}

    def signal(self, number: int) -> None:
        """Send a signal to the supervisor alone."""
        self.process.send_signal(number)

    def signal_all(self, number: int) -> None:
        """Send a signal to the whole tree at once, as the end of a machine would."""
        os.killpg(self.pid, number)

    def kill_all(self) -> None:
        """SIGKILL the whole tree."""
        self.signal_all(signal.SIGKILL)
        self.process.wait(10)

    def wait(self, timeout: float) -> int:
        """Wait for the supervisor's end and return its exit code."""
        return self.process.wait(timeout)

    def stop(self, timeout: float = 15.0) -> None:
        """Shut down as a service manager would; the worker must end well and leave no process."""
        self.signal(signal.SIGTERM)
        assert self.wait(timeout) == 0, self.log()
        self.wait_gone()

    def wait_gone(self) -> None:
        """Wait until no process of its group is left, after its supervisor has ended."""
        wait_for(self.group_is_empty, 5, f"no process of {self.name} left")

    def wait_log(self, text: str, timeout: float = 15.0) -> None:
        """Wait until it has logged something with this text in it."""
        wait_for(lambda: text in self.log(), timeout, f"{self.name} to log {text!r}")

    def destroy(self) -> None:
        """Make sure nothing of it is left."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait(10)

    def group_is_empty(self) -> bool:
        """Return whether no process of its group lives."""
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return True
        return not any(is_alive(process.pid) for process in psutil.process_iter() if _group(process) == self.pid)

    def log(self) -> str:
        """Return what it has logged."""
        return self.log_path.read_text(errors="replace")


def is_alive(pid: int) -> bool:
    """Return whether the process lives; one that only waits to be collected does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _group(process: psutil.Process) -> int:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return -1


def tell(figures: str) -> None:
    """Show the figures of a run; pytest shows them with -s and with a failure."""
    print(figures)  # noqa: T201


def seeded() -> Iterator[tuple[int, random.Random]]:
    """Yield a seed (from CELERIAC_SEED, or fresh) and its generator; the seed is printed for a replay."""
    seed = int(os.environ.get("CELERIAC_SEED") or random.SystemRandom().randrange(1 << 32))
    tell(f"CELERIAC_SEED={seed}")
    yield seed, random.Random(seed)
