"""Application databases of each kind, an app on Redis, and an outbox between them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy.orm import Session, sessionmaker

from celeriac import Celeriac
from celeriac.contrib.sqlalchemy import Outbox
from tests.support.redis_time import fresh_prefix
from tests.support.redis_time import server as redis_server
from tests.support.shop import Base, database


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with database(request.param, tmp_path) as found:
        yield found


@pytest.fixture
def engine(url: str) -> Iterator[sqlalchemy.Engine]:
    found = sqlalchemy.create_engine(url)
    Base.metadata.create_all(found)
    yield found
    found.dispose()


@pytest.fixture
def app() -> Iterator[Celeriac]:
    address = f"{redis_server().url}?prefix={fresh_prefix()}"
    with Celeriac("shop", broker=address, backend=address, set_as_current=False) as found:
        found.broker.install()

        @found.task(name="receipt")
        def receipt(order: int) -> int:
            return order

        yield found


@pytest.fixture
def outbox(app: Celeriac, engine: sqlalchemy.Engine) -> Outbox:
    found = Outbox(app, engine, lease=1.0)
    found.create()
    return found


@pytest.fixture
def sessions(outbox: Outbox, engine: sqlalchemy.Engine) -> sessionmaker[Session]:
    return outbox.bind(sessionmaker(engine))
