"""Functions become tasks; what cannot be one is refused at once, with the reason."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from celeriac import Celeriac, Task
from celeriac.errors import AlreadyRegistered, CeleriacWarning, ImproperlyConfigured, NotRegistered

HERE = __name__


def test_a_task_is_still_the_function(app: Celeriac) -> None:
    @app.task
    def add(x: int, y: int = 2) -> int:
        """Add."""
        return x + y

    assert isinstance(add, Task)
    assert add(1) == 3
    assert add(1, y=5) == 6
    assert add.__doc__ == "Add."
    assert add.__name__ == "add"  # type: ignore[attr-defined]
    assert add.name == f"{HERE}.add"
    assert app.tasks[add.name] is add
    assert repr(add) == f"<@task: {HERE}.add>"


async def test_a_coroutine_function_stays_one(app: Celeriac) -> None:
    @app.task
    async def add(x: int, y: int) -> int:
        return x + y

    assert await add(1, 2) == 3
    assert app.tasks[add.name].is_async


def test_options_are_attributes(app: Celeriac) -> None:
    @app.task(
        name="shop.mail",
        max_retries=None,
        default_retry_delay=timedelta(minutes=1),
        autoretry_for=[OSError],
        throws=KeyError,
        time_limit=timedelta(seconds=30),
        soft_time_limit=20,
        rate_limit="10/m",
        queue="mail",
        priority=7,
    )
    def mail() -> None: ...

    assert mail.name == "shop.mail"
    assert mail.max_retries is None
    assert mail.retry_policy.default_retry_delay == 60
    assert mail.autoretry_for == (OSError,)
    assert mail.throws == (KeyError,)
    assert (mail.time_limit, mail.soft_time_limit) == (30, 20)
    assert (mail.queue, mail.priority, mail.rate_limit) == ("mail", 7, "10/m")


def test_what_is_not_given_follows_the_settings(make_app: Callable[..., Celeriac]) -> None:
    accept = ["json", "msgpack"]
    app = make_app(
        task_time_limit=60, task_ignore_result=True, task_serializer="msgpack", result_expires=5, accept_content=accept
    )

    @app.task
    def plain() -> None: ...

    @app.task(time_limit=10, ignore_result=False, serializer="json")
    def own() -> None: ...

    assert (plain.time_limit, plain.ignore_result, plain.serializer) == (60, True, "msgpack")
    assert (own.time_limit, own.ignore_result, own.serializer) == (10, False, "json")
    assert plain.result_expires == own.result_expires == 5


def test_a_setting_that_changes_later_takes_effect(app: Celeriac) -> None:
    @app.task
    def plain() -> None: ...

    assert plain.ignore_result is False
    app.conf.task_ignore_result = True
    assert plain.ignore_result is True


def test_an_option_that_changes_later_takes_effect(app: Celeriac) -> None:
    @app.task
    def plain() -> None: ...

    assert app.tasks[plain.name].at_most_once is False
    plain.acks_late = False
    assert plain.at_most_once is True
    plain.max_retries = 9
    assert plain.retry_policy.max_retries == 9
    app.conf.task_ignore_result = True
    assert plain.acks_late is False


@pytest.mark.parametrize(
    ("options", "once"),
    [
        ({}, False),
        ({"acks_late": True}, False),
        ({"acks_late": False}, True),
        ({"reject_on_worker_lost": False}, True),
        ({"acks_late": True, "reject_on_worker_lost": True}, False),
    ],
)
def test_at_most_once_is_a_choice(app: Celeriac, options: Any, once: bool) -> None:
    def plain() -> None: ...

    task: Any = app.task(**options)(plain)
    assert app.tasks[task.name].at_most_once is once


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"time_limit": -1}, "time_limit=-1 must not be negative"),
        ({"time_limit": 0}, "time_limit=0 must be greater than zero"),
        ({"time_limit": "5"}, "time_limit='5' must be seconds"),
        ({"time_limit": float("nan")}, "time_limit=nan must be seconds"),
        ({"time_limit": 10, "soft_time_limit": 10}, "soft_time_limit=10 must be shorter than time_limit=10"),
        ({"priority": 12}, "priority=12 must be a whole number from 0 to 9"),
        ({"priority": True}, "priority=True must be"),
        ({"rate_limit": "abc"}, "rate_limit='abc' must be a number"),
        ({"rate_limit": -1}, "rate_limit=-1 must be"),
        ({"autoretry_for": (ValueError(),)}, "autoretry_for=.* must hold exception classes"),
        ({"autoretry_for": "ValueError"}, "autoretry_for='ValueError' must be a tuple"),
        ({"throws": [int]}, "throws=.* must hold exception classes"),
        ({"max_retries": -1}, "max_retries=-1"),
        ({"max_retries": "3"}, "max_retries='3'"),
        ({"default_retry_delay": -1}, "default_retry_delay=-1"),
        ({"retry_backoff": "yes"}, "retry_backoff='yes'"),
        ({"retry_jitter": 1}, "retry_jitter=1"),
        ({"retry_kwargs": {"max_retry": 1}}, "unknown key 'max_retry'"),
        ({"acks_late": 1}, "acks_late=1 must be True or False"),
        ({"serializer": "xml"}, "unknown serializer 'xml'"),
        ({"compression": "rar"}, "unknown compression 'rar'"),
        ({"queue": ""}, "queue='' must be the name of a queue"),
        ({"queue": "q" * 201}, "1 to 200 bytes"),
        ({"expires": "soon"}, "expires='soon'"),
        ({"name": ""}, "name='' must be a text"),
        ({"bind": 1}, "bind=1 must be True or False"),
        ({"max_retry": 3}, "unknown option 'max_retry': did you mean 'max_retries'?"),
        ({"time_limt": 3}, "did you mean 'time_limit'?"),
    ],
)
def test_a_bad_option_is_refused_at_registration(app: Celeriac, options: Any, words: str) -> None:
    def resize() -> None: ...

    with pytest.raises(ImproperlyConfigured, match=words) as caught:
        app.task(**options)(resize)
    assert "resize" in str(caught.value) or "''" in str(caught.value)
    assert f"{HERE}.resize" not in app.tasks


def test_other_options_become_attributes(app: Celeriac) -> None:
    def plain() -> None: ...

    extra: Any = {"once": {"graceful": True}}
    task: Any = app.task(**extra)(plain)
    assert task.once == {"graceful": True}


def test_functions_that_cannot_be_tasks_are_refused(app: Celeriac) -> None:
    def generator() -> Iterator[int]:
        yield 1

    async def async_generator() -> AsyncIterator[int]:
        yield 1

    class Callable_:
        pass

    def nothing() -> None: ...

    anonymous: Any = functools.partial(nothing)
    for function, words in [
        (generator, "contains yield"),
        (async_generator, "contains yield"),
        (Callable_, "is a class"),
        (anonymous, "has no name"),
    ]:
        with pytest.raises(ImproperlyConfigured, match=words):
            app.task(function)
    with pytest.raises(ImproperlyConfigured, match=r"bind=True.*takes none"):
        app.task(bind=True)(nothing)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(ImproperlyConfigured, match="is a task already"):
        app.task(app.task(nothing))
    not_a_task: Any = dict
    with pytest.raises(ImproperlyConfigured, match=r"must be a subclass of celeriac\.Task"):
        app.task(base=not_a_task)(nothing)
    wrong: Any = "images"
    with pytest.raises(TypeError, match="takes the function alone"):
        app.task(wrong)


def test_a_partial_with_a_name_is_a_task(app: Celeriac) -> None:
    def add(x: int, y: int) -> int:
        return x + y

    increment = app.task(name="increment")(functools.partial(add, 1))
    assert increment(2) == 3
    with pytest.raises(TypeError, match="increment"):
        increment.delay()  # pyright: ignore[reportCallIssue]


def test_two_functions_of_one_name_are_refused(app: Celeriac) -> None:
    @app.task(name="add")
    def first() -> None: ...

    with pytest.raises(AlreadyRegistered, match=r"two tasks are named 'add': .*first and .*second"):

        @app.task(name="add")
        def second() -> None: ...

    assert app.tasks["add"] is first


def test_the_same_function_again_takes_the_place_of_the_first(app: Celeriac) -> None:
    def define(value: int) -> Any:
        @app.task
        def add() -> int:
            return value

        return add

    define(1)
    define(2)
    assert app.tasks[f"{HERE}.add"]() == 2


def test_an_unknown_task_is_named_with_the_nearest_known_one(app: Celeriac) -> None:
    @app.task(name="proj.resize")
    def resize() -> None: ...

    with pytest.raises(NotRegistered, match=r"'proj.resise'.*Did you mean 'proj.resize'"):
        app.tasks["proj.resise"]
    assert app.tasks.get("proj.resise") is None
    app.tasks.unregister(resize)
    with pytest.raises(NotRegistered):
        app.tasks.unregister("proj.resize")


class TestClasses:
    def test_a_class_is_a_task(self, app: Celeriac) -> None:
        base: Any = app.Task

        class Resize(base):  # type: ignore[misc]
            max_retries = 7
            time_limit = 30

            def run(self, path: str, width: int = 100) -> str:
                return f"{path}@{width}"

        task: Any = app.register_task(Resize)
        assert task.name == f"{HERE}.Resize"
        assert task("a.png", width=3) == "a.png@3"
        assert task.retry_policy.max_retries == 7
        assert task.time_limit == 30
        assert task.app is app
        with pytest.raises(TypeError, match="missing 1 required positional argument: 'path'"):
            task.delay()

    def test_a_class_may_name_its_task(self, app: Celeriac) -> None:
        class Resize(Task[[str], str]):
            name = "images.resize"

            def run(self, path: str) -> str:
                return path

        assert app.register_task(Resize()).name == "images.resize"
        assert "images.resize" in app.tasks

    def test_bad_class_attributes_are_refused(self, app: Celeriac) -> None:
        class Resize(Task[[], None]):
            priority = 12

            def run(self) -> None: ...

        with pytest.raises(ImproperlyConfigured, match="priority=12"):
            app.register_task(Resize)

    def test_a_class_without_run_is_refused(self, app: Celeriac) -> None:
        class Nothing(Task[[], None]):
            pass

        with pytest.raises(ImproperlyConfigured, match="must define run"):
            app.register_task(Nothing)
        wrong: Any = object()
        with pytest.raises(ImproperlyConfigured, match="subclass of Task"):
            app.register_task(wrong)

    def test_a_base_shares_behaviour_and_its_own_options(self, app: Celeriac) -> None:
        class Base(Task[..., Any]):
            unit = "cm"
            ignore_result = True

            def on_failure(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None: ...

        @app.task(base=Base, bind=True, unit="mm")
        def measure(self: Base) -> str:
            return self.unit

        assert measure() == "mm"
        found = app.tasks[measure.name]
        assert found.hooks == {"on_failure"}
        assert found.ignore_result is True

    def test_the_app_may_choose_the_class_of_all_tasks(self, make_app: Callable[..., Celeriac]) -> None:
        class Wrapped(Task[..., Any]):
            def __call__(self, *args: Any, **kwargs: Any) -> Any:
                return ("wrapped", super().__call__(*args, **kwargs))

        app = make_app(task_cls=Wrapped)

        @app.task
        def add(x: int) -> int:
            return x

        result: Any = add(1)
        assert result == ("wrapped", 1)
        assert app.tasks[add.name].overrides_call
        assert issubclass(app.Task, Wrapped)

    def test_a_wrong_class_for_all_tasks_is_refused(self, make_app: Callable[..., Celeriac]) -> None:
        with pytest.raises(ImproperlyConfigured, match=r"must be a subclass of celeriac\.Task"):
            _ = make_app(task_cls="builtins:int").Task

    def test_on_bound_is_called_with_the_app(self, app: Celeriac) -> None:
        seen: list[Celeriac] = []

        class Base(Task[..., Any]):
            @classmethod
            def on_bound(cls, app: Celeriac) -> None:
                seen.append(app)

        @app.task(base=Base)
        def plain() -> None: ...

        app.finalize()
        assert seen == [app]


def test_annotations_change_options_from_settings(app: Celeriac) -> None:
    @app.task(name="proj.slow", time_limit=5)
    def slow() -> None: ...

    @app.task(name="proj.fast")
    def fast() -> None: ...

    app.conf.task_annotations = {"*": {"priority": 3}, "proj.slow": {"time_limit": 100}}
    app.finalize()
    assert (slow.priority, slow.time_limit) == (3, 100)
    assert (fast.priority, fast.time_limit) == (3, None)
    with pytest.raises(ImproperlyConfigured, match="task_annotations"):
        app.conf.task_annotations = {"proj.slow": {"priority": 99}}


def test_a_soft_limit_that_never_acts_is_warned_about(make_app: Callable[..., Celeriac]) -> None:
    app = make_app(task_time_limit=10)

    @app.task(soft_time_limit=60)
    def slow() -> None: ...

    with pytest.warns(CeleriacWarning, match=r"soft_time_limit=60 is not shorter than time_limit=10"):
        app.finalize()


def test_an_app_that_finalises_itself_by_hand_says_so(make_app: Callable[..., Celeriac]) -> None:
    app = make_app(autofinalize=False)

    @app.task
    def add() -> None: ...

    with pytest.raises(RuntimeError, match=r"autofinalize=False"):
        add.delay()
    app.finalize()
    add.delay()
