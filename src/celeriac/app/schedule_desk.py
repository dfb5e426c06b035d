"""What the scheduler needs of an app: reading entries, and making messages of them as a call of their task would.

A message is made once for each edition of an entry, with all that the settings, routes and the task itself say. What a
run adds is its id, its time, and what counts from it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from celeriac.core.message import Message
from celeriac.core.schedule import Entry, Plan, plan
from celeriac.core.schedule.entry import put_off
from celeriac.events import Bus, EntryDoubted
from celeriac.execution.capture import SCHEDULED
from celeriac.scheduler import flows

if TYPE_CHECKING:
    from celeriac.app.app import Celeriac
    from celeriac.brokers.facade import SyncBroker
    from celeriac.core.scheduled import StoredEntry

DUE_HEADER = "periodic_task_due"


class Sendable(msgspec.Struct, frozen=True, gc=False):
    """An entry that can be sent.

    Attributes:
        entry: The entry.
        template: The message, but for what a run adds.
        overlap, keep, task: The entry's.
        eta, expires: Seconds after the run, where the call counts them from there.
    """

    entry: Entry
    template: Message
    overlap: str
    keep: int
    task: str
    eta: float | None = None
    expires: float | None = None


def doubt_of(app: Celeriac, entry: Entry) -> str | None:
    """Return why an entry may not do what it should, though it can be sent; None if nothing is known against it."""
    if not app.tasks or entry.task in app.tasks:
        return None
    return f"no task {entry.task!r} is registered here; it is sent all the same"


class AppDesk:
    """The desk of an app.

    Args:
        app: The app.
        said: Returns what the settings say, and why other entries of theirs are none.
        bus: Where doubts about entries go.
    """

    def __init__(
        self, app: Celeriac, said: Callable[[], tuple[list[Entry], dict[str, str]]], bus: Bus | None = None
    ) -> None:
        self._app = app
        self._said = said
        self._bus = bus
        self._zone = app.timezone

    def start(self, broker: SyncBroker[Any, Any]) -> None:
        """Bring what the settings say into the store."""
        since = broker.now()
        entries, problems = self._said()
        broker.carry(lambda ops: flows.synchronise(ops, entries, self._zone, since, self._app.main, problems))
        for entry in entries:
            self._doubt(entry)

    def read(self, stored: StoredEntry) -> Sendable:
        """Return what a stored entry says, ready to be sent.

        Raises:
            CeleriacError, TypeError: It cannot be sent.
        """
        entry = flows.read_entry(stored)
        self._doubt(entry)
        return self._sendable(entry)

    def _doubt(self, entry: Entry) -> None:
        if self._bus is not None and (doubt := doubt_of(self._app, entry)) is not None:
            self._bus.emit(EntryDoubted(entry.name, doubt))

    def check(self, entry: Entry) -> None:
        """See to it that an entry can be sent.

        Raises:
            CeleriacError, TypeError: It cannot.
        """
        self._sendable(entry)

    def _sendable(self, entry: Entry) -> Sendable:
        template = self._app.publisher.plan(entry.task).message(entry.args, dict(entry.kwargs), entry.options)
        sent = template.sent_at or 0.0
        eta = expires = None
        if template.eta is not None and not isinstance(entry.options.get("eta"), datetime):
            eta = template.eta - sent
        if template.expires is not None and not isinstance(entry.options.get("expires"), datetime):
            expires = template.expires - sent
        return Sendable(entry, template, entry.overlap, entry.keep, entry.task, eta, expires)

    def plan(self, entry: Sendable, due: float, now: float) -> Plan:
        """Return what is to become of an entry that is due."""
        return plan(entry.entry, due, now, self._zone)

    def message(self, entry: Sendable, due: float, id: str, now: float) -> Message:
        """Return the message of one run."""
        template = entry.template
        since = max(now, due + put_off(entry.entry, due)) if entry.entry.jitter else now
        eta = template.eta if entry.eta is None else since + entry.eta
        if since > now:
            eta = max(eta or 0.0, since)
        return msgspec.structs.replace(
            template,
            id=id,
            sent_at=now,
            eta=eta,
            expires=template.expires if entry.expires is None else since + entry.expires,
            headers={**template.headers, SCHEDULED: entry.entry.name, DUE_HEADER: due},
        )
