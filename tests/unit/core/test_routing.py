"""Which queue a task goes to."""

import re
from typing import Any

import pytest

from celeriac.core.routing import Router
from celeriac.core.settings import Settings
from celeriac.errors import ImproperlyConfigured


def queue(routes: object, name: str = "proj.images.shrink", **options: Any) -> Any:
    return Router(routes).resolve(name, (), {}, options)["queue"]


@pytest.mark.parametrize("routes", [None, {}, [], ()])
def test_without_routes_tasks_go_to_the_default_queue(routes: object) -> None:
    assert Router(routes).resolve("proj.add") == {"queue": "celery"}
    assert Router(routes, default_queue="main").resolve("proj.add", options={"priority": 3}) == {
        "queue": "main",
        "priority": 3,
    }


@pytest.mark.parametrize(
    "routes",
    [
        {"proj.images.shrink": "images"},
        {"proj.images.*": {"queue": "images"}},
        {"*.shrink": "images"},
        {re.compile(r"proj\.images\..+"): "images"},
        [{"proj.other": "other"}, {"proj.images.*": "images"}],
        [("proj.images.*", "images")],
        (("proj.other", "other"), ("proj.images.*", {"queue": "images"})),
        ("proj.images.*", "images"),
        [[("proj.other", "other"), ("proj.images.*", "images")]],
        {"proj.*": "wrong", "proj.images.shrink": "images"},
        {"proj.images.*": "images", "*": "wrong"},
    ],
    ids=repr,
)
def test_every_form_of_a_route(routes: object) -> None:
    assert queue(routes) == "images"
    assert queue(routes, queue="mine") == "mine"
    assert queue(routes, queue=None) == "images"


def test_routes_add_options_and_the_caller_wins() -> None:
    routes = {"proj.*": {"queue": "q", "priority": 5, "serializer": "msgpack"}}
    assert Router(routes).resolve("proj.x", options={"priority": 0, "serializer": None, "expires": 5}) == {
        "queue": "q",
        "priority": 0,
        "serializer": "msgpack",
        "expires": 5,
    }
    assert Router({"proj.*": {"priority": 5}}).resolve("proj.x") == {"queue": "celery", "priority": 5}
    assert routes == {"proj.*": {"queue": "q", "priority": 5, "serializer": "msgpack"}}


def test_functions_are_asked_in_order() -> None:
    seen: list[Any] = []

    def by_user(name: str, args: Any, kwargs: Any, options: Any, task: Any = None, **more: Any) -> Any:
        seen.append((name, args, kwargs, options, task))
        return {"queue": f"user-{args[0]}"} if args else None

    router = Router([by_user, {"*": "rest"}])
    assert router.resolve("t", (7,), {"a": 1}, {"priority": 1}, task="T")["queue"] == "user-7"
    assert router.resolve("t")["queue"] == "rest"
    assert seen[0] == ("t", (7,), {"a": 1}, {"priority": 1}, "T")
    assert queue(by_user) == "celery"
    assert queue(lambda *_args, **_more: "plain") == "plain"


def test_router_objects_are_understood() -> None:
    class Old:
        def route_for_task(self, name: str, args: Any = None, kwargs: Any = None) -> Any:
            return {"queue": "old"} if name.startswith("proj.") else None

    assert queue([Old()]) == "old"
    assert queue([Old()], "x") == "celery"


def test_it_is_made_from_the_settings() -> None:
    settings = Settings(task_routes={"a.*": "q"}, task_default_queue="main")
    assert Router.from_settings(settings).resolve("a.b") == {"queue": "q"}
    assert Router.from_settings(settings).resolve("c") == {"queue": "main"}


@pytest.mark.parametrize(
    ("routes", "complaint"),
    [
        (5, "5 is no route; the setting takes a dictionary"),
        ("images", "'images' is no route"),
        ([5], "5 is no route"),
        ({"proj.*": 5}, "the route of 'proj.*' must be a queue name or a dictionary of options, not 5"),
        ({"proj.*": ""}, "the route of 'proj.*' must be a queue name"),
        ({"proj.*": {"queue": 5}}, "the queue of the route of 'proj.*' must be a name, not 5"),
        ({"proj.*": {"priority": 10}}, "the priority of the route of 'proj.*' must be a whole number from 0 to 9"),
        ({5: "q"}, "5 is no task name and no pattern"),
        ({"": "q"}, "'' is no task name"),
    ],
)
def test_malformed_routes_are_refused_at_configuration(routes: object, complaint: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=re.escape(f"task_routes: {complaint}")):
        Router(routes)


def test_a_function_that_returns_no_route_is_named() -> None:
    def broken(*args: Any, **more: Any) -> Any:
        return {"queue": "q", "priority": "high"}

    with pytest.raises(ImproperlyConfigured, match=r"the priority of the route returned by .*broken must be"):
        Router(broken).resolve("x")
    with pytest.raises(ImproperlyConfigured, match=r"the route returned by .* must be a queue name"):
        Router(lambda *_args, **_more: 5).resolve("x")
