"""What is wrong with a PostgreSQL server and the schema in it, and what to change. Pure."""

from __future__ import annotations

from typing import Any, Final

from celeriac.brokers.port import Finding
from celeriac.brokers.postgres.operations.calls import LINE, Asking
from celeriac.brokers.postgres.operations.inspect import schema_trouble
from celeriac.brokers.postgres.schema import VERSION, within
from celeriac.brokers.sql.requests import SqlOperation, Statement, Transaction

OLDEST: Final = 130000
"""server_version_num of the oldest version that the driver is made for."""
MIB: Final = 1024 * 1024
NOW: Final = "SELECT celeriac.now()"
NEARLY_FULL: Final = 0.8
LONG_TRANSACTION: Final = 600.0
LONG_HELD: Final = 10_000_000
"""Transactions, since which a slot has kept deleted rows alive, from which on that is too long."""
WORN: Final = 1_500_000_000
"""Age of a database in transactions, from which on its vacuum has failed for long: at 2,000,000,000 it stops."""
SHORT: Final = 5_000
"""Milliseconds that a request, or a sweep, may well take on a busy server."""
_NEEDED: Final = {
    "DATABASE": "CREATE",
    "SCHEMA": "USAGE",
    "TABLE": "SELECT, INSERT, UPDATE, DELETE",
    "SEQUENCE": "SELECT, USAGE, UPDATE",
    "FUNCTION": "EXECUTE",
}
"""What to grant where a right is missing, by kind of object."""
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
        (missing,) = yield self._calls.read("missing_rights", self._calls.schema, installs=False)
        # What may not be read cannot be looked for.
        trouble = None if missing else (yield from schema_trouble(self._calls, installs=False))
        (rows,) = yield self._calls.read("examine", self._calls.schema, installs=False)
        (((pooled, listens),),) = yield LINE
        facts: dict[str, Any] = dict(rows)
        return [
            _permissions([tuple(map(str, row)) for row in missing], self._calls.schema, facts),
            _schema(trouble, known=not missing),
            _version(int(facts["version"])),
            _durability(facts),
            _writable(facts),
            _encoding(facts["server_encoding"]),
            _isolation(facts["default_transaction_isolation"]),
            _notifications(pooled=pooled, listens=listens),
            _timeouts(facts),
            _sweeping(facts),
            _transactions(facts),
            _slots(facts),
            _age(int(facts["age"] or 0)),
            _connections(facts),
            _ok("size", f"{_mib(int(facts['size'] or 0))} in this schema"),
        ]


def _permissions(missing: list[tuple[str, ...]], schema: str, facts: dict[str, Any]) -> Finding:
    user = facts["user"]
    if not missing:
        return _ok("permissions", f"user {user!r} may do all that is needed in schema {schema!r}")
    named = [f"{right} on {kind.lower()} {name}" for right, kind, name in missing]
    more = f" and {len(named) - 4} more" if len(named) > 4 else ""
    to = f'TO "{user}"'
    lines = {
        "DATABASE": f'GRANT CREATE ON DATABASE "{facts["database"]}" {to}, or run celeriac db upgrade',
        "SCHEMA": f'GRANT USAGE ON SCHEMA "{schema}" {to}',
        **{
            kind: f'GRANT {_NEEDED[kind]} ON ALL {kind}S IN SCHEMA "{schema}" {to}'
            for kind in ("TABLE", "SEQUENCE", "FUNCTION")
        },
    }
    lacking = {kind for _, kind, _ in missing}
    return Finding(
        level="error",
        subject="permissions",
        text=f"user {user!r} lacks {', '.join(named[:4])}{more}",
        remedy="let the owner run: " + "; ".join(lines[kind] for kind in _NEEDED if kind in lacking),
    )


def _schema(trouble: str | None, *, known: bool) -> Finding:
    if not known:
        text, remedy = "not looked at, since rights are missing", "grant them first"
        return Finding(level="advice", subject="schema", text=text, remedy=remedy)
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


def _writable(facts: dict[str, Any]) -> Finding:
    if facts["standby"] == "true":
        return Finding(
            level="error",
            subject="role",
            text="the server is a standby, and takes no writes",
            remedy="name the primary in the URL, or all servers: postgresql://a,b/db?target_session_attrs=read-write",
        )
    if facts["read_only"] == "on":
        return Finding(
            level="error",
            subject="role",
            text="transactions are read-only by default",
            remedy=f'ALTER ROLE "{facts["user"]}" SET default_transaction_read_only = off',
        )
    return _ok("role", "takes writes")


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


def _notifications(*, pooled: bool, listens: bool) -> Finding:
    if not listens:
        return Finding(
            level="advice",
            subject="notifications",
            text="the URL says listen=false: who waits looks every 5 ms at first, twice a second at last",
            remedy="leave it out, unless a pooler that notifications do not pass stands before the server",
        )
    if not pooled:
        return _ok("notifications", "who waits is woken at once")
    return Finding(
        level="advice",
        subject="notifications",
        text="a pooler (PgBouncer) stands before the server, which notifications do not pass: an idle worker starts a"
        " task up to half a second late",
        remedy="if that is too late, give workers a URL of the server itself, and senders the one of the pooler",
    )


def _timeouts(facts: dict[str, Any]) -> Finding:
    names = ("statement_timeout", "transaction_timeout", "lock_timeout", "idle_session_timeout")
    found = {name: int(facts.get(name) or 0) for name in names}
    short = [f"{name} is {_seconds(value)}" for name, value in found.items() if 0 < value < SHORT]
    if short:
        return Finding(
            level="warning",
            subject="timeouts",
            text=f"{' and '.join(short)}: big batches, sweeps and waiting connections are cut off",
            remedy=f'ALTER ROLE "{facts["user"]}" SET statement_timeout = 0 (and the like); the timeout in the URL ends'
            " what takes too long",
        )
    idle = int(facts["idle_in_transaction_session_timeout"] or 0)
    told = _seconds(idle) if idle else "off (a client that forgets a transaction keeps deleted rows from being swept)"
    return _ok("timeouts", f"none that is too short; idle_in_transaction_session_timeout is {told}")


def _sweeping(facts: dict[str, Any]) -> Finding:
    dead, live = int(facts["dead"] or 0), int(facts["live"] or 0)
    text = f"{dead} deleted rows wait to be swept, beside {live} live ones"
    if dead > max(SMALL, BLOATED * live):
        return Finding(
            level="warning",
            subject="vacuum",
            text=text,
            remedy="look for long transactions, replication slots and standby feedback, which keep deleted rows alive",
        )
    if facts["autovacuum"] != "on":
        return Finding(
            level="warning",
            subject="vacuum",
            text=f"autovacuum is off: tables grow when no worker sweeps them; {text}",
            remedy="ALTER SYSTEM SET autovacuum = on, and SELECT pg_reload_conf()",
        )
    if facts["unswept"]:
        return Finding(
            level="warning",
            subject="vacuum",
            text=f"autovacuum is off for {facts['unswept']}: it grows when no worker sweeps it; {text}",
            remedy="ALTER TABLE ... RESET (autovacuum_enabled) for each",
        )
    return _ok("vacuum", text)


def _transactions(facts: dict[str, Any]) -> Finding:
    oldest = float(facts["oldest"] or 0)
    if oldest >= LONG_TRANSACTION:
        return Finding(
            level="warning",
            subject="transactions",
            text=f"a transaction in this database is open for {oldest:.0f} s, and keeps deleted rows from being swept",
            remedy="look for it in pg_stat_activity (backend_xmin, xact_start), end it, and set"
            " idle_in_transaction_session_timeout",
        )
    prepared = float(facts["prepared"] or 0)
    if prepared >= LONG_TRANSACTION:
        return Finding(
            level="warning",
            subject="transactions",
            text=f"a prepared transaction is open for {prepared:.0f} s, and keeps deleted rows from being swept",
            remedy="COMMIT PREPARED or ROLLBACK PREPARED it; pg_prepared_xacts shows its name",
        )
    return _ok("transactions", "none is open for long")


def _slots(facts: dict[str, Any]) -> Finding:
    if facts["idle_slots"]:
        return Finding(
            level="warning",
            subject="replication",
            text=f"nobody reads from {facts['idle_slots']}: deleted rows and log are kept for it, and fill the disk",
            remedy="bring its reader back, or SELECT pg_drop_replication_slot(name)",
        )
    held = int(facts["held"] or 0)
    if held >= LONG_HELD:
        return Finding(
            level="warning",
            subject="replication",
            text=f"a standby keeps deleted rows of the last {held} transactions from being swept",
            remedy="end long queries there, or set hot_standby_feedback = off on it",
        )
    return _ok("replication", "no replication slot keeps deleted rows")


def _age(age: int) -> Finding:
    text = f"{age} transactions since the database was last frozen"
    if age < WORN:
        return _ok("transaction ids", text)
    remedy = (
        "VACUUM FREEZE the database, and see what keeps autovacuum from doing it: at 2,000,000,000 it takes no writes"
    )
    return Finding(level="warning", subject="transaction ids", text=text, remedy=remedy)


def _connections(facts: dict[str, Any]) -> Finding:
    user, database = facts["user"], facts["database"]
    room = int(facts["max_connections"]) - int(facts["superuser_reserved_connections"] or 0)
    limits = (
        (int(facts["connections"] or 0), room, "of the server", "raise max_connections, or put PgBouncer before it"),
        (
            int(facts["database_connections"] or 0),
            int(facts["database_limit"] or -1),
            f"of database {database!r}",
            f'ALTER DATABASE "{database}" CONNECTION LIMIT -1, or a higher number',
        ),
        (
            int(facts["user_connections"] or 0),
            int(facts["user_limit"] or -1),
            f"of user {user!r}",
            f'ALTER ROLE "{user}" CONNECTION LIMIT -1, or a higher number',
        ),
    )
    for used, most, whose, remedy in limits:
        if most >= 0 and used >= NEARLY_FULL * most:
            text = f"{used} of {most} connections {whose} are used"
            return Finding(level="warning", subject="connections", text=text, remedy=remedy)
    return _ok(
        "connections", f"{limits[0][0]} of {room} connections of the server are used; a worker needs children + 2"
    )


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:g} s"


def _ok(subject: str, text: str) -> Finding:
    return Finding(level="ok", subject=subject, text=text)


def _mib(size: int) -> str:
    return f"{size / MIB:.1f} MiB"
