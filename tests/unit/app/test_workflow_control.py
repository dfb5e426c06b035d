"""Workflows that were sent: looked into, resumed, revoked, forgotten, and kept for as long as they run."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from celeriac import AsyncResult, Celeriac, chord, group
from celeriac.core.message import Delivery, Settlement
from celeriac.errors import CeleriacError, ChordError
from celeriac.execution.call import execute, open_call
from tests.support.waiting import wait_for
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


@pytest.mark.parametrize("kind", ["add", "by_chord"])
def test_a_workflow_of_which_a_step_is_gone_is_not_begun_again(growing: Canvas, kind: str) -> None:
    @growing.app.task(name="breaks")
    def breaks() -> None:
        raise ValueError("broken")

    other = growing.add.s(2, 2).set(countdown=60) if kind == "add" else growing.app.tasks[kind].s()
    chord([breaks.si(), other], growing.tell.s())()
    growing.worker.step()
    growing.worker.step()
    growing.app.control.workflows.revoke(flow_of(growing))
    before = states(growing)
    assert before[:2] == ["FAILURE", "REVOKED"]
    with pytest.raises(CeleriacError, match="was revoked and is gone"):
        growing.app.control.workflows.resume(flow_of(growing))
    assert states(growing) == before


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


@pytest.fixture
def growing(on_broker: Canvas) -> Canvas:
    """Add tasks that add to the workflow they belong to."""
    app, add, total = on_broker.app, on_broker.add, on_broker.total

    def meanwhile(*, revoke: bool, forget: bool) -> None:
        if revoke:
            app.control.workflows.revoke(flow_of(on_broker))
        if forget:
            app.control.workflows.forget(flow_of(on_broker))

    @app.task(name="by_chain", bind=True)
    def by_chain(self: Any, depth: int = 1, *, revoke: bool = False, forget: bool = False) -> Any:
        meanwhile(revoke=revoke, forget=forget)
        last = by_chain.si(depth - 1) if depth > 1 else add.s(3)
        return self.replace(add.s(1, 1) | add.s(2).set(countdown=60) | last)

    @app.task(name="by_chord", bind=True)
    def by_chord(self: Any, *, revoke: bool = False, forget: bool = False) -> Any:
        meanwhile(revoke=revoke, forget=forget)
        return self.replace(chord([add.s(1, 1), add.s(2, 2).set(countdown=60)], total.s()))

    @app.task(name="adds", bind=True)
    def adds(self: Any, *, revoke: bool = False, forget: bool = False) -> int:
        meanwhile(revoke=revoke, forget=forget)
        self.add_to_chord(add.s(1, 2) | add.s(2).set(countdown=60))
        self.add_to_chord(add.s(3, 4).set(countdown=60))
        return 1

    return on_broker


def part_states(canvas: Canvas) -> list[list[str]]:
    return [[one.state for one in part.steps] for part in canvas.app.control.workflows.show(flow_of(canvas)).parts]


def test_what_takes_the_place_of_a_step_can_be_looked_into(growing: Canvas) -> None:
    result = (growing.add.s(1, 1) | growing.app.tasks["by_chain"].si() | growing.add.s(5))()
    growing.worker.step()
    growing.worker.step()
    assert (states(growing), part_states(growing)) == (
        ["SUCCESS", "WAITING", "WAITING"],
        [["PENDING"] + ["WAITING"] * 2],
    )
    growing.worker.step()
    view = growing.app.control.workflows.show(flow_of(growing))
    (part,) = view.parts
    assert [one.state for one in part.steps] == ["SUCCESS", "SCHEDULED", "WAITING"]
    assert (part.replaces, part.step, part.steps[2].id) == (True, result.parent.id, result.parent.id)
    assert (part.form, [one.task for one in part.steps]) == (["chain", 0, 1, 2], ["add"] * 3)
    growing.worker.run()
    assert result.get(timeout=1) == 12
    assert (set(states(growing)), part_states(growing)) == ({"SUCCESS"}, [["SUCCESS"] * 3])


def test_what_is_added_to_a_chord_can_be_looked_into(growing: Canvas) -> None:
    result = chord([growing.app.tasks["adds"].s(), growing.add.s(1, 1)], growing.total.s())()
    growing.worker.step()
    (part,) = growing.app.control.workflows.show(flow_of(growing)).parts
    assert (part.replaces, part.step) == (False, result.parent.results[0].id)
    assert part.form == ["chain", ["group", ["chain", 0, 1], 2], 3]
    assert [one.state for one in part.steps] == ["PENDING", "WAITING", "SCHEDULED", "WAITING"]
    growing.worker.run()
    assert result.get(timeout=1) == 1 + 2 + 5 + 7
    assert part_states(growing) == [["SUCCESS"] * 4]


@pytest.mark.parametrize("kind", ["by_chain", "by_chord", "adds"])
@pytest.mark.parametrize("steps", range(1, 4))
def test_revoking_a_workflow_reaches_what_was_added_to_it(growing: Canvas, kind: str, steps: int) -> None:
    result = chord([growing.app.tasks[kind].s(), growing.add.s(1, 1).set(countdown=60)], growing.tell.s())()
    for _ in range(steps):
        growing.worker.step()
    before = part_states(growing)
    workflow = flow_of(growing)
    found = growing.app.control.workflows.revoke(workflow)
    assert len({one.id for one in found}) == len([one.id for one in found])
    growing.worker.run()
    assert growing.told == []
    view = growing.app.control.workflows.show(workflow)
    assert view.state == "FAILURE"
    (part,) = view.parts
    expected = [one if one == "SUCCESS" else "REVOKED" for one in before[0]]
    assert [one.state for one in part.steps] == expected
    assert "WAITING" not in states(growing)
    assert result.state in ("REVOKED", "FAILURE")
    assert growing.app.control.workflows.revoke(workflow) == []


@pytest.mark.parametrize("kind", ["by_chain", "by_chord", "adds"])
def test_revoking_a_workflow_leaves_no_step_of_what_was_added_in_a_queue(growing: Canvas, kind: str) -> None:
    # The last step of a part is put into its queue by the failure of those before it, which the revocation makes.
    chord([growing.app.tasks[kind].si()], growing.total.s())()
    growing.worker.step()
    growing.worker.step()
    assert len(part_states(growing)) == 1
    found = growing.app.control.workflows.revoke(flow_of(growing))
    assert sum(one.ready + one.scheduled for one in growing.app.broker.stats()) == 0
    assert len({one.id for one in found}) == len(found)


def test_a_part_of_a_part_is_reached(growing: Canvas, clock: Any) -> None:
    result = (growing.app.tasks["by_chain"].s(3) | growing.tell.s())()
    while len(part_states(growing)) < 3:
        if growing.worker.step() is None:
            clock.advance(61)
            growing.app.broker.promote(100)
    assert [part.count("SUCCESS") for part in part_states(growing)].count(0) == 1
    growing.app.control.workflows.revoke(flow_of(growing))
    growing.worker.run()
    assert growing.told == []
    left = {one for part in part_states(growing) for one in part}
    assert left == {"SUCCESS", "REVOKED"}
    assert result.state == "REVOKED"


def test_a_part_that_a_lost_run_left_is_not_shown(growing: Canvas) -> None:
    app = growing.app
    result = (app.tasks["by_chain"].s() | growing.add.s(5))()
    (delivery,) = app.broker.claim(["celery"], 1, "lost", 60.0)
    opened = open_call(delivery, app.worker_surroundings("lost@test"))
    assert not isinstance(opened, Settlement)
    execute(opened, app.worker_surroundings("lost@test"))  # It is never settled.
    assert part_states(growing) == []
    app.broker.reclaim("reaper", 10, crash_limit=3, owner="lost")
    growing.worker.run()
    assert result.get(timeout=1) == 12
    assert part_states(growing) == [["SUCCESS"] * 3]
    assert len(app.broker.parts(flow_of(growing), -1, 10)) == 2


@pytest.mark.parametrize("kind", ["by_chain", "by_chord", "adds"])
def test_a_step_of_a_workflow_that_was_revoked_meanwhile_adds_nothing(growing: Canvas, kind: str) -> None:
    header = [growing.app.tasks[kind].s(revoke=True), growing.add.s(1, 1).set(countdown=60)]
    result = chord(header, growing.tell.s())()
    growing.worker.run()
    assert (part_states(growing), growing.told) == ([], [])
    assert result.state in ("REVOKED", "FAILURE")
    view = growing.app.control.workflows.show(flow_of(growing))
    assert (view.state, {one.state for one in view.steps}) == ("FAILURE", {"REVOKED"})


@pytest.mark.parametrize("kind", ["by_chain", "by_chord", "adds"])
def test_who_revokes_waits_for_a_run_that_is_about_to_begin_a_part(growing: Canvas, kind: str) -> None:
    app = growing.app
    result = chord([app.tasks[kind].s()], growing.tell.s())()
    (delivery,) = app.broker.claim(["celery"], 1, "hand", 60.0)
    surroundings = app.worker_surroundings("hand@test")
    opened = open_call(delivery, surroundings)
    assert not isinstance(opened, Settlement)
    settlement = execute(opened, surroundings)  # It has noted its part, and nobody has revoked anything.
    with ThreadPoolExecutor(1) as pool:
        revoking = pool.submit(app.control.workflows.revoke, flow_of(growing))
        wait_for(lambda: states(growing)[0] == "REVOKED", 5, "the revocation to have filled the step's slot")
        assert app.broker.settle([settlement]) == ()
        revoking.result(timeout=5)
    assert sum(one.ready + one.scheduled for one in app.broker.stats()) <= 1  # The chord's body, which ends like it.
    growing.worker.run()
    assert growing.told == []
    ((*part,),) = part_states(growing)
    assert set(part) == {"REVOKED"}
    assert result.state in ("REVOKED", "FAILURE")


@pytest.mark.parametrize("kind", ["by_chain", "by_chord", "adds"])
def test_a_step_does_not_bring_a_forgotten_workflow_back(growing: Canvas, kind: str) -> None:
    chord([growing.app.tasks[kind].s(forget=True), growing.add.s(1, 1).set(countdown=60)], growing.tell.s())()
    growing.worker.run()
    assert growing.app.control.workflows.list() == []
    assert growing.told == []
