"""``app.schedule``: the schedule entries in the store, and the scheduler that sends what they say.

Every change is written at once, costs its own row, and is heeded within a second by the scheduler that leads, wherever
it runs. Each call has an awaitable twin.
"""

from __future__ import annotations

import os
import socket
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from celeriac.app.narrowing import is_mapping
from celeriac.app.schedule_desk import AppDesk
from celeriac.app.schedule_entries import ScheduleEntries
from celeriac.core.ids import new_id
from celeriac.core.schedule import Entry
from celeriac.errors import ImproperlyConfigured, InvalidTaskError
from celeriac.events import Bus
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
        """
        self._app.finalize(auto=True)
        name = holder or f"{socket.gethostname()}:{os.getpid()}:{new_id()[-8:]}"
        return Scheduler(self._app.broker, AppDesk(self._app, self.from_settings, bus), bus, name)

    def start_background(self) -> Scheduler:
        """Start a scheduler in a thread of this process, once; of all that run anywhere one works.

        In a process that forks (gunicorn with ``preload_app``), call it in the children.
        """
        with self._lock:
            found = self._background
            if found is not None and found[0] == os.getpid() and found[2].is_alive():
                return found[1]
            scheduler = self.scheduler(Bus())
            thread = threading.Thread(target=scheduler.run, name="celeriac-scheduler", daemon=True)
            self._background = (os.getpid(), scheduler, thread)
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
        """Return the entries that the setting ``beat_schedule`` says.

        Raises:
            ImproperlyConfigured: One is wrong.
        """
        return [self._said(name, given) for name, given in self._app.conf.beat_schedule.items()]

    def _said(self, name: str, given: Any) -> Entry:
        try:
            if not is_mapping(given) or "task" not in given or "schedule" not in given:
                raise InvalidTaskError("it must be a dictionary with task and schedule")
            fields = {key: value for key, value in given.items() if key not in ("task", "schedule", "relative")}
            when = given["schedule"]
            if isinstance(when, str):
                fields["cron"] = when
            else:
                fields["every" if isinstance(when, (int, float, timedelta)) else "trigger"] = when
            entry = self._entry(name, given["task"], fields)
        except (InvalidTaskError, TypeError, ValueError) as exc:
            raise ImproperlyConfigured(f"setting beat_schedule: entry {name!r:.100}: {exc}") from exc
        return msgspec.structs.replace(entry, origin="settings")
