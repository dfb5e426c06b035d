"""Schedule entries on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

from celeriac.brokers.postgres.operations.calls import Asking
from celeriac.brokers.postgres.operations.rows import Columns, blobs, flags, message_columns, numbers, text, texts
from celeriac.brokers.rules import packed
from celeriac.brokers.sql.requests import SqlOperation
from celeriac.core.scheduled import (
    Firing,
    StoredEntry,
    Turn,
    Turns,
    Writing,
    first_firings,
    last_of_each,
    pack_entry,
    unpack_entry,
)


class ScheduleOperations(Asking):
    """Schedule entries."""

    def put_entries(self, writings: Sequence[Writing]) -> SqlOperation[tuple[str, ...]]:
        wanted = last_of_each(writings)
        if not wanted:
            return ()
        entries = [writing.entry for writing in wanted]
        ((row,),) = yield self._calls.call(
            "put_entries",
            texts([entry.name for entry in entries]),
            numbers([entry.edition for entry in entries]),
            numbers([entry.due for entry in entries]),
            blobs([entry.state for entry in entries]),
            blobs([pack_entry(entry) for entry in entries]),
            numbers([writing.replaces for writing in wanted]),
            flags([writing.keeps_due for writing in wanted]),
        )
        places: list[int] = row[0]
        return tuple([entries[place - 1].name for place in places])

    def drop_entries(self, names: Sequence[str]) -> SqlOperation[tuple[str, ...]]:
        if not names:
            return ()
        (((gone,),),) = yield self._calls.call("drop_entries", texts(list(names)))
        return tuple(gone)

    def due_entries(self, limit: int) -> SqlOperation[Turns]:
        wanted = max(0, limit)
        (rows,) = yield self._calls.read("due_entries", wanted)
        now, after = rows[0][:2]
        found = tuple([Turn(*row[2:]) for row in rows if row[2] is not None])
        if len(found) > wanted:
            return Turns(found[:wanted], now, 0.0)
        return Turns(found, now, None if after is None else max(0.0, after - now))

    def fire_entries(self, firings: Sequence[Firing]) -> SqlOperation[tuple[str, ...]]:
        valid, refused = first_firings(firings)
        if not valid:
            return tuple(refused)
        pairs = [(place, pair) for place, one in enumerate(valid, 1) for pair in packed(one.messages)]
        sent: Columns = (None,) * 7
        if pairs:
            sent = (numbers([place for place, _ in pairs]), *message_columns([pair for _, pair in pairs]))
        ((row,),) = yield self._calls.call(
            "fire_entries",
            texts([one.name for one in valid]),
            numbers([one.edition for one in valid]),
            numbers([one.due for one in valid]),
            numbers([one.next_due for one in valid]),
            blobs([one.state for one in valid]),
            *sent,
        )
        places: list[int] = row[0]
        return (*refused, *[valid[place - 1].name for place in places])

    def get_entries(self, names: Sequence[str]) -> SqlOperation[list[StoredEntry]]:
        if not names:
            return []
        (rows,) = yield self._calls.read("get_entries", texts(list(names)))
        return [unpack_entry(*row) for row in rows]

    def page_entries(self, after: str, limit: int) -> SqlOperation[list[StoredEntry]]:
        (rows,) = yield self._calls.read("page_entries", text(after), max(0, limit))
        return [unpack_entry(*row) for row in rows]
