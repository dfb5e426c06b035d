"""What is asked for often finds its rows by an index, however many others there are."""

from __future__ import annotations

import os
from typing import Any, Final

import sqlalchemy
from sqlalchemy import create_engine, event

from celeriac import results
from celeriac.core.clock import SYSTEM
from celeriac.core.message import StoredResult
from celeriac.results.database.statements import Statements, server_time
from celeriac.results.database.tables import Tables
from celeriac.results.database.url import parse
from tests.support.mariadb import MariadbServer
from tests.support.postgres_time import server as postgres_server

ROWS: Final = 3000


def plans(url: str) -> list[str]:
    """Return how the database finds what has expired, and results by their ids."""
    location = parse(f"{url}{'&' if '?' in url else '?'}table=t{os.urandom(5).hex()}")
    with results.open_results(f"{url}{'&' if '?' in url else '?'}table={location.table}") as store:
        store.store([StoredResult(id=f"r{n}", state="SUCCESS", expires=4e9 + n) for n in range(ROWS)])
    tables = Tables(location.table, location.schema)
    statements = Statements(tables, location.dialect, server_time(location.dialect, SYSTEM.now))
    engine = create_engine(location.url)
    with engine.connect() as connection:
        if location.dialect == "postgresql":
            connection.execute(sqlalchemy.text(f"ANALYZE {location.table}"))
        parameters: list[tuple[Any, dict[str, Any]]] = [
            (statements.expired, {"most": 500}),
            (statements.fetch, {"ids": ["r1", "r2"]}),
        ]
        event.listen(connection, "before_cursor_execute", _explained, retval=True)
        found = [" ".join(map(str, connection.execute(statement, values))) for statement, values in parameters]
        event.remove(connection, "before_cursor_execute", _explained)
        tables.metadata.drop_all(connection)
        connection.commit()
    engine.dispose()
    return found


def _explained(connection: Any, cursor: Any, statement: str, parameters: Any, *more: Any) -> tuple[str, Any]:
    return f"EXPLAIN {statement}", parameters


def test_mariadb_asks_an_index() -> None:
    with MariadbServer() as server:
        expired, fetch = plans(server.url())
    assert "_expires" in expired
    assert "PRIMARY" in fetch


def test_postgresql_asks_an_index() -> None:
    place = postgres_server().url().partition("://")[2].partition("?")[0]
    expired, fetch = plans(f"db+postgresql+psycopg://{place}")
    assert "_expires" in expired
    assert "_pkey" in fetch
