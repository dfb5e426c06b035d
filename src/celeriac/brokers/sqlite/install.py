"""Whose a file is, and how its schema is brought to the current version.

Guarantees: nothing is written to a file that is not Celeriac's or that a newer version wrote. An upgrade happens
entirely or not at all. Of many processes that find an old or empty file at once, one upgrades it and the others see
that it did.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from celeriac.brokers.sqlite.schema import APPLICATION_ID
from celeriac.errors import SchemaError


def version_of(raw: sqlite3.Connection, path: str, newest: int) -> int:
    """Return the version of the schema, 0 for an empty file.

    Args:
        raw: An open connection.
        path: The file, for the text of errors.
        newest: The latest version that is known here.

    Raises:
        SchemaError: The file is somebody else's, or was written by a newer version.
    """
    # One statement sees one state of the file, although another process may be creating the schema just now.
    ((mark, version, objects),) = raw.execute(
        "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_master)"
        " FROM pragma_application_id, pragma_user_version"
    ).fetchall()
    if mark == APPLICATION_ID and version <= newest:
        return int(version)
    if mark == APPLICATION_ID:
        raise SchemaError(
            f"SQLite broker file {path} has schema version {version}, and this version of Celeriac knows {newest}:"
            " upgrade Celeriac here too, or use another file"
        )
    if (mark, version, objects) == (0, 0, 0):
        return 0
    raise SchemaError(
        f"SQLite file {path} belongs to another application (application id {mark:#x}): name another file in the URL"
    )


def upgrade(raw: sqlite3.Connection, path: str, migrations: Sequence[str]) -> None:
    """Create the schema or bring it to the last version, in one transaction.

    Args:
        raw: An open connection.
        path: The file, for the text of errors.
        migrations: All of them, from the first.

    Raises:
        SchemaError: The file is somebody else's, or was written by a newer version.
    """
    raw.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have been here since the version was read.
        for text in migrations[version_of(raw, path, len(migrations)) :]:
            for statement in _statements(text):
                raw.execute(statement)
        raw.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        raw.execute(f"PRAGMA user_version = {len(migrations)}")
        raw.execute("COMMIT")
    except BaseException:
        if raw.in_transaction:
            raw.execute("ROLLBACK")
        raise


def _statements(text: str) -> list[str]:
    """Cut a migration into its statements. (``executescript`` would commit before each of them.)"""
    statements: list[str] = []
    pending = ""
    for line in text.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            statements.append(pending)
            pending = ""
    return statements
