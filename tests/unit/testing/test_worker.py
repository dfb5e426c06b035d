"""A worker in threads of the test's process is a real one, and leaves nothing behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from celeriac import Celeriac, chord, current_app
from celeriac.app import state
from celeriac.testing import start_worker
from tests.support.waiting import wait_for


@pytest.fixture
def app() -> Iterator[Celeriac]:
    own = Celeriac("threaded", broker="memory://threaded", backend="memory://threaded", set_as_current=False)

    @own.task(name="add")
    def add(x: int, y: int) -> int:
        return x + y

    @own.task(name="total")
    async def total(numbers: list[int]) -> int:
        return sum(numbers)

    @own.task(name="where")
    def where() -> tuple[str, str | None]:
        return threading.current_thread().name, current_app.main

    yield own
    own.close()


def test_it_runs_functions_coroutines_and_workflows(app: Celeriac) -> None:
    with start_worker(app) as worker:
        add, total = app.tasks["add"], app.tasks["total"]
        assert chord([add.s(n, n) for n in range(10)], total.s()).delay().get(timeout=10) == 90
        assert worker.hostname in {one["name"] for one in map(_record, app.broker.workers())}
    assert app.broker.workers() == []


def _record(one: Any) -> dict[str, Any]:
    return {"name": one.name}


def test_the_app_is_the_default_one_while_it_runs(app: Celeriac) -> None:
    before = state.any_app()
    with start_worker(app):
        thread, main = app.tasks["where"].delay().get(timeout=10)
        assert main == "threaded"
        assert thread.startswith("celeriac-slot")
        assert current_app.main == "threaded"
    assert state.any_app() is before


def test_it_works_on_the_queues_it_is_told_to(app: Celeriac) -> None:
    with start_worker(app, queues="mail,web", concurrency=2, pool="prefork", perform_ping_check=False):
        assert app.tasks["add"].apply_async((1, 2), queue="web").get(timeout=10) == 3
        left = app.tasks["add"].delay(1, 2)
        assert app.tasks["add"].apply_async((1, 2), queue="mail").get(timeout=10) == 3
    assert left.state == "PENDING"


def test_a_task_that_does_not_end_is_told_of(app: Celeriac) -> None:
    begun, end = threading.Event(), threading.Event()

    @app.task(name="hang")
    def hang() -> None:
        begun.set()
        end.wait(20)

    with pytest.raises(RuntimeError, match=r"did not end within 0\.05 s"), start_worker(app, shutdown_timeout=0.05):
        hang.delay()
        assert begun.wait(10)
    end.set()


def test_tasks_that_are_defined_later_are_known(app: Celeriac) -> None:
    with start_worker(app) as worker:

        @app.task(name="late")
        def late() -> str:
            return "here"

        worker.reload()
        assert late.delay().get(timeout=10) == "here"


def test_no_thread_stays(app: Celeriac) -> None:
    before = set(threading.enumerate())
    with start_worker(app):
        app.tasks["add"].delay(1, 2).get(timeout=10)
    wait_for(lambda: set(threading.enumerate()) <= before, 10, "the end of all threads of the worker")
