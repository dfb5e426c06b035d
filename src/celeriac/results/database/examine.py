"""What is wrong with a database for results, as far as SQL can tell. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import text

from celeriac.brokers.port import Finding
from celeriac.results.database.requests import Run

_LOOKS: Final = {
    "mysql": ("SELECT VERSION()", "SELECT @@innodb_flush_log_at_trx_commit", "SELECT @@max_allowed_packet"),
    "mariadb": ("SELECT VERSION()", "SELECT @@innodb_flush_log_at_trx_commit", "SELECT @@max_allowed_packet"),
    "postgresql": ("SHOW server_version", "SHOW synchronous_commit"),
    "sqlite": ("SELECT sqlite_version()", "PRAGMA synchronous", "PRAGMA journal_mode"),
}
_NAMES: Final = {"mysql": "MySQL", "mariadb": "MariaDB", "postgresql": "PostgreSQL", "sqlite": "SQLite"}
SMALL_PACKET: Final = 36 * 1024 * 1024
"""Least bytes that MySQL must take at once, lest a result of 16 MiB, which is the most, be refused: client libraries
escape bytes, which can double them."""


def looks(dialect: str) -> list[Run]:
    """Return what to ask a database of this dialect; nothing where nothing is known of it."""
    return [Run(text(sql)) for sql in _LOOKS.get(dialect, ())]


def told(dialect: str, version: int, answers: Sequence[Any]) -> list[Finding]:
    """Return the findings.

    Args:
        dialect: Such as ``mysql``.
        version: Of the tables.
        answers: What the database answered to :func:`looks`.
    """
    found = [_ok("tables", f"version {version}, complete")]
    if not answers:
        text = f"Celeriac is not tested with {dialect}"
        found.append(_bad("server", text, "try it, or keep results in PostgreSQL, MySQL, MariaDB, SQLite or Redis"))
        return found
    server = "MariaDB" if "mariadb" in str(answers[0]).lower() else _NAMES[dialect]
    found.append(_ok("server", f"{server} {answers[0]}"))
    found.append(_durability(dialect, str(answers[1]).lower()))
    match dialect:
        case "mysql" | "mariadb":
            found.append(_packet(int(answers[2])))
        case "sqlite":
            found.append(_journal(str(answers[2])))
        case _:
            pass
    return found


def _durability(dialect: str, answer: str) -> Finding:
    lax = {
        "mysql": ("0", "2"),
        "mariadb": ("0", "2"),
        "postgresql": ("off",),
        "sqlite": ("0",),
    }[dialect]
    if answer not in lax:
        return _ok("durability", "a result is on disk when it is stored")
    remedy = {
        "postgresql": "SET synchronous_commit = on for the user, if that matters more than speed",
        "sqlite": "PRAGMA synchronous = FULL, if that matters more than speed",
    }.get(dialect, "set innodb_flush_log_at_trx_commit = 1, if that matters more than speed")
    return _bad("durability", "a loss of power may cost the last results; the end of a process never does", remedy)


def _packet(size: int) -> Finding:
    shown = f"max_allowed_packet is {size / 1024 / 1024:.0f} MiB"
    if size >= SMALL_PACKET:
        return _ok("size of results", shown)
    remedy = "raise max_allowed_packet to 64 MiB, or lower the setting result_max_bytes to a third of it"
    return _bad("size of results", f"{shown}, and a task whose result does not fit becomes a dead letter", remedy)


def _journal(mode: str) -> Finding:
    if mode in ("wal", "memory"):
        return _ok("journal", f"journal mode {mode}")
    remedy = "PRAGMA journal_mode = WAL, so that reading and writing do not keep each other waiting"
    return _bad("journal", f"the journal mode is {mode}", remedy)


def _ok(subject: str, text: str) -> Finding:
    return Finding(level="ok", subject=subject, text=text)


def _bad(subject: str, text: str, remedy: str) -> Finding:
    return Finding(level="advice", subject=subject, text=text, remedy=remedy)
