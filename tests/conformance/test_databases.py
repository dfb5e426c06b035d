"""A result store in a database passes every case of the conformance suite that is about results, in every mode.

MariaDB, PostgreSQL and SQLite by way of SQLAlchemy, and SQLite once more with nothing but what every database
understands. The servers are this test process's own; their time is moved by an expression in the statements.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, cast

import pytest
from sqlalchemy import ColumnElement, Double, create_engine, literal_column

from celeriac.brokers.port import AnyDriver, Capabilities
from celeriac.core.clock import SYSTEM
from celeriac.results.database.driver import DatabaseStore
from celeriac.results.database.statements import server_time
from celeriac.results.database.tables import Tables
from celeriac.results.database.url import Location, parse
from celeriac.testing.conformance import MODES, Case, Mode, applicable, left_out, run
from celeriac.testing.conformance.alone import RESULTS
from tests.support.mariadb import MariadbServer
from tests.support.postgres_time import server as postgres_server

CAPABILITIES: Final = Capabilities(name="database", durable=True, shared=True, results=True, push=False, messages=False)
_servers = ExitStack()
_mariadb: list[MariadbServer] = []


@pytest.fixture(scope="module", autouse=True)
def servers() -> Iterator[None]:
    yield
    _servers.close()
    _mariadb.clear()


def _on_mariadb(directory: Path) -> str:
    if not _mariadb:
        _mariadb.append(_servers.enter_context(MariadbServer()))
    return _mariadb[0].url()


def _on_postgres(directory: Path) -> str:
    found = postgres_server().url()
    return f"db+postgresql+psycopg://{found.partition('://')[2].partition('?')[0]}?schema=results"


def _on_sqlite(directory: Path) -> str:
    return f"db+sqlite:///{directory}/results.db"


PLACES: Final[dict[str, Callable[[Path], str]]] = {
    "mariadb": _on_mariadb,
    "postgresql": _on_postgres,
    "sqlite": _on_sqlite,
    "generic": _on_sqlite,
}


class Database:
    """A binding: a table of its own, and a clock that is as far ahead of the server's as the case wants."""

    lease = 10.0

    def __init__(self, name: str, directory: Path) -> None:
        url = PLACES[name](directory)
        join = "&" if "?" in url else "?"
        self._location: Final[Location] = parse(f"{url}{join}table=t{os.urandom(5).hex()}&timeout=20")
        self._generic: Final = name == "generic"
        self._server: Final = server_time(self._location.dialect, SYSTEM.now)
        self._offset = 0.0
        self._time: ColumnElement[Any] = self._server

    def connect(self) -> AnyDriver:
        store: Any = DatabaseStore(self._location, SYSTEM, now=lambda: self._time, generic=self._generic)
        return cast("AnyDriver", store)

    def now(self) -> float:
        return time.time() + self._offset

    async def advance(self, seconds: float) -> None:
        self._offset += seconds
        self._time = self._server + literal_column(f"{self._offset!r}", Double())

    def close(self) -> None:
        engine = create_engine(self._location.url)
        Tables(self._location.table, self._location.schema).metadata.drop_all(engine)
        engine.dispose()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", applicable(CAPABILITIES), ids=str)
@pytest.mark.parametrize("place", PLACES)
def test_a_database_keeps_the_contract(place: str, case: Case, mode: Mode, tmp_path: Path) -> None:
    binding = Database(place, tmp_path)
    try:
        run(case, binding, mode)
    finally:
        binding.close()


@pytest.mark.parametrize("place", PLACES)
def test_what_a_database_is_and_which_groups_are_not_about_it(place: str, tmp_path: Path) -> None:
    assert Database(place, tmp_path).connect().capabilities == CAPABILITIES
    assert {str(case) for case in applicable(CAPABILITIES)} == RESULTS
    about = "batches-results concurrency-results examine faults-results names-results prune-results results"
    about += " results-hostile-bytes schema schema-missing waiter-results"
    assert {case.group for case in applicable(CAPABILITIES)} == set(about.split())
    assert not left_out(CAPABILITIES) & set(about.split())
