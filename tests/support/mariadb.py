"""Databases on the machine's MariaDB; each test has one of its own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from uuid import uuid4

import sqlalchemy

ADDRESS = os.environ.get("CELERIAC_TEST_MARIADB", "mysql+pymysql://root@127.0.0.1:3306")


@contextlib.contextmanager
def database() -> Iterator[str]:
    """Yield the URL of an empty database."""
    name = f"shop_{uuid4().hex[:12]}"
    engine = sqlalchemy.create_engine(ADDRESS, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
        yield f"{ADDRESS}/{name}"
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(f"DROP DATABASE {name}"))
    finally:
        engine.dispose()
