"""Code that is not handed an app finds the right one."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest

from celeriac import AsyncResult, Celeriac, Task, current_app, current_task, shared_task
from celeriac.app import state
from celeriac.app.current import StandIn
from celeriac.errors import ImproperlyConfigured
from tests.unit.app.conftest import HandWorker


def in_thread(function: Callable[[], Any]) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


class TestCurrentApp:
    def test_it_is_the_last_one_made(self, make_app: Callable[..., Celeriac]) -> None:
        make_app("one")
        app = make_app("two")
        make_app("aside", set_as_current=False)
        assert current_app == app
        assert current_app.main == "two"
        assert isinstance(current_app, Celeriac)
        assert AsyncResult("x").app is app

    def test_one_is_made_where_there_is_none(self) -> None:
        assert current_app.main is None
        assert current_app == state.get_current()

    def test_other_threads_find_it(self, make_app: Callable[..., Celeriac]) -> None:
        make_app("one")
        assert in_thread(lambda: current_app.main) == "one"

    def test_the_default_is_for_threads_without_one_of_their_own(self, make_app: Callable[..., Celeriac]) -> None:
        default, other = make_app("default"), make_app("other")
        default.set_default()
        assert in_thread(lambda: current_app.main) == "default"
        assert current_app.main == "other"
        default.set_current()
        assert current_app.main == "default"
        other.set_current()

    def test_a_closed_app_is_current_no_more(self, make_app: Callable[..., Celeriac]) -> None:
        with make_app("one"):
            assert current_app.main == "one"
        assert current_app.main is None

    async def test_a_closed_app_is_current_no_more_in_coroutines(self, make_app: Callable[..., Celeriac]) -> None:
        async with make_app("one") as app:
            app.async_broker()
        assert current_app.main is None

    def test_settings_go_through_it(self, app: Celeriac) -> None:
        current_app.conf.task_default_queue = "images"
        assert app.conf.task_default_queue == "images"
        assert repr(current_app) == repr(app)


class TestCurrentTask:
    def test_outside_of_tasks_there_is_none(self, app: Celeriac) -> None:
        none: Any = current_task
        assert not none
        assert app.current_task is None

    def test_inside_it_is_the_running_one(self, app: Celeriac) -> None:
        @app.task
        def look() -> Any:
            return current_task.name, current_task.request.called_directly

        assert look() == (look.name, True)


class TestSharedTasks:
    def test_every_app_has_its_own(self, make_app: Callable[..., Celeriac]) -> None:
        before = make_app("before")
        finalized = make_app("finalized")
        finalized.finalize()

        @shared_task(max_retries=9)
        def shared(x: int) -> int:
            """Documented."""
            return x * 2

        after = make_app("after")
        name = f"{__name__}.shared"
        tasks = [app.tasks[name] for app in (before, finalized, after)]
        assert [task.app for task in tasks] == [before, finalized, after]
        assert len({id(task) for task in tasks}) == 3
        assert {task.max_retries for task in tasks} == {9}
        assert shared(2) == 4
        assert shared.name == name
        assert shared.__doc__ == "Documented."
        assert shared.__module__ == __name__
        assert isinstance(shared, Task)

    def test_it_is_sent_through_the_current_app(self, make_app: Callable[..., Celeriac]) -> None:
        @shared_task
        def shared_once(x: int) -> None: ...

        one, two = make_app("one"), make_app("two")
        shared_once.delay(1)
        one.set_current()
        shared_once.apply_async((1,))
        shared_once.s(1).delay()
        assert one.broker.stats()[0].ready == 2
        assert two.broker.stats()[0].ready == 1

    def test_options_work(self, app: Celeriac) -> None:
        @shared_task(bind=True, name="shared.named")
        def named(self: Task[..., Any], x: int) -> Any:
            return self.name, x

        assert named(1) == ("shared.named", 1)

    def test_a_bad_one_is_refused_where_it_is_defined(self, app: Celeriac) -> None:
        def bad() -> None: ...

        with pytest.raises(ImproperlyConfigured, match=r"bad.*priority=12"):
            shared_task(priority=12)(bad)
        with pytest.raises(ImproperlyConfigured, match=r"bad.*takes none"):
            shared_task(bind=True)(bad)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        app.finalize()
        wrong: Any = "images"
        with pytest.raises(TypeError, match="shared_task takes the function alone"):
            shared_task(wrong)


def test_an_app_factory_may_wrap_all_tasks_in_a_context(make_app: Callable[..., Celeriac], clock: Any) -> None:
    # The pattern of Flask's documentation: shared tasks, one class of task, settings from the web app's own.
    contexts: list[str] = []

    @shared_task(bind=True)
    def in_context(self: Task[..., Any], x: int) -> Any:
        return contexts[-1], x, self.request.called_directly

    class ContextTask(Task[..., Any]):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            contexts.append("entered")
            try:
                return self.run(*args, **kwargs)
            finally:
                contexts.append("left")

    app = make_app("web", task_cls=ContextTask)
    app.config_from_object({"task_ignore_result": False, "task_default_queue": "web"})
    app.set_default()
    receipt = in_context.delay(5)
    HandWorker(app, clock).run()
    assert receipt.get(timeout=1) == ["entered", 5, False]
    assert in_context(6) == ("entered", 6, True)


class TestPickling:
    def test_a_task_is_pickled_by_its_name(self, app: Celeriac) -> None:
        @app.task
        def add() -> None: ...

        @shared_task
        def shared_add() -> None: ...

        assert pickle.loads(pickle.dumps(add)) is add
        assert pickle.loads(pickle.dumps(shared_add)) is app.tasks[f"{__name__}.shared_add"]


def test_a_stand_in_is_what_it_stands_for() -> None:
    target: Any = {"a": 1}
    stand_in: Any = StandIn(lambda: target)
    assert stand_in == {"a": 1}
    assert str(stand_in) == "{'a': 1}"
    assert isinstance(stand_in, dict)
    assert "keys" in dir(stand_in)

    class Box:
        value = 1

        def __call__(self, x: int) -> int:
            return x

    box = Box()
    boxed: Any = StandIn(lambda: box)
    boxed.value = 5
    assert box.value == 5
    del boxed.value
    assert (box.value, boxed(3), hash(boxed) == hash(box), boxed == StandIn(lambda: box)) == (1, 3, True, True)
