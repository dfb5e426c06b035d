"""Schedule entries on SQLite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from celeriac.brokers.rules import packed
from celeriac.brokers.sql.requests import Many, SqlOperation, Statement, Step, Transaction, for_items
from celeriac.brokers.sqlite.operations.rows import message_row
from celeriac.brokers.sqlite.queries import query
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

PUT: Final = query("entry_put")
DROP: Final = query("entry_drop")
DUE: Final = query("entry_due")
NEXT: Final = query("entry_next")
SEEN: Final = query("entry_seen")
MESSAGE: Final = query("entry_message")
FIRE: Final = query("entry_fire")
GET: Final = query("entry_get")
PAGE: Final = query("entry_page")


class ScheduleOperations:
    """Schedule entries."""

    def put_entries(self, writings: Sequence[Writing]) -> SqlOperation[tuple[str, ...]]:
        wanted = last_of_each(writings)
        if not wanted:
            return ()
        reply = yield Transaction([Statement(PUT, _written(writing)) for writing in wanted])
        return tuple([one.entry.name for one, rows in zip(wanted, reply, strict=True) if not rows])

    def drop_entries(self, names: Sequence[str]) -> SqlOperation[tuple[str, ...]]:
        if not names:
            return ()
        (rows,) = yield Transaction((for_items(DROP, names),))
        return tuple([name for (name,) in rows])

    def due_entries(self, limit: int) -> SqlOperation[Turns]:
        wanted = max(0, limit)
        rows, ((now, after),) = yield Transaction((Statement(DUE, (wanted,)), Statement(NEXT)), writes=False)
        turns = tuple([Turn(*row) for row in rows[:wanted]])
        if len(rows) > wanted:
            return Turns(turns, now, 0.0)
        return Turns(turns, now, None if after is None else max(0.0, after - now))

    def fire_entries(self, firings: Sequence[Firing]) -> SqlOperation[tuple[str, ...]]:
        valid, refused = first_firings(firings)
        if not valid:
            return tuple(refused)
        messages = [
            (*message_row(message, payload), firing.name, firing.edition, firing.due)
            for firing in valid
            for message, payload in packed(firing.messages)
        ]
        steps: list[Step] = [for_items(SEEN, [firing.name for firing in valid])]
        if messages:
            steps.append(Many(MESSAGE, messages))
        steps.append(Many(FIRE, [(one.next_due, one.state, one.name, one.edition, one.due) for one in valid]))
        reply = yield Transaction(steps)
        seen = {name: (edition, due) for name, edition, due in reply[0]}
        return (*refused, *[one.name for one in valid if seen.get(one.name) != (one.edition, one.due)])

    def get_entries(self, names: Sequence[str]) -> SqlOperation[list[StoredEntry]]:
        if not names:
            return []
        (rows,) = yield Transaction((for_items(GET, names),), writes=False)
        return [unpack_entry(*row) for row in rows]

    def page_entries(self, after: str, limit: int) -> SqlOperation[list[StoredEntry]]:
        (rows,) = yield Transaction((Statement(PAGE, (after, max(0, limit))),), writes=False)
        return [unpack_entry(*row) for row in rows]


def _written(writing: Writing) -> Sequence[object]:
    entry = writing.entry
    record = pack_entry(entry)
    return (entry.name, entry.edition, entry.due, entry.state, record, writing.replaces, writing.keeps_due)
