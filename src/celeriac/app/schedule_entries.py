"""The schedule entries in the store: adding, changing, looking at them.

Every change is written at once, costs its own row, and is heeded within a second by the scheduler that leads, wherever
it runs. Each call has an awaitable twin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import msgspec

from celeriac.app.canvas import Signature
from celeriac.app.narrowing import is_mapping
from celeriac.app.periodic import one_task
from celeriac.app.result import AsyncResult
from celeriac.app.schedule_desk import AppDesk, doubt_of
from celeriac.app.times import moment, seconds
from celeriac.app.timetables import BaseSchedule, maybe_schedule
from celeriac.core import state
from celeriac.core.message import StoredResult
from celeriac.core.operation import Operation
from celeriac.core.schedule import Crontab, Entry, Interval, Once, Trigger
from celeriac.core.schedule.entry import zone_of
from celeriac.core.scheduled import check_name
from celeriac.errors import CeleriacError, DecodeError, InvalidTaskError
from celeriac.scheduler import flows
from celeriac.scheduler.runs import KEPT_RUNS, History, Run, id_of, unpack_history

if TYPE_CHECKING:
    from celeriac.app.app import Celeriac
    from celeriac.core.message import Message
    from celeriac.core.scheduled import StoredEntry

T = TypeVar("T")

EXPIRED: Final = "EXPIRED"
"""The state of a run of which nothing is kept any more."""
_TIMES: Final = ("start", "end")
_SECONDS: Final = ("jitter", "window")
_TRIGGERS: Final = ("every", "cron", "at", "trigger")
_UNSAID: Final[dict[str, Any]] = {
    "args": (), "kwargs": {}, "options": {}, "description": "", "zone": None, "start": None, "end": None,
    "window": None, "one_off": False, "misfire": "once", "overlap": "allow", "jitter": 0.0, "keep": KEPT_RUNS,
}  # fmt: skip
"""What None stands for: the field is as if it had never been given."""
UNSETTABLE: Final = tuple(_UNSAID)
"""Fields that ``update(name, field=None)`` gives back their default."""
_ALIASES: Final = {"schedule": "trigger", "start_time": "start", "end_time": "end"}


class ScheduledRun(msgspec.Struct, frozen=True):
    """One run of an entry.

    Attributes:
        task_id: Of its task.
        due: The time that it is for.
        fired: When it was sent.
        lateness: Seconds between the two.
        state: The task's; ``EXPIRED`` where nothing is kept of it any more.
        result: Its stored result; None without one.
        log: The last lines that it logged, as far as loggers' levels let them through; None if nothing is kept.
    """

    task_id: str
    due: datetime
    fired: datetime
    lateness: float
    state: str
    result: StoredResult | None = None
    log: str | None = None


class ScheduledEntry(msgspec.Struct, frozen=True):
    """An entry and what became of it so far.

    Attributes:
        entry: What it says; None if it cannot be read.
        name: Its name.
        next_run: When it is due next; None if it waits for nothing.
        total_runs: How often it has run.
        missed: Due times that passed without a run.
        problem: Why it is not carried out; None if it is.
        last_run: When it ran last.
        last_task_id, last_state: Of that run.
        doubt: Why it may not do what it should, though it is carried out; None if nothing is known against it.
    """

    entry: Entry | None
    name: str
    next_run: datetime | None
    total_runs: int
    missed: int
    problem: str | None = None
    last_run: datetime | None = None
    last_task_id: str | None = None
    last_state: str | None = None
    doubt: str | None = None


# Within the class, `list` is its method.
_Shown: TypeAlias = list[ScheduledEntry]
_History: TypeAlias = list[ScheduledRun]
_Ids: TypeAlias = list[str]


class ScheduleEntries:
    """The entries of an app.

    Args:
        app: The app.
    """

    def __init__(self, app: Celeriac) -> None:
        self._app = app

    # Changing.

    def add(self, name: str, task: str | Any, *, replace: bool = False, **fields: Any) -> Entry:
        """Add an entry.

        Args:
            name: Its name, 1 to 200 bytes.
            task: A task, a task's name, or a signature, whose arguments come before ``args``.
            replace: Take the place of an entry of this name, and go on from its runs; also from its next due time, if
                both are due at the same times.
            **fields: ``every`` (seconds or timedelta), ``cron`` (five fields), ``at`` (datetime) or ``schedule`` (any
                of :mod:`celeriac.schedules`) say when; ``relative`` has ``every`` count from midnight; the rest are
                fields of :class:`celeriac.core.schedule.Entry`; None is as if a field were not given.

        Raises:
            InvalidTaskError: A field is wrong, or there is an entry of this name.
            StoreNeeded: The broker is RabbitMQ alone, which keeps no entries.
        """
        entry = self._sendable(self._entry(own_name(name), task, fields))
        self._app.broker.carry(lambda ops: flows.add(ops, entry, self._app.timezone, replace))
        return entry

    async def aadd(self, name: str, task: str | Any, *, replace: bool = False, **fields: Any) -> Entry:
        """Add an entry; the awaitable twin of :meth:`add`."""
        entry = self._sendable(self._entry(own_name(name), task, fields))
        await self._app.async_broker().carry(lambda ops: flows.add(ops, entry, self._app.timezone, replace))
        return entry

    def update(self, name: str, **fields: Any) -> Entry:
        """Change fields of an entry, as :meth:`add` has them; the others and its runs stay.

        None gives a field its default back: ``zone=None`` is the app's time zone, ``start=None`` no start. It is due
        next when it was, unless its trigger, start, end, zone or ``enabled`` get another value: then counted from now,
        and a run that its overlap policy holds back is dropped.

        Raises:
            InvalidTaskError: A field is wrong, or there is no such entry.
        """
        return _there(name, self._app.broker.carry(self._change(name, fields)))

    async def aupdate(self, name: str, **fields: Any) -> Entry:
        """Change fields of an entry; the awaitable twin of :meth:`update`."""
        return _there(name, await self._app.async_broker().carry(self._change(name, fields)))

    def enable(self, name: str, *, enabled: bool = True) -> Entry:
        """Let an entry be due again, from now on; with ``enabled=False`` let it be due no more.

        One that waits for its time already goes on doing so.

        Raises:
            InvalidTaskError: There is no such entry, or it would be never due.
        """
        return _there(name, self._app.broker.carry(self._change(name, {"enabled": enabled}, again=enabled)))

    async def aenable(self, name: str, *, enabled: bool = True) -> Entry:
        """Let an entry be due again; the awaitable twin of :meth:`enable`."""
        change = self._change(name, {"enabled": enabled}, again=enabled)
        return _there(name, await self._app.async_broker().carry(change))

    def disable(self, name: str) -> Entry:
        """Let an entry be due no more until it is enabled; a run that its overlap policy holds back is dropped."""
        return self.update(name, enabled=False)

    async def adisable(self, name: str) -> Entry:
        """Let an entry be due no more; the awaitable twin of :meth:`disable`."""
        return await self.aupdate(name, enabled=False)

    def remove(self, name: str) -> bool:
        """Remove an entry and its history; return whether there was one."""
        return bool(self._app.broker.drop_entries((own_name(name),)))

    async def aremove(self, name: str) -> bool:
        """Remove an entry; the awaitable twin of :meth:`remove`."""
        return bool(await self._app.async_broker().drop_entries((own_name(name),)))

    def run_now(self, name: str) -> AsyncResult[Any]:
        """Send an entry's task now, beside its due times; return its receipt.

        Raises:
            InvalidTaskError: There is no such entry.
        """
        make, own = self._message, own_name(name)
        message = self._app.broker.carry(lambda ops: flows.run_now(ops, own, make))
        return self._receipt(_there(name, message))

    async def arun_now(self, name: str) -> AsyncResult[Any]:
        """Send an entry's task now; the awaitable twin of :meth:`run_now`."""
        make, own = self._message, own_name(name)
        message = await self._app.async_broker().carry(lambda ops: flows.run_now(ops, own, make))
        return self._receipt(_there(name, message))

    # Looking.

    def get(self, name: str) -> ScheduledEntry | None:
        """Return an entry and what became of it; None if there is none.

        Raises:
            InvalidTaskError: No entry can have this name.
        """
        found = self._shown(self._app.broker.get_entries((own_name(name),)))
        return found[0] if found else None

    async def aget(self, name: str) -> ScheduledEntry | None:
        """Return an entry; the awaitable twin of :meth:`get`."""
        found = await self._ashown(await self._app.async_broker().get_entries((own_name(name),)))
        return found[0] if found else None

    def list(self, *, after: str = "", limit: int = 1000) -> _Shown:
        """Return up to ``limit`` entries in the order of their names, from the first after ``after``."""
        since = own_name(after) if after else ""
        return self._shown(self._app.broker.carry(lambda ops: flows.page(ops, since, limit)))

    async def alist(self, *, after: str = "", limit: int = 1000) -> _Shown:
        """Return entries; the awaitable twin of :meth:`list`."""
        since = own_name(after) if after else ""
        return await self._ashown(await self._app.async_broker().carry(lambda ops: flows.page(ops, since, limit)))

    def history(self, name: str) -> _History:
        """Return the latest runs of an entry, the latest first; as many as it keeps (``keep``).

        Raises:
            InvalidTaskError: There is no such entry.
        """
        runs = _runs(name, self._app.broker.get_entries((own_name(name),)))
        ids = [id_of(name, run) for run in runs]
        return _joined(name, runs, self._results(ids), self._states(ids))

    async def ahistory(self, name: str) -> _History:
        """Return the latest runs of an entry; the awaitable twin of :meth:`history`."""
        runs = _runs(name, await self._app.async_broker().get_entries((own_name(name),)))
        ids = [id_of(name, run) for run in runs]
        return _joined(name, runs, await self._aresults(ids), await self._astates(ids))

    # Making.

    def _change(
        self, name: str, given: Mapping[str, Any], *, again: bool = False
    ) -> Callable[[flows.Ops], Operation[Any, Any, Entry | None]]:
        self._fields(given)  # What is wrong with them is said before a store is asked.
        own, zone, check, changes = own_name(name), self._app.timezone, self._sendable, self._changes
        return lambda ops: flows.change(ops, own, lambda entry: changes(entry, given), zone, check=check, again=again)

    def _changes(self, entry: Entry, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that change, of an entry: times without a time zone are read in its own."""
        fields = self._fields(given, own_zone=entry.zone)
        trigger = entry.trigger
        if "zone" in fields and "trigger" not in fields and isinstance(trigger, Interval):
            # What counts from a midnight goes on counting from one.
            counted = maybe_schedule(trigger.every, relative=True)
            if trigger == self._of(counted, entry.zone):
                fields["trigger"] = self._of(counted, fields["zone"])
        return fields

    def _entry(self, name: str, task: str | Any, fields: Mapping[str, Any]) -> Entry:
        return Entry(name=name, **self._fields({**fields, "task": task}, needs_trigger=True))

    def _fields(
        self, given: Mapping[str, Any], *, needs_trigger: bool = False, own_zone: str | None = None
    ) -> dict[str, Any]:
        """Return fields of an entry as it keeps them.

        Args:
            given: The fields, under any of their names.
            needs_trigger: One must say when it is due.
            own_zone: The time zone in which times are read if no field says one.

        Raises:
            InvalidTaskError: One is unknown or wrong.
        """
        fields = _spread({_ALIASES.get(name, name): value for name, value in given.items()})
        if twice := [name for name, field in _ALIASES.items() if name in given and field in given]:
            raise InvalidTaskError(f"{twice[0]}= and {_ALIASES[twice[0]]}= are one field: give one of them")
        relative = fields.pop("relative", False)
        times = {name: fields.pop(name) for name in _TRIGGERS if fields.get(name) is not None}
        if len(times) > 1 or (needs_trigger and not times):
            raise InvalidTaskError("a schedule entry needs one of every=, cron=, at= and trigger=")
        for name in _TRIGGERS:
            fields.pop(name, None)
        if relative and not times:
            raise InvalidTaskError("relative=True says how every= counts: give both")
        unknown = fields.keys() - set(Entry.__struct_fields__) | fields.keys() & {"name", "origin"}
        if unknown:
            raise InvalidTaskError(
                f"a schedule entry has no field {min(unknown)!r}; it has {', '.join(Entry.__struct_fields__)}"
            )
        own_zone = None if "zone" in fields else own_zone
        for name, value in times.items():
            fields |= self._when(name, value, bool(relative), fields.get("zone"), own_zone)
        if "task" in fields:
            fields["task"] = _task_name(fields["task"])
        fields |= {name: value for name, value in _UNSAID.items() if name in fields and fields[name] is None}
        if isinstance(fields.get("args"), (list, tuple)):
            fields["args"] = tuple(fields["args"])
        for name in _TIMES:
            if fields.get(name) is not None:
                fields[name] = moment(fields[name], zone_of(fields.get("zone") or own_zone, self._app.timezone), name)
        for name in _SECONDS:
            if fields.get(name) is not None:
                fields[name] = seconds(fields[name], name)
        return fields

    def _when(self, name: str, value: Any, /, relative: bool, zone: str | None, own_zone: str | None) -> dict[str, Any]:
        """Return the trigger, and the time zone if the value has one of its own."""
        read_in = zone or own_zone
        match name:
            case "every":
                try:
                    return {"trigger": self._of(maybe_schedule(seconds(value, "every"), relative), read_in)}
                except OverflowError:
                    raise InvalidTaskError(f"every={value!r} is more seconds than a timedelta can hold") from None
            case "cron":
                if not isinstance(value, str):
                    raise InvalidTaskError(f"cron={value!r:.200} must be a text of five fields, such as '0 7 * * 1-5'")
                return {"trigger": Crontab.parse(value)}
            case "at":
                return {"trigger": Once(moment(value, zone_of(read_in, self._app.timezone), "at"))}
            case _:
                found: BaseSchedule = maybe_schedule(value, relative)
                own = zone or found.zone_name
                return {"trigger": self._of(found, own or own_zone)} | ({} if own is None else {"zone": own})

    def _of(self, found: BaseSchedule, zone: str | None) -> Trigger:
        return found.trigger(zone_of(zone, self._app.timezone))

    def _sendable(self, entry: Entry) -> Entry:
        """Return the entry.

        Raises:
            InvalidTaskError: A call of its task, with its arguments and options, would be refused.
        """
        if "task_id" in entry.options:
            raise InvalidTaskError(f"schedule entry {entry.name!r}: leave task_id= out, each run has an id of its own")
        try:
            AppDesk(self._app, say_nothing).check(entry)
        except (CeleriacError, TypeError, ValueError) as exc:
            raise InvalidTaskError(f"schedule entry {entry.name!r} cannot be sent: {exc}") from exc
        return entry

    def _message(self, stored: StoredEntry, now: float, task_id: str) -> Message:
        desk = AppDesk(self._app, say_nothing)
        found = desk.read(stored)
        # What is asked for now is not put off.
        prompt = msgspec.structs.replace(found, entry=msgspec.structs.replace(found.entry, jitter=0.0))
        return desk.message(prompt, now, task_id, now)

    def _receipt(self, message: Message) -> AsyncResult[Any]:
        return AsyncResult(message.id, None, message.task, self._app)

    # Joining entries with their results.

    def _results(self, ids: _Ids) -> dict[str, StoredResult]:
        if not ids or not self._app.results_enabled:
            return {}
        return {one.id: one for one in self._app.backend.fetch(ids)}

    async def _aresults(self, ids: _Ids) -> dict[str, StoredResult]:
        if not ids or not self._app.results_enabled:
            return {}
        return {one.id: one for one in await self._app.async_backend().fetch(ids)}

    def _states(self, ids: _Ids) -> dict[str, str]:
        return {one.id: one.state for one in self._app.broker.get(ids)} if ids else {}

    async def _astates(self, ids: _Ids) -> dict[str, str]:
        return {one.id: one.state for one in await self._app.async_broker().get(ids)} if ids else {}

    def _shown(self, stored: Iterable[StoredEntry]) -> _Shown:
        entries = [(one, unpack_history(one.state)) for one in stored]
        ids = _last_ids(entries)
        results, states = self._results(ids), self._states(ids)
        return [_shown(self._app, one, history, results, states) for one, history in entries]

    async def _ashown(self, stored: Iterable[StoredEntry]) -> _Shown:
        entries = [(one, unpack_history(one.state)) for one in stored]
        ids = _last_ids(entries)
        results, states = await self._aresults(ids), await self._astates(ids)
        return [_shown(self._app, one, history, results, states) for one, history in entries]


def say_nothing() -> tuple[list[Entry], dict[str, str]]:
    """Return no entries: nothing is brought from the settings."""
    return [], {}


def _spread(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields; of a signature as the task, its arguments and options among them."""
    task = fields.get("task")
    if not isinstance(task, Signature):
        return fields
    said = one_task(task)
    args = fields.get("args") or ()
    return {
        **fields,
        "task": said.task,
        "args": (*said.args, *args) if isinstance(args, (list, tuple)) else args,
        "kwargs": _together(said.kwargs, fields.get("kwargs")),
        "options": _together(said.options, fields.get("options")),
    }


def _together(said: Mapping[str, Any], given: object) -> object:
    """Return what a signature says and what is given beside it; what is given alone if it is no mapping."""
    if given is None:
        return dict(said)
    return {**said, **given} if is_mapping(given) else given


def _task_name(task: Any) -> str:
    name = task if isinstance(task, str) else getattr(task, "name", None)
    if not isinstance(name, str) or not name:
        raise InvalidTaskError(f"task={task!r:.200} must be a task or a task's name")
    return name


def own_name(name: str) -> str:
    """Return the name of an entry of the user's.

    Raises:
        InvalidTaskError: It is none.
    """
    if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidTaskError(f"the name of a schedule entry must be text, not {name!r:.100}")
    if flows.is_own(name):
        raise InvalidTaskError(f"the name {name!r} is not for schedule entries of applications: choose another")
    check_name(name)
    return name


def _there(name: str, found: T | None) -> T:
    if found is None:
        raise InvalidTaskError(f"there is no schedule entry {name!r}")
    return found


def _at(value: float | None) -> datetime | None:
    return None if value is None else datetime.fromtimestamp(value, UTC)


def _last_ids(entries: Iterable[tuple[StoredEntry, History]]) -> list[str]:
    return [id_of(one.name, history.runs[-1]) for one, history in entries if history.runs]


def _runs(name: str, stored: Iterable[StoredEntry]) -> list[Run]:
    for one in stored:
        return list(reversed(unpack_history(one.state).runs))
    raise InvalidTaskError(f"there is no schedule entry {name!r}")


def _state(task_id: str, results: Mapping[str, StoredResult], states: Mapping[str, str]) -> str:
    result = results.get(task_id)
    if result is not None and (result.state in state.READY_STATES or task_id not in states):
        return result.state
    return states.get(task_id, EXPIRED)


def _joined(
    name: str, runs: Iterable[Run], results: Mapping[str, StoredResult], states: Mapping[str, str]
) -> list[ScheduledRun]:
    found: list[ScheduledRun] = []
    for run in runs:
        task_id = id_of(name, run)
        due, fired = datetime.fromtimestamp(run.due, UTC), datetime.fromtimestamp(run.fired, UTC)
        shown = _state(task_id, results, states)
        result = results.get(task_id)
        log = None if result is None else result.log
        found.append(ScheduledRun(task_id, due, fired, max(0.0, run.fired - run.due), shown, result, log))
    return found


def _shown(
    app: Celeriac,
    /,
    stored: StoredEntry,
    history: History,
    results: Mapping[str, StoredResult],
    states: Mapping[str, str],
) -> ScheduledEntry:
    entry: Entry | None = None
    problem = history.problem_of(stored.edition)
    try:
        entry = flows.read_entry(stored)
    except (DecodeError, CeleriacError) as exc:
        problem = str(exc)
    last = history.runs[-1] if history.runs else None
    task_id = None if last is None else id_of(stored.name, last)
    return ScheduledEntry(
        entry,
        stored.name,
        _at(stored.due),
        history.total,
        history.missed,
        problem,
        None if last is None else _at(last.fired),
        task_id,
        None if task_id is None else _state(task_id, results, states),
        None if entry is None else doubt_of(app, entry),
    )
