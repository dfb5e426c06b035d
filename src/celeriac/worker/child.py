"""A child process: loads the app, starts the engine thread, and becomes the sync slot.

It ends when the supervisor says so, when the supervisor is gone (the pipe closes: nobody renews its lease any more, so
it must not go on), or when the engine fails. It never ends a task to do so: that is the supervisor's to decide.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import msgspec

from celeriac.app import Celeriac
from celeriac.app.find import find_app
from celeriac.brokers.facade import AsyncBroker
from celeriac.core.message import Lease
from celeriac.events import signals
from celeriac.worker import forks, logs, tracker
from celeriac.worker.engine import Direct, Engine, ResultStore, Stores
from celeriac.worker.entry import SIGNALS_LEFT_TO_SUPERVISOR
from celeriac.worker.link import Drain, Fatal, Ready, Retire, Revoke, ToChild
from celeriac.worker.loop import new_loop
from celeriac.worker.options import WorkerOptions, configure
from celeriac.worker.slots import SlotTable

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

ORPHANED: Final = 71
FAILED: Final = 70


class ChildProcess:
    """The services of one child process."""

    def __init__(self, app: Celeriac, options: WorkerOptions, owner: str, table: SlotTable) -> None:
        self._app = app
        self._options = options
        self._owner = owner
        self._table = table
        self._surroundings = app.worker_surroundings(options.node, delivery_limit=options.delivery_limit)
        self._engine: Engine | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started = threading.Event()
        self._drain_asked = False
        """It was told to drain, maybe before there was an engine."""
        self._failure: BaseException | None = None

    def run(self, link: Connection | None) -> None:
        """Work until drained; the calling thread must be the main thread."""
        logs.subscribe(self._surroundings.bus, gather=True)
        engine_thread = threading.Thread(target=self._engine_main, args=(link,), name="celeriac-engine", daemon=True)
        engine_thread.start()
        self._started.wait()
        if self._engine is not None:
            self._engine.sync_slots.run_main()
        engine_thread.join()
        if self._failure is not None:
            raise self._failure

    def wait_until_started(self, timeout: float) -> bool:
        """Wait until there is an engine, or there will be none; from any thread. False if that took longer."""
        return self._started.wait(timeout)

    def drain(self) -> None:
        """Start to drain, as soon as there is something to; from any thread."""
        self._drain_asked = True
        engine, loop = self._engine, self._loop
        if engine is not None and loop is not None:
            loop.call_soon_threadsafe(self._begin_drain, engine)

    def revoke(self, ids: tuple[str, ...], terminate: bool) -> None:
        """Tell the engine that tasks are revoked; from any thread."""
        engine, loop = self._engine, self._loop
        if engine is not None and loop is not None:
            loop.call_soon_threadsafe(engine.revoke, ids, terminate)

    def _engine_main(self, link: Connection | None) -> None:
        loop = new_loop()
        asyncio.set_event_loop(loop)
        self._loop = loop
        try:
            loop.run_until_complete(self._engine_run(link))
        except BaseException as exc:
            if link is not None:
                # What runs here could not be settled any more, so nothing is gained by waiting for it.
                _fail(link, () if self._engine is None else self._engine.settler.unsettled)
            self._failure = exc
            if self._engine is not None:
                self._engine.sync_slots.stop()
        finally:
            self._started.set()
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    async def _engine_run(self, link: Connection | None) -> None:
        broker: AsyncBroker[Any, Any] = self._app.async_broker()
        own_results: ResultStore | None = None
        if self._surroundings.stores_results and not self._app.results_share_broker:
            own_results = self._app.async_backend()
        engine = Engine(
            options=self._options,
            owner=self._owner,
            surroundings=self._surroundings,
            stores=Stores(broker, own_results, self._direct()),
            table=self._table,
        )
        self._engine = engine
        if self._drain_asked:
            self._begin_drain(engine)
        self._started.set()
        if link is not None:
            asyncio.get_running_loop().add_reader(link.fileno(), self._hear, link, engine)
            link.send(Ready())
        try:
            await engine.run(self._retire(link))
        finally:
            if link is not None:
                asyncio.get_running_loop().remove_reader(link.fileno())
            await self._app.adisconnect()

    def _direct(self) -> Direct | None:
        # Where deliveries are all there is of a lease, only the connection that got one can speak of it.
        return Direct(self._app.broker, self._app.backend) if self._app.broker.capabilities.stored else None

    def _retire(self, link: Connection | None) -> _Retire:
        return _Retire(link, self)

    def _hear(self, link: Connection, engine: Engine) -> None:
        try:
            heard: ToChild = link.recv()
        except (EOFError, OSError):
            # The supervisor is gone, and with it the renewal of our lease: others will run what we hold.
            os._exit(ORPHANED)
        match heard:
            case Drain():
                self._begin_drain(engine)
            case Revoke(ids, terminate):
                engine.revoke(ids, terminate)
            case _:
                raise AssertionError(heard)

    def _begin_drain(self, engine: Engine) -> None:
        loop = asyncio.get_running_loop()
        self._draining = loop.create_task(engine.drain())


class _Retire:
    """Asks the supervisor for a replacement; in a process without one, drains."""

    def __init__(self, link: Connection | None, child: ChildProcess) -> None:
        self._link = link
        self._child = child

    def __call__(self, reason: str) -> None:
        if self._link is not None:
            self._link.send(Retire(reason))


def child_main(options: bytes, owner: str, table_path: str, link: Connection, copied: Sequence[Connection]) -> None:
    """Run a child process; what the supervisor starts.

    Args:
        options: WorkerOptions as MessagePack (plain bytes pass through every start method alike).
        owner: The name under which this process claims.
        table_path: Path of its slot table.
        link: Its end of the pipe.
        copied: The supervisor's ends of pipes, where forking has copied them into this process.
    """
    _quiet_signals()
    tracker.forget()
    for one in copied:
        one.close()
    chosen = msgspec.msgpack.decode(options, type=WorkerOptions)
    try:
        table = SlotTable(Path(table_path), chosen.slots)
        app = _load(chosen)
        child = ChildProcess(app, chosen, owner, table)
        app.on_after_fork.come()
        signals.worker_process_init.send(chosen.node)
        child.run(link)
        signals.worker_process_shutdown.send(chosen.node, pid=os.getpid(), exitcode=0)
    except BaseException:
        _fail(link, ())
    # Threads that user code left behind must not keep the process, and with it a slot of the worker, for ever.
    forks.exit_now(0)


def _load(chosen: WorkerOptions) -> Celeriac:
    """Return the app, set up and with its tasks."""
    if not chosen.has_logging_receivers:
        logs.setup(chosen.loglevel, chosen.logfile, chosen.log)
    app = find_app(chosen.target)
    configure(app.conf, chosen)
    app.import_default_modules()
    if chosen.has_logging_receivers:
        logs.setup(chosen.loglevel, chosen.logfile, chosen.log)
    return app


def _fail(link: Connection, unsettled: tuple[Lease, ...]) -> NoReturn:
    """Tell the supervisor which exception is being handled, and end this process."""
    try:
        link.send(Fatal(traceback.format_exc(), unsettled))
    except OSError:
        traceback.print_exc()
    forks.exit_now(FAILED)


def _quiet_signals() -> None:
    """Let the supervisor alone react to signals sent to the process group (Ctrl-C).

    Handlers that do nothing are set rather than SIG_IGN, which programs started by tasks would inherit.
    """
    for number in SIGNALS_LEFT_TO_SUPERVISOR:
        signal.signal(number, lambda _signal, _frame: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS_LEFT_TO_SUPERVISOR)
