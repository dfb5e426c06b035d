"""Starting child processes, and what the supervisor knows of each."""

from __future__ import annotations

import importlib
import multiprocessing
import multiprocessing.context
import os
import select
import signal
import sys
import time
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec

from celeriac.errors import ImproperlyConfigured
from celeriac.worker.entry import CHILD_MODULE, SIGNALS_LEFT_TO_SUPERVISOR, enter
from celeriac.worker.folder import RuntimeFolder
from celeriac.worker.link import Drain, Fatal, FromChild, Revoke, ToChild
from celeriac.worker.options import WorkerOptions, boot_id
from celeriac.worker.runs import monotonic
from celeriac.worker.slots import SlotTable
from celeriac.worker.tracker import untracked
from celeriac.worker.verdicts import Cause

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

State: TypeAlias = Literal["starting", "ready", "draining"]
_AnyContext: TypeAlias = (
    multiprocessing.context.ForkServerContext
    | multiprocessing.context.SpawnContext
    | multiprocessing.context.ForkContext
)
FORK_SERVER_PATIENCE: Final = 5.0
"""Seconds within which a fork server that has died must be gone."""
REVOKES_AT_ONCE: Final = 200
"""Ids in one message: while a pipe takes anything at all, it takes as much as these (at most 40 KiB)."""
_FROZEN_MODULE: Final = "celeriac.worker.frozen"
_STORES: Final = ("celeriac.brokers.", "celeriac.results.")
_BY_CONNECTING: Final = ("encodings.idna", "email.parser", "importlib.resources.readers")
"""What some stores' clients import with their first connection."""


class Child:
    """One child process, from the supervisor's side."""

    def __init__(self, process: BaseProcess, link: Connection, path: Path, table: SlotTable, owner: str) -> None:
        self.process = process
        self.link = link
        self._path = path
        self.table = table
        self.owner = owner
        self.state: State = "starting"
        self.started = monotonic()
        self.idle_since = self.started
        self.seen_runs = 0
        self.failure: Fatal | None = None
        self.cause: Cause | None = None
        self.culprit: str | None = None
        self.why = ""
        self.revoking: dict[str, float] = {}
        """Ids of running tasks that were asked to stop, and when the process is ended if they have not."""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid or 0

    @property
    def running(self) -> int:
        """Tasks it runs now."""
        return sum(1 for _ in self.table.running())

    def send(self, message: ToChild) -> None:
        """Tell it something; a child that is gone is noticed elsewhere."""
        try:
            self.link.send(message)
        except OSError:
            return

    def receive(self) -> FromChild | None:
        """Return what it said, if anything is there."""
        try:
            return self.link.recv() if self.link.poll() else None
        except (EOFError, OSError):
            return None

    def revoke(self, ids: tuple[str, ...], terminate: bool) -> None:
        """Tell it that tasks are revoked; a child that does not read at all is not waited for."""
        ready = select.poll()
        ready.register(self.link, select.POLLOUT)
        for start in range(0, len(ids), REVOKES_AT_ONCE):
            if self.link.closed or not ready.poll(0):
                return
            self.send(Revoke(ids[start : start + REVOKES_AT_ONCE], terminate))

    def drain(self) -> None:
        """Have it finish and exit."""
        if self.state != "draining":
            self.state = "draining"
            self.send(Drain())

    def kill(self, cause: Cause, why: str, culprit: str | None = None) -> None:
        """End it at once."""
        if self.cause is None:
            self.cause, self.why, self.culprit = cause, why, culprit
            self.process.kill()

    def close(self) -> None:
        """Let go of what belonged to it; it has exited.

        Its table stays mapped for the keeper's threads, which may be about to write to it, and goes with the last of
        them. The file is not needed any more.
        """
        self.link.close()
        self.process.join()
        self.process.close()
        self._path.unlink(missing_ok=True)


class Nursery:
    """Starts children."""

    def __init__(self, options: WorkerOptions) -> None:
        self._options = options
        self._boot = boot_id()
        self._count = 0
        self._links: list[Connection] = []
        self._context = _context(options.start_method)
        self._folder = RuntimeFolder()

    @property
    def keeper_name(self) -> str:
        """The keeper's own owner name."""
        return f"{self._options.node}#{self._boot}/keeper"

    def start(self) -> Child:
        """Start one child.

        Raises:
            ImproperlyConfigured: The operating system refused, or no fork server answers.
        """
        if self._count == 0 and isinstance(self._context, multiprocessing.context.ForkServerContext):
            # What the fork server has imported, its children share; what it cannot import, they report themselves.
            self._context.set_forkserver_preload(self._preloaded())
        if self._count == 0 and isinstance(self._context, multiprocessing.context.ForkContext):
            importlib.import_module(CHILD_MODULE)  # Once, here, and not in each child.
        self._count += 1
        owner = f"{self._options.node}#{self._boot}/{self._count}"
        path = Path(self._folder.name) / f"slots-{self._count}"
        table = SlotTable(path, self._options.slots)
        ours, theirs = self._context.Pipe()
        self._links = [link for link in [*self._links, ours] if not link.closed]
        # A forked child has copies of our ends of all pipes; while it keeps them, no child can notice that we are gone.
        copied = self._links if isinstance(self._context, multiprocessing.context.ForkContext) else []
        process = self._context.Process(
            target=enter,
            args=(msgspec.msgpack.encode(self._options), owner, str(path), theirs, copied),
            name=f"celeriac-child-{self._count}",
        )
        try:
            _start(process, self._context)
        except (OSError, EOFError) as exc:
            why = str(exc) or type(exc).__name__
            raise ImproperlyConfigured(f"a child process of {self._options.node} could not be started: {why}") from exc
        theirs.close()
        return Child(process, ours, path, table, owner)

    def _preloaded(self) -> list[str]:
        """Return what children will import: the app, and the drivers of its stores, which this process uses by now."""
        stores = sorted(name for name in sys.modules if name.startswith(_STORES))
        late = [name for name in _BY_CONNECTING if name in sys.modules]
        return [CHILD_MODULE, self._options.target.partition(":")[0], *stores, *late, _FROZEN_MODULE]

    def close(self) -> None:
        """Remove the slot tables."""
        self._folder.cleanup()


def _start(process: BaseProcess, context: _AnyContext) -> None:
    """Start the process.

    A fork server that has just died answers no more and is not gone yet; when it is, another takes its place.
    """
    patience = monotonic() + FORK_SERVER_PATIENCE
    while True:
        try:
            with _import_path(), _helper(context), _signals_held():
                return process.start()
        except (ConnectionError, EOFError):
            if monotonic() > patience:
                raise
        time.sleep(0.02)


def _context(start_method: str) -> _AnyContext:
    match start_method:
        case "spawn":
            return multiprocessing.get_context("spawn")
        case "fork":
            return multiprocessing.get_context("fork")
        case _:
            return multiprocessing.get_context("forkserver")


@contextmanager
def _import_path() -> Generator[None]:
    """Let new interpreters find what this one can import: the fork server does not take ``sys.path`` over itself."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _helper(context: _AnyContext) -> AbstractContextManager[None]:
    """See to multiprocessing's helper before signals are held: when it starts, it lets TERM and INT in again."""
    if isinstance(context, multiprocessing.context.ForkServerContext):
        return untracked()
    resource_tracker.ensure_running()
    return nullcontext()


@contextmanager
def _signals_held() -> Generator[None]:
    """Let what is started here begin with these signals blocked.

    A child lets them in when it is ready for them. The fork server never does: sent to the whole group of processes (by
    a service manager, a terminal), they would end it, and with it the only knowledge of how children exit.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS_LEFT_TO_SUPERVISOR)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
