"""Tasks sent within the caller's transaction in the broker's file: there after its commit, never after its rollback."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from celeriac import Celeriac
from celeriac.errors import ImproperlyConfigured, InvalidTaskError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shop.db"


@pytest.fixture
def app(path: Path) -> Iterator[Celeriac]:
    app = Celeriac("shop", broker=f"sqlite:///{path}", backend=f"sqlite:///{path}")

    @app.task(name="ship")
    def ship(order: int) -> int:
        return order

    app.broker.install()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE orders (id INTEGER)")
    yield app
    app.close()


def manual(connection: sqlite3.Connection) -> None:
    """The caller says BEGIN itself."""
    connection.isolation_level = None


def with_rows(connection: sqlite3.Connection) -> None:
    connection.row_factory = lambda cursor, row: {"row": row}
    connection.text_factory = bytes


KINDS = {"begun by sqlite3": lambda connection: None, "begun by hand": manual, "strange rows": with_rows}


@pytest.fixture(params=KINDS)
def mine(request: pytest.FixtureRequest, app: Celeriac, path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path, timeout=1)) as connection:
        KINDS[request.param](connection)
        yield connection


def begin(connection: sqlite3.Connection) -> None:
    if connection.isolation_level is None:
        connection.execute("BEGIN")


def waiting(app: Celeriac) -> int:
    """Return how many tasks the broker holds, as others see it."""
    return sum(queue.ready + queue.scheduled for queue in app.broker.stats())


def orders(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        ((count,),) = connection.execute("SELECT count(*) FROM orders").fetchall()
    return int(count)


@pytest.mark.parametrize("ends", ["commit", "rollback"])
@pytest.mark.parametrize("first", ["row", "task"])
def test_task_is_there_with_the_commit_and_not_with_the_rollback(
    app: Celeriac, mine: sqlite3.Connection, path: Path, ends: str, first: str
) -> None:
    def insert() -> None:
        mine.execute("INSERT INTO orders VALUES (1)")

    begin(mine)
    if first == "row":
        insert()
    for nth in range(3):
        app.tasks["ship"].apply_async((nth,), connection=mine)
    app.tasks["ship"].apply_async((9,), connection=mine, countdown=60)
    if first == "task":
        insert()
    assert mine.in_transaction
    assert (waiting(app), orders(path)) == (0, 0), "before the commit"
    getattr(mine, ends)()
    assert (waiting(app), orders(path)) == ((4, 1) if ends == "commit" else (0, 0))


def test_savepoint_takes_its_tasks_back(app: Celeriac, mine: sqlite3.Connection) -> None:
    begin(mine)
    with app.transaction(mine):
        mine.execute("INSERT INTO orders VALUES (1)")
        kept = app.tasks["ship"].delay(1)
        mine.execute("SAVEPOINT inner")
        app.tasks["ship"].delay(2)
        mine.execute("ROLLBACK TO inner")
    mine.commit()
    assert waiting(app) == 1
    assert [record.id for record in app.broker.get([kept.id])] == [kept.id]


def test_task_that_cannot_be_kept_leaves_the_transaction_as_it_was(
    app: Celeriac, mine: sqlite3.Connection, path: Path
) -> None:
    begin(mine)
    mine.execute("INSERT INTO orders VALUES (1)")
    with pytest.raises(InvalidTaskError):
        app.tasks["ship"].apply_async((1,), connection=mine, task_id="\ud800")
    app.tasks["ship"].apply_async((2,), connection=mine)
    mine.commit()
    assert (waiting(app), orders(path)) == (1, 1)


def test_without_a_transaction_of_the_caller_it_takes_effect_at_once(app: Celeriac, path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        app.tasks["ship"].apply_async((1,), connection=connection)
        assert not connection.in_transaction
        assert waiting(app) == 1


def test_driver_connection_of_sqlalchemy(app: Celeriac, path: Path) -> None:
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("INSERT INTO orders VALUES (1)"))
        app.tasks["ship"].apply_async((1,), connection=connection.connection.driver_connection)
        assert waiting(app) == 0
        connection.rollback()
        assert waiting(app) == 0
        connection.begin()
        app.tasks["ship"].apply_async((1,), connection=connection.connection.driver_connection)
        connection.commit()
    engine.dispose()
    assert (waiting(app), orders(path)) == (1, 0)


@pytest.mark.parametrize("place", [":memory:", "other.db"])
def test_connection_to_another_file_is_refused(app: Celeriac, tmp_path: Path, place: str) -> None:
    address = place if place == ":memory:" else str(tmp_path / place)
    with contextlib.closing(sqlite3.connect(address)) as connection:
        with pytest.raises(ImproperlyConfigured, match="cannot span both"):
            app.tasks["ship"].apply_async((1,), connection=connection)
        assert not connection.in_transaction
    assert waiting(app) == 0


@pytest.mark.parametrize("given", [object(), 3])
def test_what_is_no_connection_is_refused_by_name(app: Celeriac, given: Any) -> None:
    with pytest.raises(TypeError, match=r"sqlite3\.Connection"):
        app.tasks["ship"].apply_async((1,), connection=given)


async def test_coroutines_are_told_what_to_use(app: Celeriac, path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, pytest.raises(TypeError, match="apply_async"):
        await app.tasks["ship"].aapply_async((1,), connection=connection)
