"""The statements of this store in the words of each dialect. Pure.

Where a database has one statement that inserts or updates, it is used, and it is one for thousands of rows; others get
two. The time is the server's, where it can be asked for within a statement.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Double,
    Executable,
    Integer,
    and_,
    bindparam,
    cast,
    delete,
    func,
    insert,
    literal_column,
    or_,
    select,
    type_coerce,
    update,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite

from celeriac.results.database.requests import Each, Parameters, Put, Step
from celeriac.results.database.tables import Tables

_CHANGED: Final = ("payload", "state", "expires", "version", "over_until")
"""What a new result changes. ``over_until`` comes last: MySQL sets one column after the other, and decides by it."""

_CLOCKS: Final = {
    "mysql": "UNIX_TIMESTAMP(NOW(6))",
    "mariadb": "UNIX_TIMESTAMP(NOW(6))",
    "postgresql": "EXTRACT(EPOCH FROM statement_timestamp())",
    "sqlite": "(julianday('now') - 2440587.5) * 86400.0",
    "mssql": "DATEDIFF_BIG(microsecond, '1970-01-01', SYSUTCDATETIME()) / 1000000.0",
}
"""Seconds since the epoch by the server's clock; one moment for a whole statement, so that an index can be asked for
what has expired. A session of MySQL's is in UTC here, so no hour comes twice."""


def server_time(dialect: str, local: Callable[[], float]) -> ColumnElement[float]:
    """Return the time as an expression.

    Args:
        dialect: Such as ``mysql``.
        local: The time of this machine, for databases whose words for theirs are not known here.
    """
    words = _CLOCKS.get(dialect)
    if words is None:
        return bindparam("celeriac_now", callable_=local, type_=Double())
    if dialect == "postgresql":
        return cast(literal_column(words), Double())
    return literal_column(words, Double())


class Statements:
    """All statements for one set of tables.

    Args:
        tables: The tables.
        dialect: Such as ``mysql``.
        now: The time as an expression.
        generic: Use only what every database understands.
    """

    def __init__(self, tables: Tables, dialect: str, now: ColumnElement[Any], *, generic: bool = False) -> None:
        table = self._table = tables.result
        self._dialect = "" if generic else dialect
        ids = table.c.id.in_(bindparam("ids", expanding=True))
        alive = or_(table.c.expires.is_(None), table.c.expires > now)
        self._goes_on: Final = table.c.over_until <= now
        self.now: Final = select(now)
        self.fetch: Final = select(table.c.id, table.c.payload).where(ids, alive)
        self.over: Final = select(table.c.id).where(ids, table.c.over_until > now).with_for_update()
        self.discard: Final = delete(table).where(ids, alive)
        self.forget: Final = delete(table).where(ids)
        expired = and_(table.c.expires.is_not(None), table.c.expires <= now)
        most = bindparam("most", type_=Integer())
        self.expired: Final = select(table.c.id).where(expired).order_by(table.c.expires).limit(most)
        self.prune: Final = delete(table).where(ids, expired)
        self.look: Final = select(func.count(), func.sum(table.c.version)).where(ids)
        self._store: Final = self._upsert(always=True)
        self._progress: Final = self._upsert(always=False)

    def store(self, rows: list[Parameters]) -> Step:
        """Return what keeps results instead of earlier ones."""
        return self._put(self._store, rows)

    def progress(self, rows: list[Parameters]) -> Step:
        """Return what keeps interim results unless their tasks are over."""
        return self._put(self._progress, rows)

    def _put(self, statements: tuple[Executable, ...], rows: list[Parameters]) -> Step:
        # In one order everywhere: two writers of the same rows do not wait for each other.
        ordered = sorted(rows, key=lambda row: str(row["id"]))
        if len(statements) == 1:
            return Each(statements[0], ordered)
        return Put(
            statements[0], statements[1], [{f"{name}_": value for name, value in row.items()} for row in ordered]
        )

    def _upsert(self, *, always: bool) -> tuple[Executable, ...]:
        table = self._table
        match self._dialect:
            case "mysql" | "mariadb":
                return (self._mysql(always=always),)
            case "postgresql":
                own = postgresql.insert(table)
                changes: Any = {name: own.excluded[name] for name in _CHANGED}
                where = None if always else self._goes_on
                return (own.on_conflict_do_update(index_elements=[table.c.id], set_=changes, where=where),)
            case "sqlite":
                small = sqlite.insert(table)
                changes = {name: small.excluded[name] for name in _CHANGED}
                where = None if always else self._goes_on
                return (small.on_conflict_do_update(index_elements=[table.c.id], set_=changes, where=where),)
            case _:
                change = update(table).where(table.c.id == bindparam("id_", type_=table.c.id.type))
                if not always:
                    change = change.where(self._goes_on)
                values: Any = {name: bindparam(f"{name}_", type_=table.c[name].type) for name in _CHANGED}
                added: Any = {**values, "id": bindparam("id_", type_=table.c.id.type)}
                return change.values(values), insert(table).values(added)

    def _mysql(self, *, always: bool) -> Executable:
        table = self._table
        changes: list[tuple[str, Any]] = []
        for name in _CHANGED:
            # VALUES() and not an alias: client libraries send many rows at once only in this form.
            new = type_coerce(func.values(literal_column(name)), table.c[name].type)
            changes.append((name, new if always else func.if_(self._goes_on, new, table.c[name])))
        return mysql.insert(table).on_duplicate_key_update(changes)
