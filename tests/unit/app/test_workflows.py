"""Workflows from signature to result: sent and run task by task, and run here."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from celeriac import AsyncResult, Celeriac, GroupResult, ResultSet, Signature, Task, chain, chord, chunks, group
from celeriac.canvas import GroupStampingVisitor, StampingVisitor, maybe_signature
from celeriac.errors import ChordError, IncompleteStream, InvalidTaskError
from celeriac.result import result_from_tuple
from tests.unit.app.canvas_kit import Canvas
from tests.unit.app.conftest import HandWorker, sent


@pytest.fixture(params=["sent", "eager"])
def canvas(app: Celeriac, worker: HandWorker, request: pytest.FixtureRequest) -> Canvas:
    return Canvas(app, worker, eager=request.param == "eager")


@pytest.fixture
def on_broker(app: Celeriac, worker: HandWorker) -> Canvas:
    return Canvas(app, worker, eager=False)


def test_a_chain_hands_each_value_on(canvas: Canvas) -> None:
    add = canvas.add
    assert canvas.value(add.s(1, 2) | add.s(3) | add.s(4)) == 10
    assert canvas.value(chain(add.s(1), add.s(3)), 5) == 9
    assert canvas.value(chain([add.s(1, 2)])) == 3


def test_a_group_comes_to_the_list_of_values(canvas: Canvas) -> None:
    add = canvas.add
    assert canvas.value(group(add.s(n, n) for n in range(5))) == [0, 2, 4, 6, 8]
    assert canvas.value(group([add.s(1), add.s(2)]), 10) == [11, 12]
    assert canvas.value(group()) == []


def test_a_chord_s_body_gets_the_list(canvas: Canvas) -> None:
    add, total = canvas.add, canvas.total
    assert canvas.value(chord([add.s(1, 1), add.s(2, 2)], total.s())) == 6
    assert canvas.value(chord((add.s(n, n) for n in range(3)), total.s())) == 6
    assert canvas.value(chord([add.s(1, 1)], canvas.seen.s(7))) == [[2], 7]
    assert canvas.value(chord([], canvas.seen.s())) == [[]]


def test_a_chord_called_with_its_body_is_sent(on_broker: Canvas) -> None:
    result = chord([on_broker.add.s(1, 1), on_broker.add.s(2, 2)])(on_broker.total.s())
    on_broker.worker.run()
    assert result.get(timeout=1) == 6
    assert isinstance(result.parent, GroupResult)
    with pytest.raises(InvalidTaskError, match="has no body"):
        chord([on_broker.add.s(1, 1)])()


def test_a_group_with_something_behind_it_is_a_chord(canvas: Canvas) -> None:
    add, total, seen = canvas.add, canvas.total, canvas.seen
    upgraded = group(add.s(1, 1), add.s(2, 2)) | total.s()
    assert isinstance(upgraded, chord)
    assert canvas.value(upgraded | add.s(1)) == 7
    assert canvas.value(add.s(1, 1) | group(add.s(1), add.s(2)) | total.s()) == 7
    assert canvas.value(group(add.s(1, 1), add.s(2, 2)) | group(seen.s(), seen.s(1))) == [[[2, 4]], [[2, 4], 1]]


def test_workflows_nest_to_any_depth(canvas: Canvas) -> None:
    add, total = canvas.add, canvas.total
    inner = chord([add.s(1, 1) | add.s(1), group(add.s(2, 2), add.s(3, 3))], total.s())
    outer = chain(add.s(1, 1), group(add.s(1), inner | add.s(1)), total.s(), chord([add.s(1)], total.s()))
    assert canvas.value(chord([inner, add.s(1, 1)], total.s())) == 15
    assert canvas.value(chord([add.s(1, 1), add.s(2, 2)], chord([total.s(), canvas.seen.s()], total.s()))) == 12
    with pytest.raises(TypeError):  # The inner chord begins with add(1, 1), which is given a third argument here.
        canvas.value(outer)


@pytest.mark.parametrize("depth", [1, 6])
def test_a_nest_of_chords(canvas: Canvas, depth: int) -> None:
    workflow: Signature = canvas.total.si([0])
    for _ in range(depth):
        workflow = chord([workflow, *[canvas.add.si(1, 0) for _ in range(9)]], canvas.total.s())
    assert canvas.value(workflow) == 9 * depth


def test_immutable_steps_ignore_what_came_before(canvas: Canvas) -> None:
    assert canvas.value(canvas.add.s(1, 2) | canvas.seen.si(7)) == [7]
    assert canvas.value(chord([canvas.add.s(1, 2)], canvas.seen.si(7))) == [7]


def test_partial_arguments_go_to_the_steps_it_begins_with(canvas: Canvas) -> None:
    seen = canvas.seen
    result = canvas.send(seen.s(2) | seen.s(3), 1)
    assert result.get(timeout=1) == [[1, 2], 3]
    result = group(seen.s("a"), seen.s("b")).apply_async((1,), {"key": 2})
    if not canvas.eager:
        canvas.worker.run()
    assert result.get(timeout=1) == [[1, "a", ["key", 2]], [1, "b", ["key", 2]]]


def test_empty_groups_in_a_chain_give_an_empty_list(canvas: Canvas) -> None:
    assert canvas.value(canvas.add.s(1, 2) | group() | canvas.seen.s()) == [[]]
    assert canvas.value(chord([group(), canvas.add.s(1, 1)], canvas.seen.s())) == [[[], 2]]
    with pytest.raises(InvalidTaskError, match="empty chain"):
        chain(app=canvas.app)()


def test_a_failed_step_fails_what_is_behind_it_and_runs_none_of_it(canvas: Canvas) -> None:
    result = canvas.send(canvas.bad.s() | canvas.tell.s() | canvas.tell.s())
    with pytest.raises(ValueError, match="bad"):
        result.get(timeout=1)
    assert (result.state, result.parent.state, result.parent.parent.state) == ("FAILURE",) * 3
    assert canvas.told == []


def test_a_failed_task_of_a_header_fails_the_body_once_with_the_cause(canvas: Canvas) -> None:
    header = [canvas.add.s(1, 1), canvas.bad.s(), canvas.bad.s()]
    body = canvas.tell.s().on_error(canvas.report.s("body failed"))
    result = canvas.send(chord(header, body))
    error = result.get(timeout=1, propagate=False)
    assert isinstance(error, ChordError)
    assert str(error).startswith("Dependency ")
    assert str(error).endswith("raised ValueError('bad')")
    assert canvas.told == [(result.id, "body failed")]


def test_errbacks_of_a_chain_are_called_once_for_the_step_that_failed(canvas: Canvas) -> None:
    workflow = chain(canvas.add.s(1, 1), canvas.bad.s(), canvas.add.s(1))
    workflow.link_error(canvas.report.s("failed"))
    result = canvas.send(workflow)
    assert result.state == "FAILURE"
    assert canvas.told == [(result.parent.id, "failed")]


def test_callbacks_of_workflows(canvas: Canvas) -> None:
    add, tell = canvas.add, canvas.tell
    canvas.send(add.s(1, 1) | add.s(2), link=tell.s("chain"))
    canvas.send(chord([add.s(1, 1)], canvas.total.s()), link=tell.s("chord"))
    several = group(add.s(1, 1), add.s(2, 2))
    several.link(tell.s("group"))
    canvas.send(several)
    assert canvas.told == [(4, "chain"), (2, "chord"), ("group",)]


def test_a_retry_keeps_its_place(on_broker: Canvas) -> None:
    @on_broker.app.task(name="flaky", bind=True, max_retries=3, default_retry_delay=1)
    def flaky(self: Any, value: int, by: int) -> int:
        if self.request.retries < 2:
            raise self.retry(args=(value, by + 1))
        return value * by

    assert on_broker.value(on_broker.add.s(1, 1) | flaky.s(1) | on_broker.add.s(1)) == 7
    assert on_broker.value(chord([flaky.s(1, 1), flaky.s(2, 1)], on_broker.total.s())) == 9


def test_a_dead_letter_fails_what_waits_for_it(on_broker: Canvas) -> None:
    elsewhere = on_broker.app.signature("elsewhere.task")
    result = chord([elsewhere, on_broker.add.s(1, 1)], on_broker.total.s())()
    on_broker.worker.run(limit=500)
    assert isinstance(result.get(timeout=1, propagate=False), ChordError)


def test_an_ignored_result_is_handed_on_all_the_same(on_broker: Canvas) -> None:
    @on_broker.app.task(name="quiet", ignore_result=True)
    def quiet(x: int) -> int:
        return x + 1

    assert on_broker.value(quiet.s(1) | on_broker.add.s(1)) == 3
    assert on_broker.value(chord([quiet.s(1), quiet.s(2)], on_broker.total.s())) == 5


def test_a_task_that_ignores_itself_does_not_hang_what_waits(on_broker: Canvas) -> None:
    from celeriac.exceptions import Ignore

    @on_broker.app.task(name="ignores")
    def ignores() -> None:
        raise Ignore

    result = on_broker.send(ignores.s() | on_broker.add.s(1))
    assert result.state == "FAILURE"


def test_a_countdown_of_a_later_step_begins_when_it_could_run(on_broker: Canvas) -> None:
    clock = on_broker.app.clock
    on_broker.send((on_broker.add.s(1, 1) | on_broker.add.s(1).set(countdown=30)).set(countdown=10))
    assert clock.now() >= 40


def test_a_later_step_that_waited_too_long_has_expired(on_broker: Canvas) -> None:
    result = on_broker.send(on_broker.add.s(1, 1) | on_broker.add.s(1).set(countdown=30, expires=-1))
    assert result.state == "REVOKED"


def test_options_of_a_workflow(on_broker: Canvas) -> None:
    add = on_broker.add
    result = (add.s(1, 1) | add.s(2).set(priority=1)).apply_async(task_id="last", queue="images", priority=5)
    assert result.id == "last"
    first = sent(on_broker.app, result.parent.id)
    assert (first.queue, first.priority) == ("images", 5)
    on_broker.worker.step()
    last = sent(on_broker.app, "last")
    assert (last.queue, last.priority, last.parent_id, last.root_id) == ("images", 1, first.id, first.id)


def test_group_ids_and_places(on_broker: Canvas) -> None:
    result = group(on_broker.add.s(1, 1), on_broker.add.s(2, 2)).apply_async(task_id="the-group")
    assert isinstance(result, GroupResult)
    assert result.id == "the-group"
    messages = [sent(on_broker.app, one.id) for one in result]
    assert [(one.group, one.group_index) for one in messages] == [("the-group", 0), ("the-group", 1)]
    assert all(one.workflow is None for one in messages)


def test_the_message_of_a_step_does_not_grow_with_its_workflow(on_broker: Canvas) -> None:
    def size(steps: int) -> int:
        result = chain(*[on_broker.add.si(1, 1) for _ in range(steps)])()
        while result.parent is not None:
            result = result.parent
        return len(json.dumps(str(sent(on_broker.app, result.id))))

    assert size(200) < size(2) + 20


def test_skew_spreads_a_group(on_broker: Canvas) -> None:
    tasks = group(on_broker.add.s(1, 1) for _ in range(4)).skew(start=1, stop=3).tasks
    assert [one.options["countdown"] for one in tasks] == [1, 2, 3, 3]


def test_maps_and_chunks(canvas: Canvas) -> None:
    assert canvas.value(canvas.seen.map([1, 2])) == [[1], [2]]
    assert canvas.value(canvas.add.starmap([(1, 2), (3, 4)])) == [3, 7]
    assert canvas.value(canvas.add.s(1, 1) | canvas.add.starmap([(1, 2)])) == [3]
    parts = canvas.add.chunks([(n, n) for n in range(5)], 2)
    assert isinstance(parts, chunks)
    assert canvas.value(parts) == [[0, 2], [4, 6], [8]]
    assert canvas.value(parts.group() | canvas.total.s()) == 20
    with pytest.raises(ValueError, match="at least 1"):
        canvas.add.chunks([], 0)


def test_what_is_no_signature_is_refused(canvas: Canvas) -> None:
    for wrong in (3, "add", [1]):
        with pytest.raises(TypeError, match="made of signatures"):
            group(wrong)
    with pytest.raises(InvalidTaskError, match="no list of tasks"):
        Signature.from_dict({"task": "celery.chain", "subtask_type": "chain"})


WORKFLOWS: list[Callable[[Task[..., Any]], Signature]] = [
    lambda add: chain(add.s(1, 2), add.s(3)),
    lambda add: group(add.s(1, 2), add.s(3, 4)),
    lambda add: chord([add.s(1, 2), add.s(3, 4)], add.si(0, 0)),
    lambda add: chain(add.s(1, 2), group(add.s(3), add.s(4)), add.si(1, 1)).set(queue="images"),
    lambda add: add.chunks([(1, 2)], 1),
    lambda add: add.starmap([(1, 2)]),
]


@pytest.mark.parametrize("make", WORKFLOWS)
def test_a_workflow_travels(canvas: Canvas, make: Callable[[Task[..., Any]], Signature]) -> None:
    one = make(canvas.add)
    plain = json.loads(json.dumps(one))
    again = Signature.from_dict(plain, app=canvas.app)
    assert type(again) is type(one)
    assert json.loads(json.dumps(again)) == plain
    expected = canvas.value(one)
    assert canvas.value(again) == expected
    for copied in (one.clone(), copy.deepcopy(one), pickle.loads(pickle.dumps(one)), maybe_signature(one, clone=True)):
        assert type(copied) is type(one)
        assert copied == one
        assert copied is not one


def test_a_clone_has_tasks_of_its_own(canvas: Canvas) -> None:
    one = chain(canvas.add.s(1, 2), canvas.add.s(3))
    one.clone().tasks[0].set(queue="other")
    assert one.tasks[0].options == {}


def test_results_of_a_group(on_broker: Canvas) -> None:
    result = group(on_broker.add.s(n, n) for n in range(3)).apply_async()
    assert (len(result), result.completed_count(), result.ready(), result.waiting()) == (3, 0, False, True)
    on_broker.worker.step()
    assert result.completed_count() == 1
    on_broker.worker.run()
    assert (result.completed_count(), result.ready(), result.successful(), result.failed()) == (3, True, True, False)
    assert result.get() == result.join() == result.join_native() == [0, 2, 4]
    come = dict(result.iter_native())
    assert [come[one.id]["result"] for one in result] == [0, 2, 4]
    assert [one.get() for one in result.children] == [0, 2, 4]


def test_results_of_a_group_with_a_failure(on_broker: Canvas) -> None:
    result = on_broker.send(group(on_broker.add.s(1, 1), on_broker.bad.s()))
    assert (result.ready(), result.successful(), result.failed(), result.completed_count()) == (True, False, True, 1)
    with pytest.raises(ValueError, match="bad"):
        result.get()
    assert isinstance(result.get(propagate=False)[1], ValueError)


def test_a_saved_group_is_found_by_its_id(on_broker: Canvas) -> None:
    result = on_broker.send(group(on_broker.add.s(1, 1), group(on_broker.add.s(2, 2))))
    result.save()
    found = GroupResult.restore(result.id, app=on_broker.app)
    assert found == result
    assert found is not None
    assert found.get() == [2, [4]]
    result.delete()
    assert GroupResult.restore(result.id, app=on_broker.app) is None


def test_results_as_tuples(on_broker: Canvas) -> None:
    long = chain(*[on_broker.add.si(1, 1) for _ in range(3000)]).apply_async()
    again = result_from_tuple(long.as_tuple(), on_broker.app)
    assert again.as_list() == long.as_list()
    assert len(again.as_list()) == 3000
    body = chord([on_broker.add.s(1, 1)], on_broker.total.s()).apply_async()
    found = result_from_tuple(json.loads(json.dumps(body.as_tuple())), on_broker.app)
    assert isinstance(found, AsyncResult)
    assert found.parent == body.parent
    on_broker.app.broker.purge("celery")


def test_a_result_set(on_broker: Canvas) -> None:
    results = ResultSet([on_broker.add.delay(1, 1)])
    other = on_broker.add.delay(2, 2)
    results.add(other)
    results.add(other)
    assert len(results) == 2
    on_broker.worker.run()
    assert results.get() == [2, 4]
    results.remove(other.id)
    with pytest.raises(KeyError):
        results.remove(other)
    results.clear()
    assert results.get() == []


async def test_the_awaitable_ways(on_broker: Canvas) -> None:
    import asyncio

    result = await (on_broker.add.s(1, 2) | on_broker.add.s(3)).aapply_async()
    both = await group(on_broker.add.s(1, 1), on_broker.add.s(2, 2)).adelay()
    await asyncio.to_thread(on_broker.worker.run)
    assert await result.aget(timeout=1) == 6
    assert await both.aget(timeout=1) == [2, 4]
    assert await both.aready()
    assert await both.acompleted_count() == 2
    assert {meta["result"] async for _, meta in both.aiter_native()} == {2, 4}
    await both.asave()
    assert await GroupResult.arestore(both.id, app=on_broker.app) == both
    await on_broker.app.aclose()


def test_a_task_may_be_replaced(canvas: Canvas) -> None:
    @canvas.app.task(name="chooses", bind=True)
    def chooses(self: Any, kind: str) -> Any:
        add = canvas.add
        made: dict[str, Signature] = {
            "task": add.s(1, 1),
            "chain": add.s(1, 1) | add.s(10),
            "group": group(add.s(1, 1), add.s(2, 2)),
            "chord": chord([add.s(1, 1), add.s(2, 2)], canvas.total.s()),
            "itself": chooses.s("chain"),
        }
        return self.replace(made[kind])

    expected = {"task": 2, "chain": 12, "group": [2, 4], "chord": 6, "itself": 12}
    for kind, value in expected.items():
        assert canvas.value(chooses.s(kind)) == value
        assert canvas.value(chooses.s(kind) | canvas.seen.s()) == [value]
        assert canvas.value(chord([chooses.s(kind), canvas.add.s(3, 3)], canvas.seen.s())) == [[value, 6]]
    if not canvas.eager:
        result = chooses.apply_async(("chain",), link=canvas.tell.s("linked"))
        canvas.worker.run()
        assert (result.get(timeout=1), canvas.told) == (12, [(12, "linked")])
    with pytest.raises(RuntimeError, match="called like a function"):
        chooses("task")


def test_a_replacement_that_fails_fails_what_waits(on_broker: Canvas) -> None:
    @on_broker.app.task(name="doomed", bind=True)
    def doomed(self: Any) -> Any:
        raise self.replace(on_broker.add.s(1, 1) | on_broker.bad.s() | on_broker.add.s(1))

    result = on_broker.send(doomed.s() | on_broker.tell.s())
    assert (result.state, result.parent.state, on_broker.told) == ("FAILURE", "FAILURE", [])


def test_stamps_are_on_every_task_of_a_canvas(canvas: Canvas) -> None:
    @canvas.app.task(name="stamped", bind=True)
    def stamped(self: Any, *given: Any) -> Any:
        return [sorted(self.request.stamped_headers or ()), self.request.stamps]

    class Numbering(StampingVisitor):
        def on_signature(self, sig: Signature, **headers: Any) -> dict[str, Any]:
            return {"task": sig.task, "secret": 1, "stamped_headers": ["task"]}

    plain = stamped.s().stamp(colour="blue")
    assert canvas.value(plain) == [["colour"], {"colour": "blue"}]
    whole = chord([stamped.s(), stamped.s() | stamped.s()], stamped.s())
    whole.stamp(Numbering(), colour="red")
    result = canvas.send(whole)
    assert result.get(timeout=1) == [["colour", "task"], {"colour": "red", "task": "stamped"}]
    assert all(one.get() == result.get() for one in result.parent.results)
    whole.stamp(append_stamps=True, colour="green")
    assert canvas.value(whole)[1]["colour"] == ["red", "green"]


def test_groups_stamp_their_tasks(canvas: Canvas) -> None:
    @canvas.app.task(name="groups", bind=True)
    def groups(self: Any) -> Any:
        return self.request.stamps["groups"]

    whole = group(groups.s(), group(groups.s()))
    whole.stamp(GroupStampingVisitor())
    result = canvas.send(whole)
    outer, (both,) = result.get(timeout=1)
    assert outer == [result.id]
    assert both == [result.id, result.results[1].id]


def test_callbacks_are_stamped_too(canvas: Canvas) -> None:
    one = canvas.add.s(1, 1)
    one.link(canvas.tell.s())
    one.stamp(colour="blue")
    assert one.options["link"][0]["options"]["colour"] == "blue"
    assert canvas.value(one) == 2
    assert canvas.told == [(2,)]


def test_what_a_task_sent_can_be_followed(on_broker: Canvas) -> None:
    @on_broker.app.task(name="sends")
    def sends(depth: int) -> int:
        if depth:
            sends.delay(depth - 1)
            on_broker.add.delay(depth, depth)
        return depth

    result = sends.delay(2)
    with pytest.raises(IncompleteStream, match="is not over"):
        list(result.iterdeps())
    assert result.graph == {result.id: []}
    on_broker.worker.run()
    values = [value for _, value in result.collect(timeout=1)]
    assert values == [2, 1, 4, 0, 2]
    graph = result.graph
    assert len(graph) == 5
    assert graph[result.id] == [one.id for one in result.children]
    assert [len(sent) for sent in graph.values()] == [2, 2, 0, 0, 0]
