"""Remote commands: revoke, ping, shutdown and the inspections, read from the store and answered through it.

A command is read by every worker it is meant for, once. Anything that cannot be understood is answered with an error
and otherwise ignored.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from celeriac.app import Celeriac
from celeriac.brokers.facade import SyncBroker
from celeriac.brokers.port import Command, CommandReply
from celeriac.core import state
from celeriac.core.message import Message
from celeriac.core.seal import LOCKED, is_locked
from celeriac.events import Bus, SecurityRefused
from celeriac.events.backoff import LONGEST
from celeriac.worker.options import WorkerOptions
from celeriac.worker.runs import monotonic
from celeriac.worker.slots import SlotTable

LOOK_EVERY: Final = 0.2
SELDOM: Final = 2.0
"""Seconds between two looks; the longer ones where the store tells when there is something."""
MOST_RESIZED: Final = 100
"""Most processes that one command adds or ends."""
_PAGE: Final = 500
_SHOWN: Final = 500
_PLAIN: Final = (str, int, float, bool, type(None))


class Handlers(Protocol):
    """What commands do to the supervisor; each returns at once."""

    def request_shutdown(self, reason: str) -> None: ...

    def request_revoke(self, ids: Sequence[str], terminate: bool, signal_name: str | None) -> None: ...

    def request_resize(self, change: int) -> None: ...

    def pids(self) -> list[int]: ...


class Control:
    """Reads commands and answers them."""

    name = "remote control"
    longest_backoff = LONGEST

    def __init__(
        self,
        *,
        app: Celeriac,
        options: WorkerOptions,
        handlers: Handlers,
        children: Callable[[], dict[str, SlotTable]],
        bus: Bus | None = None,
        outbox: Callable[[], dict[str, Any] | None] = lambda: None,
        told: Callable[[], bool] = lambda: False,
    ) -> None:
        self._app = app
        self._bus = Bus() if bus is None else bus
        self._broker: SyncBroker[Any, Any] = app.broker
        self._options = options
        self._handlers = handlers
        self._children = children
        self._outbox = outbox
        self._told = told
        """Says whether the store tells when there is something, so that :meth:`tick` is called then."""
        self._cursor: int | None = None
        self._started = monotonic()
        self._commands: dict[str, Callable[[dict[str, Any]], Any]] = {
            "ping": lambda arguments: {"ok": "pong"},
            "revoke": self._revoke,
            "terminate": lambda arguments: self._revoke({**arguments, "terminate": True}),
            "shutdown": self._shutdown,
            "pool_grow": lambda arguments: self._resize(arguments, 1),
            "pool_shrink": lambda arguments: self._resize(arguments, -1),
            "inspect.ping": lambda arguments: {"ok": "pong"},
            "inspect.active": self._active,
            "inspect.reserved": self._reserved,
            "inspect.registered": self._registered,
            "inspect.stats": self._stats,
            "inspect.conf": self._conf,
            "inspect.active_queues": lambda arguments: [{"name": queue} for queue in options.queues],
            "inspect.report": self._report,
        }

    def tick(self) -> float:
        """Answer what has come since the last call."""
        commands, self._cursor = self._broker.commands(self._cursor)
        replies = [
            CommandReply(command.id, self._options.node, self.answer(command))
            for command in commands
            if command.destination is None or self._options.node in command.destination
        ]
        if replies:
            self._broker.reply(replies)
        return SELDOM if self._told() else LOOK_EVERY

    def answer(self, command: Command) -> Any:
        """Carry a command out and return the answer; ``{"error": text}`` where that cannot be done."""
        refused = command.refused
        if refused is None and is_locked(command.seal):
            refused = LOCKED
        if refused is not None:
            self._bus.emit(SecurityRefused("command", command.id, command.name, refused))
            return {"error": f"{command.name!s:.80} is refused: {refused!s:.{_SHOWN}}"}
        handler = self._commands.get(command.name)
        if handler is None:
            known = ", ".join(sorted(self._commands))
            return {"error": f"unknown command {command.name!r:.80}; this worker knows {known}"}
        try:
            return handler(command.arguments)
        except Exception as exc:
            return {"error": f"{command.name}: {type(exc).__name__}: {exc!s:.{_SHOWN}}"}

    def _revoke(self, arguments: dict[str, Any]) -> dict[str, str]:
        ids = [str(one) for one in arguments.get("ids", ())]
        signal_name = arguments.get("signal")
        self._handlers.request_revoke(
            ids, bool(arguments.get("terminate")), None if signal_name is None else str(signal_name)
        )
        return {"ok": f"{len(ids)} task(s) flagged as revoked"}

    def _shutdown(self, arguments: dict[str, Any]) -> dict[str, str]:
        self._handlers.request_shutdown("asked for by remote command")
        return {"ok": "shutting down"}

    def _resize(self, arguments: dict[str, Any], sign: int) -> dict[str, str]:
        number: object = arguments.get("n", 1)
        # A slip of the finger must not start as many processes as the machine has room for, and then some.
        if type(number) is not int or not 1 <= number <= MOST_RESIZED:
            raise ValueError(f"n must be a whole number from 1 to {MOST_RESIZED}, not {number!r:.80}")
        change = sign * number
        self._handlers.request_resize(change)
        return {"ok": "pool will " + (f"grow by {change}" if change > 0 else f"shrink by {-change}")}

    def _active(self, arguments: dict[str, Any]) -> list[dict[str, Any]]:
        runs = [(owner, run) for owner, table in self._children().items() for run in table.running()]
        records = {record.id: record for record in self._broker.get([run.id for _, run in runs])}
        offset = time.time() - monotonic()
        described: list[dict[str, Any]] = []
        for owner, run in runs:
            record = records.get(run.id)
            if record is not None and record.message is not None:
                described.append(
                    self._describe(record.message)
                    | {"time_start": run.started + offset, "owner": owner, "acknowledged": False}
                )
        return described

    def _reserved(self, arguments: dict[str, Any]) -> list[dict[str, Any]]:
        children = self._children()
        running = {run.id for table in children.values() for run in table.running()}
        records = self._broker.page([state.RECEIVED, state.STARTED], None, 0, _PAGE)
        return [
            self._describe(record.message)
            for record in records
            if record.owner in children and record.id not in running and record.message is not None
        ]

    def _describe(self, message: Message) -> dict[str, Any]:
        return {
            "id": message.id,
            "name": message.task,
            "type": message.task,
            "args": message.argsrepr,
            "kwargs": message.kwargsrepr,
            "hostname": self._options.node,
            "retries": message.retries,
            "delivery_info": {"routing_key": message.queue, "priority": message.priority},
        }

    def _registered(self, arguments: dict[str, Any]) -> list[str]:
        return sorted(self._app.tasks.regular())

    def _stats(self, arguments: dict[str, Any]) -> dict[str, Any]:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        outbox = self._outbox()
        return {
            "pid": os.getpid(),
            "uptime": monotonic() - self._started,
            "total": {"runs": sum(table.runs for table in self._children().values())},
            "pool": {
                "implementation": self._options.pool,
                "processes": self._handlers.pids(),
                "max-concurrency": self._options.processes_max * self._options.sync_slots,
                "coroutines": self._options.coroutines,
            },
            "queues": list(self._options.queues),
            "rusage": {"utime": usage.ru_utime, "stime": usage.ru_stime, "maxrss": usage.ru_maxrss},
            **({} if outbox is None else {"outbox": outbox}),
        }

    def _conf(self, arguments: dict[str, Any]) -> dict[str, Any]:
        # Answers lie in the store for a while, so nothing secret may be among them.
        table = self._app.conf.table(bool(arguments.get("with_defaults")))
        return {name: value if type(value) in _PLAIN else repr(value) for name, value in table.items()}

    def _report(self, arguments: dict[str, Any]) -> dict[str, str]:
        return {"ok": f"{self._options.node} pid {os.getpid()} pool {self._options.pool}"}
