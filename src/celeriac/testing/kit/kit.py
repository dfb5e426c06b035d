"""The kit: an app whose messages stay in memory, whose clock stands still, and whose tasks run when a test says so."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Self, TypeAlias, Unpack

from celeriac.app import state as app_state
from celeriac.brokers.memory.driver import share
from celeriac.core import state
from celeriac.testing.clock import VirtualClock
from celeriac.testing.kit.asserting import AnyTask, Asserting, SentCall, moment
from celeriac.testing.kit.drain import LIMIT, Drainer
from celeriac.testing.kit.records import Enqueued, Ran
from celeriac.testing.kit.store import KitShared, NothingRuns

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from celeriac.app import Celeriac

Moment: TypeAlias = datetime | timedelta | float
"""A datetime, or how long from now: a timedelta, or seconds."""


class Kit(Asserting):
    """A test's view of an app.

    ::

        with Kit(app) as kit:
            sign_up("ann@example.org")
            kit.assert_enqueued(send_welcome, args=("ann@example.org",))
            kit.drain()
            assert outbox == ["ann@example.org"]

    While it is started the app sends to a store in memory that only the kit sees, by a clock that moves when the kit is
    told to; tasks run in the caller's own thread. Afterwards the app is as it was.

    Args:
        app: The app; None: the current one.
        now: The time to begin with; None: the time of the machine.
        beat: Carry out schedule entries, too: those of the settings, of the code, and those that are added.
        queues: Run only what is in these; None: everything.

    Attributes:
        app: The app.
        clock: Its clock while the kit is started. ``clock.advance(60)`` lets time pass and runs nothing.
    """

    def __init__(
        self,
        app: Celeriac | None = None,
        *,
        now: datetime | None = None,
        beat: bool = False,
        queues: Sequence[str] | None = None,
    ) -> None:
        self.app = app if app is not None else app_state.get_current()
        if now is not None and not isinstance(now, datetime):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"now={now!r:.200} must be a datetime")
        start = self.app.clock.now() if now is None else moment(now, -math.inf)
        self.clock = VirtualClock(start)
        self._wants_beat = beat
        self._queues = queues
        self._placed: AbstractContextManager[None] | None = None
        self._shared: KitShared | None = None
        self._drainer: Drainer | None = None
        self._seen = 0

    # Its life.

    def start(self) -> Self:
        """Take the app over; what ``with`` does.

        Raises:
            RuntimeError: It is started already.
        """
        if self._placed is not None:
            raise RuntimeError("the kit is started already")
        self.app.finalize(auto=True)
        shared = KitShared(self.clock, self._refuse_to_wait)
        share(shared.name, shared)
        self._placed = self.app.placed(f"memory://{shared.name}", self.clock)
        self._placed.__enter__()
        self._shared = shared
        self._drainer = Drainer(self.app, self.clock, shared.messages, self._queues)
        self.beat = self._wants_beat
        self._seen = 0
        return self

    def stop(self) -> None:
        """Give the app back. Safe to call twice.

        Raises:
            RuntimeError: Another kit has taken the app over meanwhile, and is not stopped.
        """
        if self._placed is not None and self.app.clock is not self.clock:
            raise RuntimeError(
                f"another kit of app {self.app.main!r} was started after this one: stop that first, or the app would"
                " be left with what it found"
            )
        placed, self._placed = self._placed, None
        if placed is not None:
            self._drainer = None
            placed.__exit__(None, None, None)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def beat(self) -> bool:
        """Whether schedule entries are carried out; can be set at any time."""
        return self._started.beat

    @beat.setter
    def beat(self, wanted: bool) -> None:
        if wanted:
            self.app.schedule.from_settings()  # Raises where one is wrong, which a scheduler would only log.
        self._started.beat = wanted

    # Time.

    @property
    def now(self) -> datetime:
        """The time of the kit's clock, in UTC."""
        return self.clock.datetime

    def drain(self, until: Moment | None = None, *, limit: float = LIMIT, raises: bool = True) -> list[Ran]:
        """Run everything that is due, with what follows from it, in this thread; return the runs in order.

        Args:
            until: Run also what becomes due until then, and let the clock show that moment in the end. None: time
                stands still, and what has an eta, or waits to be tried again, goes on waiting.
            limit: Runs after which it is taken for endless; ``math.inf``: there is none.
            raises: Raise in the end what a task raised that has failed for good, the first one.

        Raises:
            TooManyRuns: The limit was reached; the text names the tasks that ran most often.
            ValueError: ``until`` is in the past.
            Exception: What a task raised.
        """
        return _checked(self._started.drain(self._until(until), limit), raises=raises)

    async def adrain(self, until: Moment | None = None, *, limit: float = LIMIT, raises: bool = True) -> list[Ran]:
        """Run everything that is due; the awaitable twin of :meth:`drain`. Coroutine tasks run in this event loop."""
        return _checked(await self._started.adrain(self._until(until), limit), raises=raises)

    def advance(self, by: timedelta | float, *, limit: float = LIMIT, raises: bool = True) -> list[Ran]:
        """Let so much time pass, in seconds or as a timedelta, and run what becomes due, each at its time."""
        return self.drain(by, limit=limit, raises=raises)

    async def aadvance(self, by: timedelta | float, *, limit: float = LIMIT, raises: bool = True) -> list[Ran]:
        """Let so much time pass; the awaitable twin of :meth:`advance`."""
        return await self.adrain(by, limit=limit, raises=raises)

    def finish(self, *, limit: float = LIMIT, raises: bool = True) -> list[Ran]:
        """Run until nothing waits any more, however far in the future it is due. Schedule entries, which are endless,
        fire only up to now."""
        return _checked(self._started.drain(math.inf, limit), raises=raises)

    async def afinish(self, *, limit: float = LIMIT, raises: bool = True) -> list[Ran]:
        """Run until nothing waits any more; the awaitable twin of :meth:`finish`."""
        return _checked(await self._started.adrain(math.inf, limit), raises=raises)

    def kill_after(self, task: AnyTask, *, times: int = 1) -> None:
        """Let the worker die at the end of the next runs of a task: its code has run, and the broker is not told.

        What then happens is what happens in production: it runs again, unless it is at-most-once (WorkerLostError), or
        has lost ``task_delivery_limit`` runs (a dead letter). To see whether a task may run twice.

        Args:
            task: The task or its name.
            times: How many runs.

        Raises:
            NotRegistered: The app has no such task.
        """
        self._started.lose(self.app.tasks[task if isinstance(task, str) else task.name].name, times)

    def _until(self, until: Moment | None) -> float | None:
        return None if until is None else moment(until, self.clock.now())

    # Looking.

    def waiting(self, task: AnyTask | None = None, **wanted: Unpack[SentCall]) -> list[Enqueued]:
        """Return the calls that were sent and are not over, oldest first; as :meth:`enqueued`."""
        ids = self._store.messages.waiting()
        return [one for one in self.enqueued(task, **wanted) if one.id in ids]

    def clear(self) -> None:
        """Forget what was sent and run so far, as far as assertions look at it. What waits goes on waiting."""
        self._seen = len(self._store.messages.sent)
        self._started.runs.clear()

    def sent(self) -> list[Enqueued]:
        """Return every call that was sent, since the start or :meth:`clear`."""
        return [Enqueued(message, at) for message, at in self._store.messages.sent[self._seen :]]

    def ended(self) -> list[Ran]:
        """Return every run that ended, and the end of every task that was not to run, since then."""
        return self._started.runs

    @property
    def _started(self) -> Drainer:
        if self._drainer is None:
            raise RuntimeError("the kit is not started: use it in a with statement, or call start()")
        return self._drainer

    @property
    def _store(self) -> KitShared:
        if self._shared is None:
            raise RuntimeError("the kit was never started: use it in a with statement, or call start()")
        return self._shared

    def _refuse_to_wait(self, ids: Sequence[str]) -> None:
        if self._placed is None:
            return
        waits = f"task {ids[0]} is not over" if ids else "nobody will change anything"
        calls = [one for one in self.enqueued() if one.id in ids]
        if calls:
            found = self._store.messages.state_of(calls[0].id)
            waits = f"{calls[0].text} is not over" + (f" ({found})" if found in (state.SCHEDULED, state.RETRY) else "")
        raise NothingRuns(
            f"{waits}, and the kit runs tasks only when it is told to: call drain() before get(), or advance() or"
            f" finish() if it is not due yet (thread {threading.current_thread().name})"
        )


def _checked(runs: list[Ran], *, raises: bool) -> list[Ran]:
    wrong = [one for one in runs if one.went_wrong]
    if raises and wrong:
        first, error = wrong[0], wrong[0].exception
        assert error is not None
        more = "" if len(wrong) == 1 else f"; {len(wrong) - 1} more failed after it"
        note = f"raised by {first.text}, try {first.retries + 1}, at {first.at.isoformat()}{more}"
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)
        raise error
    return runs
