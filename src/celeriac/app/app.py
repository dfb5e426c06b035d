"""Celeriac: the app. It has settings, tasks and connections; everything that sends or runs tasks goes through one."""

from __future__ import annotations

import contextlib
import difflib
import os
from collections.abc import Generator, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack, cast

from celeriac.app import state
from celeriac.app.canvas import Signature, signature
from celeriac.app.connections import Connections
from celeriac.app.control import Control
from celeriac.app.follow_ups import AppFollowUps
from celeriac.app.group_result import GroupResult as Group
from celeriac.app.group_result import ResultSet as Results
from celeriac.app.narrowing import is_mapping
from celeriac.app.options import SendOptions
from celeriac.app.periodic import Periodic
from celeriac.app.publisher import Order, Publisher
from celeriac.app.result import AsyncResult as Result
from celeriac.app.schedule import Schedule
from celeriac.app.sending import keywords, positional
from celeriac.app.transaction import Outbox, Transaction
from celeriac.core.chance import SYSTEM_RNG
from celeriac.core.clock import SYSTEM, Clock
from celeriac.core.message import check_name
from celeriac.core.queues import QueuePlan
from celeriac.core.retry import Rng
from celeriac.core.settings_table import SETTINGS
from celeriac.events import Bus
from celeriac.execution.context import current_request
from celeriac.execution.runnable import Surroundings

if TYPE_CHECKING:
    from celeriac.app.joining import Plant
    from celeriac.app.task import Task
    from celeriac.brokers.facade import AsyncBroker, SyncBroker
    from celeriac.core.security import Guard
    from celeriac.results import AsyncResults, SyncResults

_PARTS = frozenset({"loader", "amqp", "events", "log", "control", "tasks", "fixups"})
"""Arguments of Celery's with which parts of the app are exchanged; here they cannot be."""


class Celeriac(Periodic):
    """An app.

    Args:
        main: Its name: names tasks of a module that runs as a script.
        broker: URL of the broker. None: setting ``broker_url``, else the SQLite file ``celeriac.db`` in the working
            directory, which then also keeps results.
        backend: URL of the result store. None: setting ``result_backend``, else no results are kept where a broker is
            named.
        include: Modules that a worker imports because they define tasks.
        task_cls: Base class of the app's tasks.
        config_source: As for :meth:`config_from_object`.
        namespace: Prefix of the names in settings sources.
        set_as_current: Make it the current app.
        autofinalize: Finalise it with its first use.
        changes: Settings.
        strict_typing: Check arguments against the task's signature at the call.
        clock: Where the time comes from.
        rng: Where the jitter of retries comes from.
        **settings: More settings by name.

    Attributes:
        outbox: Where tasks that are sent in a transaction of the application's database wait for its commit; None
            without one. Set by :class:`celeriac.contrib.sqlalchemy.Outbox`.
    """

    outbox: Outbox | None = None

    def __init__(
        self,
        main: str | None = None,
        *,
        broker: str | None = None,
        backend: str | None = None,
        include: Iterable[str] | None = None,
        task_cls: type[Task[..., Any]] | str | None = None,
        config_source: Any = None,
        namespace: str | None = None,
        set_as_current: bool = True,
        autofinalize: bool = True,
        changes: Mapping[str, Any] | None = None,
        strict_typing: bool = True,
        clock: Clock = SYSTEM,
        rng: Rng | None = None,
        **settings: Any,
    ) -> None:
        self.clock = clock
        self.rng: Rng = rng if rng is not None else SYSTEM_RNG
        self.strict_typing = strict_typing
        # Settings tell these two when they change, so they come first.
        self._connections = Connections(
            self.urls, clock, self._seal, self._queues_of_broker, lambda: self._configuration.store_options()
        )
        self.publisher = Publisher(self, self._connections)
        super().__init__(main=main, autofinalize=autofinalize, task_cls=task_cls)
        self.namespace = namespace
        self.control = Control(self)
        self.schedule = Schedule(self)
        if config_source is not None:
            self.config_from_object(config_source)
        own = _known_settings(settings) | dict(changes or {})
        named = {"broker_url": broker, "result_backend": backend, "include": include}
        own.update({name: value for name, value in named.items() if value is not None})
        if own:
            self._configuration.hold(own)
        state.add_app(self)
        if set_as_current:
            self.set_current()

    def _settings_changed(self) -> None:
        super()._settings_changed()
        self.publisher.settings_changed()
        self._connections.settings_changed()
        if self.finalized:
            for task in list(self._registry.values()):
                task.settle_options()

    # Sending by name.

    def send_task(
        self,
        name: str,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[SendOptions],
    ) -> Result[Any]:
        """Send a task by its name; its code need not be here.

        Args:
            name: The task's name.
            args: Positional arguments.
            kwargs: Keyword arguments.
            **options: See :class:`celeriac.app.options.SendOptions`.

        Raises:
            TypeError, InvalidTaskError, OperationalError: As ``Task.apply_async``.
        """
        return self.publisher.send(
            check_name(name), positional(args, name), keywords(kwargs, name), cast("dict[str, Any]", options)
        )

    async def asend_task(
        self,
        name: str,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[SendOptions],
    ) -> Result[Any]:
        """Send a task by its name; the awaitable twin of :meth:`send_task`."""
        return await self.publisher.asend(
            check_name(name), positional(args, name), keywords(kwargs, name), cast("dict[str, Any]", options)
        )

    def send_tasks(
        self, signatures: Iterable[Signature | Mapping[str, Any]], **options: Unpack[SendOptions]
    ) -> list[Result[Any]]:
        """Send many tasks, in one round trip per 500.

        Args:
            signatures: What to send (``task.s(...)``, or their dictionaries), each with its own options.
            **options: For all of them, over their own.
        """
        return self.publisher.send_many(map(self._order, signatures), cast("dict[str, Any]", options))

    async def asend_tasks(
        self, signatures: Iterable[Signature | Mapping[str, Any]], **options: Unpack[SendOptions]
    ) -> list[Result[Any]]:
        """Send many tasks; the awaitable twin of :meth:`send_tasks`."""
        return await self.publisher.asend_many(map(self._order, signatures), cast("dict[str, Any]", options))

    def _order(self, one: Any) -> Order:
        if not isinstance(one, Signature):
            if not is_mapping(one):
                raise TypeError(f"send_tasks takes signatures such as task.s(1, 2), not {one!r:.200}")
            one = Signature.from_dict(one, app=self)
        return Order(one.known or one.task, one.args, one.kwargs, one.options)

    def signature(self, varies: Any, *args: Any, **kwargs: Any) -> Signature:
        """Return a signature of a task or a task's name, sent through this app."""
        return signature(varies, *args, app=self, **kwargs)

    def AsyncResult(self, id: str, **kwargs: Any) -> Result[Any]:
        """Return the result of a task by its id."""
        return Result(id, app=self, **kwargs)

    def GroupResult(self, id: str, results: Iterable[Any] = (), **kwargs: Any) -> Group:
        """Return the result of a group by its id and its results."""
        return Group(id, results, app=self, **kwargs)

    def ResultSet(self, results: Iterable[Any], **kwargs: Any) -> Results:
        """Return some results as one."""
        return Results(results, app=self, **kwargs)

    # Connections.

    def transaction(self, connection: Any) -> Transaction:
        """Return a block in which this app sends within the transaction that is open on the caller's connection.

        Tasks that are sent inside are committed with that transaction, or gone with its rollback. The broker must be in
        the same database, PostgreSQL or SQLite. The block itself begins and ends no transaction.

        Args:
            connection: A psycopg 3 connection (sync or async), an SQLAlchemy ``Session``, ``Connection``,
                ``AsyncSession`` or ``AsyncConnection``, or another connection after PEP 249 (Django's
                ``django.db.connection``); for a broker in a SQLite file a ``sqlite3.Connection``. An
                asynchronous one is for ``adelay()`` and its kin.
        """
        return Transaction(self, connection)

    @property
    def broker(self) -> SyncBroker[Any, Any]:
        """The broker, for blocking use from any thread; opened with its first use."""
        return self._connections.broker

    def async_broker(self) -> AsyncBroker[Any, Any]:
        """Return the running event loop's broker."""
        return self._connections.loop().broker

    @property
    def backend(self) -> SyncResults:
        """The result store, for blocking use; where there is none, reading raises ResultStoreDisabled."""
        return self._connections.results

    def async_backend(self) -> AsyncResults:
        """Return the running event loop's result store; reading raises ResultStoreDisabled where there is none."""
        return self._connections.loop_results()

    @property
    def results_enabled(self) -> bool:
        """Whether results are kept."""
        return self.urls()[1] is not None

    @property
    def results_share_broker(self) -> bool:
        """Whether the broker keeps the results too, so that finishing a task is one step."""
        return self._connections.shared

    @contextlib.contextmanager
    def placed(self, url: str, clock: Clock) -> Generator[None]:
        """Keep messages and results in another store for a while, by another clock, whatever the settings say.

        For tests. Nothing is signed or encrypted meanwhile, since no other process is to read it, and nothing runs
        where it is sent: ``task_always_eager`` is off. Where the settings name no result store there is none.

        Args:
            url: Of a broker that keeps results, too.
            clock: What takes the place of the app's clock.
        """
        before = self._configuration.pinned, self.clock
        eager = self.conf.task_always_eager
        self._place((url, url if self.results_enabled else None), clock)
        self.conf.task_always_eager = False
        try:
            yield
        finally:
            self._connections.close()
            self.conf.task_always_eager = eager
            self._place(*before)

    def _place(self, pinned: tuple[str, str | None] | None, clock: Clock) -> None:
        self._configuration.pinned = pinned
        self.clock = self._connections.clock = clock
        self._settings_changed()

    def _seal(self) -> Guard | None:
        return self.guard if self._configuration.pinned is None else None

    def _queues_of_broker(self) -> QueuePlan:
        return self.queue_plan() if self._configuration.pinned is None else QueuePlan()

    # For workers.

    def worker_surroundings(
        self,
        hostname: str,
        *,
        delivery_limit: int | None = None,
        results: bool | None = None,
        plant: Plant | None = None,
    ) -> Surroundings:
        """Return what all runs of a process share, with a new bus for its events.

        Args:
            hostname: The node name.
            delivery_limit: Overrides the setting ``task_delivery_limit``.
            results: Say that results are kept, or not; None: as the app's URLs say.
            plant: Keeps the joins of workflows that follow from runs, which then run here; None: the broker does.
        """
        self.finalize(auto=True)
        conf = self.conf
        return Surroundings(
            tasks=self._registry,
            hostname=hostname,
            accept=self.accept,
            result_accept=self.result_accept,
            follow_ups=AppFollowUps(self, plant),
            clock=self.clock,
            bus=Bus(),
            rng=self.rng,
            stores_results=self.results_enabled if results is None else results,
            result_expires=conf.result_expires or None,
            result_max_bytes=conf.result_max_bytes,
            delivery_limit=conf.task_delivery_limit if delivery_limit is None else delivery_limit,
            unknown_window=conf.worker_unknown_task_window,
            unknown_delay=conf.worker_unknown_task_delay,
        )

    # Its life.

    def set_current(self) -> None:
        """Make it the current app of this thread, and of threads that have none while there is no default."""
        state.set_current(self)

    def set_default(self) -> None:
        """Make it the app of every thread that has none of its own."""
        state.set_default(self)

    @property
    def current_task(self) -> Task[..., Any] | None:
        """The task that the caller runs in; None outside of tasks."""
        request = current_request.get()
        return None if request is None or request.task is None else self._registry.get(request.task)

    def close(self) -> None:
        """Close the process's connections, and stop being the current app."""
        self._connections.close()
        state.forget(self)

    def disconnect(self) -> None:
        """Close the process's connections; each opens again with its next use."""
        self._connections.close()

    async def adisconnect(self) -> None:
        """Close the running event loop's connections and the process's; each opens again with its next use."""
        await self._connections.aclose()

    async def aclose(self) -> None:
        """Close the running event loop's connections and the process's, and stop being the current app."""
        await self._connections.aclose()
        state.forget(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def _after_fork(self) -> None:
        """Begin anew in a child process: connections, and the process id in messages, are the parent's."""
        self._connections.leave_to_parent()
        self.publisher.settings_changed()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.main or '__main__'} at 0x{id(self):x}>"


def _known_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the constructor that are settings.

    Raises:
        TypeError: One is none.
    """
    found = dict(given)
    for name in given:
        if name in _PARTS:
            if found.pop(name) is not None:
                raise TypeError(f"Celeriac() cannot exchange its {name}: leave {name}= out")
        elif name not in SETTINGS:
            near = difflib.get_close_matches(name, SETTINGS, n=1)
            raise TypeError(
                f"Celeriac() got an unknown argument {name!r}" + (f": did you mean {near[0]!r}?" if near else "")
            )
    return found


def _after_fork() -> None:
    for app in state.after_fork():
        app._after_fork()  # pyright: ignore[reportPrivateUsage]


state.install_factory(Celeriac)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
