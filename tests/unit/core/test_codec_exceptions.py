"""Exceptions travel as data, and reading them runs no foreign code."""

import asyncio
import json
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from celeriac.core.codec import accept_types, decode, decode_exception, encode, encode_exception
from celeriac.errors import DecodeError, Reject, TaskError, TaskRevokedError


class Declined(Exception):
    """Its constructor takes other arguments than it hands on."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code

    def __str__(self) -> str:
        return f"declined with {self.code}"


class Outer:
    class Inner(ValueError):
        pass


class Final(Exception):
    def __init_subclass__(cls) -> None:
        raise TypeError("no subclasses")

    def __init__(self, *, only: str) -> None:
        super().__init__(only)


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def through(exc: BaseException) -> BaseException:
    body = encode(encode_exception(exc)).body
    return decode_exception(decode(body, "application/json", accept=accept_types(["json"])))


def test_the_form_is_that_of_the_peers() -> None:
    assert encode_exception(ValueError("bad", 42)) == {
        "exc_type": "ValueError",
        "exc_message": ["bad", 42],
        "exc_module": "builtins",
    }
    assert encode_exception(Outer.Inner())["exc_type"] == "Outer.Inner"


@pytest.mark.parametrize(
    "exc",
    [
        ValueError("bad", 42),
        KeyError("x"),
        Outer.Inner("x", None, [1, {"a": 2.5}]),
        TaskRevokedError("expired"),
        Reject("no", False),
        FileNotFoundError(2, "No such file", "a.txt"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        StopIteration(4),
        LookupError(datetime(2024, 1, 2, tzinfo=UTC), b"\xff"),
    ],
    ids=repr,
)
def test_loaded_classes_come_back(exc: Exception) -> None:
    back = through(exc)
    assert type(back) is type(exc)
    assert back.args == exc.args
    assert str(back) == str(exc)


def test_a_constructor_that_takes_other_arguments_is_passed_over() -> None:
    back = through(Declined(5, "card"))
    assert isinstance(back, Declined)
    assert str(back) == "5: card"
    assert repr(back) == "Declined('5: card')"
    with pytest.raises(Declined):
        raise back


def test_a_class_that_cannot_be_made_gets_a_stand_in() -> None:
    back = through(Final(only="x"))
    assert isinstance(back, TaskError)
    assert type(back).__name__ == "Final"
    assert back.args == ("x",)


def test_an_unknown_class_gets_a_stand_in_of_its_name() -> None:
    data = {"exc_type": "Outer.CardDeclined", "exc_message": ["no", 1], "exc_module": "shop.errors"}
    one, two = decode_exception(data), decode_exception(data)
    assert type(one) is type(two)
    assert isinstance(one, TaskError)
    assert (type(one).__module__, type(one).__qualname__) == ("shop.errors", "Outer.CardDeclined")
    assert repr(one) == "CardDeclined('no', 1)"
    assert "shop" not in sys.modules


def test_nothing_is_imported() -> None:
    assert "antigravity" not in sys.modules
    back = decode_exception({"exc_type": "Error", "exc_message": [], "exc_module": "antigravity"})
    assert isinstance(back, TaskError)
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("builtins", "eval"),
        ("builtins", "dict"),
        ("os", "system"),
        ("json", "JSONDecodeError.__init__"),
        ("builtins", "ValueError.__class__"),
        ("subprocess", "Popen"),
        ("builtins", "ValueError.mro"),
    ],
)
def test_what_is_no_exception_is_never_called(module: str, name: str) -> None:
    back = decode_exception({"exc_type": name, "exc_message": ["__import__('os')"], "exc_module": module})
    assert isinstance(back, TaskError)


@pytest.mark.parametrize("exc", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError("x"), GeneratorExit()])
def test_what_would_end_the_caller_gets_a_stand_in(exc: BaseException) -> None:
    back = through(exc)
    assert isinstance(back, TaskError)
    assert type(back).__name__ == type(exc).__name__
    assert back.args == exc.args


def test_a_class_that_computes_its_attributes_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lazy(type(sys)):  # type: ignore[misc]
        def __getattr__(self, name: str) -> Any:
            raise AssertionError("the module was asked")

    monkeypatch.setitem(sys.modules, "lazy_for_test", Lazy("lazy_for_test"))
    assert isinstance(decode_exception({"exc_type": "Boom", "exc_module": "lazy_for_test"}), TaskError)


def test_arguments_that_cannot_be_encoded_become_their_repr() -> None:
    data = encode_exception(ValueError({1}, Unshowable(), object, [set()]))
    assert data["exc_message"][0] == "{1}"
    assert "repr raised RuntimeError" in data["exc_message"][1]
    assert json.dumps(data)
    group = encode_exception(ExceptionGroup("several", [ValueError(1)]))
    assert group["exc_message"] == ["several", "[ValueError(1)]"]


def test_sizes_are_bounded() -> None:
    data = encode_exception(ValueError("x" * 10_000_000, [[["y" * 1000]] * 1000], *range(100)))
    assert len(json.dumps(data)) < 20_000
    assert len(data["exc_message"]) == 32
    assert encode_exception(ValueError("x" * 60_000))["exc_message"] == ["x" * 60_000]
    long_name = type("E" * 5000, (Exception,), {})
    assert len(encode_exception(long_name())["exc_type"]) == 300


def test_a_text_as_message_is_one_argument() -> None:
    assert decode_exception({"exc_type": "ValueError", "exc_module": "builtins", "exc_message": "bad"}).args == ("bad",)
    assert decode_exception({"exc_type": "ValueError", "exc_module": "builtins"}).args == ()
    assert type(decode_exception({"exc_type": "ValueError"})).__module__ == "celeriac.errors"


@pytest.mark.parametrize(
    "data", [None, [], "ValueError", {}, {"exc_type": 1}, {"exc_type": ""}, {"exc_type": "X", "exc_module": 5}]
)
def test_other_data_is_refused(data: Any) -> None:
    with pytest.raises(DecodeError, match="a stored exception must"):
        decode_exception(data)
