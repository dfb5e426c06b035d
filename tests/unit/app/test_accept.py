"""What no reader would accept is refused where it is written; so are names and ids that no message can carry."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from celeriac import Celeriac
from celeriac.core.message import Message, StoredResult
from celeriac.errors import ContentDisallowed, ImproperlyConfigured, InvalidTaskError
from celeriac.execution.call import open_call
from celeriac.testing.clock import VirtualClock

MakeApp = Callable[..., Celeriac]


def test_a_call_cannot_choose_a_serializer_that_workers_refuse(app: Celeriac) -> None:
    for options in ({"serializer": "pickle"}, {"serializer": "application/x-python-serialize"}):
        with pytest.raises(InvalidTaskError, match=r"task 'proj.x': serializer='.*' is not in accept_content, .* json"):
            app.send_task("proj.x", **options)  # type: ignore[arg-type]
    assert app.broker.stats() == []


def test_a_task_cannot_be_registered_with_one(make_app: MakeApp) -> None:
    app = make_app()

    @app.task(serializer="pickle")
    def add() -> None: ...

    with pytest.raises(ImproperlyConfigured, match=r"add': serializer='pickle' is not in accept_content"):
        app.finalize()


def test_a_task_cannot_be_registered_with_one_once_the_app_is_in_use(make_app: MakeApp) -> None:
    app = make_app()
    app.finalize()
    with pytest.raises(ImproperlyConfigured, match="result_serializer='msgpack' is not in accept_content"):
        app.task(result_serializer="msgpack")(lambda: None)


def test_the_setting_is_checked_with_the_first_call(make_app: MakeApp) -> None:
    app = make_app(task_serializer="msgpack")
    with pytest.raises(ImproperlyConfigured, match="serializer='msgpack' is not in accept_content"):
        app.send_task("proj.x")
    app.conf.accept_content = ["json", "msgpack"]
    app.send_task("proj.x")


def test_a_retry_cannot_choose_one(make_app: MakeApp, clock: VirtualClock) -> None:
    from tests.unit.app.conftest import HandWorker

    app = make_app()

    @app.task(bind=True)
    def again(self: Any) -> None:
        raise self.retry(serializer="pickle", countdown=0)

    again.delay()
    (settlement,) = HandWorker(app, clock).run()
    assert settlement.result is not None
    assert settlement.result.state == "FAILURE"
    assert b"accept_content" in settlement.result.body


def test_results_have_a_list_of_their_own(make_app: MakeApp) -> None:
    app = make_app(result_accept_content=["json", "msgpack"], result_serializer="msgpack")

    @app.task
    def fine() -> None: ...

    app.finalize()
    with pytest.raises(ImproperlyConfigured, match="result_serializer='yaml' is not in result_accept_content"):
        app.task(result_serializer="yaml")(lambda: None)


def test_both_sides_refuse_to_read_what_is_not_accepted(app: Celeriac) -> None:
    pickle = "application/x-python-serialize"
    app.broker.enqueue([Message(id="1", task="celery.x", body=b"\x80\x04.", content_type=pickle)])

    @app.task(name="celery.x")
    def x() -> None: ...

    (delivery,) = app.broker.claim(["celery"], 1, "o", 60.0)
    settlement: Any = open_call(delivery, app.worker_surroundings("w@h"))
    assert settlement.action == "dead"
    assert "accept_content" in settlement.reason
    app.backend.store([StoredResult(id="2", state="SUCCESS", body=b"\x80\x04.", content_type=pickle)])
    with pytest.raises(ContentDisallowed, match="the result of task 2"):
        app.AsyncResult("2").get(timeout=1)


@pytest.mark.parametrize("name", ["", "x" * 501, "ö" * 251, "a\0b", "\ud800", 5, None, b"proj.add"])
def test_a_name_that_no_message_can_carry_is_refused(app: Celeriac, name: Any) -> None:
    with pytest.raises(InvalidTaskError, match="name of"):
        app.send_task(name)
    if isinstance(name, str) and name:
        with pytest.raises(ImproperlyConfigured, match="name"):
            app.task(name=name)(lambda: None)


def test_any_other_name_is_sent(app: Celeriac) -> None:
    for name in ("x" * 500, "naïve ☃", "a b", "'; DROP TABLE x", "line\nbreak"):
        assert app.send_task(name).id


def test_ids_and_queues_with_nul_are_refused(app: Celeriac) -> None:
    with pytest.raises(InvalidTaskError, match="NUL"):
        app.send_task("x", task_id="a\0b")
    with pytest.raises(InvalidTaskError, match="NUL"):
        app.send_task("x", queue="a\0b")


@pytest.mark.parametrize("given", [5, None, 1.5, [None], ["a", 5], object()])
def test_revoke_says_what_it_wants(app: Celeriac, given: Any) -> None:
    with pytest.raises(TypeError, match="a task is revoked by its id"):
        app.control.revoke(given)


def test_revoke_takes_ids_in_every_form(app: Celeriac) -> None:
    sent = [app.send_task("x") for _ in range(4)]
    found = app.control.revoke([sent[0].id, uuid.UUID(sent[1].id), sent[2]])  # type: ignore[list-item]
    found += app.control.revoke(sent[3])  # type: ignore[arg-type]
    assert [(one.id, one.outcome) for one in found] == [(one.id, "removed") for one in sent]


def test_a_header_that_no_message_can_carry_is_an_error_at_the_call(app: Celeriac) -> None:
    for bad in (object(), 2**70, {1, 2}, "\ud800"):
        with pytest.raises(InvalidTaskError, match="headers"):
            app.send_task("x", headers={"h": bad})
