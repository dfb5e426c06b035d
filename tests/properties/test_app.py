"""Whatever a caller says, either a message comes of it that every broker can keep and read, or an error that says why.

And what a task is given is what it gets.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from celeriac import Celeriac
from celeriac.app.options import SEND_NAMES
from celeriac.core.message import check, pack, unpack
from celeriac.errors import ImproperlyConfigured, InvalidTaskError, SerializationError

app = Celeriac("properties", broker="memory://properties-of-app", set_as_current=False)


@app.task(name="echo")
def echo(*args: Any, **kwargs: Any) -> Any:
    return [list(args), kwargs]


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.text(alphabet="\ud800é ", max_size=3),
    st.binary(max_size=5),
    st.datetimes(),
    st.datetimes(timezones=st.just(UTC)),
    st.timedeltas(),
    st.uuids(),
    st.sampled_from(["json", "msgpack", "gzip", "x" * 201, "", 0, 9, 10, -1, 2**70, float("inf")]),
    st.lists(st.one_of(st.none(), st.integers(), st.text(max_size=5)), max_size=3),
    st.dictionaries(st.text(max_size=5), st.one_of(st.integers(), st.text(max_size=5), st.just({1})), max_size=3),
    st.just(object()),
    st.just(echo.s(1)),
)
options = st.dictionaries(st.sampled_from([*sorted(SEND_NAMES), "queeue"]), anything, max_size=4)


@given(options)
def test_any_options_make_a_message_or_an_error_that_says_why(given_options: dict[str, Any]) -> None:
    try:
        message = app.publisher.plan(echo).message((1,), {"x": 2}, given_options)
        check(message)
    except (InvalidTaskError, ImproperlyConfigured, SerializationError):
        return
    except TypeError as exc:
        if not any(words in str(exc) for words in ("unknown option", "is not a signature", "leave it out")):
            raise
        return
    # Bytes are compared: a tuple in a header comes back as a list, and NaN does not equal itself.
    assert pack(unpack(pack(message))) == pack(message)


plain = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False),
        st.text(),
        st.binary(),
        st.datetimes(),
        st.uuids(),
        st.decimals(allow_nan=False),
        st.timedeltas(),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=10,
)


@given(st.lists(plain, max_size=3), st.dictionaries(st.text().filter(lambda name: name != "self"), plain, max_size=3))
def test_a_task_gets_what_it_is_given_and_returns_what_it_gets(args: list[Any], kwargs: dict[str, Any]) -> None:
    assert echo.apply(args, kwargs).get() == [args, kwargs]


def test_the_values_drawn_include_every_kind_that_options_take() -> None:
    app.publisher.plan(echo).message(
        (),
        {},
        {
            "task_id": UUID(int=1),
            "countdown": timedelta(seconds=1),
            "expires": datetime(2030, 1, 1, tzinfo=UTC),
            "link": echo.s(1),
            "headers": {"a": 1},
        },
    )
