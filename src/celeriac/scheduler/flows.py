"""What is done to entries, each written once for blocking and awaiting callers: several operations, one after another.

A change names the edition that it was made from and is tried again if somebody else was first, so that two who change
one entry at once do not undo each other's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import tzinfo
from hashlib import blake2b
from typing import Any, Final, TypeAlias

import msgspec

from celeriac.brokers.port import MAX_BATCH, Operations
from celeriac.core.codec import decode, encode
from celeriac.core.ids import new_id
from celeriac.core.message import Message
from celeriac.core.operation import Operation
from celeriac.core.schedule import Entry, from_dict, to_dict
from celeriac.core.scheduled import MAX_EDITION, Firing, StoredEntry, Writing, check_name
from celeriac.errors import CeleriacError, DecodeError, InvalidTaskError, OperationalError
from celeriac.scheduler.runs import Run, newest, pack_history, unpack_history

Ops: TypeAlias = Operations[Any, Any]
TRIES: Final = 20
"""How often a change is tried that others are faster than."""
SETTINGS_ENTRY: Final = "celeriac.settings"
"""How the names of entries begin that say which entries an app's settings made. They are never due, and not shown."""
RESIGNED: Final = "celeriac.resigned"
"""A name that no entry has: to drop it wakes those who wait for changes."""
_TIMED: Final = frozenset({"trigger", "zone", "start", "end", "enabled"})
"""Fields with which the next due time changes."""
_SENT: Final = frozenset({"task", "args", "kwargs", "options"})
"""Fields that say what is sent."""
_ACCEPT: Final = frozenset({"application/json"})


def is_own(name: str) -> bool:
    """Tell whether the name is for what the scheduler itself keeps."""
    return name == RESIGNED or name.startswith(SETTINGS_ENTRY)


def new_edition() -> int:
    """Return a number that no other edition has."""
    return int.from_bytes(os.urandom(7)) % MAX_EDITION + 1


def pack_body(entry: Entry) -> bytes:
    """Return the bytes of an entry.

    Raises:
        SerializationError: Its arguments cannot be kept.
    """
    plain = {
        name: value
        for name, value in msgspec.structs.asdict(entry).items()
        if name != "name" and value != _DEFAULTS.get(name, ...)
    }
    plain["trigger"] = to_dict(entry.trigger)
    return encode(plain, "json", subject=f"schedule entry {entry.name!r}").body


_PROBLEM: Final = "problem"
"""What is kept of an entry that the settings say and that is none: why it is none."""


def _pack_problem(name: str, why: str) -> bytes:
    return encode({_PROBLEM: why}, "json", subject=f"schedule entry {name!r}").body


_DEFAULTS: Final = {
    field.name: field.default for field in msgspec.structs.fields(Entry) if field.default is not msgspec.NODEFAULT
}


def read_entry(stored: StoredEntry) -> Entry:
    """Return what a stored entry says.

    Raises:
        DecodeError: It says nothing that this version understands.
    """
    if stored.refused is not None:
        raise DecodeError(f"schedule entry {stored.name!r} is refused: {stored.refused}")
    problem: object = None
    try:
        plain = decode(stored.body, "application/json", "utf-8", accept=_ACCEPT)
        problem = plain.get(_PROBLEM)
        trigger = from_dict(plain.pop("trigger"))
        plain["args"] = tuple(plain.get("args", ()))
        known = {name: value for name, value in plain.items() if name in Entry.__struct_fields__}
        return Entry(name=stored.name, trigger=trigger, **known)
    except (CeleriacError, TypeError, KeyError, ValueError, AttributeError) as exc:
        why = f"schedule entry {stored.name!r} cannot be read: {exc}" if problem is None else str(problem)
        raise DecodeError(why) from exc


# Changing.


def add(ops: Ops, entry: Entry, zone: tzinfo, replace: bool) -> Operation[Any, Any, None]:
    """Keep a new entry. What it replaces leaves it its runs; and its due time, if both are due at the same times.

    Raises:
        InvalidTaskError: There is one of that name, and it is not to be replaced; or it is never due.
    """
    for _ in range(TRIES):
        found = (yield from ops.get_entries([entry.name])) if replace else []
        now = yield from ops.now()
        due = entry.next_after(now, zone)
        _ever(entry, due)
        stored = StoredEntry(name=entry.name, body=pack_body(entry), edition=new_edition(), due=due)
        if not (yield from ops.put_entries([_in_place_of(found[0] if found else None, stored, entry)])):
            return
        if not replace:
            raise InvalidTaskError(
                f"there is a schedule entry {entry.name!r} already: change it by update(), or give replace=True"
            )
    raise _contended(entry.name)


def _in_place_of(old: StoredEntry | None, new: StoredEntry, entry: Entry) -> Writing:
    """Return what writes an entry where another is; it is due when that is, if both are due at the same times."""
    if old is None:
        return Writing(new, 0)
    try:
        same = _same_times(read_entry(old), entry)
    except DecodeError:
        same = False
    problem = unpack_history(old.state).problem_of(old.edition)
    return Writing(new, old.edition, keeps_due=same and problem is None and old.due is not None)


def _contended(name: str) -> OperationalError:
    return OperationalError(f"schedule entry {name!r} is being changed by others all the time: try again")


def _ever(entry: Entry, due: float | None) -> None:
    if due is None and entry.enabled:
        raise InvalidTaskError(
            f"schedule entry {entry.name!r} is never due: its trigger, start and end leave no time from now on:"
            f" {entry.trigger}"
        )


def change(
    ops: Ops,
    name: str,
    changes_of: Callable[[Entry], Mapping[str, Any]],
    zone: tzinfo,
    *,
    check: Callable[[Entry], object] = lambda _: None,
    again: bool = False,
) -> Operation[Any, Any, Entry | None]:
    """Change fields of an entry; return it as it is then, or None if there is none.

    It goes on being due when it was, unless a field by which that is worked out gets another value.

    Args:
        ops: The store's.
        name: Of the entry.
        changes_of: Returns fields and their new values for the entry as it is.
        zone: The app's time zone.
        check: Raises what speaks against the changed entry, if what it sends is among the changes.
        again: One that waits for nothing is to be due again.

    Raises:
        InvalidTaskError: It would be never due; or a field is wrong.
    """
    for _ in range(TRIES):
        found = yield from ops.get_entries([name])
        if not found:
            return None
        (old,) = found
        before = read_entry(old)
        changes = changes_of(before)
        entry = msgspec.structs.replace(before, **changes)
        now = yield from ops.now()
        problem = unpack_history(old.state).problem_of(old.edition)
        keeps_due = problem is None and _same_times(before, entry) and not (again and old.due is None)
        due = old.due if keeps_due else entry.next_after(now, zone)
        if not keeps_due:
            _ever(entry, due)
        if _SENT & changes.keys():  # What cannot be sent can be disabled all the same.
            check(entry)
        stored = StoredEntry(name=name, body=pack_body(entry), edition=new_edition(), due=due)
        if not (yield from ops.put_entries([Writing(stored, old.edition, keeps_due)])):
            return entry
    raise _contended(name)


def _same_times(before: Entry, after: Entry) -> bool:
    return all(getattr(before, name) == getattr(after, name) for name in _TIMED)


def run_now(
    ops: Ops, name: str, message: Callable[[StoredEntry, float, str], Message]
) -> Operation[Any, Any, Message | None]:
    """Enqueue a run of an entry now, beside its due times; return its message, or None if there is no entry."""
    task_id = new_id()
    for _ in range(TRIES):
        found = yield from ops.get_entries([name])
        if not found:
            return None
        (old,) = found
        now = yield from ops.now()
        sent = message(old, now, task_id)
        history = unpack_history(old.state)
        entry = read_entry(old)
        runs = newest((*history.runs, Run(now, now, task_id)), entry.keep, entry.overlap)
        state = pack_history(msgspec.structs.replace(history, total=history.total + 1, runs=runs))
        refused = yield from ops.fire_entries([Firing(name, old.edition, old.due, old.due, state, (sent,))])
        if not refused:
            return sent
    raise _contended(name)


# Looking.


def page(ops: Ops, after: str, limit: int) -> Operation[Any, Any, list[StoredEntry]]:
    """Return entries after a name, in order; as many as asked for, if there are so many."""
    found: list[StoredEntry] = []
    while len(found) < limit:
        size = min(MAX_BATCH, limit - len(found) + 1)
        part = yield from ops.page_entries(after, size)
        found += [one for one in part if not is_own(one.name)]
        if len(part) < size:
            break
        after = part[-1].name
    return found[:limit]


# What the settings say.


class _Settings(msgspec.Struct, frozen=True):
    names: tuple[str, ...] = ()
    since: float = 0.0


def synchronise(
    ops: Ops,
    entries: Iterable[Entry],
    zone: tzinfo,
    since: float,
    app: str | None = None,
    problems: Mapping[str, str] | None = None,
) -> Operation[Any, Any, None]:
    """Bring the entries of the settings into the store, and drop those that the settings of this app have no more.

    A wrong one is kept, never due, as why it is wrong, so that whoever looks at the schedule sees it.

    Of programs that run at the same time the one that was started last has the say, so that one of before a deployment
    that takes the lead once more does not bring its entries back.

    Args:
        ops: The store's.
        entries: What the settings say.
        zone: The app's time zone.
        since: When this program was started, by the store's clock.
        app: The app's name; what another app in this store has made stays.
        problems: What is wrong with further entries, by name.
    """
    wanted = {entry.name: entry for entry in entries}
    wrong = {name: why for name, why in (problems or {}).items() if name not in wanted and _can_be(name)}
    record = SETTINGS_ENTRY if app is None else f"{SETTINGS_ENTRY}:{blake2b(app.encode(), digest_size=10).hexdigest()}"
    found = yield from ops.get_entries([record])
    known = _known(found[0]) if found else _Settings()
    if known.since > since or not (found or wanted or wrong):
        return
    now = yield from ops.now()
    there = {one.name: one for one in (yield from _all(ops, [*wanted, *wrong]))}
    writings = [_writing(entry, there.get(name), now, zone) for name, entry in wanted.items()]
    # What somebody else has put there under the name of a wrong one stays.
    own = {name: why for name, why in wrong.items() if name not in there or name in known.names}
    writings += [_telling(name, why, there.get(name)) for name, why in own.items()]
    changed = [one for one in writings if one is not None]
    names = (*wanted, *own)
    gone = [name for name in known.names if name not in names]
    for first in range(0, len(changed), MAX_BATCH):
        yield from ops.put_entries(changed[first : first + MAX_BATCH])
    for first in range(0, len(gone), MAX_BATCH):
        yield from ops.drop_entries(gone[first : first + MAX_BATCH])
    body = msgspec.msgpack.encode(_Settings(names, since))
    yield from ops.put_entries([Writing(StoredEntry(name=record, body=body, edition=new_edition()))])


def _known(stored: StoredEntry) -> _Settings:
    try:
        return msgspec.msgpack.decode(stored.body, type=_Settings) if stored.refused is None else _Settings()
    except msgspec.MsgspecError:
        return _Settings()


def _all(ops: Ops, names: list[str]) -> Operation[Any, Any, list[StoredEntry]]:
    found: list[StoredEntry] = []
    for first in range(0, len(names), MAX_BATCH):
        found += yield from ops.get_entries(names[first : first + MAX_BATCH])
    return found


def _can_be(name: str) -> bool:
    try:
        check_name(name)
    except InvalidTaskError:
        return False
    return not is_own(name)


def _telling(name: str, why: str, old: StoredEntry | None) -> Writing | None:
    """Return what brings a wrong entry into the store; None if it is there."""
    body = _pack_problem(name, why)
    if old is not None and old.refused is None and old.body == body:
        return None
    return Writing(StoredEntry(name=name, body=body, edition=new_edition()), 0 if old is None else old.edition)


def _writing(entry: Entry, old: StoredEntry | None, now: float, zone: tzinfo) -> Writing | None:
    """Return what brings an entry of the settings into the store; None if it is there as it should be."""
    body = pack_body(entry)
    if old is not None and old.refused is None and old.body == body:
        return None
    due = entry.next_after(now, zone)
    return _in_place_of(old, StoredEntry(name=entry.name, body=body, edition=new_edition(), due=due), entry)
