"""Whatever bytes a store gives back, reading them ends in a value or in a DecodeError; and a message can carry all
that Celery's message protocol 2 can say.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celeriac.core.message import Message, StoredResult, check, pack, pack_result, unpack, unpack_result
from celeriac.errors import DecodeError

text = st.text(max_size=20)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | text
    | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
moments = st.floats(-1e11, 1e11)
maybe_text = st.none() | text
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=50)

messages = st.builds(
    Message,
    id=names,
    task=text,
    queue=names,
    body=st.binary(max_size=40),
    content_type=text,
    content_encoding=text,
    compression=maybe_text,
    priority=st.integers(0, 9),
    eta=st.none() | moments,
    expires=st.none() | moments,
    retries=st.integers(0, 2**40),
    timelimit=st.none() | st.tuples(st.none() | moments, st.none() | moments),
    ignore_result=st.none() | st.booleans(),
    group_index=st.none() | st.integers(-(2**40), 2**40),
    argsrepr=maybe_text,
    stamped_headers=st.none() | st.lists(text, max_size=3).map(tuple),
    stamps=st.dictionaries(text, plain, max_size=3),
    headers=st.dictionaries(text, plain, max_size=3),
    parked_at=st.none() | moments,
)

results = st.builds(
    StoredResult,
    id=st.text(min_size=1, max_size=50),
    state=text,
    body=st.binary(max_size=40),
    traceback=maybe_text,
    children=st.lists(text, max_size=3).map(tuple),
    date_done=st.none() | moments,
    runtime=st.none() | moments,
    expires=st.none() | moments,
)


@given(messages)
def test_a_message_survives_packing(message: Message) -> None:
    assert unpack(pack(check(message))) == message


@given(results)
def test_a_result_survives_packing(result: StoredResult) -> None:
    assert unpack_result(pack_result(result)) == result


Read = Callable[[bytes], Message | StoredResult]
READERS = [pytest.param(unpack, id="message"), pytest.param(unpack_result, id="result")]

near_values = st.dictionaries(
    st.sampled_from(["id", "task", "state", "queue", "eta", "headers", "timelimit", "children", "stamps", "x"]),
    plain | st.just({"a": {1: 2}}) | st.lists(plain, min_size=2, max_size=2),
    max_size=6,
).map(msgspec.msgpack.encode)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """The bytes of a real value with some bytes changed, dropped, doubled or cut off."""
    data = bytearray(draw(messages.map(pack) | results.map(pack_result)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data) - 1)) if data else 0
        change = draw(st.sampled_from(["set", "drop", "insert", "cut"]))
        if change == "set" and data:
            data[place] = draw(st.integers(0, 255))
        elif change == "drop" and data:
            del data[place]
        elif change == "insert":
            data[place:place] = draw(st.binary(min_size=1, max_size=5))
        else:
            del data[place:]
    return bytes(data)


@pytest.mark.parametrize("read", READERS)
@settings(max_examples=500)
@given(data=st.binary(max_size=200) | near_values | damaged())
def test_reading_hostile_bytes_ends_in_a_value_or_in_a_decode_error(read: Read, data: bytes) -> None:
    try:
        value = read(data)
    except DecodeError:
        return
    # What was read is a sound value: it can be stored again and then reads the same.
    again = pack(value) if isinstance(value, Message) else pack_result(value)
    assert repr(read(again)) == repr(value)


Convert = Callable[[Any], Any]


def same(value: Any) -> Any:
    return value


def to_seconds(value: str | None) -> float | None:
    return None if value is None else datetime.fromisoformat(value).timestamp()


def to_iso(value: float | None) -> str | None:
    # From the epoch, because fromtimestamp() rounds a float half to even, and may miss a microsecond.
    return None if value is None else (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=value)).isoformat()


def to_limits(value: list[float | None] | None) -> tuple[float | None, float | None] | None:
    return None if value is None else (value[0], value[1])


def to_list(value: tuple[Any, ...] | None) -> list[Any] | None:
    return None if value is None else list(value)


def to_names(value: list[str] | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(value)


# (part of the message, its name on the wire) -> (field of Message, from the wire, to the wire)
TABLE: dict[tuple[str, str], tuple[str, Convert, Convert]] = {
    ("headers", "lang"): ("lang", same, same),
    ("headers", "task"): ("task", same, same),
    ("headers", "id"): ("id", same, same),
    ("headers", "shadow"): ("shadow", same, same),
    ("headers", "eta"): ("eta", to_seconds, to_iso),
    ("headers", "expires"): ("expires", to_seconds, to_iso),
    ("headers", "group"): ("group", same, same),
    ("headers", "group_index"): ("group_index", same, same),
    ("headers", "retries"): ("retries", same, same),
    ("headers", "timelimit"): ("timelimit", to_limits, to_list),
    ("headers", "root_id"): ("root_id", same, same),
    ("headers", "parent_id"): ("parent_id", same, same),
    ("headers", "argsrepr"): ("argsrepr", same, same),
    ("headers", "kwargsrepr"): ("kwargsrepr", same, same),
    ("headers", "origin"): ("origin", same, same),
    ("headers", "ignore_result"): ("ignore_result", same, same),
    ("headers", "replaced_task_nesting"): ("replaced_task_nesting", same, same),
    ("headers", "stamped_headers"): ("stamped_headers", to_names, to_list),
    ("headers", "stamps"): ("stamps", same, same),
    ("headers", "compression"): ("compression", same, same),
    ("properties", "content_type"): ("content_type", same, same),
    ("properties", "content_encoding"): ("content_encoding", same, same),
    ("properties", "correlation_id"): ("correlation_id", same, same),
    ("properties", "reply_to"): ("reply_to", same, same),
    ("properties", "delivery_mode"): ("delivery_mode", same, same),
    ("properties", "priority"): ("priority", same, same),
    ("properties", "exchange"): ("exchange", same, same),
    ("properties", "routing_key"): ("routing_key", same, same),
    ("body", ""): ("body", same, same),
}
# Headers without a field of their own travel as custom headers do: flat, under their own name.
CUSTOM = {"redelivered": True, "celery_beat_task": True, "periodic_task_name": "nightly", "meth": "run", "x-own": [1]}
# Not stored, because it follows from other fields or belongs to one transport:
# ``expiration`` is what is left until ``expires`` at the moment of sending; ``body_encoding`` and ``delivery_tag`` are
# made anew by Redis for every publish.

FULL: dict[tuple[str, str], Any] = {
    ("headers", "lang"): "py",
    ("headers", "task"): "app1.add",
    ("headers", "id"): "a task/of mine",
    ("headers", "shadow"): "shadowed",
    ("headers", "eta"): "2026-11-21T03:29:10.215265+00:00",
    ("headers", "expires"): "2026-11-21T03:29:40.215265+00:00",
    ("headers", "group"): "9d2bcc1d-dab4-46c9-9909-1c91dd59995f",
    ("headers", "group_index"): 3,
    ("headers", "retries"): 2,
    ("headers", "timelimit"): [10, 5],
    ("headers", "root_id"): "210fdd79-97eb-4fbe-a1ea-9cc9fdd00d87",
    ("headers", "parent_id"): "7d41469b-a6ff-4c31-8e14-6c355f30308f",
    ("headers", "argsrepr"): "(2, 3)",
    ("headers", "kwargsrepr"): "{}",
    ("headers", "origin"): "gen13401@vm",
    ("headers", "ignore_result"): True,
    ("headers", "replaced_task_nesting"): 1,
    ("headers", "stamped_headers"): ["mid"],
    ("headers", "stamps"): {"mid": "abc", "many": ["a", 1]},
    ("headers", "compression"): "application/x-gzip",
    ("properties", "content_type"): "application/json",
    ("properties", "content_encoding"): "utf-8",
    ("properties", "correlation_id"): "a task/of mine",
    ("properties", "reply_to"): "ae3efaef-097b-39d1-b331-65a2196d6b5a",
    ("properties", "delivery_mode"): 1,
    ("properties", "priority"): 5,
    ("properties", "exchange"): "news",
    ("properties", "routing_key"): "sport.#",
    ("body", ""): b'[[2, 3], {}, {"callbacks": [], "errbacks": null, "chain": [{"task": "x"}], "chord": null}]',
}
# What a plain ``add.delay(2, 3)`` says where it differs from the above.
PLAIN: dict[tuple[str, str], Any] = FULL | {
    ("headers", "shadow"): None,
    ("headers", "eta"): None,
    ("headers", "expires"): None,
    ("headers", "group"): None,
    ("headers", "group_index"): None,
    ("headers", "retries"): 0,
    ("headers", "timelimit"): [None, None],
    ("headers", "parent_id"): None,
    ("headers", "ignore_result"): None,
    ("headers", "replaced_task_nesting"): 0,
    ("headers", "stamped_headers"): None,
    ("headers", "stamps"): {},
    ("headers", "compression"): None,
    ("properties", "delivery_mode"): 2,
    ("properties", "priority"): 0,
    ("properties", "exchange"): "",
    ("properties", "routing_key"): "celery",
}


def read_wire(wire: dict[tuple[str, str], Any], custom: dict[str, Any]) -> Message:
    fields = {field: convert(wire[key]) for key, (field, convert, _) in TABLE.items()}
    return Message(**fields, queue="q", headers=custom)


def write_wire(message: Message) -> dict[tuple[str, str], Any]:
    return {key: convert(getattr(message, field)) for key, (field, _, convert) in TABLE.items()}


@pytest.mark.parametrize("wire", [FULL, PLAIN], ids=["full", "plain"])
def test_a_message_carries_protocol_2_and_back_without_loss(wire: dict[tuple[str, str], Any]) -> None:
    message = unpack(pack(check(read_wire(wire, CUSTOM))))
    assert write_wire(message) == wire
    assert message.headers == CUSTOM


def test_the_full_example_leaves_no_mapped_field_at_its_default() -> None:
    message = read_wire(FULL, CUSTOM)
    default = Message(id="", task="")
    usual = {"lang", "content_type", "content_encoding"}
    same_as_default = {field for field, _, _ in TABLE.values() if getattr(message, field) == getattr(default, field)}
    assert same_as_default == usual


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1)))  # noqa: DTZ001 -- made aware below
def test_times_keep_their_microseconds(moment: datetime) -> None:
    wire = moment.replace(tzinfo=UTC).isoformat()
    assert to_iso(to_seconds(wire)) == wire


def test_every_field_of_a_message_has_its_place_in_protocol_2_or_is_celeriacs_own() -> None:
    own = {"queue", "headers", "sent_at", "workflow", "node", "place", "parked_at", "seal"}
    mapped = {field for field, _, _ in TABLE.values()}
    assert mapped | own == set(Message.__struct_fields__)
    assert not mapped & own
