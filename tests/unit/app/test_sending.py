"""What a call puts into the broker, and what it refuses to."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from celeriac import Celeriac, Task
from celeriac.core.codec import decode_args
from celeriac.errors import ImproperlyConfigured, InvalidTaskError, SerializationError
from celeriac.testing.clock import VirtualClock
from tests.unit.app.conftest import HandWorker, sent

EVERYTHING = frozenset({"application/json", "application/x-msgpack"})


@pytest.fixture
def add(app: Celeriac) -> Task[[int, int], int]:
    @app.task(name="proj.add")
    def add(x: int, y: int = 2) -> int:
        return x + y

    return add


def body(message: Any) -> Any:
    return decode_args(
        message.body,
        message.content_type,
        message.content_encoding,
        compression=message.compression,
        accept=EVERYTHING,
    )


def test_delay_sends_the_arguments(app: Celeriac, add: Task[..., int], clock: VirtualClock) -> None:
    receipt = add.delay(1, y=5)
    message = sent(app, receipt.id)
    args, kwargs, embed = body(message)
    assert (args, kwargs) == ([1], {"y": 5})
    assert not any(embed.values())
    assert str(uuid.UUID(receipt.id)) == receipt.id
    assert (message.task, message.queue, message.priority, message.retries) == ("proj.add", "celery", 0, 0)
    assert (message.argsrepr, message.kwargsrepr) == ("(1,)", "{'y': 5}")
    assert (message.eta, message.expires, message.root_id, message.parent_id) == (None, None, None, None)
    assert message.sent_at == clock.now()
    assert message.origin is not None
    assert message.origin.startswith("gen")
    assert receipt.name == "proj.add"


def test_every_option_reaches_the_message(app: Celeriac, add: Task[..., int], clock: VirtualClock) -> None:
    receipt = add.apply_async(
        (1, 2),
        task_id="mine",
        countdown=30,
        expires=60,
        queue="images",
        priority=7,
        shadow="shown",
        headers={"tenant": 5},
        ignore_result=True,
        time_limit=10,
        soft_time_limit=5,
        root_id="root",
        parent_id="parent",
        group_id="group",
        group_index=3,
        retries=1,
        exchange="x",
        routing_key="r",
        delivery_mode="transient",
        reply_to="me",
        correlation_id="c",
        argsrepr="(...)",
        kwargsrepr="{...}",
        replaced_task_nesting=1,
    )
    message = sent(app, "mine")
    assert receipt.id == "mine"
    assert receipt.ignored
    expected = {
        "eta": clock.now() + 30,
        "expires": clock.now() + 60,
        "queue": "images",
        "priority": 7,
        "shadow": "shown",
        "headers": {"tenant": 5},
        "ignore_result": True,
        "timelimit": (10.0, 5.0),
        "root_id": "root",
        "parent_id": "parent",
        "group": "group",
        "group_index": 3,
        "retries": 1,
        "exchange": "x",
        "routing_key": "r",
        "delivery_mode": 1,
        "reply_to": "me",
        "correlation_id": "c",
        "argsrepr": "(...)",
        "kwargsrepr": "{...}",
        "replaced_task_nesting": 1,
    }
    assert {name: getattr(message, name) for name in expected} == expected


def test_stamps_are_options_that_stamped_headers_names(app: Celeriac, add: Task[..., int]) -> None:
    stamped: Any = {"stamped_headers": ["tenant"], "tenant": "t1"}
    message = sent(app, add.apply_async((1,), **stamped).id)
    assert message.stamped_headers == ("tenant",)
    assert message.stamps == {"tenant": "t1"}


def test_a_uuid_is_a_task_id(app: Celeriac, add: Task[..., int]) -> None:
    chosen = uuid.uuid4()
    given: Any = chosen
    assert add.apply_async((1,), task_id=given).id == str(chosen)


def test_the_same_id_twice_sends_one_task(app: Celeriac, add: Task[..., int]) -> None:
    add.apply_async((1,), task_id="mine")
    add.apply_async((2,), task_id="mine")
    assert body(sent(app, "mine"))[0] == [1]
    assert app.broker.stats()[0].ready == 1


def test_an_option_that_is_none_is_not_given(app: Celeriac, add: Task[..., int]) -> None:
    message = sent(app, add.apply_async((1,), queue=None, priority=None, countdown=None, task_id=None).id)
    assert (message.queue, message.priority, message.eta) == ("celery", 0, None)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"coutdown": 3}, TypeError, "unknown option 'coutdown': did you mean 'countdown'"),
        ({"kwarg": {}}, TypeError, "unknown option 'kwarg': did you mean 'kwargs'"),
        ({"producer": object()}, TypeError, "leave it out"),
        ({"task_id": ""}, InvalidTaskError, "task_id='' must be a text"),
        ({"task_id": 5}, InvalidTaskError, "task_id=5 must be a text"),
        ({"task_id": "x" * 201}, InvalidTaskError, "1 to 200 bytes"),
        ({"task_id": "\ud800"}, InvalidTaskError, "UTF-8"),
        ({"priority": 12}, InvalidTaskError, "priority=12 must be a whole number from 0 to 9"),
        ({"queue": ""}, InvalidTaskError, "queue='' must be the name of a queue"),
        ({"queue": 5}, InvalidTaskError, "queue=5"),
        ({"countdown": float("nan")}, InvalidTaskError, "countdown=nan must be a finite number"),
        ({"countdown": "3"}, InvalidTaskError, "countdown='3'"),
        ({"expires": "x"}, InvalidTaskError, "expires='x'"),
        ({"time_limit": 0}, InvalidTaskError, "time_limit=0 must be greater than zero"),
        ({"time_limit": 5, "soft_time_limit": 6}, InvalidTaskError, "soft_time_limit=6 must be shorter"),
        ({"headers": []}, InvalidTaskError, "must be a dictionary"),
        ({"headers": {1: 2}}, InvalidTaskError, "text as names"),
        ({"headers": {"when": datetime(2030, 1, 1, tzinfo=UTC)}}, InvalidTaskError, "'when' of type datetime"),
        ({"headers": {"x": object()}}, InvalidTaskError, "header 'x'"),
        ({"stamped_headers": "tenant"}, InvalidTaskError, "list of names"),
        ({"ignore_result": "yes"}, InvalidTaskError, "ignore_result='yes'"),
        ({"shadow": 5}, InvalidTaskError, "shadow=5"),
        ({"group_index": -1}, InvalidTaskError, "group_index=-1"),
        ({"delivery_mode": 3}, InvalidTaskError, "delivery_mode=3"),
        ({"exchange": 3}, InvalidTaskError, "exchange=3"),
        ({"serializer": "xml"}, ImproperlyConfigured, "unknown serializer 'xml'"),
        ({"compression": "rar"}, ImproperlyConfigured, "unknown compression 'rar'"),
        ({"link": "proj.add"}, TypeError, "link='proj.add' is not a signature"),
        ({"link_error": [5]}, TypeError, "link_error=5 is not a signature"),
        ({"retry_policy": {"max_retry": 1}}, ImproperlyConfigured, "unknown 'max_retry'"),
        ({"retry_policy": {"interval_start": "1"}}, ImproperlyConfigured, "interval_start='1'"),
    ],
)
def test_a_bad_option_is_refused_and_nothing_is_sent(
    app: Celeriac, add: Task[..., int], options: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        add.apply_async((1,), **options)
    assert app.broker.stats() == []


@pytest.mark.parametrize(
    ("args", "kwargs", "words"),
    [
        ((), {}, "missing 1 required positional argument: 'x'"),
        ((1, 2, 3), {}, "from 1 to 2 positional arguments but 3 were given"),
        ((1,), {"z": 1}, "unexpected keyword argument 'z'"),
        ("text", {}, "args of task 'proj.add' must be a list or tuple"),
        ({"x": 1}, {}, "args of task 'proj.add' must be a list or tuple"),
        (5, {}, "args of task 'proj.add' must be a list or tuple"),
        ((1,), [2], "kwargs of task 'proj.add' must be a dictionary"),
        ((1,), {2: 3}, "text as keys"),
    ],
)
def test_arguments_that_do_not_fit_raise_at_the_call(add: Task[..., int], args: Any, kwargs: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        add.apply_async(args, kwargs)


def test_typing_may_be_turned_off(make_app: Callable[..., Celeriac]) -> None:
    app, lax = make_app(), make_app(strict_typing=False)

    def add(x: int) -> None: ...

    one: Any = app.task(typing=False)(add)
    other: Any = lax.task(add)
    one.delay(1, 2, 3)
    other.delay(1, 2, 3)


def test_a_generator_of_arguments_is_read_once(app: Celeriac, add: Task[..., int]) -> None:
    assert body(sent(app, add.apply_async(i for i in (1, 2)).id))[0] == [1, 2]


def test_an_argument_that_cannot_be_encoded_is_named(app: Celeriac) -> None:
    class User:
        pk = 5
        _meta = object()

    @app.task(name="proj.mail")
    def mail(user: Any, text: str) -> None: ...

    with pytest.raises(SerializationError, match=r"argument 'user' of task 'proj\.mail' is a User model instance"):
        mail.delay(User(), "hello")
    with pytest.raises(SerializationError, match=r"argument 'text'.*set"):
        mail.delay(1, text={1, 2})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert app.broker.stats() == []


def test_dataclasses_travel_and_come_back(app: Celeriac, worker: HandWorker) -> None:
    seen: list[Any] = []

    @app.task
    def paint(point: Point) -> None:
        seen.append(point)

    paint.delay(Point(1, datetime(2030, 1, 1, tzinfo=UTC)))
    worker.run()
    assert seen == [Point(1, datetime(2030, 1, 1, tzinfo=UTC))]


@dataclass
class Point:
    x: int
    when: datetime


def test_secrets_are_not_shown_in_messages(app: Celeriac) -> None:
    @app.task
    def login(user: str, password: str, **more: Any) -> None: ...

    message = sent(app, login.delay("ann", "hunter2", api_key="k-1").id)
    assert message.argsrepr == "('ann', '***')"
    assert "k-1" not in str(message.kwargsrepr)


@pytest.mark.parametrize(
    ("options", "content_type", "compression"),
    [
        ({"serializer": "msgpack"}, "application/x-msgpack", None),
        ({"compression": "gzip"}, "application/json", "application/x-gzip"),
        ({"serializer": "msgpack", "compression": "zstd"}, "application/x-msgpack", "application/zstd"),
    ],
)
def test_encoding_is_chosen_by_call_task_or_setting(
    make_app: Callable[..., Celeriac], options: Any, content_type: str, compression: str | None
) -> None:
    def add(x: int) -> None: ...

    accept = ["json", "msgpack"]
    of_settings = make_app(accept_content=accept, **{f"task_{name}": value for name, value in options.items()})
    of_task = make_app(accept_content=accept)
    of_call = make_app(accept_content=accept)
    receipts = [
        (of_settings, of_settings.task(add).delay(1)),
        (of_task, of_task.task(**options)(add).delay(1)),
        (of_call, of_call.task(add).apply_async((1,), **options)),
    ]
    for app, receipt in receipts:
        message = sent(app, receipt.id)
        assert (message.content_type, message.compression) == (content_type, compression)
        assert body(message)[0] == [1]


class TestRoutes:
    def test_a_call_wins_over_the_task_over_the_routes_over_the_default(
        self, make_app: Callable[..., Celeriac]
    ) -> None:
        app = make_app(task_routes={"proj.*": {"queue": "routed", "priority": 3}}, task_default_queue="plain")

        @app.task(name="proj.add")
        def routed() -> None: ...

        @app.task(name="proj.own", queue="own")
        def own() -> None: ...

        @app.task(name="other.add")
        def default() -> None: ...

        found = [sent(app, one.delay().id) for one in (routed, own, default)]
        assert [(one.queue, one.priority) for one in found] == [("routed", 3), ("own", 3), ("plain", 0)]
        assert sent(app, own.apply_async(queue="called").id).queue == "called"
        assert sent(app, routed.apply_async(priority=0).id).priority == 0

    def test_functions_route_each_call(self, make_app: Callable[..., Celeriac]) -> None:
        def route(name: str, args: Any, kwargs: Any, options: Any, task: Any = None, **more: Any) -> Any:
            return {"queue": f"q{args[0]}", "countdown": 5} if args else None

        app = make_app(task_routes=[route])

        @app.task
        def add(x: int = 0) -> None: ...

        message = sent(app, add.delay(7).id)
        assert message.queue == "q7"
        assert message.eta is not None
        assert sent(app, add.delay().id).queue == "celery"
        assert sent(app, add.apply_async((1,), queue="mine").id).queue == "mine"

    def test_a_route_with_an_unknown_option_is_named(self, make_app: Callable[..., Celeriac]) -> None:
        app = make_app(task_routes={"proj.add": {"queeue": "images"}})
        with pytest.raises(ImproperlyConfigured, match=r"setting task_routes: .*'proj.add'.* did you mean 'queue'"):
            app.send_task("proj.add")

    def test_a_route_may_say_when(self, make_app: Callable[..., Celeriac], clock: VirtualClock) -> None:
        routes = {"proj.add": {"countdown": 60, "serializer": "msgpack"}}
        app = make_app(task_routes=routes, accept_content=["json", "msgpack"])
        message = sent(app, app.send_task("proj.add").id)
        assert (message.eta, message.content_type) == (clock.now() + 60, "application/x-msgpack")
        assert sent(app, app.send_task("proj.add", countdown=5).id).eta == clock.now() + 5

    def test_routes_that_change_take_effect(self, app: Celeriac, add: Task[..., int]) -> None:
        assert sent(app, add.delay(1).id).queue == "celery"
        app.conf.task_routes = {"proj.add": "other"}
        assert sent(app, add.delay(1).id).queue == "other"

    def test_a_routing_key_without_a_queue_names_one(self, app: Celeriac, add: Task[..., int]) -> None:
        message = sent(app, add.apply_async((1,), routing_key="media").id)
        assert (message.queue, message.routing_key) == ("media", "media")

    def test_the_default_priority_is_a_setting(self, make_app: Callable[..., Celeriac]) -> None:
        app = make_app(task_default_priority=4)

        @app.task
        def plain() -> None: ...

        @app.task(priority=0)
        def own() -> None: ...

        assert [sent(app, one.delay().id).priority for one in (plain, own)] == [4, 0]


class TestByName:
    def test_a_task_that_is_elsewhere_is_sent_by_name(self, app: Celeriac) -> None:
        receipt = app.send_task("elsewhere.add", (1,), {"y": 2}, queue="images")
        message = sent(app, receipt.id)
        assert (message.task, message.queue, body(message)[:2]) == ("elsewhere.add", "images", ([1], {"y": 2}))

    def test_a_task_that_is_here_is_checked(self, app: Celeriac, add: Task[..., int]) -> None:
        with pytest.raises(TypeError, match="missing"):
            app.send_task("proj.add")

    def test_an_empty_name_is_refused(self, app: Celeriac) -> None:
        with pytest.raises(InvalidTaskError, match="empty"):
            app.send_task("")


async def test_awaitable_twins_send(app: Celeriac, add: Task[..., int]) -> None:
    receipts = [
        await add.adelay(1),
        await add.aapply_async((1,), priority=3),
        await app.asend_task("proj.add", (1,)),
        await add.s(1).adelay(),
        await add.s(1).aapply_async(priority=4),
    ]
    assert [sent(app, one.id).priority for one in receipts] == [0, 3, 0, 0, 4]


class TestFamily:
    def test_a_task_that_sends_is_the_parent(self, app: Celeriac, worker: HandWorker) -> None:
        @app.task(name="child")
        def child() -> None: ...

        @app.task(name="parent", bind=True)
        def parent(self: Task[..., Any]) -> list[str]:
            return [child.delay().id, helper()]

        def helper() -> str:
            return child.apply_async(add_to_parent=False).id

        receipt = parent.delay()
        worker.step()
        ids = receipt.get(timeout=5)
        assert [(sent(app, one).parent_id, sent(app, one).root_id) for one in ids] == [(receipt.id, receipt.id)] * 2
        assert [one.id for one in receipt.children] == ids[:1]

    def test_the_root_is_handed_down(self, app: Celeriac, worker: HandWorker) -> None:
        @app.task(bind=True)
        def down(self: Task[..., Any], depth: int) -> None:
            seen.append((self.request.id, self.request.root_id, self.request.parent_id))
            if depth:
                down.delay(depth - 1)

        seen: list[Any] = []
        root = down.delay(2).id
        worker.run()
        assert [one[1] for one in seen] == [root] * 3
        assert [one[2] for one in seen] == [None, seen[0][0], seen[1][0]]

    def test_a_task_called_as_a_function_is_nobodys_parent(self, app: Celeriac, worker: HandWorker) -> None:
        @app.task(name="leaf")
        def leaf() -> None: ...

        @app.task
        def inner() -> str:
            return leaf.delay().id

        @app.task
        def outer() -> str:
            return inner()

        receipt = outer.delay()
        worker.step()
        assert sent(app, receipt.get(timeout=5)).parent_id == receipt.id

    def test_priority_is_inherited_where_the_setting_says_so(self, make_app: Callable[..., Celeriac]) -> None:
        app = make_app(task_inherit_parent_priority=True)

        @app.task
        def child() -> None: ...

        @app.task
        def parent() -> str:
            return child.delay().id

        receipt = parent.apply_async(priority=8)
        clock: Any = app.clock
        HandWorker(app, clock).step()
        assert sent(app, receipt.get(timeout=5)).priority == 8
