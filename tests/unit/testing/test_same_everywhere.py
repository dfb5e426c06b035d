"""What a workflow comes to does not depend on what runs it: eager mode, a kit, or a real worker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest

from celeriac import Signature, chain, chord, chunks, group
from celeriac.testing import Kit
from tests.support.canvases import Canvases, same

canvases = Canvases("same-everywhere")
s = canvases.s
Make: TypeAlias = Callable[[], Signature]


def linked() -> Signature:
    one = s("step", 1)
    one.link(s("linked", "after"))
    return one


def with_errback(name: str, errback: str) -> Signature:
    one = s(name, 1)
    one.link_error(s(errback))
    return one


def body_with_errback() -> Signature:
    whole = chord([s("step", 1), s("broken", 2)], s("step"))
    whole.link_error(s("told"))
    return whole


TABLE: dict[str, tuple[Make, Any]] = {
    "a task": (lambda: s("step", 1), ("value", [1])),
    "a coroutine": (lambda: s("astep", 1), ("value", ["a", 1])),
    "a failure": (lambda: s("broken", 1), ("error", "Broken", "no 1")),
    "a chain": (lambda: s("step", 1) | s("step", 2) | s("astep"), ("value", ["a", [[1], 2]])),
    "a chain of immutable steps": (lambda: s("step", 1) | canvases.tasks["step"].si(2), ("value", [2])),
    "a chain that fails": (lambda: s("step", 1) | s("broken") | s("step"), ("error", "Broken", "no 1")),
    "a group": (
        lambda: group(s("step", 1), s("broken"), s("step")),
        [("value", [1]), ("error", "Broken", "no 0"), ("value", [])],
    ),
    "an empty group in a chain": (lambda: chain(s("step", 1), group([]), s("step")), ("value", [[]])),
    "a chord": (lambda: chord([s("step", 1), s("step", 2)], s("step")), ("value", [[[1], [2]]])),
    "a chord of nothing": (lambda: chord([], s("step", 3)), ("value", [[], 3])),
    "a chord whose header fails": (
        lambda: chord([s("step", 1), s("broken", 2)], s("step")),
        ("error", "Broken", "no 1"),
    ),
    "a chord whose body fails": (lambda: chord([s("step", 1)], s("broken")), ("error", "Broken", "no 1")),
    "a chord whose body is a group": (
        lambda: chord([s("step", 1)], group(s("step", 2), s("step", 3))),
        [("value", [[[1]], 2]), ("value", [[[1]], 3])],
    ),
    "a nest": (
        lambda: chain(s("step", 1), group(s("step", 2) | s("astep"), chord([s("step", 3)], s("step"))), s("step", 4)),
        ("value", [[["a", [[1], 2]], [[[[1], 3]]]], 4]),
    ),
    "a map": (lambda: canvases.tasks["step"].map([1, 2]), ("value", [[1], [2]])),
    "a starmap": (lambda: canvases.tasks["step"].starmap([(1, 2), (3,)]), ("value", [[1, 2], [3]])),
    "chunks": (lambda: chunks(s("step"), [(1,), (2,), (3,)], 2), [("value", [[1], [2]]), ("value", [[3]])]),
    "link": (linked, ("value", [1])),
    "link_error with an id": (lambda: with_errback("broken", "errback"), ("error", "Broken", "no 1")),
    "link_error with the failure": (lambda: with_errback("broken", "told"), ("error", "Broken", "no 1")),
    "link_error of a body": (body_with_errback, ("error", "Broken", "no 1")),
    "ignored within a chain": (lambda: s("quiet", 1) | s("step"), ("value", ["quiet"])),
    "Ignore within a chain": (
        lambda: s("ignores") | s("step"),
        ("error", "TaskError", "task ignores[ID] ended without a value"),
    ),
    "Reject within a chain": (lambda: s("rejects") | s("step"), ("error", "TaskError", "rejected: rejected")),
    "replaced": (lambda: s("replaces", by=s("step", 7)) | s("step", 8), ("value", [[7], 8])),
    "replaced by a chain": (lambda: s("replaces", by=s("step", 7) | s("step", 8)), ("value", [[7], 8])),
    "replaced by a group": (lambda: s("replaces", by=group(s("step", 7), s("step", 8))), ("value", [[7], [8]])),
    "replaced by a chain that ends in a group": (
        lambda: s("replaces", by=chain(s("step", 6), group(s("step", 7), s("step", 8)))) | s("step"),
        ("value", [[[[6], 7], [[6], 8]]]),
    ),
    "replaced by a chord": (
        lambda: s("replaces", by=chord([s("step", 7)], s("step", 8))) | s("step"),
        ("value", [[[[7]], 8]]),
    ),
    "replaced by what fails": (lambda: s("replaces", by=s("broken")) | s("step"), ("error", "Broken", "no 0")),
    "replaced again by the last step": (
        lambda: s("step", 1) | s("replaces", by=s("step", 2) | s("replaces", by=s("step", 3) | s("step", 4))),
        ("value", [[3], 4]),
    ),
    "replaced by what does not wait": (
        lambda: s("replaces", by=chain(chain(s("step", 1), group([])), s("step", 2))) | s("step", 3),
        ("value", [[[], 2], 3]),
    ),
    "a chord that grows": (
        lambda: chord([s("step", 1), s("grows")], s("step")),
        ("value", [[[1], "grown", ["added"]]]),
    ),
    "sends others": (lambda: s("sends", what=group(s("step", 1), s("step", 2))), ("value", "sent")),
    "sends a group of one": (lambda: s("sends", what=group(s("step", 1))) | s("step"), ("value", ["sent"])),
}
WITH_DELAYS: dict[str, tuple[Make, Any]] = {
    "a retry": (lambda: s("again", 1), ("value", 2)),
    "a retry in a chord": (lambda: chord([s("again", 1), s("step", 2)], s("step")), ("value", [[2, [2]]])),
    "a failure after retries": (lambda: s("step") | s("worn") | s("step"), ("error", "Broken", "worn out")),
    "a later step with a countdown": (lambda: s("step", 1) | s("step", 2).set(countdown=60), ("value", [[1], 2])),
}


@pytest.fixture(autouse=True)
def _app_that_is_not_left_behind() -> Iterator[None]:
    yield
    canvases.app.close()


@pytest.mark.parametrize("make", [one for one, _ in TABLE.values()], ids=TABLE)
def test_a_workflow_comes_to_the_same_eagerly_by_a_kit_and_by_a_worker(
    make: Make, request: pytest.FixtureRequest
) -> None:
    _, wanted = TABLE[request.node.callspec.id]
    eager, runs = canvases.eagerly(make())
    assert eager == wanted
    assert runs
    assert canvases.by_kit(make()) == (wanted, runs)
    assert canvases.by_worker(make()) == (wanted, runs)


@pytest.mark.parametrize("make", [one for one, _ in WITH_DELAYS.values()], ids=WITH_DELAYS)
def test_delays_change_nothing_but_the_time(make: Make, request: pytest.FixtureRequest) -> None:
    _, wanted = WITH_DELAYS[request.node.callspec.id]
    eager, runs = canvases.eagerly(make())
    assert (eager, canvases.by_kit(make())) == (wanted, (wanted, runs))


def test_eager_failures_are_raised_as_get_would_raise_them() -> None:
    app = canvases.app
    app.conf.task_eager_propagates = True
    try:
        for make, wanted in TABLE.values():
            if isinstance(wanted, tuple) and wanted[0] == "error":
                with pytest.raises(Exception) as caught:  # noqa: PT011
                    make().apply()
                assert type(caught.value).__name__ == wanted[1]
    finally:
        app.conf.task_eager_propagates = False


def test_every_step_of_an_eager_workflow_may_be_stored() -> None:
    app = canvases.app
    app.conf.task_store_eager_result = True
    try:
        result = chord([s("step", 1), s("broken", 2)], s("step")).apply()
    finally:
        app.conf.task_store_eager_result = False
    stored = app.backend.fetch([one.id for one in (*result.parent.results, result)])
    assert Counter(one.state for one in stored) == {"SUCCESS": 1, "FAILURE": 2}


def test_a_step_whose_code_is_not_here_is_named_in_eager_mode() -> None:
    with pytest.raises(LookupError, match=r"no task named 'elsewhere'"):
        chain(s("step", 1), canvases.app.signature("elsewhere")).apply()


def test_outcomes_that_differ_are_told_apart() -> None:
    assert not same(("value", 1), ("value", 2))
    assert not same([("value", 1)], [("value", 1), ("value", 2)])
    with Kit(canvases.app) as kit:
        sent = s("step", 1).delay()
        assert kit.enqueued()[0].id == sent.id
