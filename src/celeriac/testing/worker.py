"""A real worker in threads of the running process: engine, leases and heartbeats as in production, on any broker.

For tests that poll or block, and for those that were written for Celery's. Most are shorter, and a hundred times as
fast, with :class:`~celeriac.testing.Kit`.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Generator, Sequence
from itertools import count
from typing import Any, Final

from celeriac.app import Celeriac
from celeriac.app import state as app_state
from celeriac.events import WorkerReady, signals
from celeriac.worker import logs
from celeriac.worker.options import WorkerOptions, from_settings
from celeriac.worker.solo import Solo

_numbers = count(1)
_STARTS_WITHIN: Final = 30.0


class ThreadedWorker(Solo):
    """A worker in threads of this process.

    Args:
        app: The app.
        options: Its shape; ``threads`` must be at least 1.
    """

    def __init__(self, app: Celeriac, options: WorkerOptions) -> None:
        super().__init__(app, options)
        self.app = app
        self.hostname = options.node
        self._thread = threading.Thread(target=self._work, name="celeriac-test-worker", daemon=True)
        self._failure: BaseException | None = None

    def start(self) -> None:
        """Start; return once it claims."""
        bus = self._keeper.surroundings.bus
        logs.subscribe(bus)
        self._keeper.start()
        self._keeper.adopt(self._owner, self._table)
        self._thread.start()
        self._child.wait_until_started(_STARTS_WITHIN)
        bus.emit(WorkerReady(self.hostname))
        signals.worker_ready.send(self._sender)

    def stop(self, timeout: float) -> None:
        """Let what runs end, and end.

        Raises:
            RuntimeError: A task did not end within ``timeout`` seconds.
        """
        self._child.drain()
        self._thread.join(timeout)
        hangs = self._thread.is_alive()
        self._leave()
        signals.worker_shutdown.send(self._sender)
        if hangs:
            raise RuntimeError(f"the worker did not end within {timeout:g} s: a task still runs (shutdown_timeout=)")
        if self._failure is not None:
            raise self._failure

    def reload(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: tasks that were defined after its start are known already."""

    def _work(self) -> None:
        try:
            self._child.run(None)
        except BaseException as exc:
            self._failure = exc


@contextlib.contextmanager
def start_worker(
    app: Celeriac,
    *,
    concurrency: int = 1,
    queues: Sequence[str] | str | None = None,
    hostname: str | None = None,
    beat: bool = False,
    shutdown_timeout: float = 10.0,
    **ignored: Any,
) -> Generator[ThreadedWorker]:
    """Run a worker in threads of this process while the block runs. The app is the default one meanwhile.

    Args:
        app: The app; of any broker, ``memory://name`` included.
        concurrency: Plain functions that run at once. Coroutine tasks run beside them, many at once.
        queues: Queues to work on, a list or text with commas; None: those of the settings.
        hostname: Its node name; None: one that no other has.
        beat: Carry out schedule entries, too.
        shutdown_timeout: Seconds for which a task that runs at the end of the block may go on.
        **ignored: Arguments of Celery's ``start_worker`` and of its worker that mean nothing here: ``pool``,
            ``loglevel``, ``logfile``, ``perform_ping_check``, ``ping_task_timeout``, ``without_*``, ...

    Raises:
        RuntimeError: A task still ran after ``shutdown_timeout`` seconds.
    """
    names = queues.split(",") if isinstance(queues, str) else queues
    with app_state.stand_in(app):
        app.finalize(auto=True)
        options = from_settings(
            app.conf,
            target="",
            pool="threads",
            concurrency=concurrency,
            node=hostname or f"test-{os.getpid()}-{next(_numbers)}@%h",
            queues=tuple(names if names is not None else app.queue_names()),
            beat=beat,
        )
        worker = ThreadedWorker(app, options)
        worker.start()
        try:
            yield worker
        finally:
            worker.stop(shutdown_timeout)
