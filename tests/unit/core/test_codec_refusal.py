"""An argument that cannot be encoded is named, with what to do about it."""

import dataclasses
import traceback
import types
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, Session, mapped_column

from celeriac.core.codec import encode, encode_args
from celeriac.errors import ImproperlyConfigured, SerializationError


class Base(DeclarativeBase):
    pass


class Account(Base):
    __tablename__ = "account"
    number: Mapped[int] = mapped_column(primary_key=True)


class Order(MappedAsDataclass, Base):
    __tablename__ = "order"
    id: Mapped[int] = mapped_column(primary_key=True)


class User:
    """Has what marks a Django model."""

    _meta = types.SimpleNamespace(pk=types.SimpleNamespace(name="uuid"))
    pk = property(lambda self: 5)


@dataclasses.dataclass
class Basket:
    items: list[Any]


class Shy:
    def __repr__(self) -> str:
        raise RuntimeError("not now")

    def __json__(self) -> Any:
        raise LookupError("no text for it")


def refusal(*args: Any, serializer: str = "json", names: tuple[str, ...] = ("user", "more"), **kwargs: Any) -> str:
    with pytest.raises(SerializationError) as caught:
        encode_args(args, kwargs, serializer=serializer, task="proj.mail", parameter_names=names)
    return str(caught.value)


def test_a_django_model_is_refused_with_the_advice_to_pass_its_key() -> None:
    assert refusal(User()) == (
        "argument 'user' of task 'proj.mail' is a User model instance:"
        " pass its primary key (user.uuid) and load it in the task"
    )


@pytest.mark.parametrize("serializer", ["json", "msgpack", "yaml"])
def test_a_sqlalchemy_model_is_refused_with_the_advice_to_pass_its_key(serializer: str) -> None:
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        account = Account(number=7)
        session.add(account)
        session.commit()
        text = refusal(1, account, serializer=serializer)
    engine.dispose()
    assert text.startswith("argument 'more' of task 'proj.mail' is a Account model instance")
    assert "(more.number)" in text
    # A mapped dataclass is a model first.
    assert "is a Order model instance: pass its primary key (user.id)" in refusal(Order(id=1))


def test_the_traceback_shows_the_one_error_that_says_what_to_do() -> None:
    with pytest.raises(SerializationError) as caught:
        encode_args((object(),), {}, task="proj.mail")
    shown = "".join(traceback.format_exception(caught.value))
    assert shown.count("Traceback") == 1, shown


def test_an_error_of_the_users_own_code_is_shown_as_the_cause() -> None:
    with pytest.raises(SerializationError, match="LookupError: no text for it") as caught:
        encode_args((Shy(),), {}, task="proj.mail")
    assert isinstance(caught.value.__cause__, LookupError)


def test_the_place_inside_an_argument_is_told() -> None:
    assert "argument 'user' of task 'proj.mail', at user[0]['owner'], is a User model" in refusal([{"owner": User()}])
    assert "(user[0]['owner'].uuid)" in refusal([{"owner": User()}])
    assert "at later.items[1]," in refusal(later=Basket([1, {2}]))


def test_other_objects_are_named_with_their_type_and_a_way_out() -> None:
    assert refusal({1, 2}) == (
        "argument 'user' of task 'proj.mail' is of type set, which json cannot carry:"
        " pass a list, such as sorted(value)"
    )
    assert "is of type pathlib" in refusal(Path("x"))
    assert "pass str(value)" in refusal(Path("x"))
    assert "pass bytes(value)" in refusal(bytearray(b"x"))
    assert "of type builtin_function" in refusal(len)
    text = refusal(one=object())
    assert "argument 'one' of task 'proj.mail' is of type object, which json cannot carry: pass plain values" in text
    assert "__json__" in text


def test_arguments_without_a_known_name_are_counted() -> None:
    assert refusal(1, 2, {3}, names=()).startswith("positional argument 3 of task 'proj.mail' is of type set")


def test_keys_are_named_too() -> None:
    assert "argument 'user' of task 'proj.mail' has a key of type tuple" in refusal({(1, 2): 3})
    assert "at user['a'], has a key of type tuple" in refusal({"a": {(1, 2): 3}})


def test_what_contains_itself_is_named() -> None:
    endless: list[Any] = []
    endless.append(endless)
    for serializer in ("json", "msgpack", "yaml"):
        assert "argument 'more' of task 'proj.mail' contains itself" in refusal(1, endless, serializer=serializer)
    with pytest.raises(SerializationError, match="the value contains itself"):
        encode(endless)


def test_numbers_that_a_format_cannot_hold_are_named() -> None:
    assert "argument 'user' of task 'proj.mail' cannot be encoded as msgpack: OverflowError" in refusal(
        2**64, serializer="msgpack"
    )
    assert "argument 'user' of task 'proj.mail' cannot be encoded as json: ValueError" in refusal(10**5000)


def test_what_an_object_raises_is_told() -> None:
    assert "cannot be encoded as json: LookupError: no text for it" in refusal(Shy())
    assert "argument 'user' of task 'proj.mail' cannot be encoded as pickle" in refusal(
        lambda: None, serializer="pickle"
    )
    assert "cannot be encoded as msgpack: UnicodeEncodeError" in refusal("\ud800", serializer="msgpack")


def test_a_result_is_called_what_the_caller_says() -> None:
    with pytest.raises(SerializationError, match=r"^the result of task 'proj.add' is of type set"):
        encode({1}, subject="the result of task 'proj.add'")


def test_the_embed_is_not_mistaken_for_an_argument() -> None:
    with pytest.raises(SerializationError, match=r"^the value, at value\[2\]\['callbacks'\], is of type set"):
        encode_args([1], {}, {"callbacks": {1}})


def test_args_and_kwargs_must_be_what_they_are_called() -> None:
    with pytest.raises(SerializationError, match="args of task 'x' must be a list or tuple, not str"):
        encode_args("ab", {}, task="x")
    with pytest.raises(SerializationError, match="kwargs of task 'x' must be a dictionary, not list"):
        encode_args([], [("a", 1)], task="x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_an_unknown_serializer_is_a_configuration_error() -> None:
    with pytest.raises(ImproperlyConfigured, match="unknown serializer 'xml'"):
        encode_args([{1}], {}, serializer="xml")
    with pytest.raises(ImproperlyConfigured, match="unknown compression 'rar'"):
        encode_args([1], {}, compression="rar")
