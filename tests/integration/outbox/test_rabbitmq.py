"""The outbox in front of RabbitMQ, paired with Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy.orm import sessionmaker

from celeriac import Celeriac
from celeriac.contrib.sqlalchemy import Outbox
from celeriac.core.message import Settlement
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
@pytest.mark.timeout(150)
def test_killed_at_every_step_it_loses_and_doubles_nothing(app: Celeriac, tmp_path: Path) -> None:
    """What was published before the relay was killed runs at once: RabbitMQ does not know it any more."""
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    outbox = Outbox(app, engine)
    outbox.create()
    sessions = outbox.bind(sessionmaker(engine))
    sent: list[str] = []
    ran: list[str] = []
    for step in (*STEPS, "empty"):
        with sessions.begin():
            sent += [app.tasks["receipt"].delay(number).id for number in range(15)]
        relay_in_process(outbox, app, step)
        ran += run_all(app)

    def all_ran() -> bool:
        ran.extend(run_all(app))
        return set(ran) == set(sent)

    wait_for(all_ran, 20, "every task")
    for _ in range(10):
        all_ran()
    assert ran == sent
    engine.dispose()


def run_all(app: Celeriac) -> list[str]:
    """Claim and settle what is there, as workers whose results are ignored; return the ids."""
    found: list[str] = []
    while deliveries := app.broker.claim(["celery"], 500, "worker", 60.0):
        found += [one.lease.id for one in deliveries]
        app.broker.settle([Settlement(lease=one.lease, action="done") for one in deliveries])
    return found
