"""A server for all tests of this process, and a schema of its own for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from celeriac import Celeriac
from tests.support.postgres import PostgresServer
from tests.support.postgres_time import server as shared_server


@pytest.fixture
def server() -> PostgresServer:
    """A server that other tests use, too: look, do not break."""
    return shared_server()


@pytest.fixture
def schema(server: PostgresServer) -> Iterator[str]:
    with server.schema() as name:
        yield name


@pytest.fixture
def app(server: PostgresServer, schema: str) -> Iterator[Celeriac]:
    url = server.url(schema=schema)
    with Celeriac("tests", broker=url, backend=url, set_as_current=False) as app:

        @app.task(name="add")
        def add(a: int, b: int) -> int:
            return a + b

        app.broker.install()
        yield app
