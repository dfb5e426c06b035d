"""Bulk calls work on the next batch while the server has the last one; nothing of that shows but the speed."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from celeriac import Celeriac
from celeriac.errors import OperationalError
from tests.support.postgres import PostgresServer
from tests.support.proxy import Proxy
from tests.support.servers import RedisServer

BATCH = 500


@pytest.fixture(scope="module", params=["redis", "postgresql"])
def url(request: pytest.FixtureRequest) -> Iterator[tuple[int, str]]:
    """Yield a server's port and a URL with ``{port}`` in it."""
    if request.param == "redis":
        with RedisServer() as redis:
            yield redis.port, "redis://127.0.0.1:{port}/0?timeout=10"
    else:
        with PostgresServer() as postgres:
            yield postgres.port, "postgresql://tester@127.0.0.1:{port}/test?timeout=10"


@pytest.fixture
def app(url: tuple[int, str]) -> Iterator[Celeriac]:
    port, text = url
    yield from _app(text.format(port=port))


def _app(broker: str, **settings: Any) -> Iterator[Celeriac]:
    app = Celeriac("bulk", broker=broker, set_as_current=False, task_default_queue=f"q{uuid.uuid4().hex}", **settings)
    app.task(name="bulk.note")(note)
    yield app
    app.close()


def note(number: int) -> None:
    """Is only sent."""


def kept(app: Celeriac) -> list[int]:
    found: list[int] = []
    queue = app.conf.task_default_queue
    while batch := app.broker.claim([queue], BATCH, "reader", 60.0):
        found += [int(str(one.message.argsrepr).strip("(,)")) for one in batch if one.message is not None]
    return found


def test_all_are_kept_in_order(app: Celeriac) -> None:
    receipts = app.tasks["bulk.note"].apply_many((number,) for number in range(4 * BATCH + 7))
    assert len({receipt.id for receipt in receipts}) == 4 * BATCH + 7
    assert kept(app) == list(range(4 * BATCH + 7))


def test_an_error_of_the_arguments_leaves_what_was_sent_before(app: Celeriac) -> None:
    def numbers() -> Iterator[tuple[int]]:
        for number in range(2 * BATCH + 10):
            yield (number,)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        app.tasks["bulk.note"].apply_many(numbers())
    assert kept(app) == list(range(2 * BATCH))


def test_the_generator_may_use_the_broker_itself(app: Celeriac) -> None:
    task = app.tasks["bulk.note"]

    def numbers() -> Iterator[tuple[int]]:
        for number in range(3 * BATCH):
            if number % BATCH == 7:
                task.delay(-number - 1)
            yield (number,)

    task.apply_many(numbers())
    found = kept(app)
    assert sorted(found) == sorted([*range(3 * BATCH), *(-number - 1 for number in range(7, 3 * BATCH, BATCH))])
    assert [number for number in found if number >= 0] == list(range(3 * BATCH))


def test_other_threads_need_not_wait_for_a_slow_generator(app: Celeriac) -> None:
    task = app.tasks["bulk.note"]
    waits, go_on = threading.Event(), threading.Event()

    def numbers() -> Iterator[tuple[int]]:
        for number in range(2 * BATCH):
            if number == BATCH + 1:
                waits.set()
                assert go_on.wait(20)
            yield (number,)

    sending = threading.Thread(target=task.apply_many, args=(numbers(),))
    sending.start()
    assert waits.wait(20)
    task.delay(-1)  # While a batch is under way.
    go_on.set()
    sending.join(20)
    assert sorted(kept(app)) == [-1, *range(2 * BATCH)]


def test_a_reply_that_is_lost_keeps_nothing_twice(url: tuple[int, str]) -> None:
    port, text = url
    with Proxy(port) as line:
        for app in _app(text.format(port=line.port)):
            task = app.tasks["bulk.note"]
            task.delay(-1)

            def numbers() -> Iterator[tuple[int]]:
                for number in range(3 * BATCH):
                    if number in (BATCH + 3, 2 * BATCH + 3):
                        line.drop()
                    yield (number,)

            task.apply_many(numbers())
            assert kept(app) == [-1, *range(3 * BATCH)]


def test_a_server_that_is_gone_is_an_error_that_says_how_many_were_sent(url: tuple[int, str]) -> None:
    port, text = url
    with Proxy(port) as line:
        for app in _app(text.format(port=line.port).replace("timeout=10", "timeout=1")):
            task = app.tasks["bulk.note"]
            task.delay(-1)

            def numbers() -> Iterator[tuple[int]]:
                for number in range(4 * BATCH):
                    if number == 2 * BATCH + 3:
                        line.close()
                    yield (number,)

            with pytest.raises(OperationalError, match=r"\d+ before them were sent"):
                task.apply_many(numbers(), retry=False)
