"""``app.schedule``: the schedule entries in the store, and the scheduler that sends what they say.

Every change is written at once, costs its own row, and is heeded within a second by the scheduler that leads, wherever
it runs. Each call has an awaitable twin.
"""

from __future__ import annotations

import os
import socket
import threading
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from celeriac.app.narrowing import is_mapping
from celeriac.app.schedule_desk import AppDesk
from celeriac.app.schedule_entries import ScheduleEntries, own_name
from celeriac.core.ids import new_id
from celeriac.core.schedule import Crontab, Entry
from celeriac.errors import ImproperlyConfigured, InvalidTaskError, StoreNeeded
from celeriac.events import Bus, EntryFailed
from celeriac.events.signals import beat_embedded_init
from celeriac.scheduler import flows
from celeriac.scheduler.service import Scheduler

if TYPE_CHECKING:
    from celeriac.app.app import Celeriac

FAREWELL: Final = 5.0
"""Seconds for which a scheduler in the background may take to stop."""


# Within the class, `list` is its method.
_Said: TypeAlias = list[Entry]


class Schedule(ScheduleEntries):
    """The schedule of an app.

    Args:
        app: The app.
    """

    def __init__(self, app: Celeriac) -> None:
        super().__init__(app)
        self._background: tuple[int, Scheduler, threading.Thread] | None = None
        self._lock = threading.Lock()

    def scheduler(self, bus: Bus, holder: str | None = None) -> Scheduler:
        """Return a scheduler of this app, for a thread of the caller's.

        Args:
            bus: Where its events go.
            holder: Its name; no other scheduler may have it. None: host, process and something random.

        Raises:
            StoreNeeded: The broker is RabbitMQ alone, which keeps no entries.
        """
        if not self._app.broker.capabilities.stored:
            raise StoreNeeded(
                "RabbitMQ alone has no way to keep a schedule: give the app a result backend that pairs with it (Redis,"
                " PostgreSQL or SQLite), in the workers as well as here"
            )
        self._app.finalize(auto=True)
        name = holder or f"{socket.gethostname()}:{os.getpid()}:{new_id()[-8:]}"
        return Scheduler(self._app.broker, AppDesk(self._app, lambda: self._told(bus), bus), bus, name)

    def start_background(self) -> Scheduler:
        """Start a scheduler in a thread of this process, once; of all that run anywhere one works.

        In a process that forks (gunicorn with ``preload_app``), call it in the children.

        Raises:
            StoreNeeded: The broker is RabbitMQ alone, which keeps no entries.
        """
        with self._lock:
            found = self._background
            if found is not None and found[0] == os.getpid() and found[2].is_alive():
                return found[1]
            scheduler = self.scheduler(Bus())
            thread = threading.Thread(target=scheduler.run, name="celeriac-scheduler", daemon=True)
            self._background = (os.getpid(), scheduler, thread)
            beat_embedded_init.send(scheduler)
            thread.start()
            return scheduler

    def stop_background(self) -> None:
        """Stop what :meth:`start_background` started, and give the lead up at once."""
        with self._lock:
            found, self._background = self._background, None
        if found is not None and found[0] == os.getpid():
            found[1].stop()
            found[2].join(FAREWELL)

    def from_settings(self) -> _Said:
        """Return the entries that the setting ``beat_schedule`` and the app's code say.

        Raises:
            ImproperlyConfigured: One is wrong.
        """
        found, problems = self.said()
        if problems:
            raise ImproperlyConfigured(next(iter(problems.values())))
        return found

    def said(self) -> tuple[_Said, dict[str, str]]:
        """Return the entries that the setting ``beat_schedule`` and the app's code say; of the wrong ones, why."""
        self._app.finalize(auto=True)
        found: _Said = []
        problems: dict[str, str] = {}
        periodic = self._app.periodic_tasks
        for name, given in {**periodic, **self._app.conf.beat_schedule}.items():
            try:
                found.append(self._said(name, given))
            except Exception as exc:  # Whatever is wrong with one, or with its functions, keeps no other from its work.
                where = "setting beat_schedule" if given is not periodic.get(name) else "periodic tasks"
                problems[str(name)] = f"{where}: entry {name!r:.100}: {exc}"
        return found, problems

    def _told(self, bus: Bus) -> tuple[_Said, dict[str, str]]:
        found, problems = self.said()
        for name, problem in problems.items():
            bus.emit(EntryFailed(name, problem))
        return found, problems

    def _said(self, name: Any, given: Any) -> Entry:
        if not isinstance(name, str) or not is_mapping(given) or "task" not in given or "schedule" not in given:
            raise InvalidTaskError("it must be a dictionary with task and schedule, under a name")
        fields = {key: value for key, value in given.items() if key not in ("task", "schedule")}
        if given["schedule"] is None:
            raise InvalidTaskError("schedule is None")
        own_name(name)
        found = self._entry(name, given["task"], {**fields, "schedule": given["schedule"]})
        flows.pack_body(self._sendable(found))
        deadline = self._app.conf.beat_cron_starting_deadline
        window = deadline if found.window is None and isinstance(found.trigger, Crontab) else found.window
        return msgspec.structs.replace(found, origin="settings", window=window)
