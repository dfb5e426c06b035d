"""Members that tasks add to the chord they belong to, and what tasks know of what follows them."""

from __future__ import annotations

from typing import Any

import pytest

from celeriac import AsyncResult, Celeriac, Signature, chain, chord, group
from celeriac.core.message import Settlement
from celeriac.errors import ChordError, TaskRevokedError
from celeriac.execution.call import execute, open_call
from celeriac.execution.record import Call
from tests.unit.app.canvas_kit import Canvas
from tests.unit.app.conftest import HandWorker


@pytest.fixture(params=["sent", "eager"])
def canvas(app: Celeriac, worker: HandWorker, request: pytest.FixtureRequest) -> Canvas:
    return define(Canvas(app, worker, eager=request.param == "eager"))


@pytest.fixture
def on_broker(app: Celeriac, worker: HandWorker) -> Canvas:
    return define(Canvas(app, worker, eager=False))


def define(canvas: Canvas) -> Canvas:
    """Give the app a task that adds members and returns its number."""

    @canvas.app.task(name="adder", bind=True, max_retries=1, default_retry_delay=0)
    def adder(self: Any, *given: Any, more: Any = (), then: str = "return") -> Any:
        for one in more:
            self.add_to_chord(Signature.from_dict(one, app=canvas.app))
        if then == "retry" and not self.request.retries:
            raise self.retry()
        if then == "replace":
            return self.replace(canvas.add.s(*given, 1000))
        if then == "fail":
            raise ValueError("after adding")
        return given[-1]

    return canvas


def adder(canvas: Canvas, *given: Any, more: Any = (), then: str = "return") -> Signature:
    signature: Signature = canvas.app.tasks["adder"].s(*given, more=list(more), then=then)
    return signature


def test_the_body_gets_the_values_of_members_that_were_added_behind_the_header(canvas: Canvas) -> None:
    add = canvas.add
    more = [
        add.s(10, 1),
        add.s(20, 2) | add.s(200),
        group(add.s(1, 1), add.s(2, 2)),
        chord([add.s(3, 3)], canvas.total.s()),
    ]
    header = [adder(canvas, 1, more=more), add.s(1, 1), adder(canvas, 3, more=[add.s(50, 0)])]
    result = canvas.send(chord(header, canvas.seen.s()))
    assert result.get(timeout=1) == [[1, 2, 3, 11, 222, [2, 4], 6, 50]]


def test_members_may_add_members(canvas: Canvas) -> None:
    inner = adder(canvas, 2, more=[canvas.add.s(1, 2), adder(canvas, 4, more=[canvas.add.s(2, 3)])])
    assert canvas.value(chord([adder(canvas, 1, more=[inner])], canvas.seen.s())) == [[1, 2, 3, 4, 5]]


def test_members_join_the_group_that_the_task_is_in(canvas: Canvas) -> None:
    grown = group(adder(canvas, 1, more=[canvas.add.s(1, 1)]), canvas.add.s(3, 3))
    assert canvas.value(chord([grown, canvas.add.s(4, 4)], canvas.seen.s())) == [[[1, 6, 2], 8]]


def test_a_group_in_a_chain_and_the_last_step_of_a_chain_in_a_header_can_grow(canvas: Canvas) -> None:
    grown = canvas.add.s(1, 1) | adder(canvas, more=[canvas.add.s(5, 5)])
    assert canvas.value(group(grown, canvas.add.s(2, 2)) | canvas.seen.s() | canvas.seen.s(7)) == [[[2, 4, 10]], 7]


def test_a_task_that_is_retried_or_replaced_adds_each_member_once(canvas: Canvas) -> None:
    add = canvas.add
    header = [adder(canvas, 1, more=[add.s(5, 5)], then="retry"), adder(canvas, 2, more=[add.s(6, 6)], then="replace")]
    expected = [[1, 1002, 10, 12]]
    assert canvas.value(chord(header, canvas.seen.s())) == expected


def test_a_member_has_a_result_and_is_a_child_of_the_task_that_added_it(on_broker: Canvas) -> None:
    result = on_broker.send(chord([adder(on_broker, 1, more=[on_broker.add.s(5, 5)])], on_broker.seen.s()))
    (header,) = result.parent.results
    (child,) = header.children
    assert isinstance(child, AsyncResult)
    assert (child.get(timeout=1), child.state) == (10, "SUCCESS")


def test_a_member_that_fails_fails_the_body_once_with_the_cause(on_broker: Canvas) -> None:
    body = on_broker.tell.s().on_error(on_broker.report.s("failed"))
    result = on_broker.send(chord([adder(on_broker, 1, more=[on_broker.bad.s()]), on_broker.add.s(1, 1)], body))
    with pytest.raises(ChordError, match=r"ValueError\('bad'\)"):
        result.get(timeout=1)
    assert on_broker.told == [(result.id, "failed")]


def test_a_task_that_fails_adds_nothing(on_broker: Canvas) -> None:
    header = [adder(on_broker, 1, more=[on_broker.tell.s("added")], then="fail"), on_broker.add.s(1, 1)]
    assert on_broker.send(chord(header, on_broker.seen.s())).state == "FAILURE"
    assert on_broker.told == []


def test_a_run_that_is_superseded_adds_nothing(on_broker: Canvas) -> None:
    """The same attempt runs twice, and settles twice: the members of one of both count."""
    broker = on_broker.app.broker
    header = [adder(on_broker, 1, more=[on_broker.add.s(5, 5), on_broker.add.s(6, 6)])]
    result = chord(header, on_broker.seen.s())()
    surroundings = on_broker.app.worker_surroundings("hand@test")

    def run(owner: str) -> Settlement:
        (delivery,) = broker.claim(["celery"], 1, owner, 60.0)
        opened = open_call(delivery, surroundings)
        assert isinstance(opened, Call)
        return execute(opened, surroundings)

    first = run("first")
    broker.reclaim("reaper", 10, crash_limit=3, owner="first")
    second = run("second")
    assert broker.settle([first]) == (result.parent.results[0].id,)
    assert broker.settle([second]) == ()
    assert broker.settle([second, first]) == (result.parent.results[0].id,) * 2
    on_broker.worker.run()
    assert result.get(timeout=1) == [[1, 10, 12]]


def test_what_cannot_grow_says_so(canvas: Canvas) -> None:
    @canvas.app.task(name="tries", bind=True)
    def tries(self: Any, *given: Any, lazy: bool = False) -> str:
        try:
            self.add_to_chord(canvas.add.s(1, 1) if lazy else 5, lazy=lazy)
        except (ValueError, TypeError) as exc:
            return f"{type(exc).__name__}: {exc}"
        return "added"

    alone = "ValueError: task tries is not a member of any chord: add_to_chord() has nothing to add to"
    assert canvas.value(tries.s()) == alone
    assert canvas.value(tries.s() | canvas.seen.s()) == [alone]
    assert canvas.value(group(tries.s(), tries.s())) == [alone, alone]
    wrong, lazy = canvas.value(chord([tries.s(), tries.s(lazy=True)], canvas.seen.s()))[0]
    assert wrong == "TypeError: add_to_chord() takes a signature such as task.s(1, 2), not 5"
    assert lazy == "TypeError: add_to_chord(lazy=True) has no meaning here: members are sent when this run ends"


def test_a_task_knows_what_follows_it(canvas: Canvas) -> None:
    found: dict[str, Any] = {}

    @canvas.app.task(name="looks", bind=True)
    def looks(self: Any, *given: Any) -> int:
        request = self.request
        found[given[-1]] = (request.chain, request.chord, request.group_index)
        return 1

    result = canvas.send(looks.s("first") | group(looks.s("left"), looks.s("right")) | looks.s("last"))
    left, right = result.parent.results
    chained, chorded, index = found["first"]
    assert [one["task"] for one in chained] == ["looks"]
    assert chained[0]["options"]["task_id"] == left.id
    assert (chorded, index) == (None, None)
    body = {**chained[0], "options": {"task_id": result.id}}
    assert (found["left"], found["right"]) == ((None, body, 0), (None, body, 1))
    assert found["last"] == (None, None, None)
    assert right.id


def test_a_task_can_end_its_chain(on_broker: Canvas) -> None:
    @on_broker.app.task(name="stops", bind=True)
    def stops(self: Any) -> str:
        self.request.chain = None
        return "enough"

    result = on_broker.send(chain(stops.s(), on_broker.tell.s(), on_broker.tell.s()))
    assert result.parent.parent.get(timeout=1) == "enough"
    assert (result.parent.state, result.state, on_broker.told) == ("REVOKED", "REVOKED", [])
    with pytest.raises(TaskRevokedError, match="ended the chain"):
        result.get(timeout=1)
