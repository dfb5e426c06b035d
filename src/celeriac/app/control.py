"""Talking to workers: revoke, ping, shutdown, and looking at what they do.

A command is kept by the broker until it expires; every worker that it is meant for reads and answers it. Waiting for
answers ends when every live worker has answered, or after the timeout.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from celeriac.app.workflow_control import Workflows
from celeriac.brokers.port import Cancelled, Command, CommandReply, Record
from celeriac.core import state
from celeriac.core.codec import encode, encode_exception
from celeriac.core.ids import new_id
from celeriac.core.message import Arrival, StoredResult
from celeriac.core.seal import LOCKED, is_locked
from celeriac.errors import TaskRevokedError
from celeriac.execution.context import iso
from celeriac.execution.steps import if_revoked

if TYPE_CHECKING:
    from celeriac.app.app import Celeriac

TIMEOUT: Final = 1.0
"""Seconds to wait for answers, as long as nobody says otherwise."""
_STEP: Final = 0.05
"""Longest time in seconds between two looks for answers."""
_WAITING: Final = (state.SCHEDULED, state.RETRY)

Destination = Sequence[str] | str | None
Ids = str | Iterable[str]


def _ended_steps(records: Iterable[Record]) -> list[Arrival]:
    """Return what the workflows are told of steps that wait and will not run; of one that runs, it tells by itself."""
    found = [if_revoked(one.message) for one in records if one.state in state.WAITING_STATES]
    return [one for one in found if one is not None]


def _given_back(records: Iterable[Record], found: Iterable[Cancelled]) -> list[Arrival]:
    """Return the same of steps that a worker had when they were looked at, and that had come back when they went."""
    gone = {one.id for one in found if one.outcome == "removed"}
    told = [if_revoked(one.message) for one in records if one.state not in state.WAITING_STATES and one.id in gone]
    return [one for one in told if one is not None]


class Control:
    """Remote control of the workers of one app's broker. ``app.control`` is one."""

    def __init__(self, app: Celeriac) -> None:
        self._app = app

    @property
    def app(self) -> Celeriac:
        """The app."""
        return self._app

    @property
    def inspect(self) -> InspectFactory:
        """Return what makes an :class:`Inspect`: call it with ``destination=`` and ``timeout=``."""
        return InspectFactory(self)

    @property
    def workflows(self) -> Workflows:
        """The workflows that were sent."""
        return Workflows(self._app)

    # Revoking.

    def revoke(
        self,
        task_id: Ids,
        destination: Destination = None,
        terminate: bool = False,
        signal: str | None = None,
        *,
        reply: bool = False,
        timeout: float | None = None,
    ) -> list[Cancelled]:
        """See to it that tasks do not run, or not again.

        The steps of a workflow that wait for a revoked one end like it. A step that itself waits for others is in no
        queue yet, and is ``unknown``: it is revoked with its workflow, by ``workflows.revoke``.

        A task that waits goes from the broker and becomes REVOKED at once, whether a worker lives or not. One that runs
        goes on, unless ``terminate``, but is not tried again.

        Args:
            task_id: The id, or several.
            destination: Node names of the workers to tell; None means all.
            terminate: End the runs of those that run.
            signal: The signal to end them with, such as ``"SIGKILL"``; default TERM.
            reply: Wait until the workers have answered.
            timeout: Seconds to wait for them; default 1.

        Returns:
            What became of each id in the broker.
        """
        ids = _ids(task_id)
        broker = self._app.broker
        records = broker.get(ids)
        ended = _ended_steps(records)
        if ended:
            broker.arrive(ended)
        found = broker.cancel(self._revoked(ids))
        ended = _given_back(records, found)
        if ended:
            broker.arrive(ended)
        self._store_elsewhere(found)
        running = [one.id for one in found if one.outcome == "running"]
        if running:
            command = _revoke_command(running, destination, terminate=terminate, signal=signal)
            if reply:
                self._ask(command, timeout)
            else:
                self._app.broker.broadcast(command)
        return found

    async def arevoke(
        self,
        task_id: Ids,
        destination: Destination = None,
        terminate: bool = False,
        signal: str | None = None,
        *,
        reply: bool = False,
        timeout: float | None = None,
    ) -> list[Cancelled]:
        """See to it that tasks do not run; the awaitable twin of :meth:`revoke`."""
        broker = self._app.async_broker()
        ids = _ids(task_id)
        records = await broker.get(ids)
        ended = _ended_steps(records)
        if ended:
            await broker.arrive(ended)
        found = await broker.cancel(self._revoked(ids))
        ended = _given_back(records, found)
        if ended:
            await broker.arrive(ended)
        elsewhere = self._elsewhere(found)
        if elsewhere:
            await self._app.async_backend().store(elsewhere)
        running = [one.id for one in found if one.outcome == "running"]
        if running:
            command = _revoke_command(running, destination, terminate=terminate, signal=signal)
            if reply:
                await self._aask(command, timeout)
            else:
                await broker.broadcast(command)
        return found

    def terminate(self, task_id: Ids, destination: Destination = None, signal: str | None = None) -> list[Cancelled]:
        """Revoke tasks and end the runs of those that run."""
        return self.revoke(task_id, destination, terminate=True, signal=signal)

    async def aterminate(
        self, task_id: Ids, destination: Destination = None, signal: str | None = None
    ) -> list[Cancelled]:
        """Revoke tasks and end the runs of those that run; the awaitable twin of :meth:`terminate`."""
        return await self.arevoke(task_id, destination, terminate=True, signal=signal)

    def _revoked(self, task_id: Ids) -> list[StoredResult]:
        ids = _ids(task_id)
        body = encode(encode_exception(TaskRevokedError("revoked")))
        now = self._app.clock.now()
        kept = self._app.conf.result_expires
        return [
            StoredResult(
                id=one,
                state=state.REVOKED,
                body=body.body,
                content_type=body.content_type,
                content_encoding=body.content_encoding,
                date_done=now,
                expires=None if not kept else now + kept,
            )
            for one in ids
        ]

    def _store_elsewhere(self, found: Iterable[Cancelled]) -> None:
        elsewhere = self._elsewhere(found)
        if elsewhere:
            self._app.backend.store(elsewhere)

    def _elsewhere(self, found: Iterable[Cancelled]) -> list[StoredResult]:
        """Return the results that the broker could not keep, because they live in another store."""
        app = self._app
        if app.results_share_broker or not app.results_enabled:
            return []
        return self._revoked([one.id for one in found if one.outcome == "removed"])

    # Commands.

    def broadcast(
        self,
        command: str,
        arguments: Mapping[str, Any] | None = None,
        destination: Destination = None,
        reply: bool = False,
        timeout: float | None = None,
    ) -> list[dict[str, Any]] | None:
        """Send a command to workers.

        Args:
            command: Its name.
            arguments: Plain values.
            destination: Node names; None means all.
            reply: Wait for answers and return them, as ``[{node: answer}, ...]``.
            timeout: Seconds to wait; default 1.
        """
        sent = _command(command, arguments or {}, destination)
        if not reply:
            self._app.broker.broadcast(sent)
            return None
        return [{one.node: one.value} for one in self._ask(sent, timeout)]

    async def abroadcast(
        self,
        command: str,
        arguments: Mapping[str, Any] | None = None,
        destination: Destination = None,
        reply: bool = False,
        timeout: float | None = None,
    ) -> list[dict[str, Any]] | None:
        """Send a command to workers; the awaitable twin of :meth:`broadcast`."""
        sent = _command(command, arguments or {}, destination)
        if not reply:
            await self._app.async_broker().broadcast(sent)
            return None
        return [{one.node: one.value} for one in await self._aask(sent, timeout)]

    def ping(self, destination: Destination = None, timeout: float = TIMEOUT) -> list[dict[str, Any]]:
        """Return ``[{node: {"ok": "pong"}}, ...]`` of the workers that answer."""
        return self.broadcast("ping", destination=destination, reply=True, timeout=timeout) or []

    async def aping(self, destination: Destination = None, timeout: float = TIMEOUT) -> list[dict[str, Any]]:
        """Return the workers that answer; the awaitable twin of :meth:`ping`."""
        return await self.abroadcast("ping", destination=destination, reply=True, timeout=timeout) or []

    def shutdown(self, destination: Destination = None) -> None:
        """Ask workers to finish what runs and end."""
        self.broadcast("shutdown", destination=destination)

    async def ashutdown(self, destination: Destination = None) -> None:
        """Ask workers to finish what runs and end; the awaitable twin of :meth:`shutdown`."""
        await self.abroadcast("shutdown", destination=destination)

    def purge(self, queues: Iterable[str] | None = None) -> int:
        """Drop all waiting messages; return how many. What runs goes on.

        Args:
            queues: Their names; None means every queue of the app: the default one and ``task_queues``.
        """
        return sum([self._app.broker.purge(queue) for queue in queues or self._app.queue_names()])

    async def apurge(self, queues: Iterable[str] | None = None) -> int:
        """Drop all waiting messages; the awaitable twin of :meth:`purge`."""
        broker = self._app.async_broker()
        return sum([await broker.purge(queue) for queue in queues or self._app.queue_names()])

    discard_all = purge

    def _ask(self, command: Command, timeout: float | None) -> list[CommandReply]:
        broker = self._app.broker
        waited = _Answers(command, [one.name for one in broker.workers()], timeout)
        waiter = broker.waiter()
        try:
            broker.broadcast(command)
            while not waited.take(broker.replies(command.id)):
                waiter.wait(_STEP)
        finally:
            waiter.close()
        return waited.replies

    async def _aask(self, command: Command, timeout: float | None) -> list[CommandReply]:
        broker = self._app.async_broker()
        waited = _Answers(command, [one.name for one in await broker.workers()], timeout)
        waiter = broker.waiter()
        try:
            await broker.broadcast(command)
            while not waited.take(await broker.replies(command.id)):
                await waiter.wait(_STEP)
        finally:
            await waiter.close()
        return waited.replies

    def ask(
        self, name: str, arguments: Mapping[str, Any], destination: Destination, timeout: float | None
    ) -> dict[str, Any]:
        """Return what each worker answered to a command, by node name."""
        return {one.node: one.value for one in self._ask(_command(name, arguments, destination), timeout)}

    async def aask(
        self, name: str, arguments: Mapping[str, Any], destination: Destination, timeout: float | None
    ) -> dict[str, Any]:
        """Return what each worker answered; the awaitable twin of :meth:`ask`."""
        return {one.node: one.value for one in await self._aask(_command(name, arguments, destination), timeout)}


class _Answers:
    """Whose answers are awaited, and until when."""

    def __init__(self, command: Command, alive: Sequence[str], timeout: float | None) -> None:
        wanted = alive if command.destination is None else [one for one in command.destination if one in alive]
        self._wanted = set(wanted)
        self._deadline = time.monotonic() + (TIMEOUT if timeout is None else timeout)
        self.replies: list[CommandReply] = []

    def take(self, replies: Sequence[CommandReply]) -> bool:
        """Take in the answers so far; True if there is nothing more to wait for."""
        self.replies = [_readable(one) for one in sorted(replies, key=lambda one: one.node)]
        return self._wanted <= {one.node for one in replies} or time.monotonic() >= self._deadline


def _readable(reply: CommandReply) -> CommandReply:
    return CommandReply(reply.command_id, reply.node, {"error": LOCKED}) if is_locked(reply.seal) else reply


def _ids(given: Any) -> list[str]:
    """Return task ids as a list.

    Raises:
        TypeError: They are none.
    """
    several: list[Any] = [given] if isinstance(given, (str, UUID)) or not hasattr(given, "__iter__") else list(given)
    for one in several:
        if not isinstance(one, (str, UUID)) and not isinstance(getattr(one, "id", None), str):
            raise TypeError(f"a task is revoked by its id, as text, or by its AsyncResult, not by {one!r:.200}")
    return [str(getattr(one, "id", one)) for one in several]


class InspectFactory:
    """Makes an :class:`Inspect`: ``app.control.inspect()`` or ``app.control.inspect(["w1@host"])``."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def __call__(self, destination: Destination = None, timeout: float | None = None) -> Inspect:
        """Return an Inspect.

        Args:
            destination: Node names to ask; None asks all.
            timeout: Seconds to wait for answers; default 1.
        """
        return Inspect(self._control, destination, timeout)


class Inspect:
    """Questions to workers.

    Each returns ``{node: answer}``, or None if no worker answered, and has an awaitable twin.
    """

    def __init__(self, control: Control, destination: Destination, timeout: float | None) -> None:
        self._control = control
        self._destination = destination
        self._timeout = timeout

    def _ask(self, name: str, **arguments: Any) -> dict[str, Any] | None:
        return self._control.ask(f"inspect.{name}", arguments, self._destination, self._timeout) or None

    async def _aask(self, name: str, **arguments: Any) -> dict[str, Any] | None:
        return await self._control.aask(f"inspect.{name}", arguments, self._destination, self._timeout) or None

    def active(self) -> dict[str, Any] | None:
        """Tasks that run."""
        return self._ask("active")

    async def aactive(self) -> dict[str, Any] | None:
        return await self._aask("active")

    def reserved(self) -> dict[str, Any] | None:
        """Tasks that are claimed and have not started."""
        return self._ask("reserved")

    async def areserved(self) -> dict[str, Any] | None:
        return await self._aask("reserved")

    def scheduled(self, limit: int = 1000) -> dict[str, Any]:
        """Tasks that wait for their time: ``{"broker": [{"eta", "priority", "request"}, ...]}``.

        They wait in the broker, so no worker need be alive.

        Args:
            limit: Most to return; those sent first come first.
        """
        return {"broker": [_described(one) for one in self._control.app.broker.page(_WAITING, None, 0, limit)]}

    async def ascheduled(self, limit: int = 1000) -> dict[str, Any]:
        found = await self._control.app.async_broker().page(_WAITING, None, 0, limit)
        return {"broker": [_described(one) for one in found]}

    def registered(self) -> dict[str, Any] | None:
        """Names of the tasks that each worker knows."""
        return self._ask("registered")

    registered_tasks = registered

    async def aregistered(self) -> dict[str, Any] | None:
        return await self._aask("registered")

    def stats(self) -> dict[str, Any] | None:
        """Counts, pids and resources of each worker."""
        return self._ask("stats")

    async def astats(self) -> dict[str, Any] | None:
        return await self._aask("stats")

    def ping(self, destination: Destination = None) -> dict[str, Any] | None:
        """``{"ok": "pong"}`` of each worker that answers."""
        return self._control.ask("ping", {}, destination or self._destination, self._timeout) or None

    async def aping(self, destination: Destination = None) -> dict[str, Any] | None:
        return await self._control.aask("ping", {}, destination or self._destination, self._timeout) or None

    def conf(self, with_defaults: bool = False) -> dict[str, Any] | None:
        """The settings of each worker, without secrets."""
        return self._ask("conf", with_defaults=with_defaults)

    async def aconf(self, with_defaults: bool = False) -> dict[str, Any] | None:
        return await self._aask("conf", with_defaults=with_defaults)

    def active_queues(self) -> dict[str, Any] | None:
        """The queues that each worker consumes."""
        return self._ask("active_queues")

    async def aactive_queues(self) -> dict[str, Any] | None:
        return await self._aask("active_queues")

    def report(self) -> dict[str, Any] | None:
        """One line about each worker."""
        return self._ask("report")

    async def areport(self) -> dict[str, Any] | None:
        return await self._aask("report")


def _command(name: str, arguments: Mapping[str, Any], destination: Destination) -> Command:
    nodes = (destination,) if isinstance(destination, str) else None if destination is None else tuple(destination)
    return Command(id=new_id(), name=name, arguments=dict(arguments), destination=nodes)


def _described(record: Record) -> dict[str, Any]:
    message = record.message
    return {
        "eta": iso(record.due),
        "priority": message.priority if message is not None else None,
        "request": {
            "id": record.id,
            "name": message.task if message is not None else None,
            "args": message.argsrepr if message is not None else None,
            "kwargs": message.kwargsrepr if message is not None else None,
            "retries": message.retries if message is not None else None,
            "delivery_info": {"routing_key": record.queue},
        },
    }


def _revoke_command(ids: list[str], destination: Destination, *, terminate: bool, signal: str | None) -> Command:
    return _command("revoke", {"ids": ids, "terminate": terminate, "signal": signal}, destination)
