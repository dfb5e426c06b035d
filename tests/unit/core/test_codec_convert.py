"""Arguments and results come back as the types that the annotations name."""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, NewType, Optional, TypeVar
from uuid import UUID

import msgspec
import pydantic
import pytest

from celeriac.core.codec import Converter, accept_types, build_converter, decode_args, encode_args
from celeriac.errors import InvalidTaskError

if TYPE_CHECKING:
    from somewhere import Unresolvable  # type: ignore[import-not-found]  # pyright: ignore[reportMissingImports]

JSON = accept_types(["json"])
T = TypeVar("T")
UserId = NewType("UserId", UUID)


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"


@dataclass
class Node:
    name: str
    at: datetime | None = None
    children: list[Node] = field(default_factory=list)
    colour: Colour = Colour.RED
    depth: int = field(init=False, default=0)


class Pear(msgspec.Struct, rename="camel"):
    best_before: date
    price: Decimal
    owner: Node | None = None


class Person(pydantic.BaseModel):
    name: str
    born: date


class Box(pydantic.BaseModel, Generic[T]):
    content: T


def converter(function: Callable[..., Any], **options: Any) -> Converter:
    made = build_converter(function, task="proj.t", **options)
    assert made is not None
    return made


def sent(function: Callable[..., Any], *args: Any, serializer: str = "json", **kwargs: Any) -> tuple[list[Any], Any]:
    """Return the arguments as the task would get them at the other end of the wire."""
    one = encode_args(args, kwargs, serializer=serializer)
    accept = accept_types([serializer])
    positional, named, _ = decode_args(one.body, one.content_type, one.content_encoding, accept=accept)
    out, names = converter(function).inbound(positional, named)
    return list(out), names


def everything(
    when: datetime,
    day: date,
    moment: time,
    duration: timedelta,
    price: Decimal,
    key: UUID,
    data: bytes,
    colour: Colour,
    node: Node,
    pear: Pear,
    person: Person,
) -> None: ...


TREE = Node("a", datetime(2024, 1, 2, tzinfo=UTC), [Node("b", colour=Colour.RED), Node("c")])
ALL = (
    datetime(2024, 1, 2, 3, tzinfo=UTC),
    date(2024, 1, 2),
    time(3, 4),
    timedelta(seconds=1.5),
    Decimal("1.10"),
    UUID(int=5),
    b"\xff",
    Colour.RED,
    TREE,
    Pear(date(2024, 1, 2), Decimal("0.5"), TREE),
    Person(name="Ada", born=date(1815, 12, 10)),
)


@pytest.mark.parametrize("serializer", ["json", "msgpack", "yaml", "pickle"])
def test_every_type_comes_back(serializer: str) -> None:
    args, _ = sent(everything, *ALL, serializer=serializer)
    assert tuple(args) == ALL
    names = ["when", "day", "moment", "duration", "price", "key", "data", "colour", "node", "pear", "person"]
    _, kwargs = sent(everything, serializer=serializer, **dict(zip(names, ALL, strict=True)))
    assert tuple(kwargs.values()) == ALL


def test_plain_forms_of_other_senders_are_understood() -> None:
    args, _ = converter(everything).inbound(
        ["2024-01-02T03:00:00Z", "2024-01-02", "03:04", 1.5, "1.10", str(UUID(int=5)), "/w==", "red"], {}
    )
    assert tuple(args) == ALL[:8]
    assert converter(everything).inbound([1, 2, 3, 2, 5], {})[0] == [1, 2, 3, timedelta(seconds=2), Decimal(5)]


def nested(
    a: list[datetime],
    b: dict[str, UUID],
    c: tuple[int, date],
    d: tuple[Decimal, ...],
    e: Sequence[Colour],
    f: Mapping[int, list[Node | None]],
    g: Optional[date],  # noqa: UP045 -- the older spelling must work too
    h: Annotated[UserId, "an id"],
    i: frozenset[UUID],
) -> None: ...


def test_containers_are_looked_into() -> None:
    values = (
        [datetime(2024, 1, 2, tzinfo=UTC)],
        {"x": UUID(int=1)},
        (1, date(2024, 1, 2)),
        (Decimal(1), Decimal("2.5")),
        [Colour.RED],
        {5: [Node("a"), None]},
        None,
        UUID(int=9),
    )
    args, _ = sent(nested, *values, [UUID(int=1), UUID(int=1)])
    assert tuple(args) == (*values, frozenset([UUID(int=1)]))


def test_values_that_are_no_wire_form_are_left_alone() -> None:
    strange = [5, [], None, "x", object(), {}, 3, Colour.RED, "not a node", 7]
    args, _ = converter(everything).inbound(strange, {})
    assert args[:3] == strange[:3]
    assert args[3:7] == strange[3:7]
    assert args[7:] == strange[7:]
    assert converter(nested).inbound(["ab", 5, {}, None, 1, []], {})[0] == ["ab", 5, {}, None, 1, []]


@pytest.mark.parametrize(
    ("place", "value", "complaint"),
    [
        (0, "tomorrow", "argument 'when' of task 'proj.t' does not fit its annotation: 'tomorrow' is not a datetime"),
        (4, "much", "argument 'price' of task 'proj.t' does not fit its annotation: 'much' is not a Decimal"),
        (5, "x", "argument 'key'.* is not a UUID"),
        (6, "é", "argument 'data'.* is not a bytes"),
        (7, "blue", "argument 'colour'.*: 'blue' is not a valid Colour"),
        (8, {}, "argument 'node'.* missing 1 required positional argument: 'name'"),
        (8, {"name": "x", "label": 1}, "argument 'node'.*: Node has no field 'label'"),
        (8, {"name": "x", "at": "never"}, "argument 'node'.*: 'never' is not a datetime"),
        (9, {"bestBefore": "2024-01-02"}, "argument 'pear'.*: Object missing required field `price`"),
    ],
)
def test_values_that_only_look_right_are_refused_by_name(place: int, value: Any, complaint: str) -> None:
    args = list(ALL)
    args[place] = value
    with pytest.raises(InvalidTaskError, match=complaint):
        converter(everything).inbound(args, {})


def test_a_tuple_of_another_length_is_refused() -> None:
    with pytest.raises(InvalidTaskError, match=r"argument 'c'.* 2 items expected, not 3"):
        converter(nested).inbound([[], {}, [1, 2, 3]], {})


def test_the_given_arguments_are_not_changed() -> None:
    args, kwargs = ["red"], {"colour": "red"}

    def task(colour: Colour) -> None: ...

    assert converter(task).inbound(args, {})[0] == [Colour.RED]
    assert converter(task).inbound([], kwargs)[1] == {"colour": Colour.RED}
    assert (args, kwargs) == (["red"], {"colour": "red"})


def plain(a: int, b: str, c: list[int], d: dict[str, Any], e: Literal["x"], f: Any, g: float | None) -> int: ...  # type: ignore[empty-body]


def unannotated(a, b=1):  # type: ignore[no-untyped-def]
    return a


def mixed(a: datetime | str, b: Node | Person) -> None: ...


@pytest.mark.parametrize("function", [plain, unannotated, mixed, len, print, 5])
def test_where_there_is_nothing_to_convert_there_is_no_converter(function: Any) -> None:
    assert build_converter(function) is None


def partly(a: Unresolvable, b: date, c: no_such_name[1]) -> Unresolvable:  # type: ignore[name-defined] # noqa: F821  # pyright: ignore
    ...


def test_annotations_that_cannot_be_resolved_are_ignored() -> None:
    assert converter(partly).inbound(["2024-01-02", "2024-01-02", "x"], {})[0] == ["2024-01-02", date(2024, 1, 2), "x"]


def test_star_arguments_are_converted_too() -> None:
    def task(first: int, *rest: date, option: Colour = Colour.RED, **more: UUID) -> None: ...

    args, kwargs = converter(task).inbound([1, "2024-01-02", "2024-01-03"], {"option": "red", "x": UUID(int=1).hex})
    assert args == [1, date(2024, 1, 2), date(2024, 1, 3)]
    assert kwargs == {"option": Colour.RED, "x": UUID(int=1)}


def test_a_positional_only_name_may_be_a_keyword_too() -> None:
    def task(a: date, /, **more: str) -> None: ...

    assert converter(task).inbound(["2024-01-02"], {"a": "2024-01-02"}) == ([date(2024, 1, 2)], {"a": "2024-01-02"})


def test_a_bound_task_does_not_count_itself() -> None:
    def task(self: Any, day: date) -> None: ...

    assert converter(task, bound=True).inbound(["2024-01-02"], {})[0] == [date(2024, 1, 2)]


def test_wrapped_functions_methods_and_callables_are_understood() -> None:
    def task(day: date) -> None: ...

    @functools.wraps(task)
    def wrapper(*args: Any, **kwargs: Any) -> None: ...

    class Callable_:
        def __call__(self, day: date) -> None: ...

        def method(self, day: date) -> None: ...

    for function in (wrapper, Callable_(), Callable_().method, functools.partial(task)):
        assert converter(function).inbound(["2024-01-02"], {})[0] == [date(2024, 1, 2)]


def test_results_are_converted_by_the_reader() -> None:
    def task() -> Node: ...  # type: ignore[empty-body]

    made = converter(task)
    assert made.converts_result
    assert not made.converts_arguments
    assert made.inbound(["2024"], {"a": 1}) == (["2024"], {"a": 1})
    assert made.convert_result({"name": "a", "colour": "red"}) == Node("a")
    assert made.convert_result(None) is None
    assert made.dump_result(TREE) is TREE
    with pytest.raises(InvalidTaskError, match=r"the result of task 'proj.t'"):
        made.convert_result({"label": 1})


def test_a_pydantic_model_that_does_not_fit_raises_pydantics_error() -> None:
    def task(person: Person) -> None: ...

    with pytest.raises(pydantic.ValidationError, match="born"):
        converter(task).inbound([{"name": "Ada"}], {})


def test_pydantic_options_are_passed_on() -> None:
    class Checked(pydantic.BaseModel):
        number: int

        @pydantic.field_validator("number")
        @classmethod
        def _limit(cls, value: int, info: pydantic.ValidationInfo) -> int:
            if value > (info.context or {"limit": 100})["limit"]:
                raise ValueError("over the limit")
            return value

    def task(a: Checked) -> Checked | None: ...

    # The class is local, so the annotation must be an object and not a name.
    task.__annotations__ = {"a": Checked, "return": Optional[Checked]}  # noqa: UP045
    lax = converter(task, pydantic=True)
    assert lax.inbound([{"number": "7"}], {})[0] == [Checked(number=7)]
    with pytest.raises(pydantic.ValidationError, match="valid integer"):
        converter(task, pydantic=True, strict=True).inbound([{"number": "7"}], {})
    with pytest.raises(pydantic.ValidationError, match="over the limit"):
        converter(task, context={"limit": 5}).inbound([{"number": 7}], {})
    assert lax.dumps_result
    assert lax.dump_result(Checked(number=7)) == {"number": 7}
    assert lax.dump_result(None) is None
    assert lax.dump_result("other") == "other"
    assert converter(task, pydantic=True, dump_kwargs={"exclude": {"number"}}).dump_result(Checked(number=7)) == {}
    assert converter(task).dump_result(Checked(number=7)) == Checked(number=7)


def test_generic_models_are_understood() -> None:
    def task(box: Box[date]) -> None: ...

    assert converter(task).inbound([{"content": "2024-01-02"}], {})[0] == [Box[date](content=date(2024, 1, 2))]
