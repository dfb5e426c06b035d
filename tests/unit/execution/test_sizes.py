"""What is too long to be kept fails where it is made, and says so."""

import pytest

from celeriac import Celeriac
from celeriac.core.message import Message, StoredResult
from celeriac.errors import SerializationError
from celeriac.execution import results


def test_arguments_that_are_too_long_are_not_sent() -> None:
    app = Celeriac(broker="memory://sizes")
    app.conf.task_message_max_bytes = 1000
    app.send_task("t", ("x" * 900,))
    with pytest.raises(SerializationError, match=r"task 't' have 1,\d\d\d bytes.*task_message_max_bytes.* 1,000"):
        app.send_task("t", ("x" * 1000,))
    assert app.broker.stats()[0].ready == 1


def stored(app: Celeriac, exc: BaseException, traceback: str) -> StoredResult:
    surroundings = app.worker_surroundings("w@h", delivery_limit=3)
    return results.failure(Message(id="a", task="t"), surroundings, exc, traceback=traceback)


def test_a_result_that_is_too_long_names_the_setting() -> None:
    results.check_size(b"x" * 10, "the result of task 't'", 10)
    with pytest.raises(SerializationError, match=r"result of task 't' has 11 bytes.*result_max_bytes allows 10"):
        results.check_size(b"x" * 11, "the result of task 't'", 10)


def test_a_failure_that_is_too_long_is_still_stored_as_one() -> None:
    app = Celeriac(broker="memory://sizes", backend="memory://sizes")
    app.conf.result_max_bytes = 200_000
    found = stored(app, ValueError("y" * 300_000), "z" * 300_000 + "the end")
    assert found.state == "FAILURE"
    assert len(found.body) < 5000
    assert b"ValueError" in found.body
    assert found.traceback is not None
    assert found.traceback.endswith("the end")
    assert len(found.traceback) < 200_000
    short = stored(app, ValueError("y"), "z")
    assert short.traceback == "z"
