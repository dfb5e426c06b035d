"""What is wrong with a database for results, as far as SQL can tell. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from sqlalchemy import text

from celeriac.brokers.port import Finding, Level
from celeriac.errors import SchemaError
from celeriac.results.database.requests import Run

Facts: TypeAlias = Mapping[str, str]

_MYSQL: Final = (
    "SHOW VARIABLES WHERE Variable_name IN ('version', 'innodb_flush_log_at_trx_commit', 'innodb_doublewrite',"
    " 'log_bin', 'sync_binlog', 'max_allowed_packet', 'max_connections', 'read_only', 'super_read_only',"
    " 'wait_timeout')",
    "SHOW GLOBAL STATUS WHERE Variable_name = 'Threads_connected'",
)
_LOOKS: Final = {
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
    "postgresql": (
        "SELECT name, setting FROM pg_settings WHERE name IN ('server_version', 'synchronous_commit', 'fsync',"
        " 'max_connections', 'superuser_reserved_connections')",
        "SELECT 'read_only', current_setting('transaction_read_only')"
        " UNION ALL SELECT 'threads_connected', sum(numbackends)::text FROM pg_stat_database",
    ),
    "sqlite": (
        "SELECT 'version', sqlite_version()",
        "SELECT 'synchronous', synchronous FROM pragma_synchronous",
        "SELECT 'journal_mode', journal_mode FROM pragma_journal_mode",
    ),
}
_NAMES: Final = {"mysql": "MySQL", "mariadb": "MariaDB", "postgresql": "PostgreSQL", "sqlite": "SQLite"}
SMALL_PACKET: Final = 36 * 1024 * 1024
"""Least bytes that MySQL must take at once, lest a result of 16 MiB, which is the most, be refused: client libraries
escape bytes, which can double them."""
NEARLY_FULL: Final = 0.8
SHORT_WAIT: Final = 60
"""Seconds without a request, after which a server had better not close a connection yet."""


def looks(dialect: str) -> list[Run]:
    """Return what to ask a database of this dialect, each for names and values; nothing where it is not known."""
    return [Run(text(sql)) for sql in _LOOKS.get(dialect, ())]


def told(dialect: str, tables: int | SchemaError, facts: Mapping[str, Any]) -> list[Finding]:
    """Return the findings.

    Args:
        dialect: Such as ``mysql``.
        tables: Their version, or what is wrong with them.
        facts: What the database answered to :func:`looks`.
    """
    found = [_tables(tables)]
    known = {name.lower(): str(value) for name, value in facts.items()}
    judges: tuple[Callable[[str, Facts], Finding], ...]
    match dialect:
        case "mysql" | "mariadb":
            judges = (_server, _mysql_durability, _mysql_role, _connections, _packet, _wait)
        case "postgresql":
            judges = (_server, _postgres_durability, _postgres_role, _connections)
        case "sqlite":
            judges = (_server, _sqlite_durability, _journal)
        case _:
            remedy = "try it, or keep results in PostgreSQL, MySQL, MariaDB, SQLite or Redis"
            return [*found, _advise("server", f"Celeriac is not tested with {dialect}", remedy)]
    return [*found, *(judge(dialect, known) for judge in judges)]


def _tables(tables: int | SchemaError) -> Finding:
    if isinstance(tables, int):
        return _ok("tables", f"version {tables}, complete")
    told, _, remedy = " ".join(str(tables).split()).partition(": ")
    return _bad("error", "tables", told, remedy or "run celeriac db upgrade")


def _server(dialect: str, facts: Facts) -> Finding:
    version = facts.get("version") or facts.get("server_version", "of unknown version")
    return _ok("server", f"{'MariaDB' if 'mariadb' in version.lower() else _NAMES[dialect]} {version}")


# Durability.

_SAFE: Final = "a result is on disk when it is stored"
_LAX: Final = "a loss of power may cost the last results; the end of a process never does"


def _mysql_durability(_dialect: str, facts: Facts) -> Finding:
    if facts.get("innodb_doublewrite", "ON").upper() in ("OFF", "0"):
        remedy = "set innodb_doublewrite = ON, unless the file system writes pages whole"
        return _bad("warning", "durability", "innodb_doublewrite is off: a loss of power may damage pages", remedy)
    if facts.get("innodb_flush_log_at_trx_commit", "1") != "1":
        return _advise("durability", _LAX, "set innodb_flush_log_at_trx_commit = 1, if that matters more than speed")
    if facts.get("log_bin", "OFF").upper() in ("ON", "1") and facts.get("sync_binlog", "1") != "1":
        # What the binary log lacks after a crash is rolled back.
        return _advise("durability", _LAX, "set sync_binlog = 1, if that matters more than speed")
    return _ok("durability", _SAFE)


def _postgres_durability(_dialect: str, facts: Facts) -> Finding:
    if facts.get("fsync") == "off":
        text = "fsync is off: a crash of the machine may damage the whole database"
        return _bad("warning", "durability", text, "set fsync = on in postgresql.conf")
    if facts.get("synchronous_commit") == "off":
        remedy = "SET synchronous_commit = on for the user, if that matters more than speed"
        return _advise("durability", "a crash of the server may cost the last results", remedy)
    return _ok("durability", _SAFE)


def _sqlite_durability(_dialect: str, facts: Facts) -> Finding:
    if facts.get("synchronous") != "0":
        return _ok("durability", _SAFE)
    return _advise("durability", _LAX, "PRAGMA synchronous = FULL, if that matters more than speed")


# The rest.


def _mysql_role(_dialect: str, facts: Facts) -> Finding:
    if facts.get("super_read_only", "OFF").upper() in ("ON", "1"):
        return _bad("error", "role", "super_read_only is on: the server takes no writes", "name the primary in the URL")
    # MariaDB knows more than two values.
    if facts.get("read_only", "OFF").upper() not in ("OFF", "0"):
        text = "read_only is on: the server takes writes of administrators only"
        return _bad("error", "role", text, "name the primary in the URL")
    return _ok("role", "takes writes")


def _postgres_role(_dialect: str, facts: Facts) -> Finding:
    if facts.get("read_only") != "on":
        return _ok("role", "takes writes")
    text = "the server is a standby, or transactions are read-only by default"
    return _bad("error", "role", text, "name the primary in the URL, or set default_transaction_read_only = off")


def _connections(_dialect: str, facts: Facts) -> Finding:
    used = int(facts.get("threads_connected") or 0)
    most = int(facts.get("max_connections") or 0) - int(facts.get("superuser_reserved_connections") or 0)
    text = f"{used} of {most} connections of the server are used"
    if used < NEARLY_FULL * most:
        return _ok("connections", text)
    return _bad("warning", "connections", text, "raise max_connections, or end what does not need its connection")


def _packet(_dialect: str, facts: Facts) -> Finding:
    size = int(facts.get("max_allowed_packet") or 0)
    shown = f"max_allowed_packet is {size / 1024 / 1024:.0f} MiB"
    if size >= SMALL_PACKET:
        return _ok("size of results", shown)
    remedy = "raise max_allowed_packet to 64 MiB, or lower the setting result_max_bytes to a third of it"
    return _advise("size of results", f"{shown}, and a task whose result does not fit becomes a dead letter", remedy)


def _wait(_dialect: str, facts: Facts) -> Finding:
    seconds = int(facts.get("wait_timeout") or 0)
    if seconds >= SHORT_WAIT:
        return _ok("wait_timeout", f"{seconds} s")
    text = f"the server closes connections after {seconds} s without a request, and they are opened again and again"
    return _advise("wait_timeout", text, "raise wait_timeout; 28800 is usual")


def _journal(_dialect: str, facts: Facts) -> Finding:
    mode = facts.get("journal_mode", "unknown")
    if mode in ("wal", "memory"):
        return _ok("journal", f"journal mode {mode}")
    remedy = "PRAGMA journal_mode = WAL, so that reading and writing do not keep each other waiting"
    return _advise("journal", f"the journal mode is {mode}", remedy)


def _ok(subject: str, text: str) -> Finding:
    return Finding(level="ok", subject=subject, text=text)


def _advise(subject: str, text: str, remedy: str) -> Finding:
    return _bad("advice", subject, text, remedy)


def _bad(level: Level, subject: str, text: str, remedy: str) -> Finding:
    return Finding(level=level, subject=subject, text=text, remedy=remedy)
