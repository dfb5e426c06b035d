"""Celery's canvas, name by name: what each makes, as plain dictionaries, and what it comes to.

What stands as expected here is what Celery 5.6 makes of the same line, but for what `docs/migrating-from-celery.md`
lists as different: the header of a chord is a group, types of map and chunks are written down.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from celeriac import (
    AsyncResult,
    Celeriac,
    GroupResult,
    ResultSet,
    Signature,
    Task,
    chain,
    chord,
    chunks,
    group,
    signature,
)
from celeriac.canvas import (
    GroupStampingVisitor,
    StampingVisitor,
    maybe_signature,
    maybe_subtask,
    subtask,
    xmap,
    xstarmap,
)
from celeriac.core.message import Message
from celeriac.result import result_from_tuple
from tests.unit.app.canvas_kit import Canvas
from tests.unit.app.conftest import HandWorker

Made = Callable[[Canvas], Any]


def t(task: str, *args: Any, immutable: bool = False, kind: str | None = None, kw: Any = None, **options: Any) -> Any:
    """Return the dictionary of a signature."""
    return {
        "task": task,
        "args": list(args),
        "kwargs": kw or {},
        "options": options,
        "subtask_type": kind,
        "immutable": immutable,
    }


def a(*args: Any, **options: Any) -> Any:
    return t("add", *args, **options)


def chain_of(*tasks: Any, **options: Any) -> Any:
    return t("celery.chain", kind="chain", kw={"tasks": list(tasks)}, **options)


def group_of(*tasks: Any, **options: Any) -> Any:
    return t("celery.group", kind="group", kw={"tasks": list(tasks)}, **options)


def chord_of(header: list[Any], body: Any) -> Any:
    return t("celery.chord", kind="chord", kw={"header": group_of(*header), "body": body})


TOTAL = t("total")
BAD = t("bad")

MADE: dict[str, tuple[Made, Any]] = {
    "task.s": (lambda c: c.add.s(1, y=2), a(1, kw={"y": 2})),
    "task.si": (lambda c: c.add.si(1, y=2), a(1, kw={"y": 2}, immutable=True)),
    "task.signature": (
        lambda c: c.add.signature((1,), {"y": 2}, countdown=3, queue="q"),
        a(1, kw={"y": 2}, countdown=3, queue="q"),
    ),
    "task.subtask": (lambda c: c.add.subtask((1,)), a(1)),
    "app.signature": (lambda c: c.app.signature("add", (1,)), a(1)),
    "signature by name": (
        lambda c: signature("add", args=(1,), kwargs={"y": 1}, immutable=True, options={"queue": "q"}),
        a(1, kw={"y": 1}, immutable=True, queue="q"),
    ),
    "signature of a dictionary": (lambda c: signature(dict(c.add.s(1))), a(1)),
    "subtask": (lambda c: subtask("add", args=(1,)), a(1)),
    "maybe_signature": (lambda c: [maybe_signature(None), maybe_signature(dict(c.add.s(1)))], [None, a(1)]),
    "clone": (lambda c: c.add.s(1).clone((5,), {"y": 3}, queue="x"), a(5, 1, kw={"y": 3}, queue="x")),
    "clone of an immutable one": (lambda c: c.add.si(1).clone((5,), {"y": 3}), a(1, immutable=True)),
    "set": (lambda c: c.add.s(1).set(queue="a", priority=3), a(1, queue="a", priority=3)),
    "set immutable": (lambda c: c.add.s(1).set(immutable=True), a(1, immutable=True)),
    "replace": (lambda c: c.add.s(1).set(queue="a").replace(args=(2,), kwargs={"y": 1}), a(2, kw={"y": 1}, queue="a")),
    "task | task": (lambda c: c.add.s(1) | c.add.s(2), chain_of(a(1), a(2))),
    "chain | chain": (
        lambda c: (c.add.s(1) | c.add.s(2)) | (c.add.s(3) | c.add.s(4)),
        chain_of(a(1), a(2), a(3), a(4)),
    ),
    "group | task": (lambda c: group(c.add.s(1), c.add.s(2)) | c.total.s(), chord_of([a(1), a(2)], TOTAL)),
    "group | group": (
        lambda c: group(c.add.s(1)) | group(c.add.s(2), c.add.s(3)),
        chord_of([a(1)], group_of(a(2), a(3))),
    ),
    "task | group": (lambda c: c.add.s(1) | group(c.add.s(2)), chain_of(a(1), group_of(a(2)))),
    "task | group | task": (
        lambda c: c.add.s(1) | group(c.add.s(2), c.add.s(3)) | c.total.s(),
        chain_of(a(1), chord_of([a(2), a(3)], TOTAL)),
    ),
    "chord | task": (
        lambda c: chord([c.add.s(1)], c.total.s()) | c.add.s(3),
        chord_of([a(1)], chain_of(TOTAL, a(3))),
    ),
    "chord | group": (
        lambda c: chord([c.add.s(1)], c.total.s()) | group(c.add.s(3)),
        chain_of(chord_of([a(1)], TOTAL), group_of(a(3))),
    ),
    "chain of a list": (lambda c: chain([c.add.s(1), c.add.s(2)]), chain_of(a(1), a(2))),
    "chain of a generator": (lambda c: chain(c.add.s(n) for n in range(2)), chain_of(a(0), a(1))),
    "chain of a group and a task": (lambda c: chain(group(c.add.s(1)), c.total.s()), chord_of([a(1)], TOTAL)),
    "chain of one": (lambda c: chain(c.add.s(1)), chain_of(a(1))),
    "group of a generator": (lambda c: group(c.add.s(n) for n in range(2)), group_of(a(0), a(1))),
    "group of a group": (lambda c: group(group(c.add.s(1), c.add.s(2))), group_of(a(1), a(2))),
    "group of nothing": (lambda c: [group(), group([])], [group_of(), group_of()]),
    "chord": (lambda c: chord([c.add.s(1)], c.total.s()), chord_of([a(1)], TOTAL)),
    "chord of a generator": (
        lambda c: chord((c.add.s(n) for n in range(2)), c.total.s()),
        chord_of([a(0), a(1)], TOTAL),
    ),
    "chord as a body": (
        lambda c: chord([c.add.s(1)], chord([c.add.s(2)], c.total.s())),
        chord_of([a(1)], chord_of([a(2)], TOTAL)),
    ),
    "map": (
        lambda c: c.add.map([1, 2]),
        t("celery.map", kind="map", kw={"task": a(), "it": [1, 2]}, immutable=True),
    ),
    "starmap": (
        lambda c: c.add.starmap([(1, 2)]),
        t("celery.starmap", kind="starmap", kw={"task": a(), "it": [[1, 2]]}, immutable=True),
    ),
    "chunks": (
        lambda c: c.add.chunks([(1, 2), (3, 4), (5, 6)], 2).group(),
        group_of(
            t("celery.starmap", kind="starmap", kw={"task": a(), "it": [[1, 2], [3, 4]]}, immutable=True),
            t("celery.starmap", kind="starmap", kw={"task": a(), "it": [[5, 6]]}, immutable=True),
        ),
    ),
    "skew": (
        lambda c: [one.options for one in group(c.add.s(n) for n in range(4)).skew(start=1, stop=3).tasks],
        [{"countdown": 1}, {"countdown": 2}, {"countdown": 3}, {"countdown": 3}],
    ),
    "skew by a step": (
        lambda c: [one.options for one in group(c.add.s(n) for n in range(3)).skew(start=2, step=0.5).tasks],
        [{"countdown": 2}, {"countdown": 2.5}, {"countdown": 3}],
    ),
    "link": (lambda c: linked(c.add.s(1), "link", c.bad.s()), a(1, link=[BAD])),
    "link twice": (lambda c: linked(c.add.s(1), "link", c.bad.s(), c.bad.s()), a(1, link=[BAD])),
    "link_error": (lambda c: linked(c.add.s(1), "link_error", c.bad.s()), a(1, link_error=[BAD])),
    "on_error": (lambda c: c.add.s(1).on_error(c.bad.s()), a(1, link_error=[BAD])),
    "group.link": (
        lambda c: linked(group(c.add.s(1), c.add.s(2)), "link", c.bad.s()),
        group_of(a(1, link=[t("bad", immutable=True)]), a(2)),
    ),
    "group.link_error": (
        lambda c: linked(group(c.add.s(1), c.add.s(2)), "link_error", c.bad.s()),
        group_of(a(1, link_error=[BAD]), a(2, link_error=[BAD])),
    ),
    "chord.link": (
        lambda c: linked(chord([c.add.s(1)], c.total.s()), "link", c.bad.s()),
        chord_of([a(1)], t("total", link=[BAD])),
    ),
    "flatten_links": (lambda c: linked(c.add.s(1), "link", c.add.s(2)).flatten_links(), [a(1, link=[a(2)]), a(2)]),
    "append_to_list_option": (lambda c: appended(c.add.s(1)), a(1, tags=["x", "y", "z"])),
    "stamp": (
        lambda c: c.add.s(1).stamp(colour="red"),
        a(1, colour="red", stamped_headers=["colour"]),
    ),
}


def linked(whole: Any, method: str, *callbacks: Signature) -> Any:
    for one in callbacks:
        getattr(whole, method)(one)
    return whole


def appended(whole: Signature) -> Signature:
    assert [whole.append_to_list_option("tags", one) for one in "xx"] == ["x", "x"]
    whole.extend_list_option("tags", ["y", "z"])
    return whole


@pytest.fixture
def sent(app: Celeriac, worker: HandWorker) -> Canvas:
    return Canvas(app, worker, eager=False)


@pytest.fixture(params=["sent", "eager"])
def canvas(app: Celeriac, worker: HandWorker, request: pytest.FixtureRequest) -> Canvas:
    return Canvas(app, worker, eager=request.param == "eager")


@pytest.mark.parametrize("name", MADE)
def test_what_a_name_makes_is_json_and_comes_back_the_same(sent: Canvas, name: str) -> None:
    make, expected = MADE[name]
    made = make(sent)
    text = json.dumps(made)
    assert json.loads(text) == expected
    for one in made if isinstance(made, list) else [made]:
        if isinstance(one, Signature):
            back = signature(json.loads(json.dumps(one)), app=sent.app)
            assert type(back) is type(one)
            assert json.dumps(back) == json.dumps(one)


VALUES: dict[str, tuple[Made, Any]] = {
    "partial": (lambda c: c.add.s(1).clone((2,)), 3),
    "chain": (lambda c: c.add.s(1, 2) | c.add.s(3), 6),
    "group": (lambda c: group(c.add.s(1, 1), c.add.s(2, 2)), [2, 4]),
    "empty group": (lambda c: group(), []),
    "chord of nothing": (lambda c: chord([], c.seen.s()), [[]]),
    "map": (lambda c: c.seen.map([1, 2]), [[1], [2]]),
    "starmap": (lambda c: c.add.starmap([(1, 2), (3, 4)]), [3, 7]),
    "chunks": (lambda c: c.add.chunks([(1, 2), (3, 4), (5, 6)], 2), [[3, 7], [11]]),
    "task | group | task | task": (
        lambda c: c.add.s(1, 1) | group(c.add.s(1), c.add.s(2)) | c.total.s() | c.add.s(1),
        8,
    ),
    "group | group": (lambda c: group(c.add.s(1, 1), c.add.s(2, 2)) | group(c.seen.s(), c.seen.s()), [[[2, 4]]] * 2),
    "chord in a chord": (lambda c: chord([chord([c.add.s(1, 1)], c.total.s()), c.add.s(1, 1)], c.total.s()), 4),
    "chord as a body": (
        lambda c: chord([c.add.s(1, 1)], chord([c.seen.s(), c.seen.s()], c.seen.s())),
        [[[[2]], [[2]]]],
    ),
    "chain of groups of chords of chains": (
        lambda c: (
            group(
                chord([c.add.s(1, 1) | c.add.s(1), c.add.s(2, 2)], c.total.s() | c.add.s(10)),
                c.add.s(3, 3) | c.add.s(1),
            )
            | group(c.total.s(), c.total.s() | c.add.s(100))
            | c.total.s()
        ),
        148,
    ),
    "immutable steps": (lambda c: c.add.si(1, 1) | c.add.si(2, 2), 4),
}


@pytest.mark.parametrize("name", VALUES)
def test_what_it_comes_to(canvas: Canvas, name: str) -> None:
    make, expected = VALUES[name]
    assert canvas.value(make(canvas)) == expected


def test_json_that_celery_wrote_is_read(sent: Canvas) -> None:
    celery_s = chord_of([a(1, 1), a(2, 2)], TOTAL)
    celery_s["kwargs"] = {"header": [a(1, 1), a(2, 2)], "body": TOTAL, "kwargs": {}}
    assert sent.value(signature(celery_s, app=sent.app)) == 6
    celery_s["kwargs"]["kwargs"] = {"y": 5}
    celery_s["kwargs"]["header"] = [a(1), a(2)]
    assert sent.value(signature(celery_s, app=sent.app)) == 13
    mapped = t("celery.starmap", kw={"task": a(), "it": [[1, 2]]}, immutable=True)
    assert sent.value(signature(mapped, app=sent.app)) == [3]
    cut = t("celery.chunks", kw={"task": a(), "it": [[1, 2], [3, 4]], "n": 1}, immutable=True)
    assert sent.value(signature(cut, app=sent.app)) == [[3], [7]]


def test_frozen_signatures_have_their_ids_before_they_are_sent(sent: Canvas) -> None:
    add = sent.add
    one = add.s(1, 1)
    assert (one.freeze("its-id").id, one.id, one.freeze().id) == ("its-id",) * 3
    whole = add.s(1, 1) | group(add.s(1), add.s(2)) | sent.total.s()
    result = whole.freeze("last")
    header = result.parent
    assert isinstance(header, GroupResult)
    told = whole.apply_async()
    assert (told.id, told.parent.id, [one.id for one in told.parent]) == ("last", header.id, [one.id for one in header])
    sent.worker.run()
    assert (result.get(timeout=1), header.get(timeout=1), header.parent.get(timeout=1)) == (7, [3, 4], 2)


def test_a_run_can_be_sent_once_more(sent: Canvas) -> None:
    found: list[Any] = []

    @sent.app.task(name="looks", bind=True)
    def looks(self: Any, x: int, y: int = 0) -> int:
        found.append(self.signature_from_request(args=(5,), countdown=3))
        assert self.request.as_execution_options() == self.request.execution_options
        return x

    result = sent.send(looks.s(1, y=2).set(headers={"trace": 1}))
    (again,) = found
    assert (again.args, again.kwargs, again.options["countdown"]) == ((5,), {"y": 2}, 3)
    assert (again.options["headers"], again.options["task_id"]) == ({"trace": 1}, result.id)


NAMES: dict[Any, str] = {
    Signature: "app apply apply_async append_to_list_option args clone delay extend_list_option flatten_links freeze"
    " from_dict id immutable kwargs link link_error name on_error options replace reprcall set set_immutable stamp"
    " subtask_type task type aapply_async adelay",
    chain: "apply apply_async clone tasks freeze link link_error",
    group: "apply apply_async skew tasks freeze link link_error",
    chord: "apply apply_async body tasks freeze link link_error __call__",
    chunks: "apply_chunks group apply_async",
    Task: "s si signature subtask map starmap chunks apply apply_async delay replace add_to_chord retry request"
    " signature_from_request subtask_from_request aapply_async adelay",
    ResultSet: "add clear completed_count discard failed forget get iter_native join join_native maybe_reraise"
    " maybe_throw ready remove revoke successful supports_native_join update waiting aready asuccessful afailed"
    " acompleted_count aget ajoin ajoin_native aiter_native arevoke aforget",
    GroupResult: "as_tuple children delete restore save as_list asave adelete arestore",
    AsyncResult: "as_list as_tuple children collect date_done failed forget get get_leaf graph iterdeps maybe_reraise"
    " maybe_throw name queue ready result retries revoke state status successful task_id traceback wait worker"
    " aget aready arevoke aforget amaybe_throw",
    StampingVisitor: "on_signature on_group_start on_group_end on_chain_start on_chain_end on_chord_header_start"
    " on_chord_header_end on_chord_body on_callback on_errback",
    GroupStampingVisitor: "on_signature on_group_start on_group_end",
}


@pytest.mark.parametrize("owner", NAMES, ids=lambda owner: owner.__name__)
def test_the_names_are_there(owner: Any) -> None:
    assert [name for name in NAMES[owner].split() if not hasattr(owner, name)] == []


def test_names_of_functions_and_classes() -> None:
    assert maybe_subtask is maybe_signature
    assert issubclass(xmap, Signature)
    assert issubclass(xstarmap, Signature)


def test_results_of_workflows(sent: Canvas) -> None:
    add = sent.add
    result = (add.s(1, 1) | group(add.s(1), add.s(2)) | sent.total.s())()
    header = result.parent
    assert (header.waiting(), header.ready(), header.completed_count()) == (True, False, 0)
    sent.worker.run()
    assert (header.waiting(), header.successful(), header.failed(), header.completed_count()) == (False, True, False, 2)
    assert header.join(timeout=1) == header.join_native(timeout=1) == header.get(timeout=1) == [3, 4]
    assert sorted(meta["result"] for _, meta in header.iter_native(timeout=1)) == [3, 4]
    header.save()
    assert GroupResult.restore(header.id, app=sent.app) == header
    assert header.children == header.results
    back = result_from_tuple(json.loads(json.dumps(result.as_tuple())), app=sent.app)
    assert (back.id, back.parent.id, back.parent.parent.id) == (result.id, header.id, header.parent.id)
    assert (back.get(timeout=1), back.parent.get(timeout=1)) == (7, [3, 4])
    assert result.get_leaf() == 7
    assert [value for _, value in result.collect(timeout=1)] == [7]
    assert result.graph == {result.id: []}


def test_results_of_a_task_that_sends_others(sent: Canvas) -> None:
    @sent.app.task(name="parent", bind=True)
    def parent(self: Any) -> str:
        sent.add.delay(1, 2)
        return "parent"

    result = parent.delay()
    sent.worker.run()
    (child,) = result.children
    assert [value for _, value in result.collect(timeout=1)] == ["parent", 3]
    assert result.graph == {result.id: [child.id], child.id: []}
    assert result.get_leaf() == 3


def test_errbacks_of_both_signatures(canvas: Canvas) -> None:
    told: list[Any] = []

    @canvas.app.task(name="new_style")
    def new_style(request: Any, exc: BaseException, traceback: str) -> None:
        told.append((request.id, repr(exc), "ValueError" in traceback))

    @canvas.app.task(name="old_style")
    def old_style(task_id: str) -> None:
        told.append(task_id)

    errbacks = [new_style.s(), old_style.s()]
    result = canvas.send(canvas.bad.s().set(task_id="it", link_error=errbacks))
    assert result.state == "FAILURE"
    assert told == [("it", "ValueError('bad')", True), "it"]


def test_a_link_may_be_a_workflow(canvas: Canvas) -> None:
    add, total, tell = canvas.add, canvas.total, canvas.tell
    links = [
        add.s(1) | add.s(2) | tell.s("chain"),
        group(tell.s("one"), tell.s("two")),
        chord([add.s(1), chain(add.s(2), add.s(3))], total.s().set(link=tell.s("chord") | tell.si("end"))),
    ]
    sent = canvas.send(add.s(3, 4), link=links)
    assert sent.get() == 7
    assert sorted(canvas.told, key=repr) == sorted(
        [(10, "chain"), (7, "one"), (7, "two"), (20, "chord"), ("end",)], key=repr
    )


def test_an_errback_may_be_a_workflow(canvas: Canvas) -> None:
    failed = canvas.send(canvas.bad.s(), link_error=canvas.seen.s("x") | canvas.tell.s())
    assert canvas.told == [([failed.id, "x"],)]
    canvas.told.clear()
    body = canvas.send(chord([canvas.bad.s()], canvas.seen.s()).on_error(canvas.seen.s("y") | canvas.tell.s()))
    assert canvas.told == [([body.id, "y"],)]


def test_an_errback_that_raises_changes_nothing_and_takes_no_other_with_it(canvas: Canvas) -> None:
    @canvas.app.task(name="raises")
    def raises(request: Any, exc: Any, traceback: Any) -> None:
        raise RuntimeError("an errback")

    for failing in (canvas.bad.s(), chord([canvas.bad.s()], canvas.seen.s())):
        canvas.told.clear()
        failing.on_error(raises.s()).on_error(canvas.report.s("told"))
        failed = canvas.send(failing)
        assert canvas.told == [(failed.id, "told")]
        with pytest.raises(ValueError, match="bad"):
            failed.get(timeout=1)
        assert failed.state == "FAILURE"


def test_a_linked_workflow_has_the_same_ids_however_often_the_task_ends(sent: Canvas) -> None:
    follow_ups = sent.app.worker_surroundings("x").follow_ups
    parent = Message(id="p", task="add", root_id="r")
    link = sent.add.s(1) | group(sent.add.s(2), sent.add.s(3))
    made = [follow_ups.callbacks([dict(link)], parent, 5) for _ in range(2)]
    assert made[0][0].id == made[1][0].id
    assert (made[0][0].parent_id, made[0][0].root_id) == ("p", "r")
