"""Workflows that were sent: looked into, resumed, revoked, forgotten, and kept for as long as they run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from celeriac import AsyncResult, Celeriac, chord, group
from celeriac.core.message import Delivery, Settlement
from celeriac.errors import CeleriacError, ChordError
from celeriac.execution.call import open_call
from tests.unit.app.canvas_kit import Canvas
from tests.unit.app.conftest import HandWorker


@pytest.fixture
def on_broker(app: Celeriac, worker: HandWorker) -> Canvas:
    return Canvas(app, worker, eager=False)


def flow_of(canvas: Canvas) -> str:
    """Return the id of the one workflow there is."""
    (record,) = canvas.app.control.workflows.list()
    return record.id


def states(canvas: Canvas) -> list[str]:
    return [one.state for one in canvas.app.control.workflows.show(flow_of(canvas)).steps]


def test_a_workflow_can_be_looked_into(on_broker: Canvas) -> None:
    workflow = (
        on_broker.add.s(1, 1) | group(on_broker.add.s(1), on_broker.add.s(2).set(countdown=60)) | on_broker.total.s()
    )
    workflow.apply_async()
    workflows = on_broker.app.control.workflows
    assert states(on_broker) == ["PENDING", "WAITING", "WAITING", "WAITING"]
    on_broker.worker.step()
    on_broker.worker.step()
    view = workflows.show(flow_of(on_broker))
    assert (view.state, view.ended, view.form) == ("PENDING", None, ["chain", 0, ["chain", ["group", 1, 2], 3]])
    assert [one.state for one in view.steps] == ["SUCCESS", "SUCCESS", "SCHEDULED", "WAITING"]
    on_broker.worker.run()
    view = workflows.show(flow_of(on_broker))
    assert (view.state, [one.state for one in view.steps]) == ("SUCCESS", ["SUCCESS"] * 4)
    workflows.forget(view.id)
    assert workflows.list() == []
    with pytest.raises(CeleriacError, match="there is no workflow"):
        workflows.show(view.id)


def test_a_workflow_goes_on_once_what_failed_is_put_right(on_broker: Canvas) -> None:
    broken = [True]
    runs: list[int] = []

    @on_broker.app.task(name="fragile")
    def fragile(x: int) -> int:
        runs.append(x)
        if broken[0]:
            raise ValueError("broken")
        return x

    header = [on_broker.add.s(1, 1) | fragile.s(), fragile.s(5), on_broker.add.s(3, 3)]
    result = on_broker.send(chord(header, on_broker.total.s()) | on_broker.add.s(100))
    assert result.state == "FAILURE"
    assert states(on_broker).count("FAILURE") == 4
    broken[0] = False
    assert on_broker.app.control.workflows.resume(flow_of(on_broker)) == 2
    on_broker.worker.run()
    again = AsyncResult(result.id, app=on_broker.app)
    assert again.get(timeout=1) == 113
    assert set(states(on_broker)) == {"SUCCESS"}
    assert sorted(runs) == [2, 2, 5, 5]
    with pytest.raises(CeleriacError, match="none to try again"):
        on_broker.app.control.workflows.resume(flow_of(on_broker))


def test_a_step_that_is_revoked_ends_what_waits_for_it(on_broker: Canvas) -> None:
    result = chord([on_broker.add.s(1, 1), on_broker.add.s(2, 2).set(countdown=60)], on_broker.tell.s())()
    header = result.parent.results
    header[1].revoke()
    on_broker.worker.run()
    assert (header[0].state, header[1].state, result.state) == ("SUCCESS", "REVOKED", "FAILURE")
    assert isinstance(result.get(propagate=False, follow_parents=False, timeout=1), ChordError)
    chained = (on_broker.add.s(1, 1).set(countdown=60) | on_broker.tell.s())()
    chained.parent.revoke()
    on_broker.worker.run()
    assert chained.state == "REVOKED"
    assert on_broker.told == []


def test_a_step_that_is_revoked_while_a_worker_holds_it_ends_what_waits_for_it(on_broker: Canvas) -> None:
    result = (on_broker.add.s(1, 1) | on_broker.tell.s())()
    (delivery,) = on_broker.app.broker.claim(["celery"], 1, "other", 60.0)
    result.parent.revoke()
    on_broker.app.broker.reclaim("reaper", 10, crash_limit=3, owner="other")
    assert delivery.message is not None
    surroundings = on_broker.app.worker_surroundings("reaper@test")
    (held,) = on_broker.app.broker.holdings("reaper")
    settlement = open_call(Delivery(delivery.message, held, cancelled=True), surroundings)
    assert isinstance(settlement, Settlement)
    on_broker.app.broker.settle([settlement])
    on_broker.worker.run()
    assert (result.parent.state, result.state, on_broker.told) == ("REVOKED", "REVOKED", [])


def test_a_step_that_a_worker_gives_back_while_it_is_revoked_ends_what_waits_for_it(
    on_broker: Canvas, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = (on_broker.add.s(1, 1) | on_broker.tell.s())()
    broker = on_broker.app.broker
    (delivery,) = broker.claim(["celery"], 1, "other", 60.0)
    look = broker.get

    def look_before_it_comes_back(ids: list[str]) -> list[Any]:
        records = look(ids)
        broker.settle([Settlement(lease=delivery.lease, action="release")])
        return records

    monkeypatch.setattr(broker, "get", look_before_it_comes_back)
    result.parent.revoke()
    monkeypatch.undo()
    on_broker.worker.run()
    assert (result.parent.state, result.state, on_broker.told) == ("REVOKED", "REVOKED", [])


def test_revoking_a_workflow_revokes_what_has_not_run(on_broker: Canvas) -> None:
    header = [on_broker.add.s(1, 1), on_broker.add.s(2, 2).set(countdown=60)]
    result = (chord(header, on_broker.tell.s()) | on_broker.tell.s())()
    on_broker.worker.step()
    on_broker.app.control.workflows.revoke(flow_of(on_broker))
    on_broker.worker.run()
    assert on_broker.told == []
    assert states(on_broker) == ["SUCCESS", "REVOKED", "REVOKED", "REVOKED"]
    assert result.state == "REVOKED"
    assert on_broker.app.control.workflows.show(flow_of(on_broker)).state == "FAILURE"
    assert on_broker.app.control.workflows.revoke(flow_of(on_broker)) == []


def test_a_workflow_outlives_its_results_while_it_is_not_over(make_app: Callable[..., Celeriac], clock: Any) -> None:
    app = make_app(result_expires=10)
    canvas = Canvas(app, HandWorker(app, clock), eager=False)
    result = chord([canvas.add.s(1, 1), canvas.add.s(2, 2).set(countdown=1000)], canvas.total.s())()
    canvas.worker.step()
    clock.advance(500)
    app.broker.prune(None, 100)
    assert result.parent.results[0].state == "PENDING"
    clock.advance(600)
    canvas.worker.run()
    assert result.get(timeout=1) == 6
    clock.advance(20)
    app.broker.prune(None, 100)
    assert app.control.workflows.list() == []


@pytest.mark.parametrize("kind", ["member", "replacement", "both"])
def test_what_failed_in_a_part_that_was_added_on_the_way_is_tried_again(on_broker: Canvas, kind: str) -> None:
    app, add, seen = on_broker.app, on_broker.add, on_broker.seen
    mended: list[bool] = []

    @app.task(name="flaky")
    def flaky(x: int) -> int:
        if not mended:
            raise RuntimeError("not yet")
        return x

    @app.task(name="adds", bind=True)
    def adds(self: Any) -> int:
        self.add_to_chord(flaky.s(7) | add.s(1))
        return 1

    @app.task(name="replaced", bind=True)
    def replaced(self: Any) -> Any:
        part = flaky.s(7) | add.s(1) | add.s(0)
        return self.replace(part if kind == "replacement" else chord([adds.s(), flaky.s(5)], seen.s()))

    step = adds if kind == "member" else replaced
    result = on_broker.send(chord([step.s(), add.s(1, 1)], seen.s("x")) | seen.s("y"))
    workflow = flow_of(on_broker)
    with pytest.raises((ChordError, RuntimeError), match="not yet"):
        result.get(timeout=1)
    mended.append(True)
    assert app.control.workflows.resume(workflow) == (2 if kind == "both" else 1)
    on_broker.worker.run()
    values = {"member": [1, 2, 8], "replacement": [8, 2], "both": [[[1, 5, 8]], 2]}[kind]
    assert AsyncResult(result.id, app=app).get(timeout=1) == [[values, "x"], "y"]
    assert app.control.workflows.show(workflow).state == "SUCCESS"
