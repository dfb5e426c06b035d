"""Representations are short, quick, safe and without secrets."""

from collections import deque
from typing import Any

import pytest

from celeriac.core.codec import saferepr


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class Ruder(Exception):
    def __repr__(self) -> str:
        raise self


@pytest.mark.parametrize(
    "value",
    [
        (2, 3),
        (1,),
        (),
        {},
        [1],
        [],
        set(),
        frozenset(),
        {1},
        frozenset({1}),
        ("it's", b"x", None, True, 1.5),
        {"a": (1, [2, {}]), 5: "b"},
        deque([1]),
        "text",
        object,
    ],
    ids=repr,
)
def test_small_values_look_as_python_shows_them(value: Any) -> None:
    assert saferepr(value) == repr(value)


def test_long_ones_are_cut() -> None:
    assert saferepr(("x" * 5000,)) == "('" + "x" * 1022 + "..."
    assert saferepr(tuple(range(10)), 10) == "(0, 1, 2, ..."
    assert len(saferepr([[0] * 1000] * 1000)) == 1027
    assert len(saferepr(b"\xff" * 10_000_000)) == 1027


def test_deep_ones_are_cut() -> None:
    assert saferepr([[[[1]]]]) == "[[[[...]]]]"
    assert saferepr([[[[1]]]], levels=9) == "[[[[1]]]]"
    assert saferepr({"a": {"b": {"c": {"d": 1}}}}) == "{'a': {'b': {'c': {...}}}}"
    endless: list[Any] = []
    endless.append(endless)
    assert saferepr(endless) == "[[[[...]]]]"


def test_it_never_raises() -> None:
    assert saferepr((Rude(), 1)) == "(<Rude: its repr raised RuntimeError>, 1)"
    assert saferepr({"a": Ruder()}) == "{'a': <Ruder: its repr raised Ruder>}"
    assert "its repr raised ValueError" in saferepr((10**5000,))


def test_secrets_are_hidden() -> None:
    value = ({"user": "ada", "password": "x", "API-Key": 1, "auth": {"accessToken": [1]}},)
    assert saferepr(value) == "({'user': 'ada', 'password': '***', 'API-Key': '***', 'auth': {'accessToken': '***'}},)"
    assert "'x'" in saferepr(value, redact=False)
