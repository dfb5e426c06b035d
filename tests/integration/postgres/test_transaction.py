"""Tasks sent within the caller's transaction: there after its commit, never there after its rollback."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pg8000.dbapi
import psycopg
import pytest
import sqlalchemy
from psycopg.rows import dict_row
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from celeriac import Celeriac
from celeriac.errors import ImproperlyConfigured, OperationalError, SchemaError
from tests.support.postgres import PostgresServer


def waiting(app: Celeriac) -> int:
    """Return how many tasks the broker holds, as others see it."""
    return sum(queue.ready + queue.scheduled for queue in app.broker.stats())


@contextlib.contextmanager
def plain_psycopg(server: PostgresServer) -> Iterator[Any]:
    address = f"host=127.0.0.1 port={server.port} user=tester dbname=test"
    # Neither the caller's rows nor its kind of cursor may matter.
    with contextlib.closing(
        psycopg.Connection[Any].connect(address, row_factory=dict_row, cursor_factory=psycopg.RawCursor)
    ) as connection:
        yield connection


@contextlib.contextmanager
def plain_pg8000(server: PostgresServer) -> Iterator[Any]:
    with contextlib.closing(
        pg8000.dbapi.connect("tester", host="127.0.0.1", port=server.port, database="test")
    ) as connection:
        yield connection


@contextlib.contextmanager
def engine(server: PostgresServer, driver: str = "psycopg") -> Iterator[sqlalchemy.Engine]:
    found = sqlalchemy.create_engine(f"postgresql+{driver}://tester@127.0.0.1:{server.port}/test")
    yield found
    found.dispose()


@contextlib.contextmanager
def sqlalchemy_session(server: PostgresServer) -> Iterator[Any]:
    with engine(server) as found, Session(found) as session:
        yield session


@contextlib.contextmanager
def sqlalchemy_scoped_session(server: PostgresServer) -> Iterator[Any]:
    with engine(server) as found:
        session = scoped_session(sessionmaker(found))
        yield session
        session.remove()


@contextlib.contextmanager
def sqlalchemy_connection(server: PostgresServer) -> Iterator[Any]:
    with engine(server) as found, found.connect() as connection:
        yield connection


@contextlib.contextmanager
def sqlalchemy_on_pg8000(server: PostgresServer) -> Iterator[Any]:
    with engine(server, "pg8000") as found, found.connect() as connection:
        yield connection


BLOCKING = [
    plain_psycopg,
    plain_pg8000,
    sqlalchemy_session,
    sqlalchemy_scoped_session,
    sqlalchemy_connection,
    sqlalchemy_on_pg8000,
]


@pytest.mark.parametrize("make", BLOCKING)
def test_a_task_is_there_with_the_commit_and_not_before(make: Any, server: PostgresServer, app: Celeriac) -> None:
    add = app.tasks["add"]
    with make(server) as connection:
        with app.transaction(connection):
            first = add.delay(1, 2)
            app.send_tasks([add.s(2, n) for n in range(3)])
        second = add.apply_async((3, 4), connection=connection, queue="urgent", priority=9, task_id="quote ' \" \\ é")
        assert waiting(app) == 0
        connection.commit()
    assert waiting(app) == 5
    assert [record.id for record in app.broker.get([first.id, second.id])] == [first.id, second.id]


@pytest.mark.parametrize("make", BLOCKING)
def test_a_task_is_gone_with_the_rollback(make: Any, server: PostgresServer, app: Celeriac) -> None:
    with make(server) as connection:
        with app.transaction(connection):
            app.tasks["add"].delay(1, 2)
        connection.rollback()
        assert waiting(app) == 0
        with app.transaction(connection):  # And the connection is as good as before.
            app.tasks["add"].delay(1, 2)
        connection.commit()
    assert waiting(app) == 1


def test_a_rollback_to_a_savepoint_takes_what_was_sent_since(server: PostgresServer, app: Celeriac) -> None:
    add = app.tasks["add"]
    with plain_psycopg(server) as connection, app.transaction(connection):
        kept = add.delay(1, 1)
        with contextlib.suppress(ZeroDivisionError), connection.transaction():
            add.delay(2, 2)
            raise ZeroDivisionError
        connection.commit()
    with sqlalchemy_session(server) as session, app.transaction(session):
        nested = session.begin_nested()
        add.delay(3, 3)
        nested.rollback()
        also = add.delay(4, 4)
        session.commit()
    records = app.broker.page(["PENDING"], None, 0, 10)
    assert [record.id for record in records] == [kept.id, also.id]


def test_outside_of_the_block_tasks_go_their_own_way(server: PostgresServer, app: Celeriac) -> None:
    add = app.tasks["add"]
    with plain_psycopg(server) as connection:
        with app.transaction(connection):
            with app.transaction(connection):
                add.delay(1, 1)
            add.delay(2, 2)
        own = add.delay(3, 3)
        connection.rollback()
    assert [record.id for record in app.broker.page(["PENDING"], None, 0, 10)] == [own.id]


def test_a_block_is_for_its_own_app(server: PostgresServer, app: Celeriac) -> None:
    with Celeriac(broker="memory://other", set_as_current=False) as other, plain_psycopg(server) as connection:
        with app.transaction(connection):
            other.send_task("anything")
        connection.rollback()
        assert waiting(other) == 1


def test_a_commit_wakes_who_waits(server: PostgresServer, app: Celeriac) -> None:
    waiter = app.broker.waiter()
    try:
        while waiter.wait(0.1):
            pass
        with plain_psycopg(server) as connection, app.transaction(connection):
            app.tasks["add"].delay(1, 2)
            assert not waiter.wait(0.1)
            connection.commit()
            assert waiter.wait(10)
    finally:
        waiter.close()


def test_an_id_that_is_known_is_sent_once(server: PostgresServer, app: Celeriac) -> None:
    add = app.tasks["add"]
    add.apply_async((1, 2), task_id="same")
    with plain_psycopg(server) as connection, app.transaction(connection):
        add.apply_async((3, 4), task_id="same")
        connection.commit()
    assert waiting(app) == 1


def test_a_failed_transaction_is_said_to_have_failed(server: PostgresServer, app: Celeriac) -> None:
    with plain_psycopg(server) as connection, app.transaction(connection):
        with pytest.raises(psycopg.errors.UndefinedTable):
            psycopg.Cursor(connection).execute("SELECT * FROM nowhere")
        with pytest.raises(OperationalError, match="roll it back"):
            app.tasks["add"].delay(1, 2)
        connection.rollback()


@pytest.mark.parametrize("make", BLOCKING)
def test_another_database_is_told_apart(make: Any, server: PostgresServer) -> None:
    url = server.url(schema="not_installed_here")
    with Celeriac(broker=url, set_as_current=False) as app, make(server) as connection:
        with pytest.raises(SchemaError, match="celeriac db upgrade"), app.transaction(connection):
            app.send_task("any")
        connection.rollback()


def test_what_is_no_connection_is_refused(app: Celeriac, server: PostgresServer) -> None:
    with pytest.raises(TypeError, match=r"builtins\.str is no connection"):
        app.tasks["add"].apply_async((1, 2), connection="postgresql://")
    with (
        Celeriac(broker="memory://no-transactions", set_as_current=False) as other,
        plain_psycopg(server) as connection,
        pytest.raises(ImproperlyConfigured, match="memory://no-transactions"),
    ):
        other.send_task("any", connection=connection)


# Coroutines.


async def test_bare_connection_of_asyncpg_is_refused_by_name(server: PostgresServer, app: Celeriac) -> None:
    connection = await asyncpg.connect(host="127.0.0.1", port=server.port, user="tester", database="test")
    with pytest.raises(TypeError, match=r"asyncpg.*AsyncSession.*SQLAlchemy"):
        await app.tasks["add"].aapply_async((1, 2), connection=connection)
    await connection.close()
    assert waiting(app) == 0


@contextlib.asynccontextmanager
async def async_psycopg(server: PostgresServer) -> AsyncIterator[Any]:
    address = f"host=127.0.0.1 port={server.port} user=tester dbname=test"
    connection = await psycopg.AsyncConnection.connect(address)
    yield connection
    await connection.close()


@contextlib.asynccontextmanager
async def async_session(server: PostgresServer) -> AsyncIterator[AsyncSession]:
    engine = create_async_engine(f"postgresql+psycopg://tester@127.0.0.1:{server.port}/test")
    async with AsyncSession(engine) as session:
        yield session
    await engine.dispose()


@contextlib.asynccontextmanager
async def async_connection(server: PostgresServer) -> AsyncIterator[AsyncConnection]:
    engine = create_async_engine(f"postgresql+psycopg://tester@127.0.0.1:{server.port}/test")
    async with engine.connect() as connection:
        yield connection
    await engine.dispose()


@contextlib.asynccontextmanager
async def asyncpg_session(server: PostgresServer) -> AsyncIterator[AsyncSession]:
    engine = create_async_engine(f"postgresql+asyncpg://tester@127.0.0.1:{server.port}/test")
    async with AsyncSession(engine) as session:
        yield session
    await engine.dispose()


AWAITING = [async_psycopg, async_session, async_connection, asyncpg_session]


@pytest.mark.parametrize("make", AWAITING)
async def test_coroutines_take_part_too(make: Any, server: PostgresServer, app: Celeriac) -> None:
    add = app.tasks["add"]
    async with make(server) as connection:
        async with app.transaction(connection):
            await add.adelay(1, 2)
            await app.asend_tasks([add.s(2, n) for n in range(3)])
            with pytest.raises(TypeError, match="adelay"):
                add.delay(1, 2)
        await add.aapply_async((3, 4), connection=connection)
        assert waiting(app) == 0
        await connection.commit()
        assert waiting(app) == 5
        async with app.transaction(connection):
            await add.adelay(1, 2)
        await connection.rollback()
    assert waiting(app) == 5


async def test_a_blocking_connection_is_refused_in_coroutines(server: PostgresServer, app: Celeriac) -> None:
    with plain_psycopg(server) as connection, app.transaction(connection), pytest.raises(TypeError, match="coroutines"):
        await app.tasks["add"].adelay(1, 2)
