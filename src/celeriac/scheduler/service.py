"""The scheduler's loop: finds what is due, enqueues it, advances it; one of many leads.

Guarantees:
- A due time is enqueued once, however many schedulers run: each firing is refused unless the entry still has the
  edition and the due time that were seen. The lead only keeps the others from working for nothing.
- A scheduler that dies is replaced within ``LEASE + STANDBY`` seconds, one that stops at once.
- A bad entry is put aside, with the reason in its state, and holds up no other.
- Time is the store's. A step of this machine's clock changes nothing.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import msgspec

from celeriac.brokers.facade import SyncBroker
from celeriac.brokers.port import MAX_BATCH, Waiter
from celeriac.core import state
from celeriac.core.message import Message
from celeriac.core.schedule import Plan
from celeriac.core.scheduled import ENTRIES, Firing, StoredEntry, Turn
from celeriac.errors import CeleriacError
from celeriac.events import (
    Bus,
    EntriesFired,
    EntryFailed,
    SchedulerLed,
)
from celeriac.events.backoff import Backoff
from celeriac.scheduler import flows
from celeriac.scheduler.doubts import Doubts
from celeriac.scheduler.runs import KEPT_RUNS, History, Run, id_of, newest, pack_history, run_id, unpack_history

ROLE: Final = "celeriac.scheduler"
LEASE: Final = 3.0
"""Seconds for which the lead holds unless it is renewed."""
RENEW_EVERY: Final = 1.0
STANDBY: Final = 0.5
"""Seconds between two tries to take the lead."""
LOOK: Final = MAX_BATCH
"""Most entries that are looked for at once."""
STEP: Final = LOOK // 2
"""Entries that are fired in one step: few enough for the store's part of one to overlap with ours of the next."""
GATHER: Final = 0.005
"""Shortest seconds between two looks: entries that become due one after the other in that time are one round trip."""
CALM: Final = 0.05
"""Seconds after a look in which changes are not heeded: they come within a second all the same, and a store where much
is written does not keep an idle scheduler busy."""
CHUNK: Final = 0.25
"""Longest seconds for which a stop is not noticed."""
LONGEST: Final = 60.0
CACHED: Final = 200_000
"""Entries that are kept decoded."""
DOUBT_EVERY: Final = 5.0
"""Seconds between two looks whether entries that were bad still are."""
QUEUED_AGAIN: Final = 1.0
"""Seconds after which it is looked again whether the run before has ended, for an entry that waits for it."""


class Entry(Protocol):
    """What the loop has to know of an entry; :class:`Desk` knows the rest."""

    @property
    def task(self) -> str: ...

    @property
    def overlap(self) -> str:
        """``allow``, ``skip``: no run while there is one; ``queue``: one, as soon as the one before has ended."""
        ...


class Desk(Protocol):
    """Reads entries and writes messages."""

    def read(self, stored: StoredEntry) -> Entry:
        """Return what a stored entry says.

        Raises:
            CeleriacError, TypeError, ValueError: It says nothing that can be done.
        """
        ...

    def plan(self, entry: Any, due: float, now: float) -> Plan:
        """Return what is to become of an entry that is due."""
        ...

    def message(self, entry: Any, due: float, id: str, now: float) -> Message:
        """Return the message of one run."""
        ...

    def start(self, broker: SyncBroker[Any, Any]) -> None:
        """Bring entries from settings into the store; called once, before the first turn."""
        ...


class _Known(msgspec.Struct, frozen=True, gc=False):
    edition: int
    entry: Any


class Status(msgspec.Struct, frozen=True):
    """How a scheduler does.

    Attributes:
        leads: It has the lead.
        fired: Runs that it enqueued.
        refused: Firings that came too late: another was first.
        lateness: Seconds between due time and firing of the latest run, until the store had said that it is done; of
            several the one that waited longest; 0.0 before the first.
        turned: Seconds since it last looked, or tried to take the lead, with success.
        problems: What keeps it from its work, in words.
        doubts: What is wrong with entries, in words; they keep it from nothing else.
    """

    leads: bool
    fired: int
    refused: int
    lateness: float
    turned: float
    problems: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


class Scheduler:
    """One scheduler. :meth:`run` is for a thread of its own.

    Args:
        broker: The broker; used by this scheduler alone or shared.
        desk: Reads entries and writes messages.
        bus: Where events go.
        holder: A name that no other scheduler has.
    """

    def __init__(self, broker: SyncBroker[Any, Any], desk: Desk, bus: Bus, holder: str) -> None:
        self._broker = broker
        self._desk = desk
        self._bus = bus
        self._holder = holder
        self._stopping = threading.Event()
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._leads = False
        self._renew_at = 0.0
        self._started = False
        self._fired = 0
        self._refused = 0
        self._lateness = 0.0
        self._turned_at = time.monotonic()
        self._error: str | None = None
        self._backoff = Backoff(bus, "scheduler", 2.0)
        self._doubts = Doubts(bus)
        self._doubt_at = 0.0

    # Its life.

    def run(self) -> None:
        """Work until :meth:`stop`."""
        waiter: Waiter | None = None
        while not self._stopping.is_set():
            try:
                if waiter is None:
                    waiter = self._broker.waiter((ENTRIES,))
                wait = self.turn()
                self._rest(waiter, wait)
            except Exception as exc:
                self._error = f"{type(exc).__name__}: {exc}"
                if waiter is not None:
                    _close(waiter)
                    waiter = None
                self._lead(False)
                self._stopping.wait(self._backoff.failed(exc))
            else:
                self._error = None
                self._backoff.worked()
        if waiter is not None:
            _close(waiter)
        self._resign()

    def stop(self) -> None:
        """End :meth:`run` soon, and give the lead up. From any thread, or a signal handler."""
        self._stopping.set()

    @property
    def status(self) -> Status:
        """How it does; from any thread."""
        silent = time.monotonic() - self._turned_at
        problems = (f"the scheduler has not looked for {silent:.0f} s: {self._error}",) if silent > 10 else ()
        return Status(self._leads, self._fired, self._refused, self._lateness, silent, problems, self._doubts.told())

    # Leading.

    def turn(self) -> float:
        """Do what is due; return the seconds until there may be more."""
        if not self._started:
            self._desk.start(self._broker)
            self._doubts.last()
            self._started = True
        now = time.monotonic()
        if not self._leads or now >= self._renew_at:
            self._renew_at = now + RENEW_EVERY
            self._lead(self._broker.elect(ROLE, self._holder, LEASE))
        if now >= self._doubt_at:
            self._doubt_at = now + DOUBT_EVERY
            self._doubts.compare({one.name: one.edition for one in self._broker.get_entries(list(self._doubts.open))})
        wait = STANDBY
        if self._leads:
            wait = min(self._tick(), max(0.0, self._renew_at - time.monotonic()))
        self._turned_at = time.monotonic()
        return wait

    def _lead(self, leads: bool) -> None:
        if leads != self._leads:
            self._leads = leads
            self._bus.emit(SchedulerLed(self._holder, leads))

    def _resign(self) -> None:
        if not self._leads:
            return
        self._lead(False)
        try:
            self._broker.resign(ROLE, self._holder)
            self._broker.drop_entries((flows.RESIGNED,))  # Wakes those who stand by.
        except CeleriacError:
            return  # The lead ends by itself.

    def _rest(self, waiter: Waiter, wait: float) -> None:
        """Wait for the next due time, for a change, or for a stop."""
        if wait <= 0:
            return
        if self._stopping.wait(min(wait, CALM)):
            return
        until = time.monotonic() + wait - min(wait, CALM)
        while not self._stopping.is_set():
            left = until - time.monotonic()
            if left <= 0 or waiter.wait(min(left, CHUNK)):
                return

    # Firing.

    def _tick(self) -> float:
        asked = time.monotonic()
        turns = self._broker.due_entries(LOOK)
        looked = time.monotonic()
        now = turns.now
        waits = [turns.next_in] if turns.next_in is not None else []
        end: Callable[[], None] = _nothing
        for first in range(0, len(turns.turns), STEP):
            # While the store carries out one step, the next is made ready.
            firings = self._firings(turns.turns[first : first + STEP], now)
            end()
            end = self._fire(firings, asked - now) if firings else _nothing
            waits += [one.next_due - now for one in firings if one.next_due is not None]
        end()
        if len(turns.turns) == LOOK:
            return 0.0
        # Counted from the look: the longer it took to fire, the more is due by now.
        return max(0.0, _pause(min(waits, default=None)) - (time.monotonic() - looked))

    def _fire(self, firings: list[Firing], ahead: float) -> Callable[[], None]:
        """Begin to fire, and return what ends it; ``ahead``: by how much the steady clock is ahead of the store's."""
        refusals = self._broker.begin_fire_entries(firings)
        return lambda: self._count(firings, frozenset(refusals()), time.monotonic() - ahead)

    def _firings(self, turns: Sequence[Turn], now: float) -> list[Firing]:
        entries = self._entries_of(turns)
        histories = {turn.name: unpack_history(turn.state) for turn in turns}
        active = self._active(turns, entries, histories)
        found: list[Firing] = []
        for turn in turns:
            entry = entries.get(turn.name)
            if entry is None:
                continue  # It was changed or dropped since.
            history = histories[turn.name]
            if isinstance(entry, str):
                found.append(self._aside(turn, history, entry))
                continue
            try:
                found.append(self._firing(turn, entry, history, now, active))
            except Exception as exc:
                found.append(self._aside(turn, history, f"{type(exc).__name__}: {exc}"))
        return found

    def _firing(self, turn: Turn, entry: Any, history: History, now: float, active: dict[str, str]) -> Firing:
        waited = history.waiting if history.waits(turn.due) else None
        plan = self._desk.plan(entry, turn.due if waited is None else waited, now)
        runs, missed, waiting, next_due, looks = plan.runs, plan.missed, None, plan.next_due, None
        if waited is not None and not runs:
            # It was on time, and is late because it waits: that does not make it one that was missed.
            runs, missed = (waited,), missed - 1
        elif waited is None and history.waiting is not None:
            missed += 1  # The entry was stopped or got another time while it waited.
        if runs and entry.overlap != "allow" and turn.name in active:
            if entry.overlap == "queue":
                # One may wait: the latest due time. It is looked again soon whether the run before has ended.
                waiting, missed = runs[-1], missed + len(runs) - 1
                next_due = looks = now + QUEUED_AGAIN
            else:
                missed += len(runs)
            runs = ()
        elif len(runs) > 1 and entry.overlap != "allow":
            missed += len(runs) - 1
            runs = runs[-1:]
        messages = tuple([self._desk.message(entry, one, run_id(turn.name, one), now) for one in runs])
        fired = (*history.runs, *[Run(one, now) for one in runs])
        kept = newest(fired, getattr(entry, "keep", KEPT_RUNS), entry.overlap)
        total, all_missed = history.total + len(runs), history.missed + missed
        changed = History(total, kept, all_missed, waiting, looks=looks)
        return Firing(turn.name, turn.edition, turn.due, next_due, pack_history(changed), messages)

    def _aside(self, turn: Turn, history: History, why: str) -> Firing:
        self._bus.emit(EntryFailed(turn.name, why))
        changed = msgspec.structs.replace(history, problem=why, problem_edition=turn.edition, waiting=None)
        return Firing(turn.name, turn.edition, turn.due, None, pack_history(changed))

    def _entries_of(self, turns: Sequence[Turn]) -> dict[str, Any]:
        """Return the entries by name; in the place of one that cannot be read, why."""
        found: dict[str, Any] = {}
        unknown: list[str] = []
        known = self._known
        for turn in turns:
            one = known.get(turn.name)
            if one is not None and one.edition == turn.edition:
                found[turn.name] = one.entry
            else:
                unknown.append(turn.name)
        if unknown:
            editions = {turn.name: turn.edition for turn in turns}
            for stored in self._broker.get_entries(unknown):
                entry = self._read(stored)
                known[stored.name] = _Known(stored.edition, entry)
                known.move_to_end(stored.name)
                if stored.edition == editions[stored.name]:
                    found[stored.name] = entry
            while len(known) > CACHED:
                known.popitem(last=False)
        return found

    def _read(self, stored: StoredEntry) -> Any:
        if stored.refused is not None:
            return f"it is refused: {stored.refused}"
        try:
            return self._desk.read(stored)
        except Exception as exc:
            return f"{type(exc).__name__}: {exc}"

    def _active(self, turns: Sequence[Turn], entries: dict[str, Any], histories: dict[str, History]) -> dict[str, str]:
        """Return the names of entries whose latest run has not ended, of those that must not overlap.

        What :meth:`~celeriac.app.schedule.Schedule.run_now` sent since counts beside it.
        """
        latest: dict[str, str] = {}
        for turn in turns:
            entry = entries.get(turn.name)
            if entry is None or isinstance(entry, str) or entry.overlap == "allow":
                continue
            for run in reversed(histories[turn.name].runs):
                latest[id_of(turn.name, run)] = turn.name
                if run.task_id is None:
                    break
        if not latest:
            return {}
        records = self._broker.get(list(latest))
        return {latest[record.id]: record.state for record in records if record.state != state.DEAD}

    def _count(self, firings: Sequence[Firing], refused: frozenset[str], now: float) -> None:
        self._refused += len(refused)
        done = [one for one in firings if one.messages and one.name not in refused]
        if not done:
            return
        self._fired += sum([len(one.messages) for one in done])
        self._lateness = max(0.0, now - min([one.due or now for one in done]))
        if self._bus.wanted(EntriesFired):
            runs = [(one.name, message.task, message.id) for one in done for message in one.messages]
            waited = [now - (one.due or now) for one in done for _ in one.messages]
            self._bus.emit(EntriesFired(tuple(runs), self._lateness, tuple(waited)))


def _pause(next_in: float | None) -> float:
    return LONGEST if next_in is None else max(GATHER, next_in)


def _nothing() -> None:
    """There is nothing to end."""


def _close(waiter: Waiter) -> None:
    try:
        waiter.close()
    except (CeleriacError, OSError):
        return  # It is gone.
