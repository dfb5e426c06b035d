"""Whatever goes in comes out, and whatever comes from elsewhere is read or refused."""

from __future__ import annotations

import contextlib
import json
import pickle
from datetime import timedelta, timezone
from typing import TYPE_CHECKING, Any

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from celeriac.core.codec import (
    COMPRESSIONS,
    accept_types,
    decode,
    decode_args,
    decode_exception,
    encode,
    encode_args,
    encode_exception,
    saferepr,
)
from celeriac.errors import DecodeError

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

ALL = accept_types(["json", "msgpack", "pickle", "yaml"])
NO_PICKLE = accept_types(["json", "msgpack", "yaml"])
JSON_ONLY = accept_types(["json"])

# Whole seconds: datetime.fromisoformat loses the microseconds of an offset.
OFFSETS = st.integers(-86_399, 86_399).map(lambda seconds: timezone(timedelta(seconds=seconds))) | st.none()
KEYS = st.text(max_size=8) | st.sampled_from(["__type__", "__value__"])
# JSON and YAML hold every integer and half surrogates; MessagePack holds neither.
SMALL_INTEGERS = st.integers(min_value=-(2**63), max_value=2**64 - 1)
WIDE_TEXT = st.text(st.characters(exclude_categories=()), max_size=20)


def values(*more: SearchStrategy[Any]) -> SearchStrategy[Any]:
    leaves = st.one_of(
        st.none(),
        st.booleans(),
        st.floats(allow_nan=False),
        st.text(max_size=20),
        st.sampled_from(["datetime", "uuid", "dict", "NaN", "null", "__type__"]),
        # ISO 8601 has no word for fold.
        st.datetimes(timezones=OFFSETS).map(lambda value: value.replace(fold=0)),
        st.dates(),
        st.times(timezones=OFFSETS).map(lambda value: value.replace(fold=0)),
        st.timedeltas(),
        st.decimals(allow_nan=False),
        st.uuids(),
        st.binary(max_size=20),
        *more,
    )
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
    )


EVERY = values(st.integers(), WIDE_TEXT)
NARROW = values(SMALL_INTEGERS)


def through(value: Any, serializer: str, compression: str | None = None) -> Any:
    one = encode(value, serializer, compression)
    return decode(one.body, one.content_type, one.content_encoding, compression=one.compression, accept=ALL)


def same(one: object, other: object) -> bool:
    """Equal, and of the same types all the way: 1, 1.0 and True are three things, and so are two offsets."""
    return repr(one) == repr(other)


@given(EVERY)
def test_json_gives_back_what_it_got(value: Any) -> None:
    assert same(through(value, "json"), value)


@given(NARROW)
def test_msgpack_gives_back_what_it_got(value: Any) -> None:
    assert same(through(value, "msgpack"), value)


@given(EVERY)
def test_pickle_gives_back_what_it_got(value: Any) -> None:
    assert same(through(value, "pickle"), value)


@settings(max_examples=50)
@given(values(st.integers()))
def test_yaml_gives_back_what_it_got(value: Any) -> None:
    assert same(through(value, "yaml"), value)


@given(
    args=st.lists(NARROW, max_size=4),
    kwargs=st.dictionaries(KEYS, NARROW, max_size=3),
    callbacks=st.none() | st.lists(st.dictionaries(KEYS, NARROW, max_size=2), max_size=2),
    serializer=st.sampled_from(["json", "msgpack", "pickle"]),
    compression=st.none() | st.sampled_from(sorted(COMPRESSIONS)),
)
def test_arguments_come_back(
    args: list[Any], kwargs: dict[str, Any], callbacks: Any, serializer: str, compression: str | None
) -> None:
    embed = {"callbacks": callbacks, "errbacks": None, "chain": None, "chord": None}
    one = encode_args(tuple(args), kwargs, embed, serializer=serializer, compression=compression)
    back = decode_args(one.body, one.content_type, one.content_encoding, compression=one.compression, accept=ALL)
    assert same(back, (args, kwargs, embed))


def _of(first: bytes, *texts: SearchStrategy[str]) -> SearchStrategy[bytes]:
    pieces = st.lists(st.one_of(*texts), max_size=30)
    return st.builds(lambda parts: first + "".join(parts).encode("utf-8", "surrogatepass"), pieces)


JSON_PIECES = st.one_of(
    st.sampled_from('[]{},:"\\ \n-+.eE0123'),
    st.sampled_from(["[[", "]]", "null", "true", "NaN", "-Infinity", "1e999", "9" * 40, "\\ud800", "\ud800", "é"]),
    st.sampled_from(['"a":', '"__type__"', '"__value__"', '"datetime"', '"dict"', '{"__type__":"uuid","__value__":']),
)
YAML_PIECES = st.one_of(
    st.sampled_from("[]{},:?&*!|>%@`'\"#- \n\t."),
    st.sampled_from(["&a ", "*a", "<<: ", "!!", "!!int ", "!!timestamp ", "!!set ", "!!omap ", "2024-", "12:30", "0x"]),
    st.sampled_from(["---", "...", "!!python/object:os.system ", "__type__: ", "__value__: ", "datetime\n", "  "]),
)
HOSTILE = st.one_of(
    st.tuples(st.just("application/json"), st.binary(max_size=60) | _of(b"", JSON_PIECES) | _of(b"[[", JSON_PIECES)),
    st.tuples(st.just("application/x-msgpack"), st.binary(max_size=60) | st.binary(max_size=60).map(b"\x93".__add__)),
    st.tuples(st.just("application/x-yaml"), st.binary(max_size=60) | _of(b"", YAML_PIECES)),
)


@given(
    HOSTILE, st.none() | st.sampled_from([*COMPRESSIONS.values(), "x", ""]), st.sampled_from(["utf-8", "utf-16", ""])
)
@example(("application/json", b"[" * 100_000), None, "utf-8")
@example(("application/json", b'[{"__type__":' * 100_000), None, "utf-8")
@example(("application/json", b"[[" + b"1" * 10_000 + b"],{},{}]"), None, "utf-8")
@example(("application/x-msgpack", b"\x81" * 100_000), None, "binary")
@example(("application/x-yaml", b"- " * 5_000), None, "utf-8")
@example(("application/x-yaml", b"&a {*a: *a}"), None, "utf-8")
@example(("application/x-yaml", b"? [1]\n: 2"), None, "utf-8")
def test_foreign_bytes_are_read_or_refused(body: tuple[str, bytes], compression: str | None, encoding: str) -> None:
    content_type, data = body
    for read in (decode, decode_args):
        try:
            found = read(data, content_type, encoding, compression=compression, accept=NO_PICKLE)
        except DecodeError:
            continue
        if read is decode_args:
            args, kwargs, embed = found
            assert (type(args), type(kwargs), type(embed)) == (list, dict, dict)
            assert all(type(name) is str for name in kwargs)


@given(value=NARROW, serializer=st.sampled_from(["json", "msgpack", "yaml", "pickle"]), data=st.data())
def test_damaged_bodies_are_read_or_refused(value: Any, serializer: str, data: st.DataObject) -> None:
    one = encode_args([value], {}, serializer=serializer)
    body = bytearray(one.body)
    at = data.draw(st.integers(0, len(body) - 1))
    # Changing a pickle may make it run anything, so pickles are only cut.
    if serializer == "pickle" or data.draw(st.booleans()):
        del body[at:]
    else:
        body[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(DecodeError):
        decode_args(bytes(body), one.content_type, one.content_encoding, accept=ALL)


@given(st.one_of(_of(b"", JSON_PIECES), st.text(max_size=30).map(lambda text: json.dumps(text).encode())))
@example(b"-0")
@example(b"1" * 30)
@example(b"123456789012345678901234567890.5e-3")
@example(b'{"a":1,"a":2}')
@example(b'"\\ud83e\\udd55\\ud800"')
@example(b"2.2250738585072011e-308")
def test_json_is_read_as_python_reads_it(body: bytes) -> None:
    assume(b"__type__" not in body)
    try:
        expected = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        expected = DecodeError
    try:
        found = decode(body, "application/json", accept=JSON_ONLY)
    except DecodeError:
        found = DecodeError
    # The fast reader makes 0 of -0, which is equal.
    assert same(found, expected) or (found == expected and b"-0" in body)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_are_exact(value: float) -> None:
    assert same(through(value, "json"), value)


@given(
    kind=st.sampled_from([ValueError, KeyError, RuntimeError, DecodeError, ZeroDivisionError, AssertionError]),
    args=st.lists(NARROW, max_size=3),
    serializer=st.sampled_from(["json", "msgpack", "pickle"]),
)
def test_exceptions_come_back(kind: type[Exception], args: list[Any], serializer: str) -> None:
    back = decode_exception(through(encode_exception(kind(*args)), serializer))
    assert type(back) is kind
    assert same(back.args, tuple(args))


NAMES = st.sampled_from(["builtins", "os", "sys", "ValueError", "SystemExit", "eval", "", "a.b", ".", "<locals>"])


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "exc_type": NAMES | st.text() | EVERY,
            "exc_module": NAMES | st.text() | EVERY,
            "exc_message": st.lists(EVERY, max_size=3) | EVERY,
        },
    )
    | EVERY
)
@example({"exc_type": "\0"})
@example({"exc_type": "a.\ud800", "exc_module": "\ud800"})
@example({"exc_type": "...", "exc_module": "builtins", "exc_message": [[]]})
def test_foreign_exceptions_are_made_or_refused(data: Any) -> None:
    try:
        back = decode_exception(data)
    except DecodeError:
        return
    assert isinstance(back, Exception)
    assert isinstance(str(back) + repr(back), str)


@given(EVERY, st.integers(min_value=0, max_value=200))
def test_representations_are_bounded(value: Any, limit: int) -> None:
    text = saferepr(value, limit)
    assert len(text) <= limit + 3
    if len(repr(value)) <= limit:
        assert saferepr(value, limit, levels=100, redact=False) == repr(value)


@given(EVERY)
def test_nothing_is_changed_by_being_encoded(value: Any) -> None:
    before = pickle.dumps(value)
    encode(value)
    encode_args([value], {"a": value})
    assert pickle.dumps(value) == before
