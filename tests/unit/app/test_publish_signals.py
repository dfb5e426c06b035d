"""What before_task_publish is told and may change, and after_task_publish."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from celeriac import Celeriac, chord, group, signals
from celeriac.core.message import Message
from celeriac.errors import InvalidTaskError, OperationalError
from celeriac.execution.context import current_request
from celeriac.testing.clock import VirtualClock
from tests.unit.app.conftest import HandWorker


@pytest.fixture(autouse=True)
def nobody_left() -> Iterator[None]:
    yield
    signals.before_task_publish.receivers = signals.after_task_publish.receivers = ()


@pytest.fixture
def app(make_app: Callable[..., Celeriac]) -> Celeriac:
    app = make_app()

    @app.task(name="add")
    def add(*args: Any, **kwargs: Any) -> None: ...

    return app


def kept(app: Celeriac, task_id: str) -> Message:
    message = app.broker.get([task_id])[0].message
    assert message is not None
    return message


def test_what_they_are_told(app: Celeriac, clock: VirtualClock) -> None:
    told: list[tuple[str, dict[str, Any]]] = []
    signals.before_task_publish.connect(lambda **named: told.append(("before", named)), weak=False)
    signals.after_task_publish.connect(lambda **named: told.append(("after", named)), weak=False)
    sent = app.tasks["add"].apply_async((1, 2), {"z": 3}, countdown=30, headers={"trace": "t"}, priority=4)
    (first, before), (second, after) = told
    assert (first, second) == ("before", "after")
    assert set(before) == {
        *("signal", "sender", "body", "exchange", "routing_key", "declare", "headers", "properties", "retry_policy")
    }
    assert set(after) == {"signal", "sender", "body", "exchange", "routing_key", "headers"}
    assert before["sender"] == after["sender"] == "add"
    following = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    assert before["body"] == after["body"] == ([1, 2], {"z": 3}, following)
    headers = before["headers"]
    assert (headers["id"], headers["root_id"], headers["trace"], headers["task"]) == (sent.id, sent.id, "t", "add")
    assert headers["eta"].startswith("20") or headers["eta"].startswith("19")
    assert before["properties"]["priority"] == 4
    assert before["properties"]["correlation_id"] == sent.id
    assert before["routing_key"] == kept(app, sent.id).queue


def test_changes_of_headers_arguments_and_queue_take_effect(app: Celeriac) -> None:
    def change(body: Any, headers: dict[str, Any], properties: dict[str, Any], **_: Any) -> None:
        body[0].append(9)
        body[1]["tenant"] = "a"
        headers["trace"] = {"id": 7}
        headers["shadow"] = "shown"
        headers["expires"] = "2100-01-01T00:00:00+00:00"
        headers["timelimit"] = [20, 10]
        properties["queue"] = "elsewhere"
        properties["priority"] = 8

    signals.before_task_publish.connect(change)
    values = [1]
    sent = app.tasks["add"].delay(values)
    message = kept(app, sent.id)
    assert message.body.startswith(b'[[[1],9],{"tenant":"a"}')
    assert message.headers == {"trace": {"id": 7}}
    assert (message.shadow, message.queue, message.priority) == ("shown", "elsewhere", 8)
    assert message.expires == 4102444800.0
    assert message.timelimit == (20.0, 10.0)
    assert message.argsrepr == "([1], 9)"
    assert values == [1]


def test_a_changed_id_is_that_of_the_receipt(app: Celeriac) -> None:
    signals.before_task_publish.connect(lambda headers, **_: headers.update(id="chosen"), weak=False)
    assert app.tasks["add"].delay(1).id == "chosen"


@pytest.mark.parametrize(
    ("name", "value"), [("eta", "soon"), ("retries", -1), ("group", 3), ("timelimit", ["x", None]), ("expires", [])]
)
def test_what_no_message_can_have_is_an_error_at_the_call(app: Celeriac, name: str, value: Any) -> None:
    signals.before_task_publish.connect(lambda headers, **_: headers.update({name: value}), weak=False)
    with pytest.raises(InvalidTaskError, match="before_task_publish left"):
        app.tasks["add"].delay(1)


def test_bulk_calls_tell_of_each(app: Celeriac) -> None:
    told: list[str] = []
    signals.before_task_publish.connect(lambda headers, **_: told.append("before " + headers["id"]), weak=False)
    signals.after_task_publish.connect(lambda headers, **_: told.append("after " + headers["id"]), weak=False)
    sent = app.send_tasks([app.tasks["add"].s(number) for number in range(3)])
    assert told == [f"{word} {one.id}" for word in ("before", "after") for one in sent]


async def test_awaiting_calls_tell_the_same(app: Celeriac) -> None:
    told: list[str] = []
    signals.before_task_publish.connect(lambda headers, **_: told.append("before " + headers["id"]), weak=False)
    signals.after_task_publish.connect(lambda headers, **_: told.append("after " + headers["id"]), weak=False)
    one = await app.tasks["add"].adelay(1)
    many = await app.asend_tasks([app.tasks["add"].s(2)])
    assert told == [f"{word} {sent.id}" for sent in (one, *many) for word in ("before", "after")]
    await app.aclose()


def test_after_is_not_sent_for_what_was_not_taken(app: Celeriac, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    signals.after_task_publish.connect(lambda **named: told.append(named), weak=False)

    def refuse(*_: Any) -> None:
        raise OperationalError("away")

    monkeypatch.setattr(app.broker, "enqueue", refuse)
    with pytest.raises(OperationalError, match="away"):
        app.tasks["add"].apply_async((1,), retry=False)
    assert told == []


def test_the_steps_of_a_workflow_are_published_by_who_sends_it(app: Celeriac) -> None:
    told: list[tuple[str, str]] = []

    def change(headers: dict[str, Any], properties: dict[str, Any], **_: Any) -> None:
        headers["trace"] = "t"
        properties["priority"] = 7
        told.append(("before", headers["id"]))

    signals.before_task_publish.connect(change)
    signals.after_task_publish.connect(lambda headers, **_: told.append(("after", headers["id"])), weak=False)
    add = app.tasks["add"]
    first = (add.s(1) | add.s(2)).apply_async()
    ids = [first.parent.id, first.id]
    assert told == [("before", ids[0]), ("before", ids[1]), ("after", ids[0]), ("after", ids[1])]
    told.clear()
    both = group(add.s(1), add.s(2)).apply_async()
    assert [word for word, _ in told] == ["before", "before", "after", "after"]
    message = kept(app, both[1].id)
    assert (message.headers, message.priority) == ({"trace": "t"}, 7)


def test_what_follows_from_a_run_is_published_in_it(app: Celeriac, worker: HandWorker) -> None:
    told: list[tuple[str, int]] = []

    @signals.before_task_publish.connect
    def change(sender: str, headers: dict[str, Any], **_: Any) -> None:
        request = current_request.get()
        told.append((sender, headers["retries"]))
        headers["caused_by"] = None if request is None else request.id

    @app.task(name="twice", bind=True, max_retries=1)
    def twice(self: Any) -> None:
        if not self.request.retries:
            raise self.retry(countdown=0)

    sent = twice.apply_async(link=app.tasks["add"].s().set(task_id="linked"))
    worker.step()
    assert kept(app, sent.id).headers == {"caused_by": sent.id}
    worker.step()
    assert kept(app, "linked").headers == {"caused_by": sent.id}
    assert told == [("twice", 0), ("twice", 1), ("add", 0)]


def test_the_id_of_what_follows_must_stay(app: Celeriac, worker: HandWorker) -> None:
    @signals.before_task_publish.connect
    def change(headers: dict[str, Any], **_: Any) -> None:
        headers["id"] = "another"

    add = app.tasks["add"]
    assert add.delay().id == "another"
    with pytest.raises(InvalidTaskError, match="must stay"):
        (add.s() | add.s()).apply_async()


def test_nothing_is_published_in_eager_mode(app: Celeriac) -> None:
    told: list[Any] = []
    signals.before_task_publish.connect(lambda **named: told.append(named), weak=False)
    signals.after_task_publish.connect(lambda **named: told.append(named), weak=False)
    add = app.tasks["add"]
    chord([add.s(1), add.s(2)], add.s()).apply()
    add.apply(link=add.s())
    assert told == []
