"""Transactions that a server ends by itself if their process stands still, or its machine is gone, in the middle.

Otherwise such a process would keep its locks, and whoever is to take over would wait for them: in PostgreSQL until the
connection breaks, which it may notice after hours. SQLite has nobody who could end a transaction.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Generator

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError


@contextlib.contextmanager
def bounded(engine: Engine, idle: float) -> Generator[Connection]:
    """Yield a connection in a transaction that is committed at the end, or rolled back with an error.

    Args:
        engine: The database; nothing stays changed in its connections.
        idle: Seconds without a statement after which the server ends the transaction; MySQL and MariaDB round them up.
    """
    if engine.dialect.name not in ("mysql", "mariadb"):
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = {math.ceil(idle * 1000)}"))
            yield connection
        return
    with engine.connect() as connection:
        # There is no such limit for a transaction alone in MySQL, so the one of the session is changed for its time.
        whole = max(1, math.ceil(idle))
        connection.execute(text(f"SET @celeriac_wait = @@SESSION.wait_timeout, SESSION wait_timeout = {whole}"))
        try:
            yield connection
            connection.commit()
        finally:
            with contextlib.suppress(SQLAlchemyError):  # One that is lost has nothing to be put back.
                connection.rollback()
                connection.execute(text("SET SESSION wait_timeout = @celeriac_wait"))
                connection.commit()
