"""Signatures: what they hold, how they merge, that they travel."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac import Celeriac, Signature, Task, signature
from celeriac.app.canvas import signatures
from celeriac.core.codec import decode, encode
from celeriac.errors import InvalidTaskError
from tests.unit.app.conftest import sent

JSON = frozenset({"application/json"})


@pytest.fixture
def add(app: Celeriac) -> Task[..., int]:
    @app.task(name="proj.add")
    def add(x: int, y: int = 2) -> int:
        return x + y

    return add


def test_a_signature_is_a_dictionary_that_celery_would_write(add: Task[..., int]) -> None:
    one = add.s(1, y=3).set(queue="images", countdown=5)
    assert dict(one) == {
        "task": "proj.add",
        "args": (1,),
        "kwargs": {"y": 3},
        "options": {"queue": "images", "countdown": 5},
        "subtask_type": None,
        "immutable": False,
    }
    assert repr(one) == "proj.add(1, y=3)"
    assert (one.task, one.name, one.args, one.kwargs, one.immutable, one.id) == (
        "proj.add",
        "proj.add",
        (1,),
        {"y": 3},
        False,
        None,
    )
    assert one.type is add


def test_the_ways_to_make_one_agree(app: Celeriac, add: Task[..., int]) -> None:
    made = add.s(1, y=2)
    assert add.signature((1,), {"y": 2}) == made
    assert add.subtask((1,), {"y": 2}) == made
    assert Signature("proj.add", (1,), {"y": 2}) == made
    assert signature("proj.add", (1,), {"y": 2}) == made
    assert signature(add, (1,), {"y": 2}) == made
    assert app.signature(dict(made)) == made
    assert signature(made) == made
    assert signature(made) is not made
    assert add.si(1) == Signature("proj.add", (1,), immutable=True)
    assert Signature("proj.add", queue="images").options == {"queue": "images"}


def test_arguments_at_the_call_come_first(app: Celeriac, add: Task[..., int]) -> None:
    assert add.s(2).clone((1,), {"k": 3}, queue="q") == Signature("proj.add", (1, 2), {"k": 3}, {"queue": "q"})
    assert sent(app, add.s(2).delay(1).id).argsrepr == "(1, 2)"
    assert sent(app, add.s(2, y=1).apply_async((), {"y": 5}, queue="images").id).kwargsrepr == "{'y': 5}"
    assert add.s(5)(1) == 6
    assert add.s(5).apply((1,)).get() == 6


def test_an_immutable_one_ignores_arguments(app: Celeriac, add: Task[..., int]) -> None:
    receipt = add.si(2).apply_async((1, 1), {"y": 9}, priority=3)
    message = sent(app, receipt.id)
    assert (message.argsrepr, message.kwargsrepr, message.priority) == ("(2,)", "{}", 3)


def test_a_copy_is_independent(add: Task[..., int]) -> None:
    one = add.s(1, y=2).set(queue="q")
    for made in (one.clone(), copy.deepcopy(one), pickle.loads(pickle.dumps(one)), signature(dict(one))):
        assert made == one
        made.set(queue="other")
        made.kwargs["y"] = 9
        assert one.options == {"queue": "q"}
        assert one.kwargs == {"y": 2}


def test_links_are_kept_as_plain_dictionaries_once(add: Task[..., int]) -> None:
    one, after = add.s(1), add.s(10)
    assert one.link(after) is after
    one.link(after)
    assert one.on_error(add.s(20)) is one
    assert one.options == {"link": [dict(after)], "link_error": [dict(add.s(20))]}
    assert type(one.options["link"][0]) is dict


@given(
    st.lists(st.one_of(st.none(), st.integers(-5, 5), st.text(max_size=5)), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(-5, 5), max_size=3),
    st.booleans(),
    st.integers(0, 3),
)
def test_any_signature_survives_json(args: list[Any], kwargs: dict[str, int], immutable: bool, depth: int) -> None:
    one = Signature("proj.add", args, kwargs, {"queue": "q"}, immutable=immutable)
    for _ in range(depth):
        outer = Signature("proj.add", args)
        outer.link(one)
        one = outer
    encoded = encode(one)
    read = Signature.from_dict(decode(encoded.body, encoded.content_type, accept=JSON))
    again = encode(read)
    assert again.body == encoded.body
    assert read.task == "proj.add"
    assert read.args == tuple(args)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"task": ""},
        {"task": 5},
        {"task": "x", "args": "abc"},
        {"task": "x", "kwargs": [1]},
        {"task": "x", "options": [1]},
        {"task": "celery.chain", "subtask_type": "chain"},
    ],
)
def test_what_is_no_signature_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidTaskError):
        Signature.from_dict(wrong)


def test_arguments_that_are_one_value_are_refused() -> None:
    with pytest.raises(TypeError, match="must be a list or tuple"):
        Signature("x", "abc")
    with pytest.raises(TypeError, match="link='abc' is not a signature"):
        signatures("abc", "link")


def test_joining_with_what_is_no_signature_is_refused_rather_than_merging_dictionaries(add: Task[..., int]) -> None:
    one: Any = add.s(1)
    for left, right in ((one, {}), ({}, one)):
        with pytest.raises(InvalidTaskError, match="not a signature"):
            _ = left | right
    with pytest.raises(TypeError):
        one |= 3


def test_a_task_that_is_elsewhere_is_sent_by_name(app: Celeriac) -> None:
    message = sent(app, app.signature("elsewhere.add", (1,)).delay(2).id)
    assert (message.task, message.argsrepr) == ("elsewhere.add", "(2, 1)")
