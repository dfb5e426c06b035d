"""The outbox in front of RabbitMQ, paired with Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy.orm import sessionmaker

from celeriac import Celeriac
from celeriac.contrib.sqlalchemy import Outbox
from tests.support.killed_relay import STEPS, relay_in_process
from tests.support.rabbitmq import close_shared, shared_node
from tests.support.redis_time import fresh_prefix, server
from tests.support.waiting import wait_for


@pytest.fixture(scope="module", autouse=True)
def node() -> Iterator[None]:
    yield
    close_shared()


@pytest.fixture
def app() -> Iterator[Celeriac]:
    store = f"{server().url}?prefix={fresh_prefix()}"
    with Celeriac("shop", broker=shared_node().url, backend=store, set_as_current=False) as found:
        found.broker.install()

        @found.task(name="receipt")
        def receipt(order: int) -> int:
            return order

        yield found


@pytest.mark.slow
def test_killed_at_every_step_it_loses_nothing_and_what_waits_is_doubled_nowhere(app: Celeriac, tmp_path: Path) -> None:
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    outbox = Outbox(app, engine)
    outbox.create()
    with outbox.bind(sessionmaker(engine)).begin():
        sent = [app.tasks["receipt"].delay(number).id for number in range(55)]
    for step in STEPS:
        relay_in_process(outbox, app, step)
    found: list[str] = []

    def all_claimed() -> bool:
        found.extend(one.lease.id for one in app.broker.claim(["celery"], 100, "worker", 60.0))
        return set(found) == set(sent)

    wait_for(all_claimed, 20, "every task in the queue")
    for _ in range(20):
        all_claimed()
    assert found == sent
    engine.dispose()
