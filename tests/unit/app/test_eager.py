"""Running a task here does what a worker does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel

from celeriac import Celeriac, Task
from celeriac.app.eager_result import EagerResult
from celeriac.errors import NotRegistered, SerializationError

Bound = Task[..., Any]


@pytest.fixture
def eager(make_app: Callable[..., Celeriac]) -> Celeriac:
    return make_app(task_always_eager=True)


def test_the_value_comes_back_as_from_a_store(app: Celeriac) -> None:
    @app.task
    def pair(moment: datetime) -> Any:
        return (moment, "x")

    moment = datetime(2030, 1, 1, tzinfo=UTC)
    result = pair.apply((moment,))
    assert result.get() == [moment, "x"]  # A tuple is a list on the wire.
    assert (result.state, result.ready(), result.successful(), result.failed()) == ("SUCCESS", True, True, False)
    assert result.name == pair.name
    assert app.broker.stats() == []


def test_arguments_are_encoded_as_in_production(app: Celeriac) -> None:
    @app.task
    def work(x: Any) -> None: ...

    with pytest.raises(SerializationError):
        work.apply(({1, 2},))
    with pytest.raises(TypeError, match="missing"):
        work.apply()
    with pytest.raises(TypeError, match="unknown option"):
        work.apply((1,), queeue="x")


def test_a_failure_is_in_the_result_unless_it_is_to_be_raised(app: Celeriac) -> None:
    @app.task
    def boom() -> None:
        raise ValueError("x")

    result = boom.apply()
    assert (result.state, repr(result.result)) == ("FAILURE", "ValueError('x')")
    assert "raise ValueError" in str(result.traceback)
    with pytest.raises(ValueError, match="x"):
        result.get()
    assert isinstance(result.get(propagate=False), ValueError)
    with pytest.raises(ValueError, match="x"):
        boom.apply(throw=True)


def test_a_setting_says_whether_failures_are_raised(make_app: Callable[..., Celeriac]) -> None:
    app = make_app(task_always_eager=True, task_eager_propagates=True)

    @app.task
    def boom() -> None:
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        boom.delay()
    assert boom.apply(throw=False).state == "FAILURE"


def test_retries_run_at_once(app: Celeriac) -> None:
    seen: list[Any] = []

    @app.task(bind=True, max_retries=2)
    def flaky(self: Bound, succeed: bool) -> str:
        seen.append((self.request.retries, self.request.is_eager, self.request.called_directly))
        if succeed and self.request.retries == 2:
            return "done"
        raise self.retry(exc=ValueError("no"), countdown=1000)

    assert flaky.apply((True,)).get() == "done"
    assert seen == [(n, True, False) for n in range(3)]
    assert flaky.apply((False,)).state == "FAILURE"
    assert len(seen) == 6


def test_callbacks_run_in_their_turn(app: Celeriac) -> None:
    seen: list[Any] = []

    @app.task
    def note(*args: Any) -> Any:
        seen.append(args)
        return args[0]

    @app.task
    def boom() -> None:
        raise ValueError

    last = note.s("last")
    after = note.s("after")
    after.link(last)
    note.apply(("first",), link=after)
    boom.apply(link_error=note.si("error"))
    assert seen == [("first",), ("first", "after"), ("first", "last"), ("error",)]


def test_an_ignored_result_is_returned_all_the_same(app: Celeriac) -> None:
    @app.task(ignore_result=True)
    def quiet() -> Any:
        return (1, 2)

    assert quiet.apply().get() == (1, 2)


def test_coroutine_tasks_run_with_and_without_a_loop(app: Celeriac) -> None:
    @app.task
    async def add(x: int, y: int) -> int:
        await asyncio.sleep(0)
        return x + y

    @app.task
    async def boom() -> None:
        raise SystemExit(3)

    assert add.apply((1, 2)).get() == 3

    async def inside() -> int:
        return int(add.apply((1, 2)).get())

    assert asyncio.run(inside()) == 3
    assert boom.apply().state == "FAILURE"


def test_every_way_to_send_runs_here(eager: Celeriac) -> None:
    @eager.task(name="add")
    def add(x: int, y: int = 0) -> int:
        return x + y

    many = add.apply_many([(1,), (2, 2)])
    results = [add.delay(1), add.apply_async((1,), countdown=1000, queue="q"), eager.send_task("add", (1,)), *many]
    assert all(isinstance(one, EagerResult) for one in results)
    assert [one.get() for one in results] == [1, 1, 1, 1, 4]
    assert eager.broker.stats() == []
    with pytest.raises(NotRegistered, match="elsewhere"):
        eager.send_task("elsewhere")


async def test_every_awaitable_way_to_send_runs_here(eager: Celeriac) -> None:
    @eager.task(name="add")
    async def add(x: int, y: int = 0) -> int:
        return x + y

    many = await add.aapply_many([(1,), (2, 2)])
    results = [await add.adelay(1), await add.aapply_async((1,)), await eager.asend_task("add", (1,)), *many]
    assert [await one.aget() for one in results] == [1, 1, 1, 1, 4]


def test_a_setting_stores_the_results(make_app: Callable[..., Celeriac]) -> None:
    app = make_app(task_store_eager_result=True)

    @app.task
    def add(x: int) -> int:
        return x

    result = add.apply((5,))
    assert app.AsyncResult(result.id).get(timeout=1) == 5


def test_a_task_that_sends_tells_its_family(eager: Celeriac) -> None:
    seen: list[Any] = []

    @eager.task(bind=True)
    def child(self: Bound) -> None:
        seen.append((self.request.parent_id, self.request.root_id))

    @eager.task
    def parent() -> None:
        child.delay()

    result = parent.delay()
    assert seen == [(result.id, result.id)]


async def test_an_eager_result_answers_like_another(app: Celeriac) -> None:
    @app.task
    def add(x: int) -> int:
        return x

    result = add.apply((5,))
    seen: list[Any] = []
    assert result.get(callback=lambda task_id, value: seen.append((task_id, value))) == 5
    assert seen == [(result.id, 5)]
    assert (await result.aget(), await result.astate(), await result.aready()) == (5, "SUCCESS", True)
    assert (result.children, result.worker, result.date_done, result.info) == ([], None, None, 5)
    result.revoke()
    result.forget()
    await result.arevoke()
    await result.aforget()
    assert result.get() == 5


class Person(BaseModel):
    name: str
    secret: str = "hidden"


def test_a_returned_model_is_dumped_as_the_task_says(app: Celeriac) -> None:
    @app.task(pydantic=True, pydantic_dump_kwargs={"exclude": {"secret"}})
    def greet(person: Person) -> Person:
        return Person(name=person.name.upper(), secret="told")

    assert greet.apply(({"name": "ada"},)).get() == Person(name="ADA", secret="hidden")
