"""An application with a database of its own: what the tests of the outbox send from."""

from __future__ import annotations

import atexit
import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import sqlalchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tests.support.mariadb import MariadbServer
from tests.support.postgres_time import server as postgres_server


@functools.cache
def _mariadb() -> MariadbServer:
    """Return the server of this test process, started with its first use."""
    found = MariadbServer()
    atexit.register(found.close)
    return found.__enter__()


@contextlib.contextmanager
def mariadb_database() -> Iterator[str]:
    """Yield the URL of an empty database."""
    name = f"shop_{uuid4().hex[:12]}"
    address = _mariadb().url("").removeprefix("db+").rstrip("/")
    engine = sqlalchemy.create_engine(address, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
        yield f"{address}/{name}"
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(f"DROP DATABASE {name}"))
    finally:
        engine.dispose()


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)


@contextlib.contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    """Yield the URL of an empty database of this kind."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'shop.db'}"
    elif kind == "postgresql":
        server = postgres_server()
        name = f"shop_{uuid4().hex[:12]}"
        server.ask(f"CREATE DATABASE {name}", database="postgres")
        yield f"postgresql+psycopg://tester@127.0.0.1:{server.port}/{name}"
        server.ask(f"DROP DATABASE {name} WITH (FORCE)", database="postgres")
    else:
        with mariadb_database() as url:
            yield url
