"""What is wrong with a PostgreSQL server and the schema in it, and what to change. Pure."""

from __future__ import annotations

from typing import Any, Final

from celeriac.brokers.port import Finding
from celeriac.brokers.postgres.operations.calls import Asking
from celeriac.brokers.postgres.operations.inspect import schema_trouble
from celeriac.brokers.postgres.schema import VERSION, within
from celeriac.brokers.sql.requests import SqlOperation, Statement, Transaction

OLDEST: Final = 130000
"""server_version_num of the oldest version that the driver is made for."""
MIB: Final = 1024 * 1024
NOW: Final = "SELECT celeriac.now()"
NEARLY_FULL: Final = 0.8
LONG_TRANSACTION: Final = 600.0
BLOATED: Final = 4.0
"""Deleted rows for each live one, from which on a table is called bloated."""
SMALL: Final = 500_000
"""Deleted rows that are nothing to speak of."""


class ExamineOperations(Asking):
    """Looking at the store itself."""

    def now(self) -> SqlOperation[float]:
        (((now,),),) = yield Transaction((Statement(within(self._calls.schema, NOW)),), writes=False)
        return float(now)

    def examine(self) -> SqlOperation[list[Finding]]:
        trouble = yield from schema_trouble(self._calls, installs=False)
        (rows,) = yield self._calls.read("examine", self._calls.schema, installs=False)
        facts: dict[str, Any] = dict(rows)
        return [
            _schema(trouble),
            _version(int(facts["version"])),
            _durability(facts),
            _writable(facts["read_only"] == "on"),
            _encoding(facts["encoding"]),
            _isolation(facts["isolation"]),
            _sweeping(facts["autovacuum"] == "on", int(facts["dead"] or 0), int(facts["live"] or 0)),
            _transactions(float(facts["oldest"] or 0)),
            _connections(int(facts["connections"] or 0), int(facts["max_connections"])),
            _ok("size", f"{_mib(int(facts['size'] or 0))} in this schema"),
        ]


def _schema(trouble: str | None) -> Finding:
    if trouble is None:
        return _ok("schema", f"version {VERSION}, complete")
    text, _, remedy = trouble.partition(": ")
    return Finding(level="error", subject="schema", text=text, remedy=remedy)


def _version(number: int) -> Finding:
    shown = f"PostgreSQL {number // 10000}.{number % 10000}"
    if number >= OLDEST:
        return _ok("version", shown)
    remedy = f"upgrade the server to {OLDEST // 10000} or newer"
    return Finding(level="error", subject="version", text=f"{shown} is older than what is tested", remedy=remedy)


def _durability(facts: dict[str, Any]) -> Finding:
    if facts["fsync"] != "on":
        return Finding(
            level="warning",
            subject="durability",
            text="fsync is off: a crash of the machine may damage the whole database",
            remedy="set fsync = on in postgresql.conf",
        )
    if facts["full_page_writes"] != "on":
        return Finding(
            level="warning",
            subject="durability",
            text="full_page_writes is off: a crash of the machine may damage pages",
            remedy="set full_page_writes = on, unless the file system writes pages whole",
        )
    if facts["synchronous_commit"] == "off":
        return Finding(
            level="warning",
            subject="durability",
            text="synchronous_commit is off: a crash of the server may cost the tasks of the last moment",
            remedy="set synchronous_commit = on for this database or user, if what is accepted must be kept",
        )
    return _ok("durability", "a commit is on disk when it returns")


def _writable(read_only: bool) -> Finding:
    if not read_only:
        return _ok("role", "takes writes")
    return Finding(
        level="error",
        subject="role",
        text="the server is a standby, or transactions are read-only by default",
        remedy="name the primary in the URL, or all servers: postgresql://a,b/db?target_session_attrs=read-write",
    )


def _encoding(encoding: str) -> Finding:
    if encoding == "UTF8":
        return _ok("encoding", encoding)
    return Finding(
        level="warning",
        subject="encoding",
        text=f"the database has the encoding {encoding}: ids and names with other characters are refused",
        remedy="use a database with the encoding UTF8",
    )


def _isolation(level: str) -> Finding:
    if level == "read committed":
        return _ok("isolation", level)
    return Finding(
        level="warning",
        subject="isolation",
        text=f"transactions are {level} by default: claims that meet fail and are tried again",
        remedy="ALTER ROLE ... SET default_transaction_isolation = 'read committed' for Celeriac's user",
    )


def _sweeping(autovacuum: bool, dead: int, live: int) -> Finding:
    if not autovacuum:
        return Finding(
            level="warning",
            subject="vacuum",
            text="autovacuum is off: tables grow when no worker sweeps them",
            remedy="set autovacuum = on",
        )
    text = f"{dead} deleted rows wait to be swept, beside {live} live ones"
    if dead <= max(SMALL, BLOATED * live):
        return _ok("vacuum", text)
    return Finding(
        level="warning",
        subject="vacuum",
        text=text,
        remedy="look for long transactions, replication slots and standby feedback, which keep deleted rows alive",
    )


def _transactions(oldest: float) -> Finding:
    if oldest < LONG_TRANSACTION:
        return _ok("transactions", "none is open for long")
    return Finding(
        level="warning",
        subject="transactions",
        text=f"a transaction in this database is open for {oldest:.0f} s, and keeps all deleted rows from being swept",
        remedy="look for it in pg_stat_activity (backend_xmin, xact_start), and end it",
    )


def _connections(used: int, most: int) -> Finding:
    text = f"{used} of {most} connections of the server are used"
    if used < NEARLY_FULL * most:
        return _ok("connections", text)
    remedy = "raise max_connections, or put PgBouncer before the server"
    return Finding(level="warning", subject="connections", text=text, remedy=remedy)


def _ok(subject: str, text: str) -> Finding:
    return Finding(level="ok", subject=subject, text=text)


def _mib(size: int) -> str:
    return f"{size / MIB:.1f} MiB"
