"""Bodies: what is written, what is read, and what is refused."""

import bz2
import enum
import gzip
import json
import lzma
import zlib
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pydantic
import pytest
import zstandard

from celeriac.core.codec import (
    COMPRESSIONS,
    NO_EMBED,
    Encoded,
    accept_types,
    decode,
    decode_args,
    encode,
    encode_args,
)
from celeriac.core.seal import SEALED_TYPE
from celeriac.errors import ContentDisallowed, DecodeError, ImproperlyConfigured, SerializationError

EVERYTHING = accept_types(["json", "msgpack", "pickle", "yaml", "text", "raw"])
JSON_ONLY = accept_types(["json"])
STRUCTURED = ("json", "msgpack", "pickle", "yaml")

VALUES: list[Any] = [
    None,
    True,
    0,
    -(2**63),
    2**64 - 1,
    1.5,
    -0.0,
    1e308,
    "",
    "naïve \u2028 \x00 🥕",
    [],
    {},
    {"a": [1, {"b": None}], "": ""},
    datetime(2024, 1, 2, 3, 4, 5, 678),  # noqa: DTZ001 -- naive ones must pass as they are
    datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
    datetime(2024, 1, 2, tzinfo=timezone(timedelta(hours=-9, minutes=-30))),
    date(2024, 2, 29),
    time(3, 4, 5),
    time(3, 4, 5, 6, tzinfo=UTC),
    timedelta(days=-1, microseconds=1),
    timedelta.max,
    Decimal("1.10"),
    Decimal("-Infinity"),
    UUID(int=5),
    b"abc",
    b"\xff\x00",
    {"when": [date(2024, 1, 2), {"id": UUID(int=7)}]},
    {"__type__": "datetime", "__value__": "2024-01-02"},
    {"__type__": "no such tag", "__value__": [b"x"]},
    {"__type__": 1},
    'text with "__type__": in it',
]


def through(value: Any, serializer: str = "json", compression: str | None = None) -> Any:
    one = encode(value, serializer, compression)
    return decode(one.body, one.content_type, one.content_encoding, compression=one.compression, accept=EVERYTHING)


@pytest.mark.parametrize("serializer", STRUCTURED)
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_come_back_with_their_type(value: Any, serializer: str) -> None:
    back = through(value, serializer)
    assert back == value
    assert repr(back) == repr(value)


@pytest.mark.parametrize("serializer", ["json", "yaml"])
def test_text_formats_carry_numbers_that_json_leaves_open(serializer: str) -> None:
    assert through(2**200, serializer) == 2**200
    assert through(float("inf"), serializer) == float("inf")
    assert repr(through([float("nan")], serializer)) == "[nan]"


def test_half_a_surrogate_pair_passes_through_json() -> None:
    assert through("\ud800") == "\ud800"


def test_json_is_written_as_peers_read_it() -> None:
    value = [
        datetime(2024, 1, 2, 3, 4, 5, 678),  # noqa: DTZ001
        datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
        date(2024, 1, 2),
        time(3, 4, 5),
        Decimal("1.10"),
        UUID(int=5),
        b"abc",
        b"\xff\x00",
        (1, 2),
        float("nan"),
    ]
    body = encode(value).body
    assert body.decode("ascii").endswith(",NaN]")
    assert json.loads(body)[:-1] == [
        {"__type__": "datetime", "__value__": "2024-01-02T03:04:05.000678"},
        {"__type__": "datetime", "__value__": "2024-01-02T03:04:05+00:00"},
        {"__type__": "date", "__value__": "2024-01-02"},
        {"__type__": "time", "__value__": "03:04:05"},
        {"__type__": "decimal", "__value__": "1.10"},
        {"__type__": "uuid", "__value__": {"hex": "00000000000000000000000000000005"}},
        {"__type__": "bytes", "__value__": "abc"},
        {"__type__": "base64", "__value__": "/wA="},
        [1, 2],
    ]


def test_what_a_peer_wrote_is_read() -> None:
    body = (
        b'{"a": {"__type__": "datetime", "__value__": "2024-01-02T03:04:05Z"}, '
        b'"b": {"__type__": "date", "__value__": "2024-01-02"}, "c": [NaN, -Infinity], "\\u00e9": "\\ud83e\\udd55"}'
    )
    value = decode(body, "application/json", accept=JSON_ONLY)
    assert value["a"] == datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert value["b"] == date(2024, 1, 2)
    assert str(value["c"]) == "[nan, -inf]"
    assert value["é"] == "🥕"


def test_other_text_encodings_are_read() -> None:
    assert decode('"é"'.encode("latin-1"), "application/json", "iso-8859-1", accept=JSON_ONLY) == "é"
    assert decode('"é"'.encode("utf-16"), "application/json", "UTF-16", accept=JSON_ONLY) == "é"
    assert decode(b'"x"', "application/json", "binary", accept=JSON_ONLY) == "x"
    with pytest.raises(DecodeError, match="content encoding 'rot13' is unknown"):
        decode(b'"x"', "application/json", "rot13", accept=JSON_ONLY)
    with pytest.raises(DecodeError, match="not ascii text"):
        decode(b'"\xff"', "application/json", "us-ascii", accept=JSON_ONLY)


class Colour(enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    BIG = 3


class Text(str):
    __slots__ = ()


@dataclass
class Point:
    x: int
    label: Colour


class Pear(msgspec.Struct, rename="camel", tag="pear"):
    best_before: date
    extra: int | msgspec.UnsetType = msgspec.UNSET


class Pair(msgspec.Struct, array_like=True):
    left: int
    right: int


class Person(pydantic.BaseModel):
    name: str = pydantic.Field(alias="fullName")
    born: date

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def initial(self) -> str:
        return self.name[0]


class Signature:
    def __repr__(self) -> str:
        return "Signature()"  # The same in every process of a test run, since it is part of a test's name.

    def __json__(self) -> dict[str, Any]:
        return {"task": "proj.add", "at": date(2024, 1, 2)}


Named = namedtuple("Named", "a b")


@pytest.mark.parametrize("serializer", ["json", "msgpack", "yaml"])
@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Colour.RED, "red"),
        (Size.BIG, 3),
        (Text("t"), "t"),
        (Point(1, Colour.RED), {"x": 1, "label": "red"}),
        (Pear(date(2024, 1, 2)), {"type": "pear", "bestBefore": date(2024, 1, 2)}),
        (Pair(1, 2), [1, 2]),
        (Person(fullName="Ada", born=date(1815, 12, 10)), {"fullName": "Ada", "born": "1815-12-10"}),
        (Signature(), {"task": "proj.add", "at": date(2024, 1, 2)}),
        (Named(1, [Colour.RED]), [1, ["red"]]),
        (OrderedDict(a=Size.BIG), {"a": 3}),
        ((1, (2,)), [1, [2]]),
        ({Colour.RED: 1, Text("k"): 2}, {"red": 1, "k": 2}),
        ({2: "a", None: "b", True: "c", 1.5: "d"}, {"2": "a", "true": "c", "null": "b", "1.5": "d"}),
    ],
    ids=repr,
)
def test_models_become_plain(value: Any, plain: Any, serializer: str) -> None:
    assert through(value, serializer) == plain


def test_keys_that_become_the_same_text_are_refused() -> None:
    with pytest.raises(SerializationError, match=r"two keys that become the same text, such as 1 and '1'"):
        encode({1: "a", "1": "b"})


def test_text_and_bytes_need_no_serializer_and_no_permission() -> None:
    assert encode("héllo", "text") == Encoded("héllo".encode(), "text/plain", "utf-8")
    assert encode(b"\xff", "raw") == Encoded(b"\xff", "application/data", "binary")
    assert decode(b"\xff", "application/data", "binary", accept=JSON_ONLY) == b"\xff"
    assert decode("é".encode(), "text/plain", accept=JSON_ONLY) == "é"
    with pytest.raises(SerializationError, match="must be text"):
        encode(b"x", "text")
    with pytest.raises(SerializationError, match="must be bytes"):
        encode("x", "raw")


@pytest.mark.parametrize("name", sorted(COMPRESSIONS))
def test_compression_comes_back(name: str) -> None:
    value = {"text": "x" * 10_000}
    one = encode(value, compression=name)
    assert one.compression == COMPRESSIONS[name]
    assert len(one.body) < 500
    assert decode(one.body, one.content_type, compression=one.compression, accept=JSON_ONLY) == value


def test_compressed_streams_are_those_of_the_peers() -> None:
    assert zlib.decompress(encode("x", compression="gzip").body) == b'"x"'
    assert bz2.decompress(encode("x", compression="bzip2").body) == b'"x"'
    assert lzma.decompress(encode("x", compression="xz").body) == b'"x"'
    assert zstandard.decompress(encode("x", compression="zstd").body) == b'"x"'
    # What the name x-gzip promises, although peers send something else, is read too.
    assert decode(gzip.compress(b'"x"'), "application/json", compression="application/x-gzip", accept=JSON_ONLY) == "x"


@pytest.mark.parametrize("name", ["gzip", "bzip2", "lzma", "zstd"])
def test_a_bomb_does_not_go_off(name: str) -> None:
    one = encode("0" * 1_000_000, compression=name)
    assert len(one.body) < 5_000
    with pytest.raises(DecodeError, match="unfolds to more than 1000 bytes"):
        decode(one.body, one.content_type, compression=one.compression, accept=JSON_ONLY, max_bytes=1000)
    args = encode_args(["0" * 1_000_000], {}, compression=name)
    with pytest.raises(DecodeError, match="unfolds to more than 1000 bytes"):
        decode_args(args.body, args.content_type, compression=args.compression, accept=JSON_ONLY, max_bytes=1000)
    exact = encode("0" * 998, compression=name)
    assert decode(exact.body, exact.content_type, compression=name, accept=JSON_ONLY, max_bytes=1000) == "0" * 998


@pytest.mark.parametrize("name", ["gzip", "bzip2", "lzma", "zstd"])
def test_a_damaged_stream_is_refused(name: str) -> None:
    whole = encode(list(range(1000)), compression=name).body
    for body in (b"", b"not compressed", whole[:-5], whole[: len(whole) // 2]):
        with pytest.raises(DecodeError, match="not a application/"):
            decode(body, "application/json", compression=COMPRESSIONS[name], accept=JSON_ONLY)


def test_a_zstd_frame_that_does_not_say_its_length_is_read_and_checked() -> None:
    compressor = zstandard.ZstdCompressor(write_content_size=False)
    whole = compressor.compress(b"[1,2,3]")
    assert decode(whole, "application/json", compression="application/zstd", accept=JSON_ONLY) == [1, 2, 3]
    with pytest.raises(DecodeError, match="ends too early"):
        decode(whole[:-3], "application/json", compression="application/zstd", accept=JSON_ONLY)


def test_unknown_names_are_configuration_errors() -> None:
    with pytest.raises(ImproperlyConfigured, match="unknown serializer 'xml': choose one of json, msgpack"):
        encode(1, "xml")
    with pytest.raises(ImproperlyConfigured, match="unknown compression 'rar': choose one of gzip"):
        encode(1, compression="rar")
    with pytest.raises(ImproperlyConfigured, match=r"accept_content holds 'xml'.*choose from json"):
        accept_types(["json", "xml"])
    with pytest.raises(ImproperlyConfigured, match="result_accept_content must be a list"):
        accept_types("json", setting="result_accept_content")
    with pytest.raises(DecodeError, match="compression 'x-rar' is unknown"):
        decode(b"1", "application/json", compression="x-rar", accept=JSON_ONLY)


def test_serializers_go_by_content_type_too() -> None:
    assert accept_types(["application/json", "msgpack"]) == {"application/json", "application/x-msgpack"}
    assert encode([1], "application/x-msgpack").content_type == "application/x-msgpack"


@pytest.mark.parametrize("serializer", ["pickle", "yaml", "msgpack"])
def test_only_accepted_types_are_read(serializer: str) -> None:
    one = encode_args([1], {}, serializer=serializer)
    for read in (decode, decode_args):
        with pytest.raises(ContentDisallowed, match=f"accepts json only: add '{serializer}' to accept_content"):
            read(one.body, one.content_type, one.content_encoding, accept=JSON_ONLY)
    with pytest.raises(ContentDisallowed, match="'application/x-java' is unknown"):
        decode(b"", "application/x-java", accept=JSON_ONLY)
    with pytest.raises(ContentDisallowed, match="it is encrypted, and this app has no security_encryption_keys"):
        decode(b"", SEALED_TYPE, accept=EVERYTHING)


def test_a_refused_pickle_is_not_even_unpacked(tmp_path: Path) -> None:
    mark = tmp_path / "mark"

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (mark,))

    body = encode(Evil(), "pickle").body
    with pytest.raises(ContentDisallowed):
        decode(body, "application/x-python-serialize", "binary", accept=JSON_ONLY)
    assert not mark.exists()
    decode(body, "application/x-python-serialize", "binary", accept=EVERYTHING)
    assert mark.exists()


# The body of a task.


@pytest.mark.parametrize("serializer", STRUCTURED)
@pytest.mark.parametrize("embed", [None, dict(NO_EMBED), {**NO_EMBED, "callbacks": [{"task": "x", "args": [b"\xff"]}]}])
@pytest.mark.parametrize("kwargs", [{}, {"when": date(2024, 1, 2)}, {"n": 1.5}])
def test_arguments_come_back(serializer: str, embed: dict[str, Any] | None, kwargs: dict[str, Any]) -> None:
    one = encode_args((2, [3]), kwargs, embed, serializer=serializer)
    args, named, carried = decode_args(one.body, one.content_type, one.content_encoding, accept=EVERYTHING)
    assert (args, named, carried) == ([2, [3]], kwargs, NO_EMBED if embed is None else embed)
    assert type(args) is list


def test_a_body_is_what_peers_send() -> None:
    assert encode_args((2, 3), {}) == Encoded(
        b'[[2,3],{},{"callbacks":null,"errbacks":null,"chain":null,"chord":null}]', "application/json", "utf-8", None
    )
    one = encode_args((2, 3), {}, compression="gzip")
    assert one.compression == "application/x-gzip"
    assert decode_args(one.body, one.content_type, compression=one.compression, accept=JSON_ONLY)[0] == [2, 3]


def test_an_embed_may_be_missing() -> None:
    assert decode_args(b'[[1],{"a":2},null]', "application/json", accept=JSON_ONLY) == ([1], {"a": 2}, {})
    assert decode_args(b"[[1],{},{}]", "application/json", accept=JSON_ONLY) == ([1], {}, {})
    assert decode_args(b'[[1],{},{"other":1}]', "application/json", accept=JSON_ONLY)[2] == {"other": 1}


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "not JSON"),
        (b"\xff", "not utf-8 text"),
        (b"[[1],{}]", "3 parts, .* not 2"),
        (b"[[1],{},{},{}]", "3 parts, .* not 4"),
        (b'{"args":[]}', r"must be \[args, kwargs, embed\], not dict"),
        (b'[{},{},{"a":{"__type__":"bytes","__value__":""}}]', "args of a task must be a list, not dict"),
        (b"[null,{},{}]", "args of a task must be a list, not NoneType"),
        (b'["ab",{},{}]', "args of a task must be a list, not str"),
        (b"[[],[],{}]", "kwargs of a task must be a dictionary, not list"),
        (b"[[],null,{}]", "kwargs of a task must be a dictionary, not NoneType"),
        (b"[[],{},[]]", "embed of a task must be a dictionary or null, not list"),
        (b'[[],{},{"chain":{}}]', "'chain' in the embed of a task must be a list, not dict"),
        (b'[[],{},{"chord":[]}]', "'chord' in the embed of a task must be a dict, not list"),
        (b'[[],{},{"callbacks":"x"}]', "'callbacks' in the embed"),
        (b'[[{"__type__":"spam","__value__":1}],{},{}]', "unknown type tag 'spam'; known are datetime"),
        (b'[[{"__type__":["x"],"__value__":1}],{},{}]', "unknown type tag"),
        (b'[[{"__type__":"datetime","__value__":"tomorrow"}],{},{}]', "tagged 'datetime' is not one"),
        (b'[[{"__type__":"datetime","__value__":7}],{},{}]', "tagged 'datetime' is not one"),
        (b'[[{"__type__":"uuid","__value__":{"int":1}}],{},{}]', "tagged 'uuid' is not one"),
        (b'[[{"__type__":"decimal","__value__":"x"}],{},{}]', "tagged 'decimal' is not one"),
        (b'[[{"__type__":"timedelta","__value__":[1e300,0,0]}],{},{}]', "tagged 'timedelta' is not one"),
        (b'[[{"__type__":"base64","__value__":1}],{},{}]', "tagged 'base64' is not one"),
        (b'[[{"__type__":"dict","__value__":[[1,2]]}],{},{}]', "tagged 'dict' is not one"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"__type__":' * 100_000, "nested too deeply"),
        (b"[[" + b"9" * 5_000 + b"],{},{}]", "not JSON: Exceeds the limit"),
        (b'[["\\ud8"],{},{}]', "not JSON"),
        (b"[[1],{},{}]x", "not JSON: Extra data"),
    ],
)
def test_malformed_bodies_are_refused(body: bytes, complaint: str) -> None:
    with pytest.raises(DecodeError, match=complaint):
        decode_args(body, "application/json", accept=JSON_ONLY)


@pytest.mark.parametrize(
    ("body", "content_type", "complaint"),
    [
        (b"\x93\x90\x81\x01\x01\x80", "application/x-msgpack", "text as keys, not int"),
        (b"\x93\x90\x80\x81\x01\x01", "application/x-msgpack", "embed of a task must have text as keys"),
        (b"\x93\x90\x80", "application/x-msgpack", "not application/x-msgpack"),
        (b"\x91" * 100_000, "application/x-msgpack", "nested too deeply"),
        (b"\xdd\xff\xff\xff\xff", "application/x-msgpack", "truncated"),
        (b"\xc7\x01\x05a", "application/x-msgpack", "extension type 5"),
        (b"garbage", "application/x-python-serialize", "not application/x-python-serialize"),
        (b"\x80\x04\x95", "application/x-python-serialize", "not application/x-python-serialize"),
        (b"- " * 20_000, "application/x-yaml", "nested too deeply"),
        (b"&a [*a]", "application/x-yaml", "contains itself"),
        (b"!!python/object/apply:os.system [ls]", "application/x-yaml", "could not determine a constructor"),
        (b"2024-13-45", "application/x-yaml", "month must be in"),
        (b"[[1], {}, {}]", "text/plain", "not str"),
        (b"[[1], {}, {}]", "application/data", "not bytes"),
    ],
)
def test_malformed_bodies_of_other_types_are_refused(body: bytes, content_type: str, complaint: str) -> None:
    with pytest.raises(DecodeError, match=complaint):
        decode_args(body, content_type, "utf-8", accept=EVERYTHING)


def test_a_few_bytes_of_yaml_cannot_fill_the_memory() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)]
    value = decode("\n".join(lines[:15]).encode(), "application/x-yaml", accept=EVERYTHING)
    assert value["a14"][0] is value["a14"][1]
    with pytest.raises(DecodeError, match="items more than once"):
        decode("\n".join(lines).encode(), "application/x-yaml", accept=EVERYTHING)
